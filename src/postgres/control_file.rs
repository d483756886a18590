//! `global/pg_control`: which cluster this is, in which state, and where its replay begins.
//!
//! The layout is `ControlFileData` of PostgreSQL's `src/include/catalog/pg_control.h` on a
//! little-endian machine with 8-byte alignment, for which alone the Databasus image is built.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::lsn::Lsn;

/// `PG_CONTROL_FILE_SIZE`: the file is padded with zeros to this many bytes.
const FILE_SIZE: usize = 8192;

/// `DBState`: what the server was doing when it last wrote the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// Being initialised.
    StartingUp,
    /// Cleanly shut down: nothing has to be replayed.
    ShutDown,
    /// Cleanly shut down as a standby.
    ShutDownInRecovery,
    /// In the middle of a shutdown.
    ShuttingDown,
    /// Replaying after a crash.
    InCrashRecovery,
    /// Replaying an archive.
    InArchiveRecovery,
    /// Running, or killed while it ran.
    InProduction,
}

impl ClusterState {
    fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            0 => Self::StartingUp,
            1 => Self::ShutDown,
            2 => Self::ShutDownInRecovery,
            3 => Self::ShuttingDown,
            4 => Self::InCrashRecovery,
            5 => Self::InArchiveRecovery,
            6 => Self::InProduction,
            _ => return None,
        })
    }
}

impl fmt::Display for ClusterState {
    /// The words of `pg_controldata`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartingUp => "starting up",
            Self::ShutDown => "shut down",
            Self::ShutDownInRecovery => "shut down in recovery",
            Self::ShuttingDown => "shutting down",
            Self::InCrashRecovery => "in crash recovery",
            Self::InArchiveRecovery => "in archive recovery",
            Self::InProduction => "in production",
        })
    }
}

/// A control file whose checksum was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlFile {
    /// `pg_control_version`: 1300 for PostgreSQL 13 to 16, 1700 for 17, 1800 for 18.
    pub version: u32,
    /// `catalog_version_no`; changes with every major.
    pub catalog_version: u32,
    /// Chosen by `initdb`; the same for ever, in every copy.
    pub system_identifier: u64,
    /// What the server was doing.
    pub state: ClusterState,
    /// Where the latest checkpoint record lies.
    pub checkpoint: Lsn,
    /// Where replay from the latest checkpoint begins.
    pub redo: Lsn,
    /// The timeline of the latest checkpoint.
    pub timeline: u32,
    /// The timeline before that one, or the same.
    pub previous_timeline: u32,
    /// When the latest checkpoint was made, in seconds since 1970.
    pub checkpoint_time: i64,
    /// Up to where replay must go at least before the files are consistent; 0 outside of recovery.
    pub min_recovery_end: Lsn,
    /// Where the base backup that is being replayed began; 0 outside of such a replay.
    pub backup_start: Lsn,
    /// Whether an end-of-backup record must still be seen.
    pub backup_end_required: bool,
    /// Settings that a server needs at least in the recorded size to replay this log.
    pub settings: RecordedSettings,
    /// Bytes per page of a relation.
    pub block_size: u32,
    /// Pages per file of a relation.
    pub segment_blocks: u32,
    /// Bytes per page of the log.
    pub wal_block_size: u32,
    /// Bytes per file of the log.
    pub wal_segment_size: u32,
    /// 0 without data checksums, 1 with.
    pub data_checksum_version: u32,
}

/// The settings that the running server wrote down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedSettings {
    /// `max_connections`.
    pub max_connections: u32,
    /// `max_worker_processes`.
    pub max_worker_processes: u32,
    /// `max_wal_senders`.
    pub max_wal_senders: u32,
    /// `max_prepared_transactions`.
    pub max_prepared_transactions: u32,
    /// `max_locks_per_transaction`.
    pub max_locks_per_transaction: u32,
    /// `track_commit_timestamp`; a server started without it throws the timestamps away.
    pub track_commit_timestamp: bool,
}

/// Bytes that are no sound control file.
#[derive(Debug, thiserror::Error)]
pub enum ControlFileError {
    /// Cut, or something else altogether.
    #[error("pg_control has {0} bytes instead of {FILE_SIZE}")]
    Size(usize),
    /// A version whose layout is not known.
    #[error("pg_control has version {0}, which this release cannot read (known: 1300, 1700, 1800)")]
    Version(u32),
    /// Damaged, or torn by a copy of a running server.
    #[error("the checksum of pg_control is wrong")]
    Checksum,
    /// Impossible in an undamaged file.
    #[error("pg_control has an impossible {field}: {value}")]
    Value {
        /// Which one.
        field: &'static str,
        /// What was found.
        value: u32,
    },
    /// The file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ControlFile {
    /// Reads `global/pg_control` of a data directory.
    pub fn of(pgdata: &Path) -> Result<Self, ControlFileError> {
        let path = pgdata.join("global/pg_control");
        let bytes = std::fs::read(&path).map_err(|source| ControlFileError::Read {
            path: path.clone(),
            source,
        })?;
        Self::parse(&bytes)
    }

