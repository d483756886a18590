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
use crate::sealing::custody::MAX_LAYER_BYTES;
use crate::store::{Store, StoreErrorKind};

use super::CopyState;

/// How many objects are read at a time.
const AT_A_TIME: usize = 8;

/// An object that is not in a store as it was signed.
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
    let (state, why) = match store.get(key, MAX_LAYER_BYTES as u64) {
        Ok(there) if Digest::of(&there.bytes) == *sha256 => return None,
        Ok(_) => (
            CopyState::Damaged,
            format!("store {}: {key} is not what was signed", store.name()),
        ),
        Err(error) if error.kind == StoreErrorKind::TooLarge => {
            (CopyState::Damaged, error_chain(&error))
        }
        Err(error) if error.kind == StoreErrorKind::NotFound => {
            (CopyState::Missing, error_chain(&error))
        }
        Err(error) => (CopyState::Unknown, error_chain(&error)),
    };
    Some(CustodyObject {
        store: store.name().clone(),
        key: key.to_owned(),
        state,
        why,
    })
}

impl CustodyObject {
    pub(in crate::ops) fn finding(&self) -> Finding {
        match self.state {
            CopyState::Damaged => Finding::violation("custody-object-damaged", &*self.why),
            CopyState::Unknown => Finding::warning("custody-object-unreadable", &*self.why),
            _ => Finding::warning("custody-object-missing", &*self.why),
        }
    }
}
