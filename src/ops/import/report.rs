//! What an import did, what it did not, and what somebody has to decide.

use serde::Serialize;
use uuid::Uuid;

use crate::base::text::printable;
use crate::databasus::catalogue_rows::{Engine, Table};

/// The outcome of an import, or of the plan of one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImportReport {
    /// Nothing was written.
    pub dry_run: bool,
    /// What changed, and what was there before, by database.
    pub databases: Vec<DatabaseReport>,
    /// What was looked into.
    pub storages: Vec<StorageReport>,
    /// Objects that did not come into the catalogue.
    pub left_out: Vec<LeftOut>,
    /// Rows of backups that were running when the snapshot was taken, and of which no storage
    /// shows anything: a listing does not show unfinished uploads.
    pub in_progress: Vec<RowLeft>,
    /// Databases that were made for backups of unknown ones.
    pub placeholders: Vec<NewDatabase>,
    /// What is remarkable about backups that came in.
    pub remarks: Vec<Remark>,
}

/// One database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DatabaseReport {
    /// `databases.id`.
    pub id: Uuid,
    /// As people named it.
    pub name: String,
    /// Backups that the catalogue had, and whose objects are there.
    pub known: u64,
    /// Backups that it did not have.
    pub inserted: u64,
    /// Backups that it took for failed or running.
    pub promoted: u64,
    /// Rows that were moved aside: their objects are gone.
    pub ghosts: u64,
}

/// One storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StorageReport {
    /// `storages.id`.
    pub id: Uuid,
    /// As people named it.
    pub name: String,
    /// What came of looking into it.
    pub outcome: StorageOutcome,
}

/// What came of looking into a storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum StorageOutcome {
    /// All of it was listed.
    Listed {
        /// Every object.
        objects: u64,
        /// Backups among them.
        backups: u64,
        /// Objects that no Databasus wrote as a backup.
        foreign: u64,
        /// Copies of backups that the catalogue knows in another storage.
        copies: u64,
        /// Rows whose object is gone and that stay all the same, and why.
        ghosts_kept: Option<GhostsKept>,
    },
    /// It was not, so nothing is known of what it holds.
    NotListed {
        /// Why, in words.
        why: String,
        /// What to do.
        advice: &'static str,
        /// Whether any backup is said to be there.
        in_use: bool,
    },
}

/// Rows of backups whose objects were not found, kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GhostsKept {
    /// How many.
    pub rows: u64,
    /// Why they stay.
    pub why: &'static str,
}

/// An object that did not come into the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The storage that it is in.
    pub storage: Uuid,
    /// Its name.
    pub object: String,
    /// In bytes, as stored.
    pub size: u64,
    /// What kind of reason.
    pub reason: Reason,
    /// The reason in words.
    pub detail: String,
    /// The databases that it may belong to.
    pub fits: Vec<String>,
}

/// Why an object did not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Several databases fit: a person decides.
    Ambiguous,
    /// No database of the catalogue fits.
    UnknownDatabase,
    /// No sidecar commits it, and its content alone is no proof.
    Unproven,
    /// The release that the catalogue is of cannot read it.
    Unreadable,
    /// None of the keys opens it.
    NoKey,
    /// It is not what its sidecar, its list or its format says.
    Damaged,
    /// What it stands on is missing.
    Unreachable,
    /// The catalogue has something else in its place.
    Conflict,
    /// It could not be read just now.
    Unread,
    /// A dump that failed: there is nothing to import.
    FailedDump,
    /// An upload that never ended.
    Unfinished,
    /// What is left of a backup that was deleted.
    Remains,
}

/// A row that was left as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowLeft {
    /// Where.
    pub table: Table,
    /// Its id.
    pub id: Uuid,
    /// The object's name, if it had one.
    pub object: Option<String>,
}

/// A database that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewDatabase {
    /// `databases.id`.
    pub id: Uuid,
    /// As its backups are named.
    pub name: String,
    /// What it is.
    pub engine: Engine,
}

/// Something about a backup that came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// The object's name.
    pub object: String,
    /// What.
    pub what: String,
}

impl Reason {
    /// Whether somebody should look: the others leave nothing to be imported.
    pub fn needs_attention(self) -> bool {
        !matches!(self, Self::FailedDump | Self::Unfinished | Self::Remains)
    }

    /// In words, for a heading.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ambiguous => "several databases fit; decide with --assign NAME=DATABASE",
            Self::UnknownDatabase => {
                "no database fits; decide with --assign NAME=DATABASE, or --placeholders"
            }
            Self::Unproven => "no sidecar commits them; `databasus-escrow recover` reads them",
            Self::Unreadable => "the recorded Databasus cannot read them",
            Self::NoKey => "no key opens them",
            Self::Damaged => "DAMAGED",
            Self::Unreachable => "what they stand on is missing",
            Self::Conflict => "the catalogue has something else in their place",
            Self::Unread => "they could not be read; run it again",
            Self::FailedDump => "dumps that failed: nothing to import",
            Self::Unfinished => "uploads that never ended: nothing to import",
            Self::Remains => "remains of deleted backups: nothing to import",
        }
    }
}

impl ImportReport {
    /// Whether any object is not what it should be.
    pub fn has_damage(&self) -> bool {
        self.left_out
            .iter()
            .any(|one| one.reason == Reason::Damaged)
    }

    /// Whether everything that could be imported was.
    pub fn is_whole(&self) -> bool {
        let listed = |storage: &StorageReport| match &storage.outcome {
            StorageOutcome::Listed { ghosts_kept, .. } => ghosts_kept.is_none(),
            StorageOutcome::NotListed { in_use, .. } => !in_use,
        };
        let decided = |one: &LeftOut| !one.reason.needs_attention();
        self.storages.iter().all(listed) && self.left_out.iter().all(decided)
    }

    /// Backups that came into the catalogue, or were completed there.
    pub fn imported(&self) -> u64 {
        self.databases
            .iter()
            .map(|one| one.inserted + one.promoted)
            .sum()
    }
}

impl LeftOut {
    /// An object with a reason and its words, which may hold anything.
    pub(super) fn new(
        storage: Uuid,
        object: &str,
        size: u64,
        reason: Reason,
        detail: impl AsRef<str>,
    ) -> Self {
        Self {
            storage,
            object: object.to_owned(),
            size,
            reason,
            detail: printable(detail.as_ref()).into_owned(),
            fits: Vec::new(),
        }
    }
}
