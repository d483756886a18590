//! Bringing the catalogue up to what the storages hold.

pub mod attribution;
