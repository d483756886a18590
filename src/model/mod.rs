//! Floor 1: bytes to verified, typed values and back. No I/O.

pub mod allowed_signers;
pub mod namespace;
pub mod recipients;
pub mod signer_key;
pub mod trust;
