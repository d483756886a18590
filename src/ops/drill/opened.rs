//! The storages as a rehydrate opened them, before its fence took their credentials out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::databasus::secret_key::SecretKey;
use crate::databasus::storages::{S3Keys, Storage};
use crate::ops::storages::{OpenStorage, StorageUnavailable};
use crate::store::Store;

/// Hands on, and remembers what was opened.
pub(super) struct Opened<'a> {
    storages: &'a dyn OpenStorage,
    opened: Mutex<BTreeMap<Uuid, Arc<dyn Store>>>,
}

impl<'a> Opened<'a> {
    pub(super) fn new(storages: &'a dyn OpenStorage) -> Self {
        Self {
            storages,
            opened: Mutex::default(),
        }
    }

    /// A storage that was opened; none where that failed, or nothing asked for it.
    pub(super) fn get(&self, storage: Uuid) -> Option<Arc<dyn Store>> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.get(&storage).cloned()
    }
}

impl OpenStorage for Opened<'_> {
    fn open(
        &self,
        storage: &Storage,
        key: &SecretKey,
    ) -> Result<Arc<dyn Store>, StorageUnavailable> {
        let store = self.storages.open(storage, key)?;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.insert(storage.id, store.clone());
        Ok(store)
    }

    fn read_only(&self, storage: &Storage) -> Option<S3Keys> {
        self.storages.read_only(storage)
    }
}
