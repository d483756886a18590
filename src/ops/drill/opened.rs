//! The storages as a rehydrate opened them, before its fence took their credentials out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::databasus::secret_key::SecretKey;
use crate::databasus::storages::{S3Keys, Storage};
use crate::ops::storages::{OpenStorage, StorageUnavailable};
use crate::store::Store;

/// A storage as people call it.
type Named = (String, Arc<dyn Store>);

/// Hands on, and remembers what was opened.
pub(super) struct Opened<'a> {
    storages: &'a dyn OpenStorage,
    opened: Mutex<BTreeMap<Uuid, Named>>,
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
        let opened = self.lock();
        opened.get(&storage).map(|(_, store)| store.clone())
    }

    /// All that were opened.
    pub(super) fn all(&self) -> Vec<(Uuid, Arc<dyn Store>)> {
        let opened = self.lock();
        let all = opened.iter().map(|(id, (_, store))| (*id, store.clone()));
        all.collect()
    }

    /// What people call one that was opened.
    pub(super) fn name(&self, storage: Uuid) -> String {
        let opened = self.lock();
        let found = opened.get(&storage).map(|(name, _)| name.clone());
        found.unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Named>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenStorage for Opened<'_> {
    fn open(
        &self,
        storage: &Storage,
        key: &SecretKey,
    ) -> Result<Arc<dyn Store>, StorageUnavailable> {
        let store = self.storages.open(storage, key)?;
        let named = (storage.name.clone(), store.clone());
        self.lock().insert(storage.id, named);
        Ok(store)
    }

    fn read_only(&self, storage: &Storage) -> Option<S3Keys> {
        self.storages.read_only(storage)
    }
}
