//! Committing: policy, instructions, signature, and last the manifest, store by store in the
//! order of the configuration. The sequence slot is the lock between hosts.

use std::collections::BTreeMap;

use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::names::StoreName;
use crate::databasus::restore_md::restore_md;
use crate::model::finding::Finding;
use crate::model::manifest::{self, Manifest};
use crate::model::mark::Mark;
use crate::model::namespace::Namespace;
use crate::model::trust::Trust;
use crate::ops::history::{self, History};
use crate::ops::state::Pending;
use crate::store::{Store, StoreError, StoreErrorKind};

use super::{Committable, Report, Run, SnapshotError, StoreReport};

/// How often a place in the chain may be lost to other hosts before the run gives up.
const RACES: u32 = 5;

/// What became of a manifest that was put into all stores.
pub(super) enum Placing {
    /// Another host's manifest has its place, and no store has taken ours.
    Lost,
    /// At least one store took it, or none could be asked.
    Placed(Placed),
}

/// A manifest and the stores that lack it.
pub(super) struct Placed {
    pub(super) pending: Pending,
    pub(super) missing: BTreeMap<StoreName, String>,
}

/// One store's answer.
enum Slot {
    Ours,
    Taken,
    Failed(String),
}

impl Run<'_> {
    pub(super) fn commit(
        &mut self,
        history: History,
        committable: Committable,
    ) -> Result<Report, SnapshotError> {
        let policy = self.policy().to_bytes()?;
        let mut manifest = self.manifest(&committable, Digest::of(&policy));
        self.put_supporting(&policy);
        let mut history = history;
        self.look_for_stolen_key(&history)?;
        for _ in 0..RACES {
            self.chain(&mut manifest, &history)?;
            let pending = self.sign(&manifest)?;
            self.ports
                .state
                .set_pending(&self.settings.slug, &pending)?;
            let digest = pending.digest();
            match self.place(pending) {
                Placing::Lost => {
                    tracing::info!(
                        seq = manifest.seq,
                        "another host was faster; chaining again"
                    );
                    self.ports.state.clear_pending(&self.settings.slug)?;
                    history = self.read_history()?;
                }
                Placing::Placed(placed) => {
                    return self.conclude(manifest, digest, committable, placed);
                }
            }
        }
        Err(SnapshotError::LostRace(RACES))
    }

    /// Gives the manifest its place after the highest head that is known.
    fn chain(&self, manifest: &mut Manifest, history: &History) -> Result<(), SnapshotError> {
        let own = self.ports.state.mark(&self.settings.slug)?;
        let marks = [own, history.mark()];
        let head = marks.into_iter().flatten().max_by_key(|mark| mark.seq);
        manifest.seq = head.map_or(1, |head| head.seq + 1);
        manifest.prev_sha256 = head.map(|head| head.manifest_sha256);
        let after = history.head().map(|head| head.link.created_at);
        manifest.created_at = after.map_or(manifest.created_at, |after| {
            after.max(self.ports.clock.now())
        });
        Ok(())
    }

    fn sign(&self, manifest: &Manifest) -> Result<Pending, SnapshotError> {
        let bytes = manifest.to_bytes()?;
        let signature = self
            .settings
            .signing_key
            .sign(Namespace::Manifest, &bytes)?;
        let stores = self.ports.destinations.iter();
        Ok(Pending {
            seq: manifest.seq,
            signer: self.settings.signer.clone(),
            manifest: String::from_utf8_lossy(&bytes).into_owned(),
            signature,
            stores: stores.map(|to| to.store.name().clone()).collect(),
        })
    }

    /// Puts signature and manifest into every store that still lacks them.
    pub(super) fn place(&mut self, pending: Pending) -> Placing {
        let mut ours = 0;
        let mut taken = Vec::new();
        let mut missing = BTreeMap::new();
        for destination in self.ports.destinations {
            let store = destination.store.as_ref();
            if !pending.stores.contains(store.name()) {
                continue;
            }
            match self.put_signed(store, &pending) {
                Slot::Ours => ours += 1,
                Slot::Failed(why) => drop(missing.insert(store.name().clone(), why)),
                Slot::Taken if ours == 0 => return Placing::Lost,
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
        Placing::Placed(Placed { pending, missing })
    }

    fn put_signed(&mut self, store: &dyn Store, pending: &Pending) -> Slot {
        let digest = pending.digest();
        let signature = self.layout.signature(&digest, &pending.signer);
        if let Err(error) = put_exactly(store, &signature, pending.signature.as_bytes()) {
            return Slot::Failed(error_chain(&error));
        }
        let key = self.layout.manifest(pending.seq);
        let bytes = pending.manifest.as_bytes();
        match store.put_if_absent(&key, bytes) {
            Ok(_) => Slot::Ours,
            Err(error) if error.kind == StoreErrorKind::AlreadyExists => self
                .contend(store, &key, pending)
                .unwrap_or_else(|error| Slot::Failed(error_chain(&error))),
            Err(error) => Slot::Failed(error_chain(&error)),
        }
    }

    /// The slot is taken: by the same bytes, by another valid manifest, or by a squatter, who is
    /// not waited for.
    fn contend(
        &mut self,
        store: &dyn Store,
        key: &str,
        pending: &Pending,
    ) -> Result<Slot, StoreError> {
        let there = store.get(key, manifest::MAX_BYTES)?;
        let bytes = pending.manifest.as_bytes();
        if there.bytes == bytes {
            return Ok(Slot::Ours);
        }
        if self.is_valid_manifest(store.name(), pending.seq, &Digest::of(&there.bytes)) {
            return Ok(Slot::Taken);
        }
        self.findings.push(Finding::violation(
            "slot-squatted",
            format!(
                "store {}: {key} held something that nobody here signed",
                store.name()
            ),
        ));
        match store.replace(key, bytes, &there.etag) {
            Ok(_) => Ok(Slot::Ours),
            Err(error) if error.kind == StoreErrorKind::Denied => {
                let beside = self.layout.manifest_beside(pending.seq, &pending.digest());
                put_exactly(store, &beside, bytes).map(|()| Slot::Ours)
            }
            Err(error) => Err(error),
        }
    }

    fn is_valid_manifest(&self, store: &StoreName, seq: u64, digest: &Digest) -> bool {
        let stores: Vec<_> = self
            .stores()
            .into_iter()
            .filter(|candidate| candidate.name() == store)
            .collect();
        let read = History::read(history::Request {
            slug: &self.settings.slug,
            stores: &stores,
            trust: Trust::new(self.allowed.clone(), Vec::new()),
            mark: Some(Mark {
                seq,
                manifest_sha256: *digest,
            }),
            since_mark: true,
            now: self.ports.clock.now(),
            cancel: self.ports.cancel,
        });
        // A slot that cannot be judged is treated as taken: overwriting is the worse mistake.
        read.map_or(true, |history| {
            let mut entries = history.entries.iter();
            entries.any(|entry| entry.link.seq == seq && entry.link.digest == *digest)
        })
    }

    /// Recipients, signers and instructions, named by their digests, before any manifest names
    /// them. A store that cannot take them cannot take the manifest either, and says so then.
    fn put_supporting(&mut self, policy: &[u8]) {
        let restore = restore_md().as_bytes();
        let documents = [
            (self.layout.policy(&Digest::of(policy)), policy),
            (self.layout.restore_md(&Digest::of(restore)), restore),
        ];
        for destination in self.ports.destinations {
            for (key, bytes) in &documents {
                let store = destination.store.as_ref();
                if let Err(error) = put_exactly(store, key, bytes) {
                    self.findings
                        .push(Finding::warning("document-missing", error_chain(&error)));
                }
            }
        }
    }

    /// A manifest above this host's mark, signed with this host's key, was made by somebody else
    /// who has the key, or this host's state was set back.
    fn look_for_stolen_key(&mut self, history: &History) -> Result<(), SnapshotError> {
        let own = self.ports.state.mark(&self.settings.slug)?;
        let ours = self.settings.signing_key.fingerprint();
        let above = |entry: &&history::Entry| {
            entry.fingerprint == ours && own.is_none_or(|mark| entry.link.seq > mark.seq)
        };
        if let Some(entry) = history.entries.iter().find(above) {
            self.findings.push(Finding::violation(
                "unknown-manifest-of-ours",
                format!(
                    "manifest {} is signed with this host's key, but this host does not know it: \
                     the key was stolen, or the state directory was lost or set back",
                    entry.link.seq
                ),
            ));
        }
        Ok(())
    }

    fn conclude(
        &mut self,
        manifest: Manifest,
        digest: Digest,
        committable: Committable,
        mut placed: Placed,
    ) -> Result<Report, SnapshotError> {
        for destination in self.ports.destinations {
            let store = destination.store.as_ref();
            if !placed.missing.contains_key(store.name())
                && let Err(why) = self.read_back_documents(store, &placed.pending)
            {
                placed.missing.insert(store.name().clone(), why);
            }
        }
        let stores: Vec<StoreReport> = committable
            .copies
            .iter()
            .map(|copy| {
                let name = copy.destination.store.name();
                StoreReport {
                    name: name.clone(),
                    required: copy.destination.required,
                    failure: copy.failure().or_else(|| placed.missing.get(name).cloned()),
                }
            })
            .collect();
        if stores.iter().all(|store| store.failure.is_some()) {
            self.ports.cancel.check()?;
            let told = stores.into_iter().filter_map(|store| store.failure);
            return Err(SnapshotError::NoStore {
                told: told.collect(),
                first: None,
            });
        }
        self.remember(&placed)?;
        Ok(Report {
            manifest,
            digest,
            stores,
            findings: std::mem::take(&mut self.findings),
        })
    }

    fn read_back_documents(&self, store: &dyn Store, pending: &Pending) -> Result<(), String> {
        let digest = pending.digest();
        let documents = [
            (self.layout.manifest(pending.seq), &pending.manifest),
            (
                self.layout.signature(&digest, &pending.signer),
                &pending.signature,
            ),
        ];
        for (key, expected) in documents {
            let read = store.get(&key, manifest::MAX_BYTES);
            let there = match read {
                Ok(object) => object.bytes,
                Err(error) => return Err(error_chain(&error)),
            };
            let beside = self.layout.manifest_beside(pending.seq, &digest);
            let is_ours = there == expected.as_bytes()
                || (key == self.layout.manifest(pending.seq) && store.head(&beside).is_ok());
            if !is_ours {
                return Err(format!("store {}: {key} reads back changed", store.name()));
            }
        }
        Ok(())
    }

    /// Keeps what the next run must know: the mark, and the stores that lack the manifest.
    pub(super) fn remember(&mut self, placed: &Placed) -> Result<(), SnapshotError> {
        let (state, slug) = (self.ports.state, &self.settings.slug);
        let taken = placed.missing.len() < placed.pending.stores.len();
        if taken {
            let mark = Mark {
                seq: placed.pending.seq,
                manifest_sha256: placed.pending.digest(),
            };
            state.raise_mark(slug, mark)?;
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

/// Puts an object that must have exactly these bytes; what is there with others is replaced.
fn put_exactly(store: &dyn Store, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
    match store.put_if_absent(key, bytes) {
        Ok(_) => Ok(()),
        Err(error) if error.kind == StoreErrorKind::AlreadyExists => {
            // What is there may be larger than what belongs there, and is then replaced too.
            let there = store.get(key, manifest::MAX_BYTES)?;
            if there.bytes == bytes {
                return Ok(());
            }
            store.replace(key, bytes, &there.etag).map(|_| ())
        }
        Err(error) => Err(error),
    }
}
