//! Noncurrent versions: what a store still has behind a delete marker, or beneath an overwrite.
//!
//! Whoever may write to a bucket can hide an object that a lock keeps, by deleting it or by
//! writing over it. Readers look beneath. A flood of versions stays bounded: of one key the
//! newest few and the oldest few are looked at, since the one that was written first is most
//! likely the one that was meant.

mod document;

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;

use crate::base::error_chain::error_chain;
use crate::model::finding::Finding;
use crate::store::versions::{Version, VersionContent, Versions};
use crate::store::{Store, StoreError, StoreErrorKind};

pub use document::{Document, contents, get_document, get_where};

/// How many of the newest, and of the oldest, noncurrent versions of one key are looked at.
const LOOKED_AT: usize = 8;

/// The noncurrent versions of one key.
#[derive(Clone, Debug, Default)]
pub struct Noncurrent {
    /// Whether a delete marker hides the object: then nothing is current.
    pub is_hidden: bool,
    newest: Vec<Beneath>,
    oldest: VecDeque<Beneath>,
    left_out: usize,
}

/// A version with content that is not the current one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beneath {
    /// The store's id of it.
    pub id: String,
    /// In bytes.
    pub size: u64,
}

impl Noncurrent {
    fn add(&mut self, version: Version) {
        self.is_hidden |= version.is_latest && version.is_delete_marker();
        let VersionContent::Bytes { size, .. } = version.content else {
            return;
        };
        if version.is_latest {
            return;
        }
        let beneath = Beneath {
            id: version.id,
            size,
        };
        if self.newest.len() < LOOKED_AT {
            return self.newest.push(beneath);
        }
        self.oldest.push_back(beneath);
        if self.oldest.len() > LOOKED_AT {
            self.oldest.pop_front();
            self.left_out += 1;
        }
    }

    /// Those that are looked at, from the newest to the oldest.
    pub fn versions(&self) -> impl Iterator<Item = &Beneath> {
        self.newest.iter().chain(&self.oldest)
    }

    /// How many there are between the newest and the oldest that nobody looks at.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }
}

/// What a store shows of its noncurrent versions.
pub struct Sight {
    /// Every key under the prefix that has any, in order.
    pub keys: BTreeMap<String, Noncurrent>,
    /// What kept them, or some of them, from being seen.
    pub finding: Option<Finding>,
}

/// Looks for noncurrent versions under `prefix`, beginning after the key `start_after`, of keys
/// that are `wanted`: others are not remembered. A store without versions has none; one that does
/// not let them be listed is read without them.
pub fn look(
    store: &dyn Store,
    prefix: &str,
    start_after: Option<&str>,
    wanted: &mut dyn FnMut(&str) -> bool,
) -> Result<Sight, StoreError> {
    let mut keys: BTreeMap<String, Noncurrent> = BTreeMap::new();
    let listed = store.versions().map_or(Ok(()), |versions| {
        let mut keep = |key: String, noncurrent: Noncurrent| {
            if !noncurrent.is_empty() && wanted(&key) {
                keys.insert(key, noncurrent);
            }
        };
        collect(versions, prefix, start_after, &mut keep)
    });
    let left_out = keys.values().map(Noncurrent::left_out).sum();
    let finding = finding_of(store, prefix, listed, left_out)?;
    Ok(Sight { keys, finding })
}

/// What is to be told of a listing that failed, or of a flood.
fn finding_of(
    store: &dyn Store,
    prefix: &str,
    listed: Result<(), StoreError>,
    left_out: usize,
) -> Result<Option<Finding>, StoreError> {
    let unseen = match listed {
        Ok(()) => None,
        Err(error) if error.kind == StoreErrorKind::Interrupted => return Err(error),
        Err(error) => unseen(&error),
    };
    let flooded = (left_out > 0).then(|| {
        let name = store.name();
        Finding::warning(
            "versions-left-out",
            format!("store {name}: {left_out} versions under {prefix} were not looked at"),
        )
    });
    Ok(unseen.or(flooded))
}

/// What a store shows of one key's noncurrent versions.
pub struct KeySight {
    /// None of them where there are none, or they cannot be seen.
    pub noncurrent: Noncurrent,
    /// What kept them, or some of them, from being seen.
    pub finding: Option<Finding>,
}

impl KeySight {
    /// Whether what lies there could not be asked for.
    pub fn is_unseen(&self) -> bool {
        let finding = self.finding.as_ref();
        finding.is_some_and(|finding| finding.id == "versions-unseen")
    }
}

/// Looks for the noncurrent versions of one key, as [`look`] does, and no further: of what lies
/// under longer names, which anybody may have put there, nothing is listed.
pub fn look_at(store: &dyn Store, key: &str) -> Result<KeySight, StoreError> {
    let mut noncurrent = Noncurrent::default();
    let listed = store.versions().map_or(Ok(()), |versions| {
        versions.list_versions(key, None, &mut |version| {
            if version.key != key {
                return ControlFlow::Break(());
            }
            noncurrent.add(version);
            ControlFlow::Continue(())
        })
    });
    let finding = finding_of(store, key, listed, noncurrent.left_out())?;
    Ok(KeySight {
        noncurrent,
        finding,
    })
}

