//! A PostgreSQL directory as of a chosen second, straight from a storage of Databasus.

pub mod cache;
pub mod exact;
pub mod listing;
pub mod open;
pub mod survey;
