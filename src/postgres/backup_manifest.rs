//! PostgreSQL's own list of what a base backup holds ("Backup Manifest Format" in its manual).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::lsn::Lsn;
use crate::base::digest::Digest;
use crate::base::text::printable;

/// A backup manifest whose own checksum was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupManifest {
    /// The cluster's; servers before 17 leave it out (manifest version 1).
    pub system_identifier: Option<u64>,
    /// Every file outside of `pg_wal`, relative to the cluster's directory.
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
    pub sha256: Digest,
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
    _last_modified: Option<String>,
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

    /// Compares every file that arrived with its record, both ways. `pg_wal` is not listed: the
    /// log's records carry checksums of their own.
    pub fn compare(&self, arrived: &BTreeMap<String, FileRecord>) -> Result<(), Mismatch> {
        for (path, listed) in &self.files {
            let shown = || printable(path).into_owned();
            let found = arrived
                .get(path)
                .ok_or_else(|| Mismatch::Missing(shown()))?;
            if found.size != listed.size {
                return Err(Mismatch::Size {
                    path: shown(),
                    found: found.size,
                    listed: listed.size,
                });
            }
            if found.sha256 != listed.sha256 {
                return Err(Mismatch::Content(shown()));
            }
        }
        let unlisted = arrived
            .keys()
            .find(|path| !path.starts_with("pg_wal/") && !self.files.contains_key(*path));
        match unlisted {
            None => Ok(()),
            Some(path) => Err(Mismatch::Unlisted(printable(path).into_owned())),
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
        if self.checksum_algorithm.as_deref() != Some("SHA256") {
            return Err(unusable(&path, "its checksum is not SHA-256"));
        }
        let sha256 = self.checksum.and_then(|digits| digits.parse().ok());
        let record = FileRecord {
            size: self.size,
            sha256: sha256.ok_or_else(|| unusable(&path, "its checksum is not one"))?,
        };
        Ok((path, record))
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As PostgreSQL 17 writes it; the content is `PG_VERSION` of that release ("17\n"), and a
    /// name that is not ASCII in both of its forms.
    const KNOWN: &str = concat!(
        "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n",
        "\"System-Identifier\": 7512345678901234567,\n",
        "\"Files\": [\n",
        "{ \"Path\": \"PG_VERSION\", \"Size\": 3, \"Last-Modified\": \"2026-06-12 02:00:00 GMT\", ",
        "\"Checksum-Algorithm\": \"SHA256\", \"Checksum\": ",
        "\"54183f4323f377b737433a1e98229ead0fdc686f93bab057ecb612daa94002b5\" },\n",
        "{ \"Encoded-Path\": \"626173652fc3a9\", \"Size\": 0, ",
        "\"Last-Modified\": \"2026-06-12 02:00:00 GMT\", ",
        "\"Checksum-Algorithm\": \"SHA256\", \"Checksum\": ",
        "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\" }\n",
        "],\n",
        "\"WAL-Ranges\": [\n",
        "{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000120\" }\n",
        "],\n",
    );

    fn sealed(body: &str) -> Vec<u8> {
        let digest = Digest::of(body.as_bytes());
        format!("{body}\"Manifest-Checksum\": \"{digest}\"}}\n").into_bytes()
    }

    fn known() -> BackupManifest {
        BackupManifest::parse(&sealed(KNOWN)).unwrap()
    }

    fn refusal(from: &str, to: &str) -> String {
        assert!(KNOWN.contains(from), "{from}");
        let bytes = sealed(&KNOWN.replacen(from, to, 1));
        BackupManifest::parse(&bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_known_manifest_reads_as_what_it_says() {
        let manifest = known();
        assert_eq!(manifest.system_identifier, Some(7_512_345_678_901_234_567));
        let record = FileRecord {
            size: 3,
            sha256: Digest::of(b"17\n"),
        };
        assert_eq!(manifest.files.get("PG_VERSION"), Some(&record));
        assert!(manifest.files.contains_key("base/é"));
        let range = WalRange {
            timeline: 1,
            start: Lsn(0x200_0028),
            end: Lsn(0x200_0120),
        };
        assert_eq!(manifest.wal_ranges, [range]);
    }

    #[test]
    fn version_1_has_no_system_identifier() {
        let body = KNOWN.replace("Version\": 2", "Version\": 1");
        let body = body.replace("\"System-Identifier\": 7512345678901234567,\n", "");
        let manifest = BackupManifest::parse(&sealed(&body)).unwrap();
        assert_eq!(manifest.system_identifier, None);
    }

    #[test]
    fn what_cannot_be_relied_on_is_refused() {
        for (from, to, expected) in [
            ("Version\": 2", "Version\": 3", "version 3"),
            ("\"Size\": 3", "\"Size\": -3", "malformed"),
            ("\"Size\": 3", "\"Size\": 3, \"Size\": 3", "malformed"),
            ("\"Size\": 3", "\"Size\": 3, \"Mode\": 384", "malformed"),
            (
                "Encoded-Path\": \"626173652fc3a9",
                "Path\": \"PG_VERSION",
                "twice",
            ),
            ("626173652fc3a9", "ff", "not UTF-8"),
            ("626173652fc3a9", "6", "not hexadecimal"),
            ("\"Path\": \"PG_VERSION\", ", "", "one path"),
            ("SHA256", "CRC32C", "not SHA-256"),
            ("54183f", "54183F", "checksum is not one"),
            ("0/2000120", "0/2000027", "range"),
            ("Timeline\": 1", "Timeline\": 0", "range"),
        ] {
            let message = refusal(from, to);
            assert!(message.contains(expected), "{from} -> {to}: {message}");
        }
    }

    #[test]
    fn every_difference_between_backup_and_manifest_is_named() {
        let manifest = known();
        let arrived = manifest.files.clone();
        let with = |path: &str, change: &dyn Fn(&mut FileRecord)| {
            let mut files = arrived.clone();
            change(files.entry(path.to_owned()).or_insert(FileRecord {
                size: 0,
                sha256: Digest::of(b""),
            }));
            manifest
                .compare(&files)
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(with("PG_VERSION", &|_| ()), None);
        assert_eq!(with("pg_wal/000000010000000000000002", &|_| ()), None);
        let size = with("PG_VERSION", &|file| file.size = 4).unwrap();
        assert!(size.starts_with("PG_VERSION has 4 bytes"), "{size}");
        let content = with("PG_VERSION", &|file| file.sha256 = Digest::of(b"18\n")).unwrap();
        assert!(
            content.starts_with("the content of PG_VERSION differs"),
            "{content}"
        );
        let unlisted = with("base/1\u{1b}", &|_| ()).unwrap();
        assert!(
            unlisted.starts_with("base/1\\u{1b} is in the backup but"),
            "{unlisted}"
        );
        let missing = manifest.compare(&BTreeMap::new()).unwrap_err();
        assert_eq!(missing, Mismatch::Missing("PG_VERSION".to_owned()));
    }

    #[test]
    fn a_manifest_of_another_backup_is_refused() {
        let (manifest, id) = (known(), 7_512_345_678_901_234_567);
        let (start, stop) = (Lsn(0x200_0028), Lsn(0x200_0120));
        assert_eq!(manifest.check_origin(id, start, stop), Ok(()));
        assert_eq!(manifest.check_origin(1, start, stop), Err(Mismatch::Origin));
        assert_eq!(manifest.check_origin(id, stop, stop), Err(Mismatch::Origin));
        assert_eq!(
            manifest.check_origin(id, start, start),
            Err(Mismatch::Origin)
        );
    }

    proptest! {
        #[test]
        fn a_changed_byte_never_goes_unnoticed(at: prop::sample::Index, change in 1..=255_u8) {
            let mut bytes = sealed(KNOWN);
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            prop_assert!(BackupManifest::parse(&bytes).is_err());
        }

        #[test]
        fn every_list_of_files_is_read_back(
            files in prop::collection::btree_map("[a-z0-9_.é/]{1,20}", any::<(u64, [u8; 32])>(), 0..20)
        ) {
            let lines: Vec<String> = files.iter().map(|(path, (size, sha256))| format!(
                "{{ \"Path\": \"{path}\", \"Size\": {size}, \"Last-Modified\": \"x\", \
                 \"Checksum-Algorithm\": \"SHA256\", \"Checksum\": \"{}\" }}",
                Digest::from_bytes(*sha256)
            )).collect();
            let (head, rest) = KNOWN.split_once("[\n").unwrap();
            let (_, tail) = rest.split_once("\n]").unwrap();
            let body = format!("{head}[\n{}\n]{tail}", lines.join(",\n"));
            let manifest = BackupManifest::parse(&sealed(&body)).unwrap();
            let expected = files.into_iter().map(|(path, (size, sha256))| {
                (path, FileRecord { size, sha256: Digest::from_bytes(sha256) })
            });
            prop_assert_eq!(manifest.files, expected.collect());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = BackupManifest::parse(&bytes);
        }
    }
}
