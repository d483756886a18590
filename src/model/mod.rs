//! Floor 1: bytes to verified, typed values and back. No I/O.

pub mod allowed_signers;
pub mod amend;
pub mod chain;
pub mod checkin;
pub mod config;
pub mod document;
pub mod finding;
pub mod fork;
pub mod index;
pub mod layout;
pub mod link;
pub mod lock;
pub mod manifest;
pub mod mark;
pub mod method;
pub mod namespace;
pub mod policy;
pub mod proof;
pub mod quorum;
pub mod recipients;
pub mod retention;
pub mod signer_key;
pub mod store_spec;
pub mod strict_json;
mod suggest;
pub mod trust;
