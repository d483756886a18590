//! What a probe of a store's locks found.

use serde::Serialize;

use crate::base::names::StoreName;
use crate::base::time::UtcTime;
use crate::model::lock::{LockMode, LockVerdict, ProbeRecord};
use crate::ops::state::TriedLock;
use crate::store::versions::BucketRules;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockReport {
    /// The store.
    pub store: StoreName,
    /// How firm the lock was.
    pub mode: LockMode,
    /// When it was tried.
    pub at: UtcTime,
    /// What the bucket itself says; null where it could not be asked.
    pub bucket: Option<BucketRules>,
    /// What was tried, in this order.
    pub steps: Vec<Step>,
    /// What it comes to.
    pub verdict: LockVerdict,
    /// What the verdict rests on, for people.
    pub why: String,
    /// Versions that it had to leave: they stay until their locks have ended.
    pub left: Vec<ProbedVersion>,
}

/// A version that a probe wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbedVersion {
    /// The object's key.
    pub key: String,
    /// The store's id of the version.
    pub version_id: String,
    /// When its lock ends; null where the store tells none.
    pub until: Option<UtcTime>,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Stable, for machines.
    pub name: &'static str,
    /// What the store answered.
    pub outcome: Outcome,
    /// Whether version and lock stood as before afterwards; null where that could not be seen, or
    /// nothing was locked.
    pub stands: Option<bool>,
    /// In words.
    pub detail: String,
}

/// What a store answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// No.
    Refused,
    /// Yes.
    Allowed,
    /// Nothing that could be taken for either.
    Unknown,
}

/// An unlocked version can be deleted: else refusals show what credentials may not do, and
/// nothing of locks.
pub const CONTROL: &str = "control";
/// An object is written with a lock.
pub const WRITE: &str = "write";
/// The lock is read back.
pub const READ_BACK: &str = "read-back";
/// The lock's date is put off: else refusals to bring it forward show what credentials may not
/// do, and nothing of locks.
pub(super) const EXTEND: &str = "extend";
/// The object is written over, which makes a newer version.
pub(super) const OVERWRITE: &str = "overwrite";
/// The object is deleted without naming a version, which hides it.
pub(super) const HIDE: &str = "hide";
/// The lock's date is brought forward.
pub(super) const SHORTEN: &str = "shorten";
/// The same with the permission to bypass governance, where the credentials have it.
pub(super) const SHORTEN_BYPASSING: &str = "shorten-bypassing";
/// Compliance is made governance.
pub(super) const DOWNGRADE: &str = "downgrade";
/// The same with the permission to bypass governance.
pub(super) const DOWNGRADE_BYPASSING: &str = "downgrade-bypassing";
/// The version is deleted.
pub(super) const DELETE: &str = "delete";
/// The same with the permission to bypass governance.
pub(super) const DELETE_BYPASSING: &str = "delete-bypassing";

impl LockReport {
    /// What state and manifests keep of it.
    pub(super) fn to_keep(&self, place: String) -> TriedLock {
        TriedLock {
            record: ProbeRecord {
                at: self.at,
                result: self.verdict,
            },
            mode: self.mode,
            place,
        }
    }

    /// What is to be said of what it left; none where it left nothing.
    pub fn leftover(&self) -> Option<String> {
        let first = self.left.first()?;
        let (store, count) = (&self.store, self.left.len());
        let longest = self.left.iter().filter_map(|one| one.until).max();
        let until = longest.map_or("an unknown time".to_owned(), |until| until.to_string());
        let versions = match count {
            1 => "1 version stays".to_owned(),
            _ => format!("{count} versions stay"),
        };
        Some(format!(
            "store {store}: {versions} until {until}, {} among them; the next probe there, or \
             `prune`, removes them then",
            first.key
        ))
    }
}
