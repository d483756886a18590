//! An escrow in short: what its manifest says, and what later manifests say of it.

use crate::base::digest::Digest;
use crate::base::names::{EscrowId, RekeyId, StoreName};
use crate::base::time::UtcTime;
use crate::model::amend::{Change, Rekeyed};
use crate::model::layout::{Layout, Sealed};
use crate::model::manifest::{Manifest, StoreRecord, StoreState, Unlock};
use crate::model::method::Method;
use crate::model::proof::ProofRecord;

use super::Entry;

/// What a manifest says of its escrow, in short.
#[derive(Clone, Debug)]
pub struct EscrowSummary {
    /// Its id.
    pub id: EscrowId,
    /// When the copy began.
    pub snapshot_at: UtcTime,
    /// Size of the payload in bytes.
    pub size: u64,
    /// How the copy was made consistent.
    pub method: Method,
    /// PostgreSQL's version.
    pub pg_version: String,
    /// The Databasus release, where it was known.
    pub databasus_version: Option<String>,
    /// Fingerprint of `secret.key`.
    pub secret_key_id: String,
    /// Digest of the policy in force: recipients and signers.
    pub policy_sha256: Digest,
    /// What was proven before the manifest was signed; none where nothing was tried.
    pub proof: Option<ProofRecord>,
    /// Stores that held the payload when the manifest was signed, or got it later, as a signed
    /// manifest says.
    pub stored_in: Vec<StoreName>,
    /// The copies that were made later.
    pub late_copies: Vec<StoreRecord>,
    /// The manifests by which retention let it go, oldest first: its payload may be gone.
    pub let_go_by: Vec<u64>,
    /// Keys and sizes in bytes of what it takes to open it beside identities (k-of-n custody).
    pub unlock: Vec<(String, u64)>,
    /// How it was sealed again, the newest last.
    pub rekeyed: Vec<Resealing>,
}

/// An escrow's later sealing, and the manifest that reports it.
#[derive(Clone, Debug)]
pub struct Resealing {
    /// That manifest's sequence number.
    pub seq: u64,
    /// What it says.
    pub rekeyed: Box<Rekeyed>,
}

impl EscrowSummary {
    pub(super) fn of(manifest: &Manifest) -> Self {
        let stored = manifest.stores.iter();
        Self {
            id: manifest.escrow_id.clone(),
            snapshot_at: manifest.snapshot_at,
            size: manifest.payload.size,
            method: manifest.source.method,
            pg_version: manifest.source.pg_version.clone(),
            databasus_version: manifest.source.databasus_version.clone(),
            secret_key_id: manifest.secret_key_id.clone(),
            policy_sha256: manifest.policy_sha256,
            proof: manifest.proof.clone(),
            stored_in: stored
                .filter(|record| record.state == StoreState::Stored)
                .map(|record| record.name.clone())
                .collect(),
            late_copies: Vec::new(),
            let_go_by: Vec::new(),
            unlock: keys_and_sizes(&manifest.unlock),
            rekeyed: Vec::new(),
        }
    }

    /// Whether retention let it go.
    pub fn is_let_go(&self) -> bool {
        !self.let_go_by.is_empty()
    }

    /// Which sealing is in force.
    pub fn sealed(&self) -> Sealed<'_> {
        Sealed {
            escrow: &self.id,
            rekey: self.rekey_id(),
        }
    }

    fn rekey_id(&self) -> Option<&RekeyId> {
        Some(&self.rekeyed.last()?.rekeyed.rekey_id)
    }

    /// The copies that held the payload before are of no use to the new sealing.
    fn reseal(&mut self, seq: u64, rekeyed: &Rekeyed) {
        let stored = rekeyed.stores.iter();
        let stored = stored.filter(|record| record.state == StoreState::Stored);
        self.stored_in = stored.map(|record| record.name.clone()).collect();
        self.late_copies.clear();
        self.size = rekeyed.payload.size;
        self.unlock = keys_and_sizes(&rekeyed.unlock);
        self.policy_sha256 = rekeyed.policy_sha256;
        self.rekeyed.push(Resealing {
            seq,
            rekeyed: Box::new(rekeyed.clone()),
        });
    }

    fn add_copy(&mut self, layout: &Layout, copy: &StoreRecord) {
        // Another host may have copied what was just sealed again.
        let is_replaced = !self.rekeyed.is_empty() && copy.key != layout.payload(self.sealed());
        if copy.state == StoreState::Stored && !is_replaced {
            if !self.stored_in.contains(&copy.name) {
                self.stored_in.push(copy.name.clone());
            }
            self.late_copies.push(copy.clone());
        }
    }
}

fn keys_and_sizes(unlock: &[Unlock]) -> Vec<(String, u64)> {
    let files = unlock.iter();
    files.map(|one| (one.key.clone(), one.size)).collect()
}

/// Lets each escrow know what later manifests say of it.
pub(super) fn amend(entries: &mut [Entry], layout: &Layout) {
    let reports = entries.iter_mut().filter(|entry| !entry.changes.is_empty());
    let reports: Vec<(u64, Vec<Change>)> = reports
        .map(|entry| (entry.link.seq, entry.changes.clone()))
        .collect();
    for entry in entries {
        let Some(escrow) = &mut entry.escrow else {
            continue;
        };
        let later = reports.iter().filter(|(seq, _)| *seq > entry.link.seq);
        for (seq, change) in later.flat_map(|(seq, changes)| changes.iter().map(move |c| (seq, c)))
        {
            match change {
                Change::Copied { escrow_id, store } if *escrow_id == escrow.id => {
                    escrow.add_copy(layout, store);
                }
                Change::Expired { escrow_ids } if escrow_ids.contains(&escrow.id) => {
                    escrow.let_go_by.push(*seq);
                }
                Change::Rekeyed(rekeyed) if rekeyed.escrow_id == escrow.id => {
                    escrow.reseal(*seq, rekeyed);
                }
                _ => {}
            }
        }
    }
}
