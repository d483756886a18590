//! PostgreSQL's own list of what a base backup holds ("Backup Manifest Format" in its manual).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::lsn::Lsn;
use crate::base::digest::Digest;
use crate::base::text::printable;

mod checksum;

pub use checksum::{Checksum, ChecksumAlgorithm, Checksummer};

/// The largest manifest that is read, in bytes: of some one and a half million files. It is read
/// whole, and takes about as much memory again once it is parsed.
pub const MAX_MANIFEST_BYTES: u64 = 256 << 20;

/// A backup manifest whose own checksum was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupManifest {
    /// The cluster's; servers before 17 leave it out (manifest version 1).
    pub system_identifier: Option<u64>,
    /// Every file, relative to the cluster's directory. Of `pg_wal` it lists at most what is no
    /// log: `archive_status`.
    pub files: BTreeMap<String, FileRecord>,
    /// The log that recovery needs, oldest first.
    pub wal_ranges: Vec<WalRange>,
}

/// What the manifest says of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRecord {
    /// In bytes.
    pub size: u64,
    /// Of the content.
    pub checksum: Checksum,
}

/// A stretch of the write-ahead log on one timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalRange {
    /// The timeline.
    pub timeline: u32,
    /// Where replay starts.
    pub start: Lsn,
    /// Where replay must get to.
    pub end: Lsn,
}

/// A manifest that cannot be relied on.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Its own checksum is missing or wrong.
    #[error("the backup manifest's own checksum is missing or wrong")]
    Checksum,
    /// It is not what PostgreSQL writes.
    #[error("the backup manifest is malformed")]
    Json(#[source] serde_json::Error),
    /// More than [`MAX_MANIFEST_BYTES`].
    #[error("the backup manifest is larger than {} MiB", MAX_MANIFEST_BYTES >> 20)]
    TooLarge,
    /// A version this tool does not know.
    #[error("the backup manifest has version {0}, only 1 and 2 are known")]
    Version(u32),
    /// A file's record makes no sense.
    #[error("the backup manifest's record of {path} is unusable: {reason}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A log range makes no sense.
    #[error("the backup manifest has an unusable range of write-ahead log")]
    WalRange,
}

/// Backup and manifest differ.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The manifest's file did not arrive.
    #[error("{0} is in PostgreSQL's backup manifest but not in the backup")]
    Missing(String),
    /// A file arrived that the manifest does not know.
    #[error("{0} is in the backup but not in PostgreSQL's backup manifest")]
    Unlisted(String),
    /// A file has another length.
    #[error("{path} has {found} bytes, PostgreSQL's backup manifest says {listed}")]
    Size {
        /// The file.
        path: String,
        /// In the backup.
        found: u64,
        /// In the manifest.
        listed: u64,
    },
    /// The manifest describes another backup.
    #[error("PostgreSQL's backup manifest belongs to another cluster or another stretch of log")]
    Origin,
    /// A file has another content.
    #[error("the content of {0} differs from PostgreSQL's backup manifest")]
    Content(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Document {
    #[serde(rename = "PostgreSQL-Backup-Manifest-Version")]
    version: u32,
    #[serde(rename = "System-Identifier")]
    system_identifier: Option<u64>,
    files: Vec<FileEntry>,
    #[serde(rename = "WAL-Ranges")]
    wal_ranges: Vec<RangeEntry>,
    #[serde(rename = "Manifest-Checksum")]
    _manifest_checksum: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileEntry {
    #[serde(rename = "Path")]
    path: Option<String>,
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Last-Modified")]
    _last_modified: Option<serde::de::IgnoredAny>,
    #[serde(rename = "Checksum-Algorithm")]
    checksum_algorithm: Option<String>,
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeEntry {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    end: String,
}

impl BackupManifest {
    /// Checks the manifest's own checksum, then reads it. Only manifests made with
    /// `MANIFEST_CHECKSUMS 'SHA256'` are accepted.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest = Self::parse_any(bytes)?;
        let other = |file: &FileRecord| !matches!(file.checksum, Checksum::Sha256(_));
        match manifest.files.iter().find(|(_, file)| other(file)) {
            None => Ok(manifest),
            Some((path, _)) => Err(unusable(path, "its checksum is not SHA-256")),
        }
    }

    /// The same with whatever checksums of files there are.
    pub fn parse_any(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge);
        }
        check_own_checksum(bytes)?;
        let document: Document = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if !(1..=2).contains(&document.version) {
            return Err(ManifestError::Version(document.version));
        }
        let mut files = BTreeMap::new();
        for entry in document.files {
            let (path, record) = entry.into_record()?;
            if files.insert(path.clone(), record).is_some() {
                return Err(unusable(&path, "it comes twice"));
            }
        }
        let ranges = document.wal_ranges.iter().map(RangeEntry::to_range);
        Ok(Self {
            system_identifier: document.system_identifier,
            files,
            wal_ranges: ranges.collect::<Result<_, _>>()?,
        })
    }

    /// The log that a backup needs, whatever the checksums of its files are: Databasus' agent
    /// leaves PostgreSQL's default, CRC-32C. The manifest's own checksum is checked.
    pub fn wal_ranges_of(bytes: &[u8]) -> Result<Vec<WalRange>, ManifestError> {
        #[derive(Deserialize)]
        struct Ranges {
            #[serde(rename = "WAL-Ranges")]
            wal_ranges: Vec<RangeEntry>,
        }
        check_own_checksum(bytes)?;
        let document: Ranges = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        document
            .wal_ranges
            .iter()
            .map(RangeEntry::to_range)
            .collect()
    }

    /// Compares cluster and log range with those that the server announced: a manifest of
    /// version 1 does not name its cluster.
    pub fn check_origin(
        &self,
        system_identifier: u64,
        start: Lsn,
        stop: Lsn,
    ) -> Result<(), Mismatch> {
        let same_cluster = self
            .system_identifier
            .is_none_or(|id| id == system_identifier);
        let first = self.wal_ranges.iter().map(|range| range.start).min();
        let last = self.wal_ranges.iter().map(|range| range.end).max();
        if same_cluster && (first, last) == (Some(start), Some(stop)) {
            return Ok(());
        }
        Err(Mismatch::Origin)
    }

    /// Compares every file that arrived with its record, both ways. The log is not listed: its
    /// records carry checksums of their own.
    pub fn compare(&self, arrived: &BTreeMap<String, FileRecord>) -> Result<(), Mismatch> {
        for path in self.files.keys() {
            let missing = || Mismatch::Missing(printable(path).into_owned());
            self.compare_file(path, arrived.get(path).ok_or_else(missing)?)?;
        }
        arrived
            .keys()
            .try_for_each(|path| self.listed(path).map(|_| ()))
    }

    /// Compares one file that arrived with its record.
    pub fn compare_file(&self, path: &str, found: &FileRecord) -> Result<(), Mismatch> {
        let shown = || printable(path).into_owned();
        let Some(listed) = self.listed(path)? else {
            return Ok(());
        };
        if found.size != listed.size {
            return Err(Mismatch::Size {
                path: shown(),
                found: found.size,
                listed: listed.size,
            });
        }
        if listed.checksum != Checksum::None && found.checksum != listed.checksum {
            return Err(Mismatch::Content(shown()));
        }
        Ok(())
    }

    /// What it says of a file: nothing of the log. A file that it ought to list and does not is
    /// an error.
    pub fn listed(&self, path: &str) -> Result<Option<&FileRecord>, Mismatch> {
        match self.files.get(path) {
            None if !path.starts_with("pg_wal/") => {
                Err(Mismatch::Unlisted(printable(path).into_owned()))
            }
            listed => Ok(listed),
        }
    }
}

