//! Floor 0: small values that everything above speaks in. No I/O but the clock.

pub mod cancel;
pub mod digest;
pub mod entry_path;
pub mod error_chain;
pub mod file_error;
pub mod fingerprint;
pub mod names;
pub mod parallel;
pub mod pipe;
pub mod text;
pub mod time;
