//! A manifest's slot in one store: claimed, found taken, or squatted.

use std::ops::ControlFlow;

use crate::base::digest::Digest;
use crate::base::names::StoreName;
use crate::model::finding::Finding;
use crate::model::manifest;
use crate::model::mark::Mark;
use crate::model::namespace::Namespace;
use crate::ops::destination::stores;
use crate::ops::history::{self, History};
use crate::ops::noncurrent;
use crate::ops::state::Pending;
use crate::sealing::sshsig::{MAX_SIGNATURE_BYTES, verify_sshsig};
use crate::store::{Store, StoreError, StoreErrorKind};

use super::Committer;

/// How often a contended slot is looked at again before it counts as taken.
const LOOKS: u32 = 5;

/// A squatter may add any number of signatures; an honest manifest has one or two.
const SIGNATURES_LOOKED_AT: usize = 16;

/// One store's answer to a claim.
pub(super) enum Slot {
    /// Our manifest has the place.
    Ours,
    /// Another valid one has it.
    Taken,
    /// Nobody knows.
    Failed(String),
}

impl Committer<'_> {
    /// Claims the manifest's slot. Where it is contended, what lies there may change between two
    /// looks: another host may take over a squatted slot at the same moment.
    pub(super) fn claim(
        &mut self,
        store: &dyn Store,
        pending: &Pending,
    ) -> Result<Slot, StoreError> {
        let key = self.layout.manifest(pending.seq);
        for _ in 0..LOOKS {
            match store.put_if_absent(&key, pending.manifest.as_bytes()) {
                Err(error) if error.kind == StoreErrorKind::AlreadyExists => {}
                put => {
                    put?;
                    self.keep_in_sight(store, &key, pending)?;
                    return Ok(Slot::Ours);
                }
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
            self.keep_in_sight(store, key, pending)?;
            return Ok(Slot::Ours);
        }
        if self.is_taken(store.name(), pending) {
            return Ok(Slot::Taken);
        }
        // A stranger's signature may be that of this host's own successor, joined after this
        // one was given up: its manifest is left alone, and ours goes beside it.
        let signed = self.carries_a_signature(store, &there);
        self.report_squatter(store, key, signed);
        let replaced = match signed {
            true => Err(denied(store, key)),
            false => there.replace(store, key, bytes),
        };
        match replaced {
            Err(error) if error.kind == StoreErrorKind::Denied => {
                self.put_to_long_key(store, pending)?;
            }
            other => {
                other?;
                self.keep_in_sight(store, key, pending)?;
            }
        }
        Ok(Slot::Ours)
    }

    /// Ours has the slot, which everybody could foresee. Of many versions readers look at the
    /// newest and the oldest: what was planted there before, and a flood afterwards, would bury
    /// ours between them. Where ours is not the first it goes to its long key as well, which
    /// nobody could foresee.
    fn keep_in_sight(
        &mut self,
        store: &dyn Store,
        key: &str,
        pending: &Pending,
    ) -> Result<(), StoreError> {
        let sight = noncurrent::look_at(store, key)?;
        let Some(oldest) = sight.noncurrent.versions().last() else {
            return match sight.is_unseen() {
                true => self.put_to_long_key(store, pending),
                false => Ok(()),
            };
        };
        let versions = store.versions();
        let oldest = versions.map(|of| of.get_version(key, &oldest.id, manifest::MAX_BYTES));
        let is_ours = oldest.is_some_and(|read| {
            read.is_ok_and(|object| object.bytes == pending.manifest.as_bytes())
        });
        if is_ours {
            return Ok(());
        }
        self.tell(Finding::violation(
            "slot-squatted",
            format!(
                "store {}: somebody had written to {key} before manifest {} was made",
                store.name(),
                pending.seq
            ),
        ));
        self.put_to_long_key(store, pending)
    }

    fn put_to_long_key(&self, store: &dyn Store, pending: &Pending) -> Result<(), StoreError> {
        let beside = self.layout.manifest_beside(pending.seq, &pending.digest());
        put_exactly(store, &beside, pending.manifest.as_bytes()).map(drop)
    }

    fn report_squatter(&mut self, store: &dyn Store, key: &str, signed: bool) {
        let store = store.name();
        let finding = match signed {
            false => Finding::violation(
                "slot-squatted",
                format!("store {store}: {key} held something that nobody signed"),
            ),
            true => Finding::violation(
                "slot-of-a-stranger",
                format!(
                    "store {store}: {key} holds a manifest with a good signature by a key that \
                     this host does not know; if another host has joined the chain, this one must \
                     stop"
                ),
            ),
        };
        self.tell(finding);
    }

    /// Whether anybody at all signed what lies there as a manifest.
    fn carries_a_signature(&self, store: &dyn Store, there: &Occupant) -> bool {
        let Some(bytes) = &there.bytes else {
            return false;
        };
        let prefix = self.layout.signatures_of(&Digest::of(bytes));
        let mut keys = Vec::new();
        let listed = store.list(&prefix, None, &mut |meta| {
            keys.push(meta.key);
            match keys.len() < SIGNATURES_LOOKED_AT {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        let good = |key: &String| {
            store
                .get(key, MAX_SIGNATURE_BYTES as u64)
                .is_ok_and(|sig| verify_sshsig(&sig.bytes, Namespace::Manifest, bytes).is_ok())
        };
        // What cannot be listed may be signed: overwriting is the worse mistake.
        listed.is_err() || keys.iter().any(good)
    }

    /// Whether a valid manifest other than ours has this place in a store, under either name.
    /// What cannot be judged counts as taken: overwriting is the worse mistake.
    fn is_taken(&self, store: &StoreName, pending: &Pending) -> bool {
        let digest = pending.digest();
        let mut stores = stores(self.ports.destinations);
        stores.retain(|candidate| candidate.name() == store);
        let read = History::read(history::Request {
            slug: self.author.slug,
            stores: &stores,
            trust: self.trust(),
            mark: Some(Mark {
                seq: pending.seq,
                manifest_sha256: digest,
            }),
            since_mark: true,
            up_to: None,
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
            return Err(denied(store, key));
        };
        store.replace(key, bytes, etag).map(|_| ())
    }
}

/// Whether what was there is no longer what was seen a moment ago.
fn has_changed(error: &StoreError) -> bool {
    use StoreErrorKind::{AlreadyExists, NotFound};
    matches!(error.kind, AlreadyExists | NotFound)
}

/// How an object came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It was there already.
    Before,
    /// It was written just now.
    Now,
}

/// Puts an object that must have exactly these bytes; what is there with others is replaced.
pub(super) fn put_exactly(store: &dyn Store, key: &str, bytes: &[u8]) -> Result<Put, StoreError> {
    match store.put_if_absent(key, bytes) {
        Ok(_) => Ok(Put::Now),
        Err(error) if error.kind == StoreErrorKind::AlreadyExists => {
            let there = Occupant::of(store, key)?;
            if there.bytes.as_deref() == Some(bytes) {
                return Ok(Put::Before);
            }
            there.replace(store, key, bytes).map(|()| Put::Now)
        }
        Err(error) => Err(error),
    }
}

fn denied(store: &dyn Store, key: &str) -> StoreError {
    StoreError::new(store.name(), StoreErrorKind::Denied, "replace", key)
}
