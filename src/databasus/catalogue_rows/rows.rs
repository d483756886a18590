//! Rows that list backups, as they are written (DATABASUS.md §4.6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::Table;
use crate::databasus::objects::sidecar::{self, BaseBackup, Compression};
use crate::postgres::wal_segment::SegmentName;

/// A backup as its row lists it.
#[derive(Clone, Debug, PartialEq)]
pub enum BackupRow {
    /// For `backups` or `logical_backups`.
    Logical(LogicalRow),
    /// For `physical_full_backups`.
    Full(PhysicalRow),
    /// For `physical_incremental_backups`.
    Incremental(PhysicalRow),
    /// For `physical_wal_segments`.
    Wal(WalRow),
    /// For `physical_wal_history_files`.
    History(HistoryRow),
}

/// What belongs to every row, and is in no sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// The row's own id.
    pub id: Uuid,
    /// `databases.id`.
    pub database_id: Uuid,
    /// `storages.id`.
    pub storage_id: Uuid,
    /// The object's name, without the prefix.
    pub file_name: String,
}

/// What a row says of its object's encryption; salt and nonce in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EncryptionColumns {
    encryption: &'static str,
    encryption_salt: Option<String>,
    encryption_iv: Option<String>,
}

/// A dump, or what `WAL_V1` stores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogicalRow {
    /// Which, and where.
    #[serde(flatten)]
    pub listing: Listing,
    /// When it was begun, as PostgreSQL reads times.
    pub created_at: String,
    /// In MiB, exact, or 0: a download announces this many bytes.
    pub backup_size_mb: f64,
    /// How it is stored.
    #[serde(flatten)]
    pub encryption: EncryptionColumns,
    /// Of `WAL_V1`; all null elsewhere.
    #[serde(flatten)]
    pub wal_v1: WalV1Columns,
}

/// What a row of `WAL_V1` has besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WalV1Columns {
    pg_wal_backup_type: Option<&'static str>,
    pg_wal_start_segment: Option<String>,
    pg_wal_stop_segment: Option<String>,
    pg_wal_segment_name: Option<String>,
}

/// A physical backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhysicalRow {
    /// Which, and where.
    #[serde(flatten)]
    pub listing: Listing,
    timeline_id: u32,
    start_lsn: String,
    stop_lsn: String,
    backup_size_mb: f64,
    compression: &'static str,
    #[serde(flatten)]
    encryption: EncryptionColumns,
    #[serde(flatten)]
    manifest: ManifestColumns,
    created_at: String,
    completed_at: String,
    root_full_backup_id: Option<Uuid>,
    parent_incremental_backup_id: Option<Uuid>,
}

/// Where PostgreSQL's `backup_manifest` is kept, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ManifestColumns {
    manifest_file_name: String,
    manifest_encryption_salt: Option<String>,
    manifest_encryption_iv: Option<String>,
}

/// A WAL segment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WalRow {
    /// Which, and where.
    #[serde(flatten)]
    pub listing: Listing,
    timeline_id: u32,
    wal_filename: String,
    start_lsn: String,
    end_lsn: String,
    compressed_size_mb: f64,
    received_at: String,
    claimed_at: String,
    #[serde(flatten)]
    encryption: EncryptionColumns,
}

/// A timeline history file. Its row says nothing of its encryption: a restore reads the sidecar.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryRow {
    /// Which, and where.
    #[serde(flatten)]
    pub listing: Listing,
    timeline_id: u32,
    history_filename: String,
    compressed_size_mb: f64,
    created_at: String,
}

impl From<&sidecar::Encryption> for EncryptionColumns {
    fn from(found: &sidecar::Encryption) -> Self {
        let (encryption, encryption_salt, encryption_iv) = match found {
            sidecar::Encryption::None => ("NONE", None, None),
            sidecar::Encryption::Encrypted { salt, nonce } => (
                "ENCRYPTED",
                Some(STANDARD.encode(salt)),
                Some(STANDARD.encode(nonce)),
            ),
        };
        Self {
            encryption,
            encryption_salt,
            encryption_iv,
        }
    }
}

impl ManifestColumns {
    /// Of a manifest that is stored under this name, and so.
    pub fn new(name: String, encryption: &sidecar::Encryption) -> Self {
        let columns = EncryptionColumns::from(encryption);
        Self {
            manifest_file_name: name,
            manifest_encryption_salt: columns.encryption_salt,
            manifest_encryption_iv: columns.encryption_iv,
        }
    }
}

impl WalV1Columns {
    /// Of a base backup: where its replay begins, and what it must reach.
    pub fn base(start: SegmentName, stop: SegmentName) -> Self {
        Self {
            pg_wal_backup_type: Some("PG_FULL_BACKUP"),
            pg_wal_start_segment: Some(start.to_string()),
            pg_wal_stop_segment: Some(stop.to_string()),
            pg_wal_segment_name: None,
        }
    }

    /// Of a segment.
    pub fn segment(name: SegmentName) -> Self {
        Self {
            pg_wal_backup_type: Some("PG_WAL_SEGMENT"),
            pg_wal_segment_name: Some(name.to_string()),
            ..Self::default()
        }
    }
}

impl PhysicalRow {
    /// Of a full backup.
    pub fn full(listing: Listing, backup: &BaseBackup, manifest: ManifestColumns) -> Self {
        Self {
            listing,
            timeline_id: backup.timeline,
            start_lsn: backup.start_lsn.to_string(),
            stop_lsn: backup.stop_lsn.to_string(),
            backup_size_mb: mebibytes(backup.compressed_size),
            compression: match backup.compression {
                Compression::Zstd => "ZSTD",
                Compression::Gzip => "GZIP",
                Compression::None => "NONE",
            },
            encryption: (&backup.encryption).into(),
            manifest,
            created_at: stamp(backup.created_at),
            completed_at: stamp(backup.completed_at),
            root_full_backup_id: None,
            parent_incremental_backup_id: None,
        }
    }

