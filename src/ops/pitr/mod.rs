//! A PostgreSQL directory as of a chosen second, straight from a storage of Databasus.

pub mod bases;
pub mod cache;
pub mod checks;
pub mod disarm;
pub mod exact;
pub mod fault;
pub mod listing;
pub mod open;
pub mod prepare;
pub mod proof;
pub mod replay;
pub mod restore;
pub mod survey;
pub mod wal_feed;
pub mod wal_fetch;
