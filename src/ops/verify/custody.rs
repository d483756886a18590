//! What a store holds for an escrow's custodians: unlock files and canaries, each as it was signed.
//! With that store alone, nobody opens an escrow whose unlock files it lacks.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;

use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::names::StoreName;
use crate::base::parallel::for_each;
use crate::model::finding::Finding;
use crate::model::manifest::Manifest;
use crate::ops::noncurrent::get_document;
use crate::sealing::custody::MAX_LAYER_BYTES;
use crate::store::{Store, StoreErrorKind};

use super::CopyState;

/// How many objects are read at a time.
const AT_A_TIME: usize = 8;

/// An object that a store does not have as it was signed, or only behind a delete or an overwrite:
/// then its state is [`CopyState::Verified`].
#[derive(Debug, Serialize)]
pub struct CustodyObject {
    /// Where.
    pub store: StoreName,
    /// Its key.
    pub key: String,
    /// What is wrong with it.
    pub state: CopyState,
    /// The same in words.
    pub why: String,
}

/// Every object for custodians that is not in every store as it was signed.
pub(in crate::ops) fn wrong(manifest: &Manifest, stores: &[Arc<dyn Store>]) -> Vec<CustodyObject> {
    let unlock = manifest.unlock.iter().map(|one| (&one.key, &one.sha256));
    let canaries = manifest.canaries.iter().map(|one| (&one.key, &one.sha256));
    let signed: Vec<(&String, &Digest)> = unlock.chain(canaries).collect();
    let jobs: Vec<_> = stores
        .iter()
        .flat_map(|store| {
            signed
                .iter()
                .map(move |(key, sha256)| (store, *key, *sha256))
        })
        .collect();
    let mut wrong = Vec::new();
    let look = |at: usize| {
        let (store, key, sha256) = jobs.get(at)?;
        look(store.as_ref(), key, sha256)
    };
    for_each(jobs.len(), AT_A_TIME, look, |at, found| {
        wrong.extend(found.map(|object| (at, object)));
        ControlFlow::Continue(())
    });
    wrong.sort_by_key(|(at, _)| *at);
    wrong.into_iter().map(|(_, object)| object).collect()
}

fn look(store: &dyn Store, key: &str, sha256: &Digest) -> Option<CustodyObject> {
    let name = store.name();
    let (state, why) = match get_document(store, key, sha256, MAX_LAYER_BYTES as u64) {
        Ok(Some(there)) if !there.is_beneath => return None,
        // Who opens the escrow reads it there, too.
        Ok(Some(_)) => (
            CopyState::Verified,
            format!(
                "store {name}: somebody has deleted {key}, or written over it; it was read beneath"
            ),
        ),
        Ok(None) => without(store, key),
        Err(error) => (CopyState::Unknown, error_chain(&error)),
    };
    Some(CustodyObject {
        store: name.clone(),
        key: key.to_owned(),
        state,
        why,
    })
}

/// What is there in the place of an object that is not to be had in any version.
fn without(store: &dyn Store, key: &str) -> (CopyState, String) {
    match store.head(key) {
        Ok(_) => (
            CopyState::Damaged,
            format!("store {}: {key} is not what was signed", store.name()),
        ),
        Err(error) if error.kind == StoreErrorKind::NotFound => {
            (CopyState::Missing, error_chain(&error))
        }
        Err(error) => (CopyState::Unknown, error_chain(&error)),
    }
}

impl CustodyObject {
    pub(in crate::ops) fn finding(&self) -> Finding {
        match self.state {
            CopyState::Damaged => Finding::violation("custody-object-damaged", &*self.why),
            CopyState::Unknown => Finding::warning("custody-object-unreadable", &*self.why),
            CopyState::Verified => Finding::violation("custody-object-hidden", &*self.why),
            _ => Finding::warning("custody-object-missing", &*self.why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::SystemClock;
    use crate::store::memory::MemoryStore;

    /// The state, and the finding, of an object with which this was done.
    fn told(disturb: impl FnOnce(&MemoryStore)) -> Option<(CopyState, &'static str)> {
        let store = MemoryStore::versioned("memory".parse().unwrap(), Arc::new(SystemClock));
        disturb(&store);
        let found = look(&store, "a", &Digest::of(b"signed"))?;
        Some((found.state, found.finding().id))
    }

    fn overwrite(store: &MemoryStore, bytes: &[u8]) {
        let etag = store.get("a", 100).unwrap().etag;
        store.replace("a", bytes, &etag).unwrap();
    }

    #[test]
    fn what_is_hidden_is_told_from_what_is_damaged_and_what_is_gone() {
        let put = |store: &MemoryStore| drop(store.put_if_absent("a", b"signed").unwrap());
        assert_eq!(told(put), None);
        let hidden = Some((CopyState::Verified, "custody-object-hidden"));
        let overwritten = |store: &MemoryStore| {
            put(store);
            overwrite(store, b"planted");
        };
        assert_eq!(told(overwritten), hidden);
        let deleted = |store: &MemoryStore| {
            put(store);
            store.delete("a").unwrap();
        };
        assert_eq!(told(deleted), hidden);
        let planted = |store: &MemoryStore| drop(store.put_if_absent("a", b"planted").unwrap());
        let damaged = Some((CopyState::Damaged, "custody-object-damaged"));
        assert_eq!(told(planted), damaged);
        let missing = Some((CopyState::Missing, "custody-object-missing"));
        assert_eq!(told(|_| {}), missing);
    }
}
