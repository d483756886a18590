//! Single versions of objects in memory.

use std::ops::{Bound, ControlFlow, Range};

use bytes::Bytes;

use super::{MemoryStore, meta};
use crate::base::digest::Digest;
use crate::model::lock::{Lock, LockState};
use crate::store::key::{readable, writable};
use crate::store::versions::{
    BucketRules, Bypass, ObjectLock, Version, VersionHead, Versioning, Versions,
};
use crate::store::{Object, StoreError, StoreErrorKind};

impl MemoryStore {
    fn find_version(
        &self,
        action: &'static str,
        key: &str,
        id: &str,
    ) -> Result<(Bytes, Option<Lock>), StoreError> {
        readable(&self.name, action, key)?;
        let state = self.state();
        let found = state.objects.version(key, id);
        let found = found.and_then(|kept| Some((kept.bytes.clone()?, kept.lock)));
        found.ok_or_else(|| self.error(StoreErrorKind::NotFound, action, key))
    }
}

impl Versions for MemoryStore {
    fn list_versions(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(Version) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let after = |bound: Bound<&str>| self.state().objects.versions_after(bound);
        let mut next = match start_after {
            Some(key) if key >= prefix => after(Bound::Excluded(key)),
            _ => after(Bound::Included(prefix)),
        };
        while let Some((key, versions)) = next.filter(|(key, _)| key.starts_with(prefix)) {
            if versions.into_iter().try_for_each(&mut *visit).is_break() {
                break;
            }
            next = after(Bound::Excluded(&key));
        }
        Ok(())
    }

    fn get_version(&self, key: &str, id: &str, max_bytes: u64) -> Result<Object, StoreError> {
        let (bytes, _) = self.find_version("get version of", key, id)?;
        if bytes.len() as u64 > max_bytes {
            return Err(self.error(StoreErrorKind::TooLarge, "get version of", key));
        }
        Ok(Object {
            etag: Digest::of(&bytes).to_string(),
            bytes: bytes.to_vec(),
            version_id: Some(id.to_owned()),
        })
    }

    fn get_version_range(
        &self,
        key: &str,
        id: &str,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        const ACTION: &str = "get range of version of";
        let (bytes, _) = self.find_version(ACTION, key, id)?;
        self.slice(ACTION, key, &bytes, range)
    }

    fn head_version(&self, key: &str, id: &str) -> Result<VersionHead, StoreError> {
        let (bytes, lock) = self.find_version("head version of", key, id)?;
        Ok(VersionHead {
            meta: meta(key, &bytes, Some(id.to_owned())),
            lock: lock.map_or(LockState::Unlocked, LockState::Locked),
            legal_hold: Some(false),
        })
    }

    fn delete_version(&self, key: &str, id: &str, bypass: Bypass) -> Result<(), StoreError> {
        const ACTION: &str = "delete version of";
        readable(&self.name, ACTION, key)?;
        let now = self.clock.now();
        let deleted = self.state().objects.delete_version(key, id, bypass, now);
        deleted.map_err(|kind| self.error(kind, ACTION, key))
    }

    fn set_lock(&self, key: &str, id: &str, lock: Lock, bypass: Bypass) -> Result<(), StoreError> {
        const ACTION: &str = "lock version of";
        writable(&self.name, ACTION, key)?;
        let now = self.clock.now();
        let set = self.state().objects.set_lock(key, id, lock, bypass, now);
        set.map_err(|kind| self.error(kind, ACTION, key))
    }

    fn bucket_rules(&self) -> Result<BucketRules, StoreError> {
        Ok(BucketRules {
            versioning: Versioning::Enabled,
            object_lock: ObjectLock::Enabled { default: None },
        })
    }
}
