//! Small objects that a manifest names with their digests, from whichever store has them whole.

use std::io;
use std::sync::Arc;

use crate::base::digest::Digest;
use crate::ops::noncurrent::get_document;
use crate::store::{Store, StoreError};

/// An object that no store gave as it was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignedObjectError {
    /// A store holds something else under its name.
    #[error("{0} is not what the manifest says")]
    Differs(String),
    /// Not one store gave it.
    #[error("no store gave {key}")]
    Unreadable {
        /// Its key.
        key: String,
        /// What the last store said.
        #[source]
        source: Option<Box<StoreError>>,
    },
}

/// Reads an object, and gives it to nobody before its digest was compared. Where a store keeps
/// versions, deletes and overwrites hide nothing.
pub(super) fn read(
    stores: &[Arc<dyn Store>],
    key: &str,
    max_bytes: u64,
    sha256: &Digest,
) -> Result<Vec<u8>, SignedObjectError> {
    let mut differs = false;
    let mut last = None;
    for store in stores {
        match get_document(store.as_ref(), key, sha256, max_bytes) {
            Ok(Some(document)) => return Ok(document.bytes),
            Ok(None) => differs |= store.head(key).is_ok(),
            Err(error) => last = Some(Box::new(error)),
        }
    }
    Err(match differs {
        true => SignedObjectError::Differs(key.to_owned()),
        false => SignedObjectError::Unreadable {
            key: key.to_owned(),
            source: last,
        },
    })
}

impl From<SignedObjectError> for io::Error {
    fn from(error: SignedObjectError) -> Self {
        Self::other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::SystemClock;
    use crate::store::memory::MemoryStore;

    fn store() -> Arc<MemoryStore> {
        let clock = Arc::new(SystemClock);
        Arc::new(MemoryStore::versioned("memory".parse().unwrap(), clock))
    }

    fn read_from(stores: &[Arc<MemoryStore>]) -> Result<Vec<u8>, SignedObjectError> {
        let stores: Vec<Arc<dyn Store>> = stores.iter().map(|store| store.clone() as _).collect();
        read(&stores, "a", 100, &Digest::of(b"signed"))
    }

    #[test]
    fn the_first_store_that_has_it_whole_gives_it() {
        let (one, other) = (store(), store());
        one.put_if_absent("a", b"planted").unwrap();
        other.put_if_absent("a", b"signed").unwrap();
        assert_eq!(read_from(&[one, other]).unwrap(), b"signed");
    }

    #[test]
    fn what_a_delete_hides_is_found() {
        let store = store();
        store.put_if_absent("a", b"signed").unwrap();
        store.delete("a").unwrap();
        assert_eq!(read_from(&[store]).unwrap(), b"signed");
    }

    #[test]
    fn something_else_under_its_name_is_told_from_nothing() {
        let (planted, empty) = (store(), store());
        planted.put_if_absent("a", b"planted").unwrap();
        let refused = read_from(&[planted, empty.clone()]);
        assert!(matches!(refused, Err(SignedObjectError::Differs(_))));
        let refused = read_from(&[empty]);
        assert!(matches!(refused, Err(SignedObjectError::Unreadable { .. })));
    }
}
