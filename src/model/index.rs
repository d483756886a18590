//! The index: the last entry of a payload, naming every other one with its hash, and holding what
//! must stay confidential (FORMAT.md, "Index").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::strict_json::{self, StrictJsonError};
use crate::base::digest::Digest;
use crate::base::names::EscrowId;

/// The only format this version writes and reads.
pub const FORMAT: &str = "databasus-escrow-index/1";

/// Largest index that is read, in bytes: about a million entries.
pub const MAX_BYTES: u64 = 256 << 20;

/// What the metadata database told about itself over SQL. Names in here are confidential: they
/// go into the sealed index, never into the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    /// `MAX(version_id)` of the applied rows of `goose_db_version`; none where the table is missing.
    pub schema_version: Option<i64>,
    /// Rows of the tables of schema `public`, by name; tables of more than 128 MiB are not counted.
    pub row_counts: BTreeMap<String, u64>,
    /// Rows in the legacy table `secret_keys`, which must be empty: Databasus would write one of
    /// them over `secret.key` at its next start.
    pub legacy_secret_keys: u64,
    /// `databases.name`, sorted.
    pub databases: Vec<String>,
    /// `storages.name`, sorted.
    pub storages: Vec<String>,
}

/// One entry of the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// Its path in the tar.
    pub path: String,
    /// Whether it is a file or a directory.
    #[serde(rename = "type")]
    pub kind: EntryKind,
    /// In bytes; 0 for a directory.
    pub size: u64,
    /// Permission bits in octal digits: `0600`.
    pub mode: String,
    /// Of a file's content; null for a directory.
    pub sha256: Option<Digest>,
}

/// See [`IndexEntry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// The index of a payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// [`FORMAT`].
    pub format: String,
    /// The escrow it belongs to: an index of another payload is not this one's.
    pub escrow_id: EscrowId,
    /// Every entry before this one, in the order of the tar.
    pub entries: Vec<IndexEntry>,
    /// The metadata database before the copy; null where no server was asked.
    pub catalogue_before: Option<Catalogue>,
    /// The metadata database after the copy.
    pub catalogue_after: Option<Catalogue>,
    /// What a person should know who restores this: warnings of the night it was taken.
    pub warnings: Vec<String>,
}

/// The bytes are not an index this version can use.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Not strict JSON, or a field is missing.
    #[error("the payload's index is malformed")]
    Malformed(#[from] StrictJsonError),
    /// A later version's format.
    #[error("index format {0:?} is not one this version reads")]
    UnknownFormat(String),
}

impl Index {
    /// Reads `escrow/index.json`.
    pub fn parse(bytes: &[u8]) -> Result<Self, IndexError> {
        let index: Self = strict_json::from_slice(bytes)?;
        if index.format != FORMAT {
            return Err(IndexError::UnknownFormat(
                index.format.chars().take(80).collect(),
            ));
        }
        Ok(index)
    }

    /// The bytes of `escrow/index.json`.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StrictJsonError> {
        strict_json::to_vec(self)
    }
}

/// What is known of a table's rows at the moment of the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedRows {
    /// The counts before and after the copy agree.
    Exactly(u64),
    /// They differ: the table was written to meanwhile.
    Unknown,
}

/// The rows a rehydrated table must have, by table: known where the counts before and after the
/// copy agree, else unknown.
pub fn expected_rows(before: &Catalogue, after: &Catalogue) -> BTreeMap<String, ExpectedRows> {
    before
        .row_counts
        .keys()
        .chain(after.row_counts.keys())
        .map(|table| {
            let counts = (before.row_counts.get(table), after.row_counts.get(table));
            let expected = match counts {
                (Some(before), Some(after)) if before == after => ExpectedRows::Exactly(*before),
                _ => ExpectedRows::Unknown,
            };
            (table.clone(), expected)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(rows: &[(&str, u64)]) -> Catalogue {
        Catalogue {
            row_counts: rows.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect(),
            ..Catalogue::default()
        }
    }

    #[test]
    fn rows_are_known_only_where_both_counts_agree() {
        let before = catalogue(&[("backups", 4), ("users", 1), ("gone", 2)]);
        let after = catalogue(&[("backups", 5), ("users", 1)]);
        let expected = expected_rows(&before, &after);
        assert_eq!(expected["users"], ExpectedRows::Exactly(1));
        assert_eq!(expected["backups"], ExpectedRows::Unknown);
        assert_eq!(expected["gone"], ExpectedRows::Unknown);
    }

    #[test]
    fn an_index_round_trips() {
        let index = Index {
            format: FORMAT.to_owned(),
            escrow_id: "20260612T020000Z-0123456789abcdef".parse().unwrap(),
            entries: vec![IndexEntry {
                path: "databasus-data/secret.key".to_owned(),
                kind: EntryKind::File,
                size: 72,
                mode: "0600".to_owned(),
                sha256: Some(Digest::of(b"k")),
            }],
            catalogue_before: Some(catalogue(&[("users", 1)])),
            catalogue_after: None,
            warnings: vec![],
        };
        assert_eq!(Index::parse(&index.to_bytes().unwrap()).unwrap(), index);
    }
}
