//! Single versions of objects, in stores that keep what was overwritten or deleted.
//!
//! # Contract
//! Held by `tests/it/store_versions.rs` against every store that has versions:
//! - What a lock holds stays readable by its version id until the lock's date, whatever is
//!   written or deleted above it: an overwrite makes a newer version, a plain delete a marker.
//! - What the store does not say is told as unknown, and never as "no".
//! - A service without versions fails with `StoreErrorKind::Unsupported`; the caller then goes
//!   on without them.

use std::ops::{ControlFlow, Range};

use bytes::Bytes;
use serde::Serialize;

use super::{Object, ObjectMeta, StoreError};
use crate::base::time::UtcTime;
use crate::model::lock::{Lock, LockMode, LockState};

/// One version of an object, as a listing tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Relative to the store.
    pub key: String,
    /// The store's id of it; `null` for what was written before versions were kept.
    pub id: String,
    /// Whether it is what a read without an id finds, or fails over.
    pub is_latest: bool,
    /// When it was written, by the store's clock.
    pub modified: UtcTime,
    /// What it is.
    pub content: VersionContent,
}

/// What a version is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionContent {
    /// Bytes that were written.
    Bytes {
        /// In bytes.
        size: u64,
        /// The store's entity tag without quotes, where it keeps one.
        etag: Option<String>,
    },
    /// The mark of a delete, which hides older versions and takes nothing from them.
    DeleteMarker,
}

impl Version {
    /// Whether it only hides what is below it.
    pub fn is_delete_marker(&self) -> bool {
        self.content == VersionContent::DeleteMarker
    }
}

/// What a store says of a version, without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionHead {
    /// Key, size and tag.
    pub meta: ObjectMeta,
    /// Its lock, as read back now.
    pub lock: LockState,
    /// Whether a legal hold keeps it, date or no date; none where the store does not say.
    pub legal_hold: Option<bool>,
}

/// Whether a permission to lift a governance lock is used, where the caller has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bypass {
    /// It is not.
    No,
    /// It is.
    Governance,
}

/// What the bucket itself says. Every part of it may be unknown: reading it takes permissions
/// that neither writing nor reading needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BucketRules {
    /// Whether it keeps versions.
    pub versioning: Versioning,
    /// Whether it knows locks.
    pub object_lock: ObjectLock,
}

/// Whether a bucket keeps what is overwritten or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Versioning {
    /// It does not say.
    Unknown,
    /// It never did.
    Never,
    /// It did once.
    Suspended,
    /// It does.
    Enabled,
}

/// Whether a bucket knows locks, and which one it puts on what is written without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectLock {
    /// It does not say.
    Unknown,
    /// It does not.
    Disabled,
    /// It does.
    Enabled {
        /// The lock of what is written without one; none where there is no such rule.
        default: Option<DefaultLock>,
    },
}

/// The lock that a bucket puts on what is written without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DefaultLock {
    /// How firm it is.
    pub mode: LockMode,
    /// For how long, counted from the write.
    pub days: u32,
}

/// Collects a listing of versions, markers too. For prefixes below which few are known to be.
pub fn list_all_versions(
    versions: &dyn Versions,
    prefix: &str,
) -> Result<Vec<Version>, StoreError> {
    let mut found = Vec::new();
    versions.list_versions(prefix, None, &mut |version| {
        found.push(version);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Single versions of objects. See the module.
pub trait Versions {
    /// Visits every version under `prefix` in ascending order of the keys, beginning after the
    /// key `start_after`, and the versions of one key from the newest to the oldest, until the
    /// visitor breaks.
    ///
    /// A marker and a version of the same moment may come in either order; the latest comes
    /// first.
    fn list_versions(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(Version) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Reads a whole version of at most `max_bytes`. A delete marker has nothing to read.
    fn get_version(&self, key: &str, id: &str, max_bytes: u64) -> Result<Object, StoreError>;

    /// Reads `range` (in bytes) of a version. The range must lie inside of it.
    fn get_version_range(
        &self,
        key: &str,
        id: &str,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError>;

    /// What the store says of a version, its lock included.
    fn head_version(&self, key: &str, id: &str) -> Result<VersionHead, StoreError>;

    /// Deletes a version for good; fails with [`super::StoreErrorKind::Denied`], or with another
    /// final error, where a lock holds it. Deleting what is not there succeeds.
    fn delete_version(&self, key: &str, id: &str, bypass: Bypass) -> Result<(), StoreError>;

    /// Sets the lock of a version anew, which a store refuses where that would weaken a lock that
    /// holds. Only for finding out whether it does.
    fn set_lock(&self, key: &str, id: &str, lock: Lock, bypass: Bypass) -> Result<(), StoreError>;

    /// What the bucket itself says. What it does not is unknown; an error means that it could
    /// not be asked at all.
    fn bucket_rules(&self) -> Result<BucketRules, StoreError>;
}
