//! A store in memory, for tests and dry runs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::key::{readable, writable};
use super::parts::PartTable;
use super::{Object, ObjectMeta, Part, Store, StoreError, StoreErrorKind, Upload, UploadTicket};
use crate::base::digest::Digest;
use crate::base::names::StoreName;

/// A store that vanishes with the process. Clones share their objects.
#[derive(Clone)]
pub struct MemoryStore {
    name: StoreName,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeSet<String>,
}

struct MemoryUpload {
    store: MemoryStore,
    ticket: UploadTicket,
    parts: PartTable<Bytes>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(name: StoreName) -> Self {
        Self {
            name,
            state: Arc::default(),
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

    fn find(&self, action: &'static str, key: &str) -> Result<Bytes, StoreError> {
        readable(&self.name, action, key)?;
        let found = self.state().objects.get(key).cloned();
        found.ok_or_else(|| self.error(StoreErrorKind::NotFound, action, key))
    }

    fn insert(
        &self,
        action: &'static str,
        key: &str,
        bytes: Bytes,
    ) -> Result<ObjectMeta, StoreError> {
        let mut state = self.state();
        if state.objects.contains_key(key) {
            return Err(self.error(StoreErrorKind::AlreadyExists, action, key));
        }
        let meta = meta(key, &bytes);
        state.objects.insert(key.to_owned(), bytes);
        Ok(meta)
    }

    fn next_after(&self, after: Bound<&str>) -> Option<ObjectMeta> {
        let state = self.state();
        let mut rest = state.objects.range::<str, _>((after, Bound::Unbounded));
        rest.next().map(|(key, bytes)| meta(key, bytes))
    }
}

fn meta(key: &str, bytes: &Bytes) -> ObjectMeta {
    ObjectMeta {
        key: key.to_owned(),
        size: bytes.len() as u64,
        etag: None,
        version_id: None,
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
        self.insert("put", key, Bytes::copy_from_slice(bytes))
    }

    fn replace(&self, key: &str, bytes: &[u8], etag: &str) -> Result<ObjectMeta, StoreError> {
        writable(&self.name, "replace", key)?;
        let mut state = self.state();
        let Some(object) = state.objects.get_mut(key) else {
            return Err(self.error(StoreErrorKind::NotFound, "replace", key));
        };
        if Digest::of(object).to_string() != etag {
            return Err(self.error(StoreErrorKind::AlreadyExists, "replace", key));
        }
        *object = Bytes::copy_from_slice(bytes);
        Ok(meta(key, object))
    }

    fn get(&self, key: &str, max_bytes: u64) -> Result<Object, StoreError> {
        let bytes = self.find("get", key)?;
        if bytes.len() as u64 > max_bytes {
            return Err(self.error(StoreErrorKind::TooLarge, "get", key));
        }
        Ok(Object {
            etag: Digest::of(&bytes).to_string(),
            bytes: bytes.to_vec(),
            version_id: None,
        })
    }

    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let bytes = self.find("get range of", key)?;
        if range.start > range.end || range.end > bytes.len() as u64 {
            return Err(self.bad("get range of", key, "the range lies outside of the object"));
        }
        Ok(bytes.slice(range.start as usize..range.end as usize))
    }

    fn head(&self, key: &str) -> Result<ObjectMeta, StoreError> {
        Ok(meta(key, &self.find("head", key)?))
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
        writable(&self.name, "delete", key)?;
        self.state().objects.remove(key);
        Ok(())
    }

    fn start_upload(&self, key: &str, part_size: u64) -> Result<Box<dyn Upload>, StoreError> {
        writable(&self.name, "upload", key)?;
        let upload_id = hex::encode(rand::random::<[u8; 16]>());
        self.state().uploads.insert(upload_id.clone());
        Ok(Box::new(MemoryUpload {
            store: self.clone(),
            ticket: UploadTicket {
                key: key.to_owned(),
                upload_id,
            },
            parts: PartTable::new(part_size),
        }))
    }

    fn abort_upload(&self, ticket: &UploadTicket) -> Result<(), StoreError> {
        self.state().uploads.remove(&ticket.upload_id);
        Ok(())
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
        if !self.store.state().uploads.remove(&self.ticket.upload_id) {
            return Err(self.store.error(StoreErrorKind::NotFound, "complete", key));
        }
        let bad = |why| self.store.bad("complete", key, why);
        let (_, parts) = self.parts.whole().map_err(bad)?;
        self.store.insert("complete", key, parts.concat().into())
    }

    fn abort(self: Box<Self>) -> Result<(), StoreError> {
        self.store.abort_upload(&self.ticket)
    }
}
