//! The JSON of all kinds of sidecars, as it is written, and what of it makes sense.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::{
    BaseBackup, Compression, Encryption, History, Incremental, Logical, Sidecar, SidecarError, Wal,
};
use crate::postgres::wal_segment::{SegmentName, SegmentSize};

/// Every field that any kind has. Dumps write `encryptionIV`, physical backups `encryptionIv`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawSidecar {
    backup_id: Option<Uuid>,
    wal_segment_id: Option<Uuid>,
    wal_history_file_id: Option<Uuid>,
    database_id: Option<Uuid>,
    backup_type: Option<String>,
    system_identifier: Option<u64>,
    pg_version: Option<u32>,
    timeline_id: Option<u32>,
    start_lsn: Option<String>,
    stop_lsn: Option<String>,
    end_lsn: Option<String>,
    wal_filename: Option<String>,
    history_filename: Option<String>,
    compressed_size_bytes: Option<u64>,
    root_full_backup_id: Option<Uuid>,
    parent_incremental_backup_id: Option<Uuid>,
    encryption: Option<String>,
    encryption_salt: Option<String>,
    #[serde(alias = "encryptionIV")]
    encryption_iv: Option<String>,
    compression: Option<String>,
    created_at: Option<String>,
    completed_at: Option<String>,
    received_at: Option<String>,
}

impl RawSidecar {
    pub(super) fn check(&self) -> Result<Sidecar, SidecarError> {
        match (
            self.backup_id,
            self.wal_segment_id,
            self.wal_history_file_id,
        ) {
            (Some(id), None, None) => self.backup(id),
            (None, Some(id), None) => self.wal(id).map(Sidecar::Wal),
            (None, None, Some(id)) => self.history(id).map(Sidecar::History),
            (None, None, None) => Err(SidecarError::Missing("id")),
            _ => Err(SidecarError::Nonsense("id")),
        }
    }

    fn backup(&self, id: Uuid) -> Result<Sidecar, SidecarError> {
        match self.backup_type.as_deref() {
            None if self.database_id.is_none() => Ok(Sidecar::Logical(Logical {
                id,
                encryption: self.encryption()?,
            })),
            None => Err(SidecarError::Missing("backupType")),
            Some("FULL") => self.base_backup(id).map(Sidecar::Full),
            Some("INCREMENTAL") => self.incremental(id).map(Sidecar::Incremental),
            Some(_) => Err(SidecarError::Nonsense("backupType")),
        }
    }

    fn incremental(&self, id: Uuid) -> Result<Incremental, SidecarError> {
        Ok(Incremental {
            backup: self.base_backup(id)?,
            root: there(self.root_full_backup_id, "rootFullBackupId")?,
            parent: self.parent_incremental_backup_id,
        })
    }

    fn base_backup(&self, id: Uuid) -> Result<BaseBackup, SidecarError> {
        let found = BaseBackup {
            id,
            database: there(self.database_id, "databaseId")?,
            system_identifier: there(self.system_identifier, "systemIdentifier")?,
            pg_version: there(self.pg_version, "pgVersion")?,
            timeline: self.timeline()?,
            start_lsn: read(&self.start_lsn, "startLsn")?,
            stop_lsn: read(&self.stop_lsn, "stopLsn")?,
            compressed_size: self.size()?,
            encryption: self.encryption()?,
            compression: self.compression()?,
            created_at: time(&self.created_at, "createdAt")?,
            completed_at: time(&self.completed_at, "completedAt")?,
        };
        // Incremental backups exist since 17, the tool since 12: less is another number.
        sane(found.pg_version >= 100_000, "pgVersion")?;
        sane(found.system_identifier > 0, "systemIdentifier")?;
        sane(found.start_lsn < found.stop_lsn, "stopLsn")?;
        Ok(found)
    }