    /// Reads the file's bytes and verifies their checksum.
    pub fn parse(bytes: &[u8]) -> Result<Self, ControlFileError> {
        let bytes: &[u8; FILE_SIZE] = bytes
            .try_into()
            .map_err(|_| ControlFileError::Size(bytes.len()))?;
        let version = u32_at(bytes, 8);
        let covered = match version {
            // 17 filled a gap in the checkpoint with its wal_level; nothing moved.
            1300 | 1700 => 288,
            // 18 put the signedness of char before the nonce.
            1800 => 292,
            other => return Err(ControlFileError::Version(other)),
        };
        if crc32c::crc32c(&bytes[..covered]) != u32_at(bytes, covered) {
            return Err(ControlFileError::Checksum);
        }
        Self::from_sound(version, bytes)
    }

    fn from_sound(version: u32, bytes: &[u8; FILE_SIZE]) -> Result<Self, ControlFileError> {
        let state = u32_at(bytes, 16);
        let control = Self {
            version,
            system_identifier: u64_at(bytes, 0),
            catalog_version: u32_at(bytes, 12),
            state: ClusterState::from_code(state).ok_or(ControlFileError::Value {
                field: "state",
                value: state,
            })?,
            checkpoint: Lsn(u64_at(bytes, 32)),
            redo: Lsn(u64_at(bytes, 40)),
            timeline: u32_at(bytes, 48),
            previous_timeline: u32_at(bytes, 52),
            checkpoint_time: u64_at(bytes, 104).cast_signed(),
            min_recovery_end: Lsn(u64_at(bytes, 136)),
            backup_start: Lsn(u64_at(bytes, 152)),
            backup_end_required: bytes[168] != 0,
            settings: RecordedSettings {
                max_connections: u32_at(bytes, 180),
                max_worker_processes: u32_at(bytes, 184),
                max_wal_senders: u32_at(bytes, 188),
                max_prepared_transactions: u32_at(bytes, 192),
                max_locks_per_transaction: u32_at(bytes, 196),
                track_commit_timestamp: bytes[200] != 0,
            },
            block_size: u32_at(bytes, 216),
            segment_blocks: u32_at(bytes, 220),
            wal_block_size: u32_at(bytes, 224),
            wal_segment_size: u32_at(bytes, 228),
            data_checksum_version: u32_at(bytes, 252),
        };
        control.with_possible_sizes()
    }

    /// Sizes that a server accepts, so that nobody divides by zero later.
    fn with_possible_sizes(self) -> Result<Self, ControlFileError> {
        let sizes = [
            ("block size", self.block_size, 1 << 10, 1 << 15),
            ("WAL block size", self.wal_block_size, 1 << 10, 1 << 16),
            ("WAL segment size", self.wal_segment_size, 1 << 20, 1 << 30),
        ];
        for (field, value, least, most) in sizes {
            if !value.is_power_of_two() || value < least || value > most {
                return Err(ControlFileError::Value { field, value });
            }
        }
        Ok(self)
    }
}

fn u32_at(bytes: &[u8; FILE_SIZE], offset: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(field)
}