/// The last line, in the one form that PostgreSQL writes, holds the SHA-256 of all lines before.
fn check_own_checksum(bytes: &[u8]) -> Result<(), ManifestError> {
    let body = bytes
        .strip_suffix(b"\"}\n")
        .ok_or(ManifestError::Checksum)?;
    let start = body
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let (covered, last_line) = body.split_at(start);
    let stated = last_line
        .strip_prefix(b"\"Manifest-Checksum\": \"")
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse::<Digest>().ok());
    if stated != Some(Digest::of(covered)) {
        return Err(ManifestError::Checksum);
    }
    Ok(())
}

impl FileEntry {
    fn into_record(self) -> Result<(String, FileRecord), ManifestError> {
        let path = match (self.path, self.encoded_path) {
            (Some(path), None) => path,
            (None, Some(encoded)) => decoded(&encoded)?,
            (path, _) => return Err(unusable(&path.unwrap_or_default(), "it needs one path")),
        };
        let checksum = match (self.checksum_algorithm, self.checksum) {
            (None, None) => Checksum::None,
            (Some(name), Some(digits)) => {
                let algorithm = ChecksumAlgorithm::named(&name)
                    .ok_or_else(|| unusable(&path, "its checksum is of an unknown kind"))?;
                let read = algorithm.read(&digits);
                read.ok_or_else(|| unusable(&path, "its checksum is not one"))?
            }
            _ => return Err(unusable(&path, "its checksum is half there")),
        };
        let size = self.size;
        Ok((path, FileRecord { size, checksum }))
    }
}

/// Paths that are not UTF-8 come in hexadecimal; no payload can hold such a name.
fn decoded(encoded: &str) -> Result<String, ManifestError> {
    let bytes =
        hex::decode(encoded).map_err(|_| unusable(encoded, "its path is not hexadecimal"))?;
    String::from_utf8(bytes).map_err(|_| unusable(encoded, "its path is not UTF-8"))
}

fn unusable(path: &str, reason: &'static str) -> ManifestError {
    ManifestError::File {
        path: printable(path).into_owned(),
        reason,
    }
}

impl RangeEntry {
    fn to_range(&self) -> Result<WalRange, ManifestError> {
        let lsn = |text: &str| text.parse::<Lsn>().map_err(|_| ManifestError::WalRange);
        let range = WalRange {
            timeline: self.timeline,
            start: lsn(&self.start)?,
            end: lsn(&self.end)?,
        };
        if range.timeline == 0 || range.start > range.end {
            return Err(ManifestError::WalRange);
        }
        Ok(range)
    }
}

#[cfg(test)]
mod tests;
