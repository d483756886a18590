//! A store that is configured and not there: an unplugged disk, a share that is not mounted.

use std::ops::{ControlFlow, Range};

use bytes::Bytes;

use super::{
    Object, ObjectMeta, Store, StoreError, StoreErrorKind, UnfinishedUpload, Upload, UploadTicket,
};
use crate::base::error_chain::error_chain;
use crate::base::names::StoreName;

/// Answers every call with the reason why it could not be opened, so that a run goes on with the
/// stores that are there and says which one is not.
pub struct AbsentStore {
    name: StoreName,
    location: String,
    kind: StoreErrorKind,
    why: String,
}

impl AbsentStore {
    /// The store that could not be opened at `location`.
    pub fn new(location: String, error: &StoreError) -> Self {
        Self {
            name: error.store.clone(),
            location,
            kind: error.kind,
            why: error.source.as_deref().map_or_else(
                || error.to_string(),
                |cause| format!("{}: {}", error.key, error_chain(cause)),
            ),
        }
    }

    fn error(&self, action: &'static str, key: &str) -> StoreError {
        StoreError::new(&self.name, self.kind, action, key).caused_by(self.why.clone())
    }
}

impl Store for AbsentStore {
    fn name(&self) -> &StoreName {
        &self.name
    }

    fn location(&self) -> String {
        self.location.clone()
    }

    fn put_if_absent(&self, key: &str, _: &[u8]) -> Result<ObjectMeta, StoreError> {
        Err(self.error("put", key))
    }

    fn replace(&self, key: &str, _: &[u8], _: &str) -> Result<ObjectMeta, StoreError> {
        Err(self.error("replace", key))
    }

    fn get(&self, key: &str, _: u64) -> Result<Object, StoreError> {
        Err(self.error("get", key))
    }

    fn get_range(&self, key: &str, _: Range<u64>) -> Result<Bytes, StoreError> {
        Err(self.error("get range of", key))
    }

    fn head(&self, key: &str) -> Result<ObjectMeta, StoreError> {
        Err(self.error("head", key))
    }

    fn list(
        &self,
        prefix: &str,
        _: Option<&str>,
        _: &mut dyn FnMut(ObjectMeta) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Err(self.error("list", prefix))
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        Err(self.error("delete", key))
    }

    fn start_upload(&self, key: &str, _: u64) -> Result<Box<dyn Upload>, StoreError> {
        Err(self.error("upload", key))
    }

    fn abort_upload(&self, ticket: &UploadTicket) -> Result<(), StoreError> {
        Err(self.error("abort upload of", &ticket.key))
    }

    fn unfinished_uploads(
        &self,
        prefix: &str,
        _: &mut dyn FnMut(UnfinishedUpload) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Err(self.error(super::LIST_UPLOADS, prefix))
    }
}
