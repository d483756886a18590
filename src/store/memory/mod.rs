//! A store in memory, for tests and dry runs.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::key::{readable, writable};
use super::parts::PartTable;
use super::versions::Versions;
use super::{
    Object, ObjectMeta, Part, Store, StoreError, StoreErrorKind, UnfinishedUpload, Upload,
    UploadTicket,
};
use crate::base::digest::Digest;
use crate::base::names::StoreName;
use crate::base::time::{Clock, SystemClock};
use crate::model::lock::Lock;

mod objects;
mod versions;

use objects::{Keeping, Kept, Objects};

/// A store that vanishes with the process. Clones share their objects.
#[derive(Clone)]
pub struct MemoryStore {
    name: StoreName,
    clock: Arc<dyn Clock>,
    keeping: Keeping,
    lock: Option<Lock>,
    state: Arc<Mutex<State>>,
}

struct State {
    objects: Objects,
    /// By id.
    uploads: BTreeMap<String, UnfinishedUpload>,
}

struct MemoryUpload {
    store: MemoryStore,
    ticket: UploadTicket,
    parts: PartTable<Bytes>,
}

impl MemoryStore {
    /// An empty store that keeps nothing of what is overwritten or deleted.
    pub fn new(name: StoreName) -> Self {
        Self::keeping(name, Keeping::Nothing, Arc::new(SystemClock))
    }

    /// An empty store that keeps versions and holds locks until their date, by `clock`.
    pub fn versioned(name: StoreName, clock: Arc<dyn Clock>) -> Self {
        Self::keeping(name, Keeping::Versions, clock)
    }

    fn keeping(name: StoreName, keeping: Keeping, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            objects: Objects::new(keeping),
            uploads: BTreeMap::new(),
        };
        Self {
            name,
            clock,
            keeping,
            lock: None,
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, kind: StoreErrorKind, action: &'static str, key: &str) -> StoreError {
        StoreError::new(&self.name, kind, action, key)
    }

    fn bad(
        &self,
        action: &'static str,
        key: &str,
        why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        self.error(StoreErrorKind::Unexpected, action, key)
            .caused_by(why)
    }

    fn find(&self, action: &'static str, key: &str) -> Result<(Bytes, Option<String>), StoreError> {
        readable(&self.name, action, key)?;
        let state = self.state();
        let found = state.objects.current(key);
        let found = found.and_then(|kept| Some((kept.bytes.clone()?, self.id(kept))));
        found.ok_or_else(|| self.error(StoreErrorKind::NotFound, action, key))
    }

    /// What the store calls a version: nothing where it keeps none.
    fn id(&self, kept: &Kept) -> Option<String> {
        (self.keeping == Keeping::Versions).then(|| kept.id.clone())
    }

    /// Writes what `allowed` lets be written over what is current.
    fn write(
        &self,
        action: &'static str,
        key: &str,
        bytes: Bytes,
        allowed: impl FnOnce(Option<&Bytes>) -> Result<(), StoreErrorKind>,
    ) -> Result<ObjectMeta, StoreError> {
        let now = self.clock.now();
        if self.lock.is_some_and(|lock| lock.until <= now) {
            return Err(self.bad(action, key, "the lock would end before it begins"));
        }
        let mut state = self.state();
        let current = state.objects.current(key);
        allowed(current.and_then(|kept| kept.bytes.as_ref()))
            .map_err(|kind| self.error(kind, action, key))?;
        let written = state
            .objects
            .write(key, Some(bytes.clone()), self.lock, now);
        Ok(meta(key, &bytes, self.id(&written)))
    }

    fn slice(
        &self,
        action: &'static str,
        key: &str,
        bytes: &Bytes,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        if range.start > range.end || range.end > bytes.len() as u64 {
            return Err(self.bad(action, key, "the range lies outside of the object"));
        }
        Ok(bytes.slice(range.start as usize..range.end as usize))
    }

    fn next_after(&self, after: Bound<&str>) -> Option<ObjectMeta> {
        let state = self.state();
        let (key, kept) = state.objects.next_after(after)?;
        Some(meta(key, kept.bytes.as_ref()?, self.id(kept)))
    }
}

fn meta(key: &str, bytes: &Bytes, version_id: Option<String>) -> ObjectMeta {
    ObjectMeta {
        key: key.to_owned(),
        size: bytes.len() as u64,
        etag: None,
        version_id,
    }
}

fn must_be_absent(current: Option<&Bytes>) -> Result<(), StoreErrorKind> {
    match current {
        None => Ok(()),
        Some(_) => Err(StoreErrorKind::AlreadyExists),
    }
}

fn must_be(etag: &str, current: Option<&Bytes>) -> Result<(), StoreErrorKind> {
    let current = current.ok_or(StoreErrorKind::NotFound)?;
    match Digest::of(current).to_string() == etag {
        true => Ok(()),
        false => Err(StoreErrorKind::AlreadyExists),
    }
}

