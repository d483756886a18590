//! Sidecars (`.metadata`): the plaintext JSON that commits a backup (DATABASUS.md §3.3).

use jiff::Timestamp;
use uuid::Uuid;

use super::name::BackupName;
use crate::databasus::backup_file::Header;
use crate::postgres::lsn::Lsn;
use crate::postgres::wal_segment::SegmentName;

mod raw;

/// The largest sidecar that is read; real ones have less than 1 KiB.
pub const MAX_SIDECAR_BYTES: u64 = 64 << 10;

/// What a sidecar says of its backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sidecar {
    /// Of a dump.
    Logical(Logical),
    /// Of a whole cluster.
    Full(BaseBackup),
    /// Of what changed in a cluster since another backup.
    Incremental(Incremental),
    /// Of a WAL segment.
    Wal(Wal),
    /// Of a timeline history file.
    History(History),
}

/// Whether the stored bytes are encrypted, and the beginning of the file that says with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// They are the backup itself.
    None,
    /// The salt and nonce of the file's header, which Databasus compares on reading.
    Encrypted {
        /// 32 bytes.
        salt: [u8; 32],
        /// 12 bytes.
        nonce: [u8; 12],
    },
}

impl Encryption {
    /// The header that an encrypted file must have: Databasus refuses it with any other.
    pub fn header(&self) -> Option<Header> {
        match self {
            Self::None => None,
            Self::Encrypted { salt, nonce } => Some(Header {
                salt: *salt,
                nonce: *nonce,
            }),
        }
    }
}

/// How a physical backup's tar is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// `ZSTD`, unless the server refused.
    Zstd,
    /// `GZIP`.
    Gzip,
    /// `NONE`.
    None,
}

/// A dump: nothing but its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logical {
    /// `backups.id`.
    pub id: Uuid,
    /// Of the object.
    pub encryption: Encryption,
}

/// A backup by `pg_basebackup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseBackup {
    /// The row's id.
    pub id: Uuid,
    /// `databases.id`.
    pub database: Uuid,
    /// Of the cluster.
    pub system_identifier: u64,
    /// `server_version_num` of the first minor release: 170000.
    pub pg_version: u32,
    /// Counted from 1.
    pub timeline: u32,
    /// Where its WAL begins.
    pub start_lsn: Lsn,
    /// Where it is consistent.
    pub stop_lsn: Lsn,
    /// After compression and before encryption, in bytes.
    pub compressed_size: u64,
    /// Of the object.
    pub encryption: Encryption,
    /// Of the tar.
    pub compression: Compression,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it was stored.
    pub completed_at: Timestamp,
}

/// An incremental backup by `pg_basebackup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incremental {
    /// What it has in common with a full one.
    pub backup: BaseBackup,
    /// The full backup it stands on in the end.
    pub root: Uuid,
    /// The incremental one it stands on; none where that is the full one itself.
    pub parent: Option<Uuid>,
}

/// A WAL segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wal {
    /// The row's id, which is in no name.
    pub id: Uuid,
    /// `databases.id`.
    pub database: Uuid,
    /// Its timeline and place.
    pub segment: SegmentName,
    /// Its first byte.
    pub start_lsn: Lsn,
    /// Behind its last byte.
    pub end_lsn: Lsn,
    /// As stored, encryption included, in bytes.
    pub stored_size: u64,
    /// Of the object.
    pub encryption: Encryption,
    /// When Databasus had it.
    pub received_at: Timestamp,
}

/// A timeline history file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The row's id, which is in no name. Releases 3.43 to 3.45 encrypted under another one.
    pub id: Uuid,
    /// `databases.id`.
    pub database: Uuid,
    /// Whose origin it tells.
    pub timeline: u32,
    /// `00000002.history`.
    pub file_name: String,
    /// As stored, in bytes.
    pub stored_size: u64,
    /// Of the object.
    pub encryption: Encryption,
    /// When it was stored.
    pub created_at: Timestamp,
}

/// A sidecar that commits nothing.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// More than [`MAX_SIDECAR_BYTES`].
    #[error("the sidecar is larger than {} KiB", MAX_SIDECAR_BYTES >> 10)]
    TooLarge,
    /// Not the JSON that Databasus writes.
    #[error("the sidecar is not one that Databasus writes")]
    Malformed(#[source] serde_json::Error),
    /// What every sidecar of its kind has is not there.
    #[error("the sidecar has no {0}")]
    Missing(&'static str),
    /// A value that Databasus cannot have written.
    #[error("the sidecar's {0} makes no sense")]
    Nonsense(&'static str),
    /// It describes another backup than the one it lies beside.
    #[error("the sidecar and the object's name disagree about the {0}")]
    Disagrees(&'static str),
}

impl Sidecar {
    /// Reads the sidecar that lies beside `name`.
    ///
    /// Unknown fields are passed over: a later release may write more.
    pub fn parse(bytes: &[u8], name: &BackupName) -> Result<Self, SidecarError> {
        if bytes.len() as u64 > MAX_SIDECAR_BYTES {
            return Err(SidecarError::TooLarge);
        }
        let raw: raw::RawSidecar =
            serde_json::from_slice(bytes).map_err(SidecarError::Malformed)?;
        let sidecar = raw.check()?;
        sidecar.compare(name)?;
        Ok(sidecar)
    }

    /// The id of the row, under which the backup is encrypted.
    pub fn id(&self) -> Uuid {
        match self {
            Self::Logical(dump) => dump.id,
            Self::Full(full) => full.id,
            Self::Incremental(incremental) => incremental.backup.id,
            Self::Wal(wal) => wal.id,
            Self::History(history) => history.id,
        }
    }

    /// `databases.id`, which sidecars of dumps lack.
    pub fn database(&self) -> Option<Uuid> {
        match self {
            Self::Logical(_) => None,
            Self::Full(full) => Some(full.database),
            Self::Incremental(incremental) => Some(incremental.backup.database),
            Self::Wal(wal) => Some(wal.database),
            Self::History(history) => Some(history.database),
        }
    }

    /// Whether the object is encrypted.
    pub fn encryption(&self) -> &Encryption {
        match self {
            Self::Logical(dump) => &dump.encryption,
            Self::Full(full) => &full.encryption,
            Self::Incremental(incremental) => &incremental.backup.encryption,
            Self::Wal(wal) => &wal.encryption,
            Self::History(history) => &history.encryption,
        }
    }

    fn compare(&self, name: &BackupName) -> Result<(), SidecarError> {
        let same = |same: bool, what| same.then_some(()).ok_or(SidecarError::Disagrees(what));
        match (self, name) {
            (
                Self::Logical(_) | Self::Full(_) | Self::Incremental(_),
                BackupName::Bare(_) | BackupName::Labelled { .. },
            ) => same(name.id() == Some(self.id()), "backup id"),
            (Self::Wal(wal), BackupName::Wal { database, segment }) => {
                same(wal.database == *database, "database id")?;
                same(wal.segment == *segment, "segment")
            }
            (Self::History(history), BackupName::History { database, timeline }) => {
                same(history.database == *database, "database id")?;
                same(history.timeline == *timeline, "timeline")
            }
            _ => same(false, "kind of backup"),
        }
    }
}

#[cfg(test)]
mod tests;
