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
use crate::ops::history::{self, History};
use crate::ops::state::Pending;
use crate::store::Store;

use super::copies::Copy;
use super::slot::{Slot, put_exactly};
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

/// A manifest, and what became of it in the stores that were to hold it.
pub(super) struct Placed {
    pub(super) pending: Pending,
    /// How many have taken it.
    pub(super) holders: usize,
    /// Why the others have not.
    pub(super) missing: BTreeMap<StoreName, String>,
}

impl Run<'_> {
    pub(super) fn commit(
        &mut self,
        history: History,
        committable: Committable,
    ) -> Result<Report, SnapshotError> {
        let policy = self.policy().to_bytes()?;
        let mut manifest = self.manifest(&committable, Digest::of(&policy));
        self.compare_policy(&history, manifest.policy_sha256);
        let undocumented = self.put_supporting(&policy, &committable.sealed.custodial.objects);
        let mut history = history;
        for _ in 0..RACES {
            // Whoever won the last race may have done so with this host's own key.
            self.look_for_stolen_key(&history)?;
            self.chain(&mut manifest, &history)?;
            let pending = self.sign(&manifest)?;
            self.ports
                .state
                .set_pending(&self.settings.slug, &pending)?;
            let digest = pending.digest();
            match self.place(pending) {
                Placing::Lost => {
                    // What could not be judged because of a signal was not lost.
                    self.ports.cancel.check()?;
                    tracing::info!(
                        seq = manifest.seq,
                        "another host was faster; chaining again"
                    );
                    self.ports.state.clear_pending(&self.settings.slug)?;
                    history = self.read_history()?;
                }
                Placing::Placed(placed) => {
                    let lacking = self.read_back_all(&committable, &undocumented, placed)?;
                    return Ok(self.report(manifest, digest, lacking));
                }
            }
        }
        Err(SnapshotError::LostRace(RACES))
    }

    /// Recipients or signers that changed make the printed trust card an old one.
    fn compare_policy(&mut self, history: &History, policy: Digest) {
        let last = history.escrows().next_back();
        let changed = last.filter(|(_, escrow)| escrow.policy_sha256 != policy);
        if let Some((entry, _)) = changed {
            let seq = entry.link.seq;
            self.findings.push(Finding::note(
                "policy-changed",
                format!(
                    "recipients or signers have changed since manifest {seq}: print the trust card \
                     again"
                ),
            ));
        }
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

    /// Puts recipients, signers and instructions, named by their digests, before any manifest
    /// names them. Returns what each store did not take.
    fn put_supporting(
        &mut self,
        policy: &[u8],
        custodial: &[(String, Vec<u8>)],
    ) -> BTreeMap<StoreName, String> {
        let restore = restore_md().as_bytes();
        let mut documents = vec![
            (self.layout.policy(&Digest::of(policy)), policy),
            (self.layout.restore_md(&Digest::of(restore)), restore),
        ];
        let custodial = custodial.iter();
        documents.extend(custodial.map(|(key, bytes)| (key.clone(), bytes.as_slice())));
        let mut lacking = BTreeMap::new();
        for destination in self.ports.destinations {
            let store = destination.store.as_ref();
            for (key, bytes) in &documents {
                if let Err(error) = put_exactly(store, key, bytes) {
                    let why = error_chain(&error);
                    self.findings.push(match destination.required {
                        true => Finding::warning("document-missing", &*why),
                        false => Finding::note("document-missing", &*why),
                    });
                    lacking.insert(store.name().clone(), why);
                }
            }
        }
        lacking
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
            let finding = Finding::violation(
                "unknown-manifest-of-ours",
                format!(
                    "manifest {} is signed with this host's key, but this host does not know it: \
                     the key was stolen, or the state directory was lost or set back",
                    entry.link.seq
                ),
            );
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
        Ok(())
    }

    /// What each store has in the end, and the memory of it. Fails if no store took the
    /// manifest: then it is kept, and the next run puts it again.
    fn read_back_all(
        &mut self,
        committable: &Committable,
        undocumented: &BTreeMap<StoreName, String>,
        mut placed: Placed,
    ) -> Result<Vec<StoreReport>, SnapshotError> {
        for destination in self.ports.destinations {
            let store = destination.store.as_ref();
            if !placed.missing.contains_key(store.name())
                && let Err(why) = self.read_back_documents(store, &placed.pending)
            {
                placed.missing.insert(store.name().clone(), why);
            }
        }
        if placed.holders == 0 {
            self.ports.cancel.check()?;
            return Err(SnapshotError::NoStore {
                told: placed.missing.into_values().collect(),
                first: None,
            });
        }
        self.remember(&placed)?;
        let failure = |copy: &Copy| {
            let name = copy.name();
            let lacks = placed.missing.get(name).or(undocumented.get(name));
            copy.failure().or_else(|| lacks.cloned())
        };
        let copies = committable.copies.iter();
        Ok(copies
            .map(|copy| StoreReport {
                name: copy.name().clone(),
                required: copy.destination.required,
                failure: failure(copy),
            })
            .collect())
    }

    fn report(&mut self, manifest: Manifest, digest: Digest, stores: Vec<StoreReport>) -> Report {
        Report {
            manifest,
            digest,
            stores,
            findings: std::mem::take(&mut self.findings),
        }
    }

    fn read_back_documents(&self, store: &dyn Store, pending: &Pending) -> Result<(), String> {
        let digest = pending.digest();
        let signature = self.layout.signature(&digest, &pending.signer);
        compare(store, &signature, pending.signature.as_bytes())?;
        let manifest = pending.manifest.as_bytes();
        let beside = self.layout.manifest_beside(pending.seq, &digest);
        compare(store, &self.layout.manifest(pending.seq), manifest)
            .or_else(|why| compare(store, &beside, manifest).map_err(|_| why))
    }

    /// Keeps what the next run must know: the mark, and the stores that lack the manifest.
    pub(super) fn remember(&mut self, placed: &Placed) -> Result<(), SnapshotError> {
        let (state, slug) = (self.ports.state, &self.settings.slug);
        if placed.holders > 0 {
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

fn compare(store: &dyn Store, key: &str, expected: &[u8]) -> Result<(), String> {
    let there = store
        .get(key, manifest::MAX_BYTES)
        .map_err(|error| error_chain(&error))?;
    match there.bytes == expected {
        true => Ok(()),
        false => Err(format!("store {}: {key} reads back changed", store.name())),
    }
}
