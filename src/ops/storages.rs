//! The port to the places where an instance keeps its backups.

use std::sync::Arc;

use crate::base::names::StoreName;
use crate::databasus::fields::FieldError;
use crate::databasus::secret_key::SecretKey;
use crate::databasus::storages::{S3Keys, Storage};
use crate::store::{Store, StoreError};

/// Opens what the rows of `storages` describe. Databasus' objects are only ever read.
pub trait OpenStorage: Sync {
    /// Opens one; `key` decrypts the credentials in its row where nobody gave others.
    fn open(
        &self,
        storage: &Storage,
        key: &SecretKey,
    ) -> Result<Arc<dyn Store>, StorageUnavailable>;

    /// Credentials that can only read it, where the operator gave some: what a fence puts in
    /// place of the real ones.
    fn read_only(&self, _storage: &Storage) -> Option<S3Keys> {
        None
    }
}

/// Opens storages by what their rows were before a fence took the credentials out.
pub struct BeforeFence<'a> {
    storages: &'a dyn OpenStorage,
    before: &'a [Storage],
}

impl<'a> BeforeFence<'a> {
    /// `before` are the rows as they were.
    pub fn new(storages: &'a dyn OpenStorage, before: &'a [Storage]) -> Self {
        Self { storages, before }
    }
}

impl OpenStorage for BeforeFence<'_> {
    fn open(
        &self,
        storage: &Storage,
        key: &SecretKey,
    ) -> Result<Arc<dyn Store>, StorageUnavailable> {
        let before = self.before.iter().find(|one| one.id == storage.id);
        self.storages.open(before.unwrap_or(storage), key)
    }

    fn read_only(&self, storage: &Storage) -> Option<S3Keys> {
        self.storages.read_only(storage)
    }
}

/// A storage cannot be looked into. What it holds is then unknown, not missing.
#[derive(Debug, thiserror::Error)]
pub enum StorageUnavailable {
    /// Databasus' name of its type.
    #[error("storages of type {0} are not read by this tool")]
    Unsupported(String),
    /// Its credentials do not open, or are not what Databasus writes.
    #[error("its credentials cannot be read")]
    Credentials(#[from] FieldError),
    /// Its credentials are blank.
    #[error("its credentials are blank, as a fence leaves them")]
    Blank,
    /// Nobody said where its files are.
    #[error("its files are not on this host")]
    NoFiles,
    /// It could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a storage is called in messages: a store's name has fewer letters than people use.
pub fn store_name(storage: &Storage) -> StoreName {
    let plain = storage.name.to_ascii_lowercase();
    let letters = plain.chars().map(|letter| match letter {
        'a'..='z' | '0'..='9' | '_' => letter,
        _ => '-',
    });
    let name: String = letters.take(40).collect();
    let fallback = || StoreName::from(storage.id);
    name.trim_matches(['-', '_'])
        .parse()
        .unwrap_or_else(|_| fallback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databasus::storages::StorageKind;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn named(name: &str) -> String {
        let storage = Storage {
            id: Uuid::nil(),
            name: name.to_owned(),
            kind: StorageKind::Local,
        };
        store_name(&storage).to_string()
    }

    #[test]
    fn storages_keep_a_name_that_people_recognise() {
        assert_eq!(named("Cloudflare R2"), "cloudflare-r2");
        assert_eq!(named("日本"), "00000000-0000-0000-0000-000000000000");
    }

    proptest! {
        #[test]
        fn every_storage_has_a_name(name in ".*") {
            named(&name);
        }
    }
}
