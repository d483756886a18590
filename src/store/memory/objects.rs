//! The objects of a store in memory, with the versions and locks that a bucket would keep.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::base::time::UtcTime;
use crate::model::lock::{Lock, LockMode};
use crate::store::StoreErrorKind;
use crate::store::versions::{Bypass, Version, VersionContent};

/// What is kept of what is overwritten or deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    Nothing,
    Versions,
}

/// Objects by key, each with its versions from the oldest to the newest.
pub(super) struct Objects {
    keeping: Keeping,
    versions: BTreeMap<String, Vec<Kept>>,
    written: u64,
}

/// One version.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) modified: UtcTime,
    pub(super) lock: Option<Lock>,
    /// None for a delete marker.
    pub(super) bytes: Option<Bytes>,
}

impl Objects {
    pub(super) fn new(keeping: Keeping) -> Self {
        Self {
            keeping,
            versions: BTreeMap::new(),
            written: 0,
        }
    }

    /// What a read without an id finds.
    pub(super) fn current(&self, key: &str) -> Option<&Kept> {
        let newest = self.versions.get(key)?.last()?;
        newest.bytes.is_some().then_some(newest)
    }

    /// The first key with a current object behind the bound.
    pub(super) fn next_after(&self, after: Bound<&str>) -> Option<(&str, &Kept)> {
        let mut rest = self.versions.range::<str, _>((after, Bound::Unbounded));
        rest.find_map(|(key, _)| Some((key.as_str(), self.current(key)?)))
    }

    /// Writes a new version; its bytes are none for a delete marker.
    pub(super) fn write(
        &mut self,
        key: &str,
        bytes: Option<Bytes>,
        lock: Option<Lock>,
        now: UtcTime,
    ) -> Kept {
        self.written += 1;
        let kept = Kept {
            id: format!("{:016x}", self.written),
            modified: now,
            lock,
            bytes,
        };
        let versions = self.versions.entry(key.to_owned()).or_default();
        if self.keeping == Keeping::Nothing {
            versions.clear();
        }
        versions.push(kept.clone());
        kept
    }

    /// Deletes what is current: for good, or behind a marker.
    pub(super) fn delete(&mut self, key: &str, now: UtcTime) {
        match self.keeping {
            Keeping::Nothing => drop(self.versions.remove(key)),
            Keeping::Versions => drop(self.write(key, None, None, now)),
        }
    }

    pub(super) fn version(&self, key: &str, id: &str) -> Option<&Kept> {
        self.versions.get(key)?.iter().find(|kept| kept.id == id)
    }

    /// Removes a version that no lock holds.
    pub(super) fn delete_version(
        &mut self,
        key: &str,
        id: &str,
        bypass: Bypass,
        now: UtcTime,
    ) -> Result<(), StoreErrorKind> {
        let Some(versions) = self.versions.get_mut(key) else {
            return Ok(());
        };
        let holds = |kept: &Kept| kept.id == id && kept.held(bypass, now).is_some();
        if versions.iter().any(holds) {
            return Err(StoreErrorKind::Denied);
        }
        versions.retain(|kept| kept.id != id);
        if versions.is_empty() {
            self.versions.remove(key);
        }
        Ok(())
    }

    /// Sets a lock anew, unless that weakens one that holds.
    pub(super) fn set_lock(
        &mut self,
        key: &str,
        id: &str,
        lock: Lock,
        bypass: Bypass,
        now: UtcTime,
    ) -> Result<(), StoreErrorKind> {
        let mut versions = self.versions.get_mut(key).into_iter().flatten();
        let kept = versions.find(|kept| kept.id == id);
        let kept = kept.ok_or(StoreErrorKind::NotFound)?;
        if kept
            .held(bypass, now)
            .is_some_and(|held| !lock.is_at_least(&held))
        {
            return Err(StoreErrorKind::Denied);
        }
        kept.lock = Some(lock);
        Ok(())
    }

    /// The next key behind the bound, with its versions from the newest to the oldest.
    pub(super) fn versions_after(&self, after: Bound<&str>) -> Option<(String, Vec<Version>)> {
        let mut rest = self.versions.range::<str, _>((after, Bound::Unbounded));
        let (key, versions) = rest.next()?;
        let newest = versions.len().checked_sub(1);
        let told = versions.iter().enumerate().map(|(place, kept)| Version {
            key: key.clone(),
            id: kept.id.clone(),
            is_latest: Some(place) == newest,
            modified: kept.modified,
            content: kept.content(),
        });
        Some((key.clone(), told.rev().collect()))
    }
}

impl Kept {
    /// The lock that keeps it now from whoever may, or may not, bypass governance.
    fn held(&self, bypass: Bypass, now: UtcTime) -> Option<Lock> {
        let lifted = |lock: &Lock| {
            lock.until <= now || (lock.mode == LockMode::Governance && bypass == Bypass::Governance)
        };
        self.lock.filter(|lock| !lifted(lock))
    }

    fn content(&self) -> VersionContent {
        match &self.bytes {
            None => VersionContent::DeleteMarker,
            Some(bytes) => VersionContent::Bytes {
                size: bytes.len() as u64,
                etag: None,
            },
        }
    }
}
