//! A signed manifest on its way into the stores: put, read back, remembered.

use std::collections::BTreeMap;

use crate::base::error_chain::error_chain;
use crate::base::names::StoreName;
use crate::model::finding::Finding;
use crate::model::lock::Lock;
use crate::model::manifest;
use crate::ops::destination::Destination;
use crate::ops::locks;
use crate::ops::state::Pending;
use crate::store::Store;

use super::slot::{Slot, put_exactly};
use super::{CommitError, Committed, Committer};

/// In seconds.
const A_DAY: i64 = 86_400;

/// What became of a manifest that was put into all stores.
pub(super) enum Placing {
    /// Another host's manifest has its place, and no store has taken ours.
    Lost,
    /// At least one store took it, or none could be asked.
    Placed(Placed),
}

/// A manifest, and what became of it in the stores that were to hold it.
pub(super) struct Placed {
    pub(super) pending: Pending,
    /// How many have taken it.
    holders: usize,
    /// Why the others have not.
    pub(super) missing: BTreeMap<StoreName, String>,
}

impl Committer<'_> {
    /// Puts signature and manifest into every store that still lacks them.
    pub(super) fn place(&mut self, pending: Pending) -> Placing {
        let mut holders = 0;
        let mut taken = Vec::new();
        let mut missing = BTreeMap::new();
        for destination in self.ports.destinations {
            let store = destination.for_documents(self.ports.clock.now());
            if !pending.stores.contains(store.name()) {
                continue;
            }
            match self.put_signed(store.as_ref(), &pending) {
                Slot::Ours => holders += 1,
                Slot::Failed(why) => drop(missing.insert(store.name().clone(), why)),
                Slot::Taken if holders == 0 => return Placing::Lost,
                Slot::Taken => taken.push(store.name().clone()),
            }
        }
        for store in taken {
            let why = format!(
                "store {store} holds another valid manifest {}: two hosts have made a fork",
                pending.seq
            );
            self.findings.push(Finding::violation("chain-fork", &*why));
            missing.insert(store, why);
        }
        Placing::Placed(Placed {
            pending,
            holders,
            missing,
        })
    }

    /// Puts a verified manifest of an earlier night, with its signature, into a store that lacks
    /// it.
    pub fn fill_slot(&mut self, store: &dyn Store, signed: &Pending) -> Result<(), String> {
        match self.put_signed(store, signed) {
            Slot::Ours => Ok(()),
            Slot::Failed(why) => Err(why),
            Slot::Taken => Err(format!(
                "store {}: another valid manifest has place {}",
                store.name(),
                signed.seq
            )),
        }
    }

    /// Puts such a manifest beside its slot, which another one has that is known to everybody.
    pub fn put_beside(&self, store: &dyn Store, signed: &Pending) -> Result<(), String> {
        let digest = signed.digest();
        let signature = self.layout.signature(&digest, &signed.signer);
        let beside = self.layout.manifest_beside(signed.seq, &digest);
        put_exactly(store, &signature, signed.signature.as_bytes())
            .and_then(|_| put_exactly(store, &beside, signed.manifest.as_bytes()))
            .map(drop)
            .map_err(|error| error_chain(&error))
    }

    fn put_signed(&mut self, store: &dyn Store, pending: &Pending) -> Slot {
        let digest = pending.digest();
        let signature = self.layout.signature(&digest, &pending.signer);
        if let Err(error) = put_exactly(store, &signature, pending.signature.as_bytes()) {
            return Slot::Failed(error_chain(&error));
        }
        match self.claim(store, pending) {
            Ok(slot) => slot,
            Err(error) => Slot::Failed(error_chain(&error)),
        }
    }

    /// Reads the manifest back from every store, and remembers it. Fails if no store took it:
    /// then it is kept, and the next run puts it again.
    pub(super) fn read_back(&mut self, mut placed: Placed) -> Result<Committed, CommitError> {
        for destination in self.ports.destinations {
            let store = destination.store.as_ref();
            if placed.missing.contains_key(store.name()) {
                continue;
            }
            match self.compare_documents(store, &placed.pending) {
                Ok(key) => self.look_at_lock(destination, &key, &placed.pending),
                Err(why) => drop(placed.missing.insert(store.name().clone(), why)),
            }
        }
        if placed.holders == 0 {
            self.ports.cancel.check()?;
            return Err(CommitError::NoStore {
                told: placed.missing.into_values().collect(),
                first: None,
            });
        }
        self.remember(&placed)?;
        Ok(Committed {
            mark: placed.pending.mark(),
            lacking: placed.missing,
        })
    }

    /// The key that the manifest has there, if it and its signature read back unchanged.
    fn compare_documents(&self, store: &dyn Store, pending: &Pending) -> Result<String, String> {
        let digest = pending.digest();
        let signature = self.layout.signature(&digest, &pending.signer);
        compare(store, &signature, pending.signature.as_bytes())?;
        let manifest = pending.manifest.as_bytes();
        let key = self.layout.manifest(pending.seq);
        let Err(why) = compare(store, &key, manifest) else {
            return Ok(key);
        };
        let beside = self.layout.manifest_beside(pending.seq, &digest);
        compare(store, &beside, manifest).map_or(Err(why), |()| Ok(beside))
    }

    /// A manifest of an earlier run may have been put some hours ago.
    fn look_at_lock(&mut self, destination: &Destination, key: &str, pending: &Pending) {
        let Some(policy) = destination.lock else {
            return;
        };
        let store = destination.store.as_ref();
        let Lock { mode, until } = policy.for_documents(self.ports.clock.now());
        let asked = Lock {
            mode,
            until: until.plus(-A_DAY),
        };
        let found = locks::read_back(store, key, None);
        let what = format!("manifest {}", pending.seq);
        let told = locks::shortfall(store.name(), &what, asked, found);
        told.into_iter().for_each(|finding| self.tell(finding));
    }

    /// Keeps what the next run must know: the mark, and the stores that lack the manifest.
    pub(super) fn remember(&mut self, placed: &Placed) -> Result<(), CommitError> {
        let (state, slug) = (self.ports.state, self.author.slug);
        if placed.holders > 0 {
            state.raise_mark(slug, placed.pending.mark())?;
        }
        if placed.missing.is_empty() {
            return Ok(state.clear_pending(slug)?);
        }
        let pending = Pending {
            stores: placed.missing.keys().cloned().collect(),
            ..placed.pending.clone()
        };
        Ok(state.set_pending(slug, &pending)?)
    }
}

fn compare(store: &dyn Store, key: &str, expected: &[u8]) -> Result<(), String> {
    let there = store
        .get(key, manifest::MAX_BYTES)
        .map_err(|error| error_chain(&error))?;
    match there.bytes == expected {
        true => Ok(()),
        false => Err(format!("store {}: {key} reads back changed", store.name())),
    }
}
