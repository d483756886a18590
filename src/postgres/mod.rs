//! Floor 2: what this tool knows of PostgreSQL: its replication protocol, its files, its server.

pub mod amcheck;
pub mod archive_rows;
pub mod backup_label;
pub mod backup_manifest;
pub mod base_backup;
pub mod binaries;
pub mod control_file;
pub mod copy_text;
pub mod dump;
pub mod history_file;
pub mod initdb;
mod log_tail;
pub mod lsn;
pub mod netns;
mod private_launch;
pub mod private_server;
mod private_settings;
pub mod program;
pub mod restore;
pub mod restore_tool;
pub mod socket;
pub mod sql;
pub mod stopped;
pub mod wal_check;
pub mod wal_page;
pub mod wal_segment;
pub mod wire;
