//! What releases 3.17 to 3.49 of Databasus write to a storage for a whole cluster, byte for byte
//! but for the order of JSON fields (DATABASUS.md §3.2 to §3.6).

use std::io::{self, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::databasus::backup_file::{BackupWriter, Header};
use databasus_escrow::databasus::objects::sidecar::Compression;
use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::postgres::lsn::Lsn;
use databasus_escrow::postgres::wal_segment::{SegmentName, SegmentSize};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

/// What a stored stream is encrypted with; none where it is not.
pub type Encryption<'k> = Option<(&'k SecretKey, Header)>;

/// Streams up to this length are one object in the chunked layout.
pub const WHOLE_UP_TO: usize = 16 << 20;

/// Compresses and encrypts `plain` into `sink`; gives the size between the two, in bytes.
pub fn pack(
    plain: &mut impl Read,
    sink: impl Write,
    compression: Compression,
    encryption: Encryption<'_>,
    id: Uuid,
) -> io::Result<u64> {
    match encryption {
        None => {
            let mut counted = Counted { sink, bytes: 0 };
            compress(plain, &mut counted, compression)?;
            counted.sink.flush()?;
            Ok(counted.bytes)
        }
        Some((key, header)) => {
            let sink = BackupWriter::new(sink, key, id, &header)?;
            let mut counted = Counted { sink, bytes: 0 };
            compress(plain, &mut counted, compression)?;
            counted.sink.finish()?;
            Ok(counted.bytes)
        }
    }
}

fn compress(plain: &mut impl Read, sink: impl Write, how: Compression) -> io::Result<()> {
    match how {
        Compression::None => io::copy(plain, &mut { sink }).map(drop),
        Compression::Gzip => {
            let mut gzip = flate2::write::GzEncoder::new(sink, flate2::Compression::fast());
            io::copy(plain, &mut gzip)?;
            gzip.finish().map(drop)
        }
        Compression::Zstd => {
            // A level that costs little; Databasus takes 5.
            let mut zstd = zstd::Encoder::new(sink, 1)?;
            io::copy(plain, &mut zstd)?;
            zstd.finish().map(drop)
        }
    }
}

struct Counted<W> {
    sink: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.sink.write(bytes)?;
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// What the sidecar of a base backup says.
pub struct BaseFacts {
    pub id: Uuid,
    pub database: Uuid,
    pub system_identifier: u64,
    /// `server_version_num` of the first minor release.
    pub pg_version: u32,
    pub timeline: u32,
    pub start: Lsn,
    pub stop: Lsn,
    pub compressed: u64,
    pub compression: Compression,
    /// The full backup and the incremental one that an incremental backup stands on.
    pub parents: Option<(Uuid, Option<Uuid>)>,
    pub created: Timestamp,
    pub completed: Timestamp,
}

pub fn base_sidecar(facts: &BaseFacts, header: Option<&Header>) -> Value {
    let mut sidecar = json!({
        "backupId": facts.id,
        "databaseId": facts.database,
        "backupType": if facts.parents.is_some() { "INCREMENTAL" } else { "FULL" },
        "systemIdentifier": facts.system_identifier,
        "pgVersion": facts.pg_version,
        "timelineId": facts.timeline,
        "startLsn": facts.start.to_string(),
        "stopLsn": facts.stop.to_string(),
        "uncompressedSizeBytes": 0,
        "compressedSizeBytes": facts.compressed,
        "compression": word(facts.compression),
        "createdAt": facts.created.to_string(),
        "completedAt": facts.completed.to_string(),
    });
    if let Some((root, parent)) = facts.parents {
        sidecar["rootFullBackupId"] = json!(root);
        if let Some(parent) = parent {
            sidecar["parentIncrementalBackupId"] = json!(parent);
        }
    }
    say_encryption(sidecar, header)
}

/// What the sidecar of a WAL segment says.
pub struct WalFacts {
    pub id: Uuid,
    pub database: Uuid,
    pub segment: SegmentName,
    pub size: SegmentSize,
    pub stored: u64,
    pub received: Timestamp,
}

pub fn wal_sidecar(facts: &WalFacts, header: Option<&Header>) -> Value {
    let start = facts.segment.start(facts.size).unwrap();
    let sidecar = json!({
        "walSegmentId": facts.id,
        "databaseId": facts.database,
        "timelineId": facts.segment.timeline,
        "walFilename": facts.segment.to_string(),
        "startLsn": start.to_string(),
        "endLsn": Lsn(start.0 + facts.size.bytes()).to_string(),
        "compressedSizeBytes": facts.stored,
        "receivedAt": facts.received.to_string(),
    });
    say_encryption(sidecar, header)
}

pub fn history_sidecar(
    id: Uuid,
    database: Uuid,
    timeline: u32,
    stored: u64,
    header: Option<&Header>,
) -> Value {
    let sidecar = json!({
        "walHistoryFileId": id,
        "databaseId": database,
        "timelineId": timeline,
        "historyFilename": format!("{timeline:08X}.history"),
        "compressedSizeBytes": stored,
        "createdAt": super::now().to_string(),
    });
    say_encryption(sidecar, header)
}

fn say_encryption(mut sidecar: Value, header: Option<&Header>) -> Value {
    sidecar["encryption"] = json!(if header.is_some() {
        "ENCRYPTED"
    } else {
        "NONE"
    });
    if let Some(header) = header {
        sidecar["encryptionSalt"] = json!(STANDARD.encode(header.salt));
        sidecar["encryptionIv"] = json!(STANDARD.encode(header.nonce));
    }
    sidecar
}

fn word(compression: Compression) -> &'static str {
    match compression {
        Compression::Zstd => "ZSTD",
        Compression::Gzip => "GZIP",
        Compression::None => "NONE",
    }
}

/// The `.parts` of a stream whose parts have these sizes and digests.
pub fn part_list(stream: &str, parts: &[(u64, Digest)]) -> Value {
    let entry = |(number, (size, sha256)): (u32, &(u64, Digest))| {
        let key = format!("backups/hw/{stream}.part{number:06}");
        json!({"key": key, "size": size, "sha256": sha256})
    };
    let total: u64 = parts.iter().map(|(size, _)| size).sum();
    let entries: Vec<Value> = (1..).zip(parts).map(entry).collect();
    json!({"version": 1, "totalSize": total, "parts": entries})
}
