//! What of a chain was found behind deletes and beneath overwrites: somebody tried to hide it.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::names::StoreName;
use crate::model::finding::Finding;

use super::candidates::Signature;
use super::listing::Which;

/// An object: its store and its key.
type Object = (StoreName, String);

/// Sequence numbers by store.
type ByStore = BTreeMap<StoreName, BTreeSet<u64>>;

/// See the module.
#[derive(Default)]
pub(super) struct Beneath {
    hidden: ByStore,
    /// Good manifests beneath a current version of the same object.
    overwritten: Vec<(Object, u64)>,
    /// Objects whose current version is none that counts.
    refused: BTreeSet<Object>,
    signatures: ByStore,
    policies: ByStore,
}

impl Beneath {
    /// All candidates are gone through once more.
    pub(super) fn forget_manifests(&mut self) {
        self.hidden.clear();
        self.overwritten.clear();
        self.refused.clear();
    }

    /// A manifest that counts was read there.
    pub(super) fn accepted(&mut self, object: Object, seq: u64, which: &Which) {
        match which {
            Which::Current => {}
            Which::Hidden(_) => add(&mut self.hidden, object.0, seq),
            Which::Overwritten(_) => self.overwritten.push((object, seq)),
        }
    }

    /// What is current there does not count.
    pub(super) fn refused(&mut self, object: Object) {
        self.refused.insert(object);
    }

    /// A manifest's signature that counts.
    pub(super) fn signed(&mut self, seq: u64, signature: Signature) {
        if signature.which != Which::Current {
            add(&mut self.signatures, signature.store, seq);
        }
    }

    /// A manifest's policy, and the store in which it lay beneath.
    pub(super) fn policy(&mut self, seq: u64, store: Option<StoreName>) {
        if let Some(store) = store {
            add(&mut self.policies, store, seq);
        }
    }

    /// A good manifest beneath another good one is a fork, or was written again: the chain's
    /// findings tell.
    fn spoilt(&self) -> ByStore {
        let mut spoilt = ByStore::new();
        for (object, seq) in &self.overwritten {
            if self.refused.contains(object) {
                add(&mut spoilt, object.0.clone(), *seq);
            }
        }
        spoilt
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let hidden = told(&self.hidden, |store, which| {
            let message =
                format!("store {store}: somebody has deleted {which}; it was read beneath");
            Finding::violation("manifest-hidden", message)
        });
        let overwritten = told(&self.spoilt(), |store, which| {
            let message =
                format!("store {store}: somebody has written over {which}; it was read beneath");
            Finding::violation("manifest-overwritten", message)
        });
        let signatures = told(&self.signatures, |store, which| {
            let message = format!(
                "store {store}: somebody has deleted or written over the signature of {which}; it \
                 was read beneath"
            );
            Finding::violation("signature-hidden", message)
        });
        let policies = told(&self.policies, |store, which| {
            let message = format!(
                "store {store}: somebody has deleted or written over the policy of {which}; it was \
                 read beneath"
            );
            Finding::violation("policy-hidden", message)
        });
        [hidden, overwritten, signatures, policies].concat()
    }
}

fn told(found: &ByStore, finding: impl Fn(&StoreName, &str) -> Finding) -> Vec<Finding> {
    let stores = found.iter();
    stores
        .map(|(store, seqs)| finding(store, &super::manifests(seqs)))
        .collect()
}

fn add(found: &mut ByStore, store: StoreName, seq: u64) {
    found.entry(store).or_default().insert(seq);
}
