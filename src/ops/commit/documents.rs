//! Documents that many manifests name by their digests: recipients, signers, instructions.

use std::collections::BTreeMap;

use crate::base::names::StoreName;
use crate::base::time::UtcTime;
use crate::model::finding::Finding;
use crate::model::lock::{Lock, LockState};
use crate::ops::destination::{Destination, Lasting};
use crate::ops::locks::{self, read_back};
use crate::store::{Store, StoreError, StoreErrorKind};

use super::slot::{Put, put_exactly};

/// A small object that a manifest names.
pub struct Document<'a> {
    /// Where it goes.
    pub key: String,
    /// What it says.
    pub bytes: &'a [u8],
    /// How long it is of use.
    pub lasting: Lasting,
}

/// The lock of a document that is in a store.
pub(super) struct Locked {
    key: String,
    /// The least that it is to be.
    least: Lock,
    found: LockState,
}

/// Puts a document into a store, with its lock, and reads the lock back. One that many manifests
/// name and that is there already is written again once half of its time is over: every manifest's
/// documents outlive it. None where no lock is asked for.
pub(super) fn put_document(
    to: &Destination,
    document: &Document<'_>,
    now: UtcTime,
) -> Result<Option<Locked>, StoreError> {
    let Document {
        key,
        bytes,
        lasting,
    } = document;
    let store = to.for_small(*lasting, now);
    let put = put_exactly(store.as_ref(), key, bytes)?;
    let Some(fresh) = to.lock_of(*lasting, now) else {
        return Ok(None);
    };
    let half = Lock {
        until: now.plus((fresh.until.unix() - now.unix()) / 2),
        ..fresh
    };
    let locked = |least| Locked {
        key: key.clone(),
        least,
        found: read_back(to.store.as_ref(), key, None),
    };
    if put == Put::Now {
        return Ok(Some(locked(fresh)));
    }
    let there = locked(half);
    Ok(Some(match there.found {
        LockState::Locked(lock) if lock.is_at_least(&half) => there,
        // Whoever cannot see locks would write a version every night.
        LockState::Unknown => there,
        LockState::Locked(_) | LockState::Unlocked => {
            renew(store.as_ref(), key, bytes)?;
            locked(half)
        }
    }))
}

/// What is to be told of the locks in one store, once of each kind: there may be a document for
/// every set of custodians.
pub(super) fn shortfalls(store: &StoreName, documents: &[Locked]) -> Vec<Finding> {
    let mut told: BTreeMap<&str, (Finding, usize)> = BTreeMap::new();
    for one in documents {
        if let Some(finding) = locks::shortfall(store, &one.key, one.least, one.found) {
            told.entry(finding.id).or_insert((finding, 0)).1 += 1;
        }
    }
    let told = told.into_values().map(|(first, count)| match count {
        1 => first,
        _ => Finding {
            message: format!("{}; so are {} more documents", first.message, count - 1),
            ..first
        },
    });
    told.collect()
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

    fn start() -> UtcTime {
        UtcTime::from_unix(1_780_000_000)
    }

    fn store_at(now: UtcTime) -> MemoryStore {
        MemoryStore::versioned("lat".parse().unwrap(), Arc::new(FixedClock(now)))
    }

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

    /// Ids of what is told of documents that were put with these locks found.
    fn told(found: &[LockState]) -> Vec<(&'static str, String)> {
        let least = destination(&store_at(start())).lock_of(Lasting::Payload, start());
        let put = |(number, found): (usize, &LockState)| Locked {
            key: format!("unlock/{number}"),
            least: least.unwrap(),
            found: *found,
        };
        let put: Vec<Locked> = found.iter().enumerate().map(put).collect();
        let told = shortfalls(&"lat".parse().unwrap(), &put).into_iter();
        told.map(|finding| (finding.id, finding.message)).collect()
    }

    #[test]
    fn locks_of_many_documents_are_told_once_of_each_kind() {
        use LockState::{Unknown, Unlocked};
        let found = told(&[Unknown, Unlocked, Unlocked, Unlocked]);
        let ids: Vec<&str> = found.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, ["lock-unknown", "lock-weaker"]);
        assert!(found[1].1.contains("unlock/1 is not locked"), "{found:?}");
        assert!(found[1].1.ends_with("so are 2 more documents"), "{found:?}");
    }

    #[test]
    fn lock_of_what_opens_an_escrow_is_read_back() {
        let store = store_at(start());
        let unlock = Document {
            lasting: Lasting::Payload,
            ..document()
        };
        let locked = put_document(&destination(&store), &unlock, start()).unwrap();
        assert_eq!(shortfalls(&"lat".parse().unwrap(), &[locked.unwrap()]), []);
        let unlocking = Destination {
            // It takes the lock, and keeps none.
            store: Arc::new(MemoryStore::new("lat".parse().unwrap())),
            ..destination(&store)
        };
        let locked = put_document(&unlocking, &unlock, start()).unwrap();
        let told = shortfalls(&"lat".parse().unwrap(), &[locked.unwrap()]);
        assert_eq!(told[0].id, "lock-unknown");
    }

    #[test]
    fn document_is_written_again_once_half_of_its_time_is_over() {
        let now = start();
        let store = store_at(now);
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
