//! The objects that Databasus writes to a storage: what their names say, what lies beside a
//! backup, and what its content is.
//!
//! Nothing here reads a storage: names, sizes and bytes come in, typed values come out.

pub mod content;
pub mod decode;
pub mod group;
mod inflate;
pub mod name;
pub mod parts;
pub mod sidecar;
pub mod unpack;
pub mod wal_v1_base;
