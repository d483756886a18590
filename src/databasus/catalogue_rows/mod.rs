//! Rows of Databasus' catalogue: which backups and databases it knows, and adding backups that it
//! does not (DATABASUS.md §4).
//!
//! Columns are taken from what the schema has: a release without one goes without its value.
//! Databasus' own API is never used, for there is none that adds a backup.

use uuid::Uuid;

use super::schema::Generation;
use crate::postgres::lsn::Lsn;
use crate::postgres::wal_segment::SegmentName;

mod add;
mod aside;
mod placeholder;
mod read;
mod rows;

pub use add::{Written, add};
pub use aside::{SideSchema, move_aside, remember_seen};
pub use placeholder::{Placeholder, add_placeholder, placeholder_id};
pub use read::{databases, known_rows, workspace_for};
pub use rows::{
    BackupRow, EncryptionColumns, HistoryRow, Listing, LogicalRow, ManifestColumns, PhysicalRow,
    WalRow, WalV1Columns, mebibytes,
};

/// A table that lists backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// Dumps, and up to 3.42 `WAL_V1`.
    Logical,
    /// Physical backups that stand by themselves.
    Full,
    /// Physical backups that need others.
    Incremental,
    /// WAL segments.
    Wal,
    /// Timeline history files.
    History,
}

impl Table {
    /// Every one that a generation has, each after those that it refers to.
    pub fn all(generation: Generation) -> &'static [Self] {
        match generation {
            Generation::UpTo342 => &[Self::Logical],
            Generation::From343 => &[
                Self::Logical,
                Self::Full,
                Self::Incremental,
                Self::Wal,
                Self::History,
            ],
        }
    }

    /// Its name in the database.
    pub fn name(self, generation: Generation) -> &'static str {
        match self {
            Self::Logical => generation.backups(),
            Self::Full => "physical_full_backups",
            Self::Incremental => "physical_incremental_backups",
            Self::Wal => "physical_wal_segments",
            Self::History => "physical_wal_history_files",
        }
    }
}

/// How a backup ended, as far as its row knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// It is restorable.
    Completed,
    /// It was running.
    InProgress,
    /// It failed, or was cancelled.
    Failed,
}

/// A backup that the catalogue knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRow {
    /// Where it is listed.
    pub table: Table,
    /// Its id, which is also that of its encryption.
    pub id: Uuid,
    /// `databases.id`.
    pub database: Uuid,
    /// `storages.id`.
    pub storage: Uuid,
    /// How it ended.
    pub state: RowState,
    /// The name of its object without the prefix; none while an upload has not begun.
    pub file_name: Option<Box<str>>,
    /// Of `WAL_V1`: what it is.
    pub wal_v1: Option<WalV1>,
    /// Of physical ones: where in the log it begins.
    pub begins: Option<LogPlace>,
    /// Of incremental ones: the full backup that they hang on.
    pub root: Option<Uuid>,
    /// Of incremental ones: the incremental one before it, if there is one.
    pub parent: Option<Uuid>,
}

/// A place in the log of one timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPlace {
    /// Counted from 1.
    pub timeline: u32,
    /// The position.
    pub position: Lsn,
}

/// What a row of `WAL_V1` lists (`pg_wal_backup_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalV1 {
    /// `PG_FULL_BACKUP`, and the segment that its replay begins with.
    Base(Option<SegmentName>),
    /// `PG_WAL_SEGMENT`.
    Segment(Option<SegmentName>),
}

/// A database that Databasus backs up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownDatabase {
    /// `databases.id`.
    pub id: Uuid,
    /// As people named it, in Databasus alone.
    pub name: String,
    /// What it is, and how it is backed up.
    pub engine: Engine,
    /// What the server calls it, where it is one database of a server.
    pub source: Option<String>,
    /// Where its next backup would go.
    pub storage: Option<Uuid>,
}

/// What a database is, and how it is backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// PostgreSQL, dumped.
    Postgres,
    /// PostgreSQL through the agent of 3.17 to 3.42.
    PostgresWalV1,
    /// PostgreSQL, since 3.43: base backups and WAL.
    PostgresPhysical,
    /// MySQL, dumped.
    MySql,
    /// MariaDB, dumped.
    MariaDb,
    /// MongoDB, dumped.
    MongoDb,
    /// One that later releases brought.
    Unknown,
}

impl Engine {
    fn read(kind: &str, backup_type: Option<&str>) -> Self {
        match (kind, backup_type) {
            ("POSTGRES", Some("WAL_V1")) => Self::PostgresWalV1,
            ("POSTGRES" | "POSTGRES_LOGICAL", _) => Self::Postgres,
            ("POSTGRES_PHYSICAL", _) => Self::PostgresPhysical,
            ("MYSQL", _) => Self::MySql,
            ("MARIADB", _) => Self::MariaDb,
            ("MONGODB", _) => Self::MongoDb,
            _ => Self::Unknown,
        }
    }
}
