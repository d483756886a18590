//! Documents that many manifests name by their digests: recipients, signers, instructions.

use crate::base::time::UtcTime;
use crate::model::lock::{Lock, LockState};
use crate::ops::destination::{Destination, Lasting};
use crate::ops::locks::read_back;
use crate::store::{Store, StoreError, StoreErrorKind};

use super::slot::put_exactly;

/// A small object that a manifest names.
pub struct Document<'a> {
    /// Where it goes.
    pub key: String,
    /// What it says.
    pub bytes: &'a [u8],
    /// How long it is of use.
    pub lasting: Lasting,
}

/// Puts a document into a store, with its lock. One that many manifests name and that is there
/// already is written again once half of its time is over: every manifest's documents outlive it.
pub(super) fn put_document(
    to: &Destination,
    document: &Document<'_>,
    now: UtcTime,
) -> Result<(), StoreError> {
    let Document {
        key,
        bytes,
        lasting,
    } = document;
    let store = to.for_small(*lasting, now);
    put_exactly(store.as_ref(), key, bytes)?;
    let Some(policy) = to.lock.filter(|_| *lasting == Lasting::Manifest) else {
        return Ok(());
    };
    let fresh = policy.for_documents(now);
    let half = Lock {
        until: now.plus((fresh.until.unix() - now.unix()) / 2),
        ..fresh
    };
    match read_back(to.store.as_ref(), key, None) {
        LockState::Locked(lock) if lock.is_at_least(&half) => Ok(()),
        // Whoever cannot see locks would write a version every night.
        LockState::Unknown => Ok(()),
        LockState::Locked(_) | LockState::Unlocked => renew(store.as_ref(), key, bytes),
    }
}

/// Another host that renews at the same moment has done the same.
fn renew(store: &dyn Store, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let there = store.get(key, bytes.len() as u64)?;
    match store.replace(key, bytes, &there.etag) {
        Err(error) if error.kind == StoreErrorKind::AlreadyExists => Ok(()),
        other => other.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::time::FixedClock;
    use crate::model::lock::{LockMode, LockPolicy};
    use crate::store::memory::MemoryStore;

    const DAY: i64 = 86_400;

    fn destination(store: &MemoryStore) -> Destination {
        Destination {
            store: Arc::new(store.clone()),
            provider: "memory".to_owned(),
            bucket: None,
            access: None,
            required: true,
            lock: Some(LockPolicy {
                mode: LockMode::Compliance,
                days: 10,
                manifest_days: 100,
            }),
        }
    }

    fn document() -> Document<'static> {
        Document {
            key: "a".to_owned(),
            bytes: b"policy",
            lasting: Lasting::Manifest,
        }
    }

    fn versions(store: &MemoryStore) -> usize {
        let sight = crate::ops::noncurrent::look_at(store, "a").unwrap();
        1 + sight.noncurrent.versions().count()
    }

    #[test]
    fn document_is_written_again_once_half_of_its_time_is_over() {
        let now = UtcTime::from_unix(1_780_000_000);
        let store = MemoryStore::versioned("lat".parse().unwrap(), Arc::new(FixedClock(now)));
        let to = destination(&store);
        put_document(&to, &document(), now).unwrap();
        put_document(&to, &document(), now.plus(49 * DAY)).unwrap();
        assert_eq!(versions(&store), 1);
        let later = now.plus(51 * DAY);
        put_document(&to, &document(), later).unwrap();
        assert_eq!(versions(&store), 2);
        let asked = to.lock.unwrap().for_documents(later);
        assert_eq!(read_back(&store, "a", None), LockState::Locked(asked));
    }
}
