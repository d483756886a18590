//! Floor 1: bytes to verified, typed values and back. No I/O.

pub mod chain;
pub mod finding;
pub mod index;
pub mod layout;
pub mod manifest;
pub mod mark;
pub mod method;
pub mod policy;
pub mod strict_json;
pub mod allowed_signers;
pub mod namespace;
pub mod recipients;
pub mod signer_key;
pub mod trust;
pub mod config;
pub mod store_spec;
mod suggest;