fn u64_at(bytes: &[u8; FILE_SIZE], offset: usize) -> u64 {
    u64::from(u32_at(bytes, offset)) | u64::from(u32_at(bytes, offset + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The first 300 bytes of real clusters' files, just made by `initdb` of 15.18 (with `-k`),
    /// 17.10 and 18.6; the rest of such a file is zeros.
    const OF_15: &str = "\
        eb5923aabebe036b1405000025770d0c0100000000000000bfbe036b00000000d014740100000000d0147401\
        0000000001000000010000000100000000000000d402000000000000043500000100000000000000cc020000\
        01000000010000000100000000000000bfbe036b0000000000000000000000000000000000000000e8030000\
        0000000000000000000000000000000000000000000000000000000000000000000000000000000001000000\
        0000000064000000080000000a000000000000004000000000000000080000000000000087d6324100200000\
        0000020000200000000000014000000020000000cc070000000800000100000001000000d13c8200551e7735\
        cc752b7c4f0a81b9490b1e8bff6df21ae9bce1a3d682f78808b734a20000000000000000";
    const OF_17: &str = "\
        0888a87390be036ba40600008979100c010000000000000090be036b00000000f0a8470100000000f0a84701\
        0000000001000000010000000100000001000000e202000000000000e63100000100000000000000da020000\
        0100000001000000010000000000000090be036b0000000000000000000000000000000000000000e8030000\
        0000000000000000000000000000000000000000000000000000000000000000000000000000000001000000\
        0000000064000000080000000a000000000000004000000000000000080000000000000087d6324100200000\
        0000020000200000000000014000000020000000cc07000000080000010000000000000067abc407c201fbe4\
        00feb61b7cfe54b9beb51bc7e97b0d28e6fb929f5243f5e7bfdd08af0000000000000000";
    const OF_18: &str = "\
        18f896f090be036b080700003300120c010000000000000091be036b0000000018f46e010000000018f46e01\
        0000000001000000010000000100000001000000f002000000000000f03100000100000000000000e8020000\
        0100000001000000010000000000000091be036b0000000000000000000000000000000000000000e8030000\
        0000000000000000000000000000000000000000000000000000000000000000000000000000000001000000\
        0000000064000000080000000a000000000000004000000000000000080000000000000087d6324100200000\
        0000020000200000000000014000000020000000cc070000000800000100000001000000019ce0bf96ff95e6\
        5d17d311ca83240adc5e5c889480df59eb309a2c895b5487d70000005451f51500000000";

    fn file(head: &str) -> Vec<u8> {
        let mut bytes = hex::decode(head).unwrap();
        bytes.resize(FILE_SIZE, 0);
        bytes
    }

    /// What `pg_controldata` 17.10 prints for [`OF_17`].
    #[test]
    fn known_answer_of_17() {
        let control = ControlFile::parse(&file(OF_17)).unwrap();
        let expected = ControlFile {
            version: 1700,
            catalog_version: 202_406_281,
            system_identifier: 7_711_216_514_613_413_896,
            state: ClusterState::ShutDown,
            checkpoint: Lsn(0x147_A8F0),
            redo: Lsn(0x147_A8F0),
            timeline: 1,
            previous_timeline: 1,
            checkpoint_time: 1_795_407_504,
            min_recovery_end: Lsn(0),
            backup_start: Lsn(0),
            backup_end_required: false,
            settings: RecordedSettings {
                max_connections: 100,
                max_worker_processes: 8,
                max_wal_senders: 10,
                max_prepared_transactions: 0,
                max_locks_per_transaction: 64,
                track_commit_timestamp: false,
            },
            block_size: 8192,
            segment_blocks: 131_072,
            wal_block_size: 8192,
            wal_segment_size: 16 << 20,
            data_checksum_version: 0,
        };
        assert_eq!(control, expected);
    }

    #[test]
    fn known_answers_of_15_and_18_differ_where_the_clusters_do() {
        let of_15 = ControlFile::parse(&file(OF_15)).unwrap();
        let of_18 = ControlFile::parse(&file(OF_18)).unwrap();
        assert_eq!((of_15.version, of_18.version), (1300, 1800));
        assert_eq!(of_15.catalog_version, 202_209_061);
        assert_eq!(of_18.catalog_version, 202_506_291);
        assert_eq!(of_15.system_identifier, 7_711_216_713_095_928_299);
        assert_eq!(of_18.system_identifier, 7_711_216_516_709_414_936);
        assert_eq!(of_15.redo.to_string(), "0/17414D0");
        assert_eq!(of_18.redo.to_string(), "0/16EF418");
        assert_eq!(of_15.data_checksum_version, 1);
        assert_eq!(of_18.data_checksum_version, 1);
        assert_eq!(of_18.settings.max_locks_per_transaction, 64);
    }

    #[test]
    fn a_cut_file_is_refused() {
        let whole = file(OF_17);
        assert!(matches!(
            ControlFile::parse(&whole[..FILE_SIZE - 1]),
            Err(ControlFileError::Size(8191))
        ));
        assert!(ControlFile::parse(&[]).is_err());
    }

    #[test]
    fn an_unknown_version_is_named() {
        let mut bytes = file(OF_17);
        bytes[8..12].copy_from_slice(&1201_u32.to_le_bytes());
        assert!(matches!(
            ControlFile::parse(&bytes),
            Err(ControlFileError::Version(1201))
        ));
    }

    proptest! {
        #[test]
        fn any_flipped_byte_is_refused(
            (head, covered) in prop_oneof![Just((OF_15, 292)), Just((OF_17, 292)), Just((OF_18, 296))],
            at in 0..296_usize,
            flip in 1..=255_u8,
        ) {
            let mut bytes = file(head);
            bytes[at % covered] ^= flip;
            prop_assert!(ControlFile::parse(&bytes).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), FILE_SIZE), version in prop_oneof![Just(1300_u32), Just(1700), Just(1800)], seal: bool) {
            bytes[8..12].copy_from_slice(&version.to_le_bytes());
            if seal {
                let covered = if version == 1800 { 292 } else { 288 };
                let crc = crc32c::crc32c(&bytes[..covered]);
                bytes[covered..covered + 4].copy_from_slice(&crc.to_le_bytes());
            }
            let _ = ControlFile::parse(&bytes);
        }
    }
}
