//! From the listing of a storage to its backups: what lies together, and what is not a backup's.

use std::collections::BTreeMap;

use super::name::{BackupName, ObjectName, Piece, Role};

/// The length of a file of Databasus' encryption that holds nothing (DATABASUS.md §2.1).
const HEADER_ONLY: u64 = 64;

/// How many names of foreign objects are kept; the rest is counted.
const FOREIGN_NAMES: usize = 100;

/// All objects of a storage, backup by backup.
#[derive(Clone, Debug, Default)]
pub struct Grouped {
    /// In the order of their names: by label and then by time.
    pub backups: Vec<BackupGroup>,
    /// What is not a backup's.
    pub foreign: Foreign,
}

/// The objects of one backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupGroup {
    /// What they are named after.
    pub name: BackupName,
    /// The backup itself.
    pub content: StoredStream,
    /// `backup_manifest` of a physical backup.
    pub manifest: StoredStream,
    /// The commit marker.
    pub sidecar: Option<Listed>,
}

/// What a listing says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// In bytes.
    pub size: u64,
    /// Without quotes, where the store has one.
    pub etag: Option<Box<str>>,
}

/// What there is of a stream, which is stored whole or in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredStream {
    /// The object of that very name.
    pub whole: Option<Listed>,
    /// `.parts`.
    pub list: Option<Listed>,
    /// All `.partNNNNNN` together.
    pub parts: Parts,
}

/// The parts of a stream that a listing named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// How many there are.
    pub count: u32,
    /// The highest number among them: without holes it equals the count.
    pub highest: u32,
    /// Their length together, in bytes.
    pub bytes: u64,
}

/// How a stream is stored. Where both layouts are there, Databasus reads the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Nothing of it is there.
    Absent,
    /// One object.
    Single {
        /// In bytes.
        size: u64,
    },
    /// A list of parts, and as many parts as there are without a hole.
    Chunked {
        /// All parts together, in bytes.
        size: u64,
    },
    /// A list of parts, of which at least one is missing.
    Gaps,
    /// Parts without their list: an upload that never ended.
    Unfinished,
}

/// What a listing alone can say of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Content and sidecar are there.
    Committed,
    /// Content without a sidecar: `WAL_V1` and releases before 3.14 write none, and a dump that
    /// failed leaves none. Only the content tells.
    Unproven,
    /// Nothing but, at most, the header of an encrypted file: a dump that failed at once. An
    /// empty backup does not exist.
    FailedDump,
    /// Parts without their list, or a list without its parts.
    Incomplete,
    /// A sidecar or a manifest of content that is gone.
    ContentMissing,
}

/// Objects of somebody else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreign {
    /// How many.
    pub count: u64,
    /// Their length together, in bytes.
    pub bytes: u64,
    /// The first names in the order of the listing, at most a hundred.
    pub names: Vec<String>,
}

/// Takes the objects of a listing in any order. Keeps one small record per backup.
#[derive(Debug, Default)]
pub struct Grouping {
    backups: BTreeMap<BackupName, Objects>,
    foreign: Foreign,
}

#[derive(Debug, Default)]
struct Objects {
    content: StoredStream,
    manifest: StoredStream,
    sidecar: Option<Listed>,
}

impl Grouping {
    /// Nothing seen so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an object by its name relative to the storage's prefix. A listing names each once.
    pub fn add(&mut self, name: &str, size: u64, etag: Option<&str>) {
        let Some(object) = ObjectName::parse(name) else {
            return self.foreign.add(name, size);
        };
        let etag = etag.map(Box::from);
        let group = self.backups.entry(object.backup).or_default();
        let listed = Listed { size, etag };
        match object.role {
            Role::Content(piece) => group.content.add(piece, listed),
            Role::Manifest(piece) => group.manifest.add(piece, listed),
            Role::Sidecar => group.sidecar = Some(listed),
        }
    }

    /// How many backups have been seen.
    pub fn backups(&self) -> usize {
        self.backups.len()
    }

    /// What was seen.
    pub fn finish(self) -> Grouped {
        let group = |(name, objects): (BackupName, Objects)| BackupGroup {
            name,
            content: objects.content,
            manifest: objects.manifest,
            sidecar: objects.sidecar,
        };
        Grouped {
            backups: self.backups.into_iter().map(group).collect(),
            foreign: self.foreign,
        }
    }
}

impl Foreign {
    fn add(&mut self, name: &str, size: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(size);
        if self.names.len() < FOREIGN_NAMES {
            self.names.push(name.to_owned());
        }
    }
}

impl StoredStream {
    fn add(&mut self, piece: Piece, listed: Listed) {
        match piece {
            Piece::Whole => self.whole = Some(listed),
            Piece::List => self.list = Some(listed),
            Piece::Part(number) => {
                self.parts.count += 1;
                self.parts.highest = self.parts.highest.max(number);
                self.parts.bytes = self.parts.bytes.saturating_add(listed.size);
            }
        }
    }

    /// How it is stored.
    pub fn layout(&self) -> Layout {
        let Parts {
            count,
            highest,
            bytes,
        } = self.parts;
        match (&self.list, &self.whole) {
            (Some(_), _) if count > 0 && count == highest => Layout::Chunked { size: bytes },
            (Some(_), _) => Layout::Gaps,
            (None, Some(whole)) => Layout::Single { size: whole.size },
            (None, None) if count > 0 => Layout::Unfinished,
            (None, None) => Layout::Absent,
        }
    }

    /// Its stored length in bytes, where all of it is there.
    pub fn size(&self) -> Option<u64> {
        match self.layout() {
            Layout::Single { size } | Layout::Chunked { size } => Some(size),
            Layout::Absent | Layout::Gaps | Layout::Unfinished => None,
        }
    }
}

impl BackupGroup {
    /// What the listing alone says of it; the content of an [`Standing::Unproven`] one may say
    /// more.
    pub fn standing(&self) -> Standing {
        match (self.content.layout(), &self.sidecar) {
            (Layout::Absent, _) => Standing::ContentMissing,
            (Layout::Gaps | Layout::Unfinished, _) => Standing::Incomplete,
            (Layout::Single { size: 0 }, _) => Standing::FailedDump,
            (Layout::Single { size: HEADER_ONLY }, None) => Standing::FailedDump,
            (_, Some(_)) => Standing::Committed,
            (_, None) => Standing::Unproven,
        }
    }
}

#[cfg(test)]
mod tests;
