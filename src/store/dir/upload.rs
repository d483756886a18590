//! An object that is written in parts into one staged file.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::tree::{Existing, Staged, Tree};
use super::{absent_is_fine, failed};
use crate::base::names::StoreName;
use crate::store::key::writable;
use crate::store::parts::{PartTable, PartsError};
use crate::store::{ObjectMeta, Part, StoreError, StoreErrorKind, Upload, UploadTicket};

/// Dropped without being completed, it takes its file along.
pub(super) struct DirUpload {
    store: StoreName,
    tree: Arc<Tree>,
    key: String,
    staged: Staged,
    parts: PartTable<()>,
}

impl DirUpload {
    pub(super) fn new(
        store: StoreName,
        tree: Arc<Tree>,
        key: &str,
        part_size: u64,
        staged: Staged,
    ) -> Self {
        Self {
            store,
            tree,
            key: key.to_owned(),
            staged,
            parts: PartTable::new(part_size),
        }
    }

    fn bad(&self, action: &'static str, why: PartsError) -> StoreError {
        StoreError::new(&self.store, StoreErrorKind::Unexpected, action, &self.key).caused_by(why)
    }
}

impl Upload for DirUpload {
    fn ticket(&self) -> UploadTicket {
        UploadTicket {
            key: self.key.clone(),
            upload_id: self.staged.name.clone(),
        }
    }

    fn put_part(&self, part: &Part) -> Result<(), StoreError> {
        const ACTION: &str = "put part of";
        let offset = self
            .parts
            .offset(part)
            .map_err(|why| self.bad(ACTION, why))?;
        let written = self.staged.file.write_all_at(&part.bytes, offset);
        written.map_err(failed(&self.store, ACTION, &self.key))?;
        self.parts.record(part, ());
        Ok(())
    }

    fn complete(mut self: Box<Self>) -> Result<ObjectMeta, StoreError> {
        const ACTION: &str = "complete";
        let (size, _) = self.parts.whole().map_err(|why| self.bad(ACTION, why))?;
        let key = writable(&self.store, ACTION, &self.key)?;
        let published = self
            .staged
            .file
            .set_len(size)
            .and_then(|()| self.tree.publish(&mut self.staged, key, Existing::Stays));
        published.map_err(failed(&self.store, ACTION, &self.key))?;
        Ok(ObjectMeta {
            key: self.key.clone(),
            size,
            etag: None,
            version_id: None,
        })
    }

    fn abort(self: Box<Self>) -> Result<(), StoreError> {
        let discarded = self.tree.discard(&self.staged.name);
        absent_is_fine(discarded.map_err(failed(&self.store, "abort upload of", &self.key)))
    }
}