    fn wal(&self, id: Uuid) -> Result<Wal, SidecarError> {
        let found = Wal {
            id,
            database: there(self.database_id, "databaseId")?,
            segment: read::<SegmentName>(&self.wal_filename, "walFilename")?,
            start_lsn: read(&self.start_lsn, "startLsn")?,
            end_lsn: read(&self.end_lsn, "endLsn")?,
            stored_size: self.size()?,
            encryption: self.encryption()?,
            received_at: time(&self.received_at, "receivedAt")?,
        };
        sane(found.segment.timeline == self.timeline()?, "timelineId")?;
        sane(found.start_lsn < found.end_lsn, "endLsn")?;
        let size = u32::try_from(found.end_lsn.0 - found.start_lsn.0).ok();
        let size = size.and_then(SegmentSize::new);
        let start = size.and_then(|size| found.segment.start(size));
        sane(start == Some(found.start_lsn), "startLsn")?;
        Ok(found)
    }

    fn history(&self, id: Uuid) -> Result<History, SidecarError> {
        let found = History {
            id,
            database: there(self.database_id, "databaseId")?,
            timeline: self.timeline()?,
            file_name: read(&self.history_filename, "historyFilename")?,
            stored_size: self.size()?,
            encryption: self.encryption()?,
            created_at: time(&self.created_at, "createdAt")?,
        };
        let file_name = format!("{:08X}.history", found.timeline);
        sane(found.file_name == file_name, "historyFilename")?;
        Ok(found)
    }

    fn timeline(&self) -> Result<u32, SidecarError> {
        let timeline = there(self.timeline_id, "timelineId")?;
        // The catalogue's column is an integer.
        sane(
            timeline > 0 && i32::try_from(timeline).is_ok(),
            "timelineId",
        )?;
        Ok(timeline)
    }

    fn size(&self) -> Result<u64, SidecarError> {
        there(self.compressed_size_bytes, "compressedSizeBytes")
    }

    fn encryption(&self) -> Result<Encryption, SidecarError> {
        let word = there(self.encryption.as_deref(), "encryption")?;
        let (salt, nonce) = (text(&self.encryption_salt), text(&self.encryption_iv));
        if word.eq_ignore_ascii_case("NONE") {
            sane(salt.is_none() && nonce.is_none(), "encryption")?;
            return Ok(Encryption::None);
        }
        sane(word.eq_ignore_ascii_case("ENCRYPTED"), "encryption")?;
        Ok(Encryption::Encrypted {
            salt: decode(salt, "encryptionSalt")?,
            nonce: decode(nonce, "encryptionIV")?,
        })
    }

    fn compression(&self) -> Result<Compression, SidecarError> {
        match there(self.compression.as_deref(), "compression")? {
            "ZSTD" => Ok(Compression::Zstd),
            "GZIP" => Ok(Compression::Gzip),
            "NONE" => Ok(Compression::None),
            _ => Err(SidecarError::Nonsense("compression")),
        }
    }
}

/// The year 2200, in Unix time.
const MOST_SECONDS: i64 = 7_258_118_400;

fn there<T>(value: Option<T>, field: &'static str) -> Result<T, SidecarError> {
    value.ok_or(SidecarError::Missing(field))
}

fn sane(holds: bool, field: &'static str) -> Result<(), SidecarError> {
    holds.then_some(()).ok_or(SidecarError::Nonsense(field))
}

fn text(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|text| !text.is_empty())
}

fn read<T: FromStr>(value: &Option<String>, field: &'static str) -> Result<T, SidecarError> {
    let value = there(value.as_deref(), field)?;
    value.parse().map_err(|_| SidecarError::Nonsense(field))
}

/// A time of this era: PostgreSQL writes no year below 1, and no backup is from another century.
fn time(value: &Option<String>, field: &'static str) -> Result<Timestamp, SidecarError> {
    let time: Timestamp = read(value, field)?;
    sane((0..MOST_SECONDS).contains(&time.as_second()), field)?;
    Ok(time)
}

fn decode<const N: usize>(
    value: Option<&str>,
    field: &'static str,
) -> Result<[u8; N], SidecarError> {
    let bytes = STANDARD.decode(there(value, field)?);
    let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(SidecarError::Nonsense(field))
}
