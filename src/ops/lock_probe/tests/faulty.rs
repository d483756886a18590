//! A store in memory that does one thing wrong.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::NOW;
use crate::base::names::StoreName;
use crate::base::time::UtcTime;
use crate::model::lock::{Lock, LockMode, LockState};
use crate::store::memory::MemoryStore;
use crate::store::versions::{BucketRules, Bypass, Version, VersionHead, Versions};
use crate::store::{Object, ObjectMeta, Store, StoreError, StoreErrorKind, Upload, UploadTicket};

/// What a store does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Versions are deleted in spite of locks.
    Deletes,
    /// It is told that locks are shortened, and they are.
    Shortens,
    /// Nobody may delete any version.
    NoDeletes,
    /// Deletes are not answered.
    Silent,
    /// The lock is not told.
    Blind,
    /// Nobody may set any lock.
    NoLocking,
    /// It does not know the call that sets one.
    NoSuchCall,
    /// It says that locks are set, and they are not.
    FeignsLocks,
    /// Everything is locked, asked or not.
    LocksAll,
    /// The process dies at the first write.
    Dead,
}

pub(super) struct Faulty {
    inner: MemoryStore,
    fault: Fault,
    /// Versions that count as deleted.
    deleted: Mutex<Vec<String>>,
    /// The lock that counts as set.
    lock: Mutex<Option<Lock>>,
}

impl Faulty {
    pub(super) fn new(fault: Fault) -> Self {
        Self {
            inner: super::memory(),
            fault,
            deleted: Mutex::default(),
            lock: Mutex::default(),
        }
    }

    /// As a bucket with a default retention of a day locks.
    fn by_itself(&self) -> Arc<dyn Store> {
        let lock = Lock {
            mode: LockMode::Governance,
            until: UtcTime::from_unix(NOW + 86_400),
        };
        self.inner.locking(lock).unwrap()
    }

    fn error(&self, kind: StoreErrorKind) -> StoreError {
        StoreError::new(self.inner.name(), kind, "delete version of", "key")
    }
}

impl Store for Faulty {
    fn name(&self) -> &StoreName {
        self.inner.name()
    }
    fn location(&self) -> String {
        self.inner.location()
    }
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<ObjectMeta, StoreError> {
        match self.fault {
            Fault::Dead => panic!("died"),
            Fault::LocksAll => self.by_itself().put_if_absent(key, bytes),
            _ => self.inner.put_if_absent(key, bytes),
        }
    }
    fn replace(&self, key: &str, bytes: &[u8], etag: &str) -> Result<ObjectMeta, StoreError> {
        self.inner.replace(key, bytes, etag)
    }
    fn get(&self, key: &str, max_bytes: u64) -> Result<Object, StoreError> {
        self.inner.get(key, max_bytes)
    }
    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.get_range(key, range)
    }
    fn head(&self, key: &str) -> Result<ObjectMeta, StoreError> {
        self.inner.head(key)
    }
    fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(ObjectMeta) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.inner.list(prefix, start_after, visit)
    }
    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.inner.delete(key)
    }
    fn start_upload(&self, key: &str, part_size: u64) -> Result<Box<dyn Upload>, StoreError> {
        self.inner.start_upload(key, part_size)
    }
    fn abort_upload(&self, ticket: &UploadTicket) -> Result<(), StoreError> {
        self.inner.abort_upload(ticket)
    }
    fn locking(&self, lock: Lock) -> Option<Arc<dyn Store>> {
        self.inner.locking(lock)
    }
    fn versions(&self) -> Option<&dyn Versions> {
        Some(self)
    }
}

impl Versions for Faulty {
    fn list_versions(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(Version) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.inner.list_versions(prefix, start_after, visit)
    }
    fn get_version(&self, key: &str, id: &str, max_bytes: u64) -> Result<Object, StoreError> {
        self.inner.get_version(key, id, max_bytes)
    }
    fn get_version_range(
        &self,
        key: &str,
        id: &str,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        self.inner.get_version_range(key, id, range)
    }
    fn head_version(&self, key: &str, id: &str) -> Result<VersionHead, StoreError> {
        if self.deleted.lock().unwrap().contains(&id.to_owned()) {
            return Err(self.error(StoreErrorKind::NotFound));
        }
        let head = self.inner.head_version(key, id)?;
        let set = self.lock.lock().unwrap().map(LockState::Locked);
        let lock = match self.fault {
            Fault::Blind => LockState::Unknown,
            _ => set.unwrap_or(head.lock),
        };
        Ok(VersionHead { lock, ..head })
    }
    fn delete_version(&self, key: &str, id: &str, bypass: Bypass) -> Result<(), StoreError> {
        match self.fault {
            Fault::NoDeletes => Err(self.error(StoreErrorKind::Denied)),
            Fault::Silent if key.ends_with("locked") => Err(self.error(StoreErrorKind::Transient)),
            Fault::Deletes => {
                self.deleted.lock().unwrap().push(id.to_owned());
                Ok(())
            }
            _ => self.inner.delete_version(key, id, bypass),
        }
    }
    fn set_lock(&self, key: &str, id: &str, lock: Lock, bypass: Bypass) -> Result<(), StoreError> {
        match self.fault {
            Fault::Shortens => {
                *self.lock.lock().unwrap() = Some(lock);
                Ok(())
            }
            Fault::NoLocking => Err(self.error(StoreErrorKind::Denied)),
            Fault::NoSuchCall => Err(self.error(StoreErrorKind::Unsupported)),
            Fault::FeignsLocks => Ok(()),
            _ => self.inner.set_lock(key, id, lock, bypass),
        }
    }
    fn bucket_rules(&self) -> Result<BucketRules, StoreError> {
        self.inner.bucket_rules()
    }
}
