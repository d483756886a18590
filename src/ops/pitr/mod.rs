//! A PostgreSQL directory as of a chosen second, straight from a storage of Databasus.

pub mod bases;
pub mod open;
