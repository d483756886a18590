//! Floor 2: what this tool knows of PostgreSQL: its replication protocol, its files, its server.

pub mod backup_manifest;
pub mod base_backup;
pub mod dump;
pub mod lsn;
pub mod netns;
pub mod socket;
pub mod wire;
