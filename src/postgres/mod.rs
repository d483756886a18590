//! Floor 2: what this tool knows of PostgreSQL: its replication protocol, its files, its server.

pub mod binaries;
pub mod control_file;
pub mod lsn;
pub mod stopped;
