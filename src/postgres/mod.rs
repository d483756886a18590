//! Floor 2: what this tool knows of PostgreSQL: its replication protocol, its files, its server.

pub mod control_file;
