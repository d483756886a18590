//! Putting a signed manifest into its place: store by store in the order of the configuration.
//! The sequence slot is the lock between hosts; squatters are not waited for.

use std::collections::BTreeMap;

use crate::base::error_chain::error_chain;
use crate::base::names::StoreName;
use crate::model::finding::Finding;
use crate::model::manifest;
use crate::model::mark::Mark;
use crate::model::trust::Trust;
use crate::ops::history::{self, History};
use crate::ops::state::Pending;
use crate::store::{Store, StoreError, StoreErrorKind};

use super::Run;

/// How often what lies in a slot may change while it is contended.
const LOOKS: u32 = 5;

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
    pub(super) holders: usize,
    /// Why the others have not.
    pub(super) missing: BTreeMap<StoreName, String>,
}

/// One store's answer.
enum Slot {
    Ours,
    Taken,
    Failed(String),
}

impl Run<'_> {
    /// Puts signature and manifest into every store that still lacks them.
    pub(super) fn place(&mut self, pending: Pending) -> Placing {
        let mut holders = 0;
        let mut taken = Vec::new();
        let mut missing = BTreeMap::new();
        for destination in self.ports.destinations {
            let store = destination.store.as_ref();
            if !pending.stores.contains(store.name()) {
                continue;
            }
            match self.put_signed(store, &pending) {
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

    /// Claims the manifest's slot. Where it is contended, what lies there may change between two
    /// looks: another host may take over a squatted slot at the same moment.
    fn claim(&mut self, store: &dyn Store, pending: &Pending) -> Result<Slot, StoreError> {
        let key = self.layout.manifest(pending.seq);
        for _ in 0..LOOKS {
            match store.put_if_absent(&key, pending.manifest.as_bytes()) {
                Err(error) if error.kind == StoreErrorKind::AlreadyExists => {}
                other => return other.map(|_| Slot::Ours),
            }
            match self.contend(store, &key, pending) {
                Err(error) if has_changed(&error) => {}
                other => return other,
            }
        }
        Ok(Slot::Taken)
    }

    /// The slot is taken: by the same bytes, by another valid manifest, or by a squatter, who is
    /// not waited for.
    fn contend(
        &mut self,
        store: &dyn Store,
        key: &str,
        pending: &Pending,
    ) -> Result<Slot, StoreError> {
        let bytes = pending.manifest.as_bytes();
        let there = Occupant::of(store, key)?;
        if there.bytes.as_deref() == Some(bytes) {
            return Ok(Slot::Ours);
        }
        if self.is_taken(store.name(), pending) {
            return Ok(Slot::Taken);
        }
        let squatted = Finding::violation(
            "slot-squatted",
            format!(
                "store {}: {key} held something that nobody here signed",
                store.name()
            ),
        );
        if !self.findings.contains(&squatted) {
            self.findings.push(squatted);
        }
        match there.replace(store, key, bytes) {
            Ok(()) => Ok(Slot::Ours),
            Err(error) if error.kind == StoreErrorKind::Denied => {
                let beside = self.layout.manifest_beside(pending.seq, &pending.digest());
                put_exactly(store, &beside, bytes).map(|()| Slot::Ours)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a valid manifest other than ours has this place in a store, under either name.
    /// What cannot be judged counts as taken: overwriting is the worse mistake.
    fn is_taken(&self, store: &StoreName, pending: &Pending) -> bool {
        let digest = pending.digest();
        let mut stores = self.stores();
        stores.retain(|candidate| candidate.name() == store);
        let read = History::read(history::Request {
            slug: &self.settings.slug,
            stores: &stores,
            trust: Trust::new(self.allowed.clone(), Vec::new()),
            mark: Some(Mark {
                seq: pending.seq,
                manifest_sha256: digest,
            }),
            since_mark: true,
            now: self.ports.clock.now(),
            cancel: self.ports.cancel,
        });
        read.map_or(true, |history| {
            let mut links = history.entries.iter().map(|entry| entry.link);
            !history.complete || links.any(|link| link.seq == pending.seq && link.digest != digest)
        })
    }
}

/// What lies where something else belongs.
struct Occupant {
    /// None if it is larger than anything that belongs there.
    bytes: Option<Vec<u8>>,
    /// What it takes to replace it, where the store tells.
    etag: Option<String>,
}

impl Occupant {
    fn of(store: &dyn Store, key: &str) -> Result<Self, StoreError> {
        match store.get(key, manifest::MAX_BYTES) {
            Ok(there) => Ok(Self {
                bytes: Some(there.bytes),
                etag: Some(there.etag),
            }),
            Err(error) if error.kind == StoreErrorKind::TooLarge => Ok(Self {
                bytes: None,
                etag: store.head(key)?.etag,
            }),
            Err(error) => Err(error),
        }
    }

    /// Replaces it, if it is still the same. What is too large to be read, in a store that names
    /// no tag without reading, counts as denied.
    fn replace(&self, store: &dyn Store, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(etag) = &self.etag else {
            let kind = StoreErrorKind::Denied;
            return Err(StoreError::new(store.name(), kind, "replace", key));
        };
        store.replace(key, bytes, etag).map(|_| ())
    }
}

/// Whether what was there is no longer what was seen a moment ago.
fn has_changed(error: &StoreError) -> bool {
    use StoreErrorKind::{AlreadyExists, NotFound};
    matches!(error.kind, AlreadyExists | NotFound)
}

/// Puts an object that must have exactly these bytes; what is there with others is replaced.
pub(super) fn put_exactly(store: &dyn Store, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
    match store.put_if_absent(key, bytes) {
        Ok(_) => Ok(()),
        Err(error) if error.kind == StoreErrorKind::AlreadyExists => {
            let there = Occupant::of(store, key)?;
            if there.bytes.as_deref() == Some(bytes) {
                return Ok(());
            }
            there.replace(store, key, bytes)
        }
        Err(error) => Err(error),
    }
}