    /// Of an incremental one.
    pub fn incremental(
        listing: Listing,
        incremental: &sidecar::Incremental,
        manifest: ManifestColumns,
    ) -> Self {
        Self {
            root_full_backup_id: Some(incremental.root),
            parent_incremental_backup_id: incremental.parent,
            ..Self::full(listing, &incremental.backup, manifest)
        }
    }
}

impl WalRow {
    /// Of a segment. Databasus claims one as soon as it has received it.
    pub fn new(listing: Listing, wal: &sidecar::Wal) -> Self {
        Self {
            listing,
            timeline_id: wal.segment.timeline,
            wal_filename: wal.segment.to_string(),
            start_lsn: wal.start_lsn.to_string(),
            end_lsn: wal.end_lsn.to_string(),
            compressed_size_mb: mebibytes(wal.stored_size),
            received_at: stamp(wal.received_at),
            claimed_at: stamp(wal.received_at),
            encryption: (&wal.encryption).into(),
        }
    }
}

impl HistoryRow {
    /// Of a history file.
    pub fn new(listing: Listing, history: &sidecar::History) -> Self {
        Self {
            listing,
            timeline_id: history.timeline,
            history_filename: history.file_name.clone(),
            compressed_size_mb: mebibytes(history.stored_size),
            created_at: stamp(history.created_at),
        }
    }
}

impl BackupRow {
    /// Where it belongs.
    pub fn table(&self) -> Table {
        match self {
            Self::Logical(_) => Table::Logical,
            Self::Full(_) => Table::Full,
            Self::Incremental(_) => Table::Incremental,
            Self::Wal(_) => Table::Wal,
            Self::History(_) => Table::History,
        }
    }

    /// Which, and where.
    pub fn listing(&self) -> &Listing {
        match self {
            Self::Logical(row) => &row.listing,
            Self::Full(row) | Self::Incremental(row) => &row.listing,
            Self::Wal(row) => &row.listing,
            Self::History(row) => &row.listing,
        }
    }

    /// All columns by name. Those that every row of the kind has alike are added here.
    pub(super) fn columns(&self) -> Result<Map<String, Value>, serde_json::Error> {
        let value = match self {
            Self::Logical(row) => serde_json::to_value(row)?,
            Self::Full(row) | Self::Incremental(row) => serde_json::to_value(row)?,
            Self::Wal(row) => serde_json::to_value(row)?,
            Self::History(row) => serde_json::to_value(row)?,
        };
        let Value::Object(mut columns) = value else {
            return Ok(Map::new());
        };
        let completed = [
            ("status", Value::from("COMPLETED")),
            ("fail_message", Value::Null),
        ];
        let fixed = match self.table() {
            Table::Logical => [("is_skip_retry", Value::Bool(false))].as_slice(),
            Table::Full | Table::Incremental => &[("error_reason", Value::Null)],
            Table::Wal | Table::History => return Ok(columns),
        };
        let fixed = fixed.iter().chain(&completed);
        columns.extend(fixed.map(|(name, value)| ((*name).to_owned(), value.clone())));
        Ok(columns)
    }
}

#[cfg(test)]
impl BackupRow {
    /// The row as the catalogue would give it back.
    pub(crate) fn as_known(&self) -> super::KnownRow {
        use super::{KnownRow, LogPlace, RowState, WalV1};
        use crate::postgres::lsn::Lsn;

        let listing = self.listing();
        let place = |timeline: u32, position: &str| LogPlace {
            timeline,
            position: position.parse().unwrap(),
        };
        let parsed = |segment: &Option<String>| Some(segment.as_ref()?.parse().unwrap());
        let (mut wal_v1, mut begins, mut root, mut parent) = (None, None, None, None);
        match self {
            Self::Logical(row) => {
                wal_v1 = match row.wal_v1.pg_wal_backup_type {
                    Some("PG_FULL_BACKUP") => {
                        Some(WalV1::Base(parsed(&row.wal_v1.pg_wal_start_segment)))
                    }
                    Some(_) => Some(WalV1::Segment(parsed(&row.wal_v1.pg_wal_segment_name))),
                    None => None,
                };
            }
            Self::Full(row) | Self::Incremental(row) => {
                begins = Some(place(row.timeline_id, &row.start_lsn));
                root = row.root_full_backup_id;
                parent = row.parent_incremental_backup_id;
            }
            Self::Wal(row) => begins = Some(place(row.timeline_id, &row.start_lsn)),
            Self::History(row) => {
                begins = Some(LogPlace {
                    timeline: row.timeline_id,
                    position: Lsn(0),
                });
            }
        }
        KnownRow {
            table: self.table(),
            id: listing.id,
            database: listing.database_id,
            storage: listing.storage_id,
            state: RowState::Completed,
            file_name: Some(listing.file_name.clone().into_boxed_str()),
            wal_v1,
            begins,
            root,
            parent,
        }
    }
}

/// Bytes in MiB: exact, for a double holds every number of bytes that a storage can.
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// A time as PostgreSQL reads it, cut to microseconds as Databasus' driver does, not rounded.
fn stamp(time: Timestamp) -> String {
    let cut = Timestamp::from_microsecond(time.as_microsecond());
    cut.unwrap_or(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_to_microseconds() {
        let time = "2026-11-23T03:09:09.185201961Z".parse().unwrap();
        assert_eq!(stamp(time), "2026-11-23T03:09:09.185201Z");
    }

    #[test]
    fn sizes_keep_every_digit() {
        let written = Value::from(mebibytes(16_808)).to_string();
        assert_eq!(written, "0.01602935791015625");
    }
}