impl Store for MemoryStore {
    fn name(&self) -> &StoreName {
        &self.name
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<ObjectMeta, StoreError> {
        writable(&self.name, "put", key)?;
        self.write("put", key, Bytes::copy_from_slice(bytes), must_be_absent)
    }

    fn replace(&self, key: &str, bytes: &[u8], etag: &str) -> Result<ObjectMeta, StoreError> {
        writable(&self.name, "replace", key)?;
        let bytes = Bytes::copy_from_slice(bytes);
        self.write("replace", key, bytes, |current| must_be(etag, current))
    }

    fn get(&self, key: &str, max_bytes: u64) -> Result<Object, StoreError> {
        let (bytes, version_id) = self.find("get", key)?;
        if bytes.len() as u64 > max_bytes {
            return Err(self.error(StoreErrorKind::TooLarge, "get", key));
        }
        Ok(Object {
            etag: Digest::of(&bytes).to_string(),
            bytes: bytes.to_vec(),
            version_id,
        })
    }

    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let (bytes, _) = self.find("get range of", key)?;
        self.slice("get range of", key, &bytes, range)
    }

    fn head(&self, key: &str) -> Result<ObjectMeta, StoreError> {
        let (bytes, version_id) = self.find("head", key)?;
        Ok(meta(key, &bytes, version_id))
    }

    fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(ObjectMeta) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut next = match start_after {
            Some(after) if after >= prefix => self.next_after(Bound::Excluded(after)),
            _ => self.next_after(Bound::Included(prefix)),
        };
        while let Some(meta) = next.filter(|meta| meta.key.starts_with(prefix)) {
            let key = meta.key.clone();
            if visit(meta).is_break() {
                break;
            }
            next = self.next_after(Bound::Excluded(&key));
        }
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        readable(&self.name, "delete", key)?;
        let now = self.clock.now();
        self.state().objects.delete(key, now);
        Ok(())
    }

    fn start_upload(&self, key: &str, part_size: u64) -> Result<Box<dyn Upload>, StoreError> {
        writable(&self.name, "upload", key)?;
        let ticket = UploadTicket {
            key: key.to_owned(),
            upload_id: hex::encode(rand::random::<[u8; 16]>()),
        };
        let unfinished = UnfinishedUpload {
            ticket: ticket.clone(),
            since: self.clock.now(),
        };
        let id = ticket.upload_id.clone();
        self.state().uploads.insert(id, unfinished);
        Ok(Box::new(MemoryUpload {
            store: self.clone(),
            ticket,
            parts: PartTable::new(part_size),
        }))
    }

    fn abort_upload(&self, ticket: &UploadTicket) -> Result<(), StoreError> {
        self.state().uploads.remove(&ticket.upload_id);
        Ok(())
    }

    fn unfinished_uploads(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(UnfinishedUpload) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let unfinished: Vec<_> = self.state().uploads.values().cloned().collect();
        let mut below = unfinished
            .into_iter()
            .filter(|upload| upload.ticket.key.starts_with(prefix));
        let _ = below.try_for_each(visit);
        Ok(())
    }

    fn locking(&self, lock: Lock) -> Option<Arc<dyn Store>> {
        (self.keeping == Keeping::Versions).then(|| {
            let locking = Self {
                lock: Some(lock),
                ..self.clone()
            };
            Arc::new(locking) as Arc<dyn Store>
        })
    }

    fn versions(&self) -> Option<&dyn Versions> {
        (self.keeping == Keeping::Versions).then_some(self as &dyn Versions)
    }
}

impl Upload for MemoryUpload {
    fn ticket(&self) -> UploadTicket {
        self.ticket.clone()
    }

    fn put_part(&self, part: &Part) -> Result<(), StoreError> {
        let bad = |why| self.store.bad("put part of", &self.ticket.key, why);
        self.parts.offset(part).map_err(bad)?;
        self.parts.record(part, part.bytes.clone());
        Ok(())
    }

    fn complete(self: Box<Self>) -> Result<ObjectMeta, StoreError> {
        let key = &self.ticket.key;
        let begun = self.store.state().uploads.remove(&self.ticket.upload_id);
        if begun.is_none() {
            return Err(self.store.error(StoreErrorKind::NotFound, "complete", key));
        }
        let bad = |why| self.store.bad("complete", key, why);
        let (_, parts) = self.parts.whole().map_err(bad)?;
        let bytes = parts.concat().into();
        self.store.write("complete", key, bytes, must_be_absent)
    }

    fn abort(self: Box<Self>) -> Result<(), StoreError> {
        self.store.abort_upload(&self.ticket)
    }
}