/// Keeps the versions of the key at hand until the next key comes: most keys have none beneath.
fn collect(
    versions: &dyn Versions,
    prefix: &str,
    start_after: Option<&str>,
    keep: &mut dyn FnMut(String, Noncurrent),
) -> Result<(), StoreError> {
    let mut at_hand: Option<(String, Noncurrent)> = None;
    versions.list_versions(prefix, start_after, &mut |version| {
        match &mut at_hand {
            Some((key, noncurrent)) if *key == version.key => noncurrent.add(version),
            _ => {
                let mut noncurrent = Noncurrent::default();
                let key = version.key.clone();
                noncurrent.add(version);
                if let Some((key, noncurrent)) = at_hand.replace((key, noncurrent)) {
                    keep(key, noncurrent);
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    if let Some((key, noncurrent)) = at_hand {
        keep(key, noncurrent);
    }
    Ok(())
}

/// Gives `visit` every key under `prefix` that holds something, be it behind a delete marker; some
/// of them several times. Nothing is kept of them here. What kept deleted ones from being seen is
/// told.
pub fn every_key(
    store: &dyn Store,
    prefix: &str,
    visit: &mut dyn FnMut(&str),
) -> Result<Option<Finding>, StoreError> {
    store.list(prefix, None, &mut |meta| {
        visit(&meta.key);
        ControlFlow::Continue(())
    })?;
    let Some(versions) = store.versions() else {
        return Ok(None);
    };
    let listed = versions.list_versions(prefix, None, &mut |version| {
        if !version.is_delete_marker() {
            visit(&version.key);
        }
        ControlFlow::Continue(())
    });
    match listed {
        Ok(()) => Ok(None),
        Err(error) if error.kind == StoreErrorKind::Interrupted => Err(error),
        Err(error) => Ok(unseen(&error)),
    }
}

fn unseen(error: &StoreError) -> Option<Finding> {
    match error.kind {
        StoreErrorKind::Unsupported | StoreErrorKind::NotFound => None,
        _ => Some(Finding::note(
            "versions-unseen",
            format!(
                "{}; what deletes and overwrites hide there cannot be seen",
                error_chain(error)
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::digest::Digest;
    use crate::base::time::SystemClock;
    use crate::store::memory::MemoryStore;

    fn store() -> MemoryStore {
        MemoryStore::versioned("memory".parse().unwrap(), Arc::new(SystemClock))
    }

    fn overwrite(store: &MemoryStore, key: &str, bytes: &[u8]) {
        let etag = store.get(key, 1 << 20).unwrap().etag;
        store.replace(key, bytes, &etag).unwrap();
    }

    fn document(store: &MemoryStore, bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
        let digest = Digest::of(bytes);
        let found = get_document(store, "a", &digest, 100).unwrap();
        found.map(|document| (document.bytes, document.is_beneath))
    }

    #[test]
    fn document_is_found_behind_a_delete_and_beneath_an_overwrite() {
        let store = store();
        store.put_if_absent("a", b"first").unwrap();
        assert_eq!(document(&store, b"first"), Some((b"first".to_vec(), false)));
        overwrite(&store, "a", b"spoilt");
        assert_eq!(document(&store, b"first"), Some((b"first".to_vec(), true)));
        store.delete("a").unwrap();
        assert_eq!(document(&store, b"first"), Some((b"first".to_vec(), true)));
        assert_eq!(document(&store, b"other"), None);
    }

    #[test]
    fn everything_that_a_key_held_is_given_the_newest_first() {
        let store = store();
        store.put_if_absent("a", b"first").unwrap();
        overwrite(&store, "a", b"second");
        store.put_if_absent("ab", b"another").unwrap();
        let all: Vec<Vec<u8>> = contents(&store, "a", 100).collect();
        assert_eq!(all, [b"second".to_vec(), b"first".to_vec()]);
        store.delete("a").unwrap();
        let hidden: Vec<Vec<u8>> = contents(&store, "a", 5).collect();
        assert_eq!(hidden, [b"first".to_vec()]);
        let mut keys = std::collections::BTreeSet::new();
        every_key(&store, "a", &mut |key| keys.extend([key.to_owned()])).unwrap();
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["a", "ab"]);
    }

    #[test]
    fn keys_with_nothing_beneath_are_not_named() {
        let store = store();
        store.put_if_absent("a", b"1").unwrap();
        store.put_if_absent("b", b"1").unwrap();
        store.delete("b").unwrap();
        store.put_if_absent("c", b"1").unwrap();
        overwrite(&store, "c", b"2");
        let sight = look(&store, "", None, &mut |_| true).unwrap();
        let told: Vec<(&str, bool)> = sight
            .keys
            .iter()
            .map(|(key, noncurrent)| (key.as_str(), noncurrent.is_hidden))
            .collect();
        assert_eq!(told, [("b", true), ("c", false)]);
        assert_eq!(sight.finding, None);
    }

    #[test]
    fn longer_names_are_not_looked_at() {
        let store = store();
        store.put_if_absent("a.json", b"1").unwrap();
        overwrite(&store, "a.json", b"2");
        for number in 0..100_u32 {
            let key = format!("a.json.x/{number:03}");
            store.put_if_absent(&key, b"1").unwrap();
            overwrite(&store, &key, b"2");
        }
        let sight = look_at(&store, "a.json").unwrap();
        assert_eq!(sight.noncurrent.versions().count(), 1);
        assert!(look_at(&store, "a").unwrap().noncurrent.is_empty());
    }

    #[test]
    fn flood_is_looked_at_from_both_ends_and_told() {
        let store = store();
        store.put_if_absent("a", b"first").unwrap();
        for number in 0..100_u32 {
            overwrite(&store, "a", format!("flood {number}").as_bytes());
        }
        let sight = look(&store, "", None, &mut |_| true).unwrap();
        assert_eq!(sight.keys["a"].versions().count(), 2 * LOOKED_AT);
        assert_eq!(sight.keys["a"].left_out(), 100 - 2 * LOOKED_AT);
        assert_eq!(sight.finding.unwrap().id, "versions-left-out");
        assert_eq!(document(&store, b"first"), Some((b"first".to_vec(), true)));
        assert_eq!(document(&store, b"flood 50"), None);
    }
}
