//! Floor 1: bytes to verified, typed values and back. No I/O.

pub mod config;
pub mod store_spec;
mod suggest;
