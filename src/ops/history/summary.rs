//! An escrow in short: what its manifest says, and what later manifests say of it.

use crate::base::digest::Digest;
use crate::base::names::{EscrowId, RekeyId, StoreName};
use crate::base::time::UtcTime;
use crate::model::amend::{Change, Rekeyed};
use crate::model::audit::past::SealedTo;
use crate::model::fork::Fork;
use crate::model::layout::{Layout, Sealed};
use crate::model::lock::{Lock, LockState};
use crate::model::manifest::{
    Custody, Manifest, Recipient, Source, StoreRecord, StoreState, Unlock,
};
use crate::model::mark::Mark;
use crate::model::method::Method;
use crate::model::proof::ProofRecord;
use crate::model::recipients::RecipientSpec;
use crate::postgres::lsn::Lsn;

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
    /// How many parts it has.
    pub parts: usize,
    /// The entity tag that S3 gives an upload of these parts.
    pub md5_etag: String,
    /// How the copy was made consistent.
    pub method: Method,
    /// PostgreSQL's version.
    pub pg_version: String,
    /// The Databasus release, where it was known.
    pub databasus_version: Option<String>,
    /// Fingerprint of `secret.key`.
    pub secret_key_id: String,
    /// PostgreSQL's system identifier, in decimal.
    pub system_identifier: String,
    /// Timeline, and the position in the log at which replay of the copy begins; none where the
    /// manifest tells none.
    pub position: Option<(u32, Lsn)>,
    /// Digest of the policy in force: recipients and signers.
    pub policy_sha256: Digest,
    /// What was proven before the manifest was signed; none where nothing was tried.
    pub proof: Option<ProofRecord>,
    /// Stores that held the payload when the manifest was signed, or got it later, as a signed
    /// manifest says.
    pub stored_in: Vec<StoreName>,
    /// The copies that the manifest records, or that of the newest sealing.
    pub first_copies: Vec<StoreRecord>,
    /// The copies that were made later.
    pub late_copies: Vec<StoreRecord>,
    /// The manifests by which retention let it go, oldest first: its payload may be gone.
    pub let_go_by: Vec<Mark>,
    /// Keys and sizes in bytes of what it takes to open it beside identities (k-of-n custody).
    pub unlock: Vec<(String, u64)>,
    /// How it was sealed again, the newest last.
    pub rekeyed: Vec<Resealing>,
    /// To whom it is sealed.
    pub sealed_to: SealedFor,
    /// To whom it was sealed before it was sealed again, the oldest first.
    pub sealed_before: Vec<SealedFor>,
}

/// Who can open one sealing of an escrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedFor {
    /// How many of them it takes.
    pub custody: Custody,
    /// Each of them.
    pub to: SealedTo,
    /// Until when a recorded lock keeps a copy of it; none where there is none, and of the sealing
    /// in force, whose copies [`EscrowSummary::recorded_locks`] tells.
    pub locked_until: Option<UtcTime>,
}

/// An escrow's later sealing, and the manifest that reports it.
#[derive(Clone, Debug)]
pub struct Resealing {
    /// That manifest.
    pub by: Mark,
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
            parts: manifest.payload.parts.len(),
            md5_etag: manifest.payload.md5_etag.clone(),
            method: manifest.source.method,
            pg_version: manifest.source.pg_version.clone(),
            databasus_version: manifest.source.databasus_version.clone(),
            secret_key_id: manifest.secret_key_id.clone(),
            system_identifier: manifest.source.system_identifier.clone(),
            position: position(&manifest.source),
            policy_sha256: manifest.policy_sha256,
            proof: manifest.proof.clone(),
            stored_in: stored
                .filter(|record| record.state == StoreState::Stored)
                .map(|record| record.name.clone())
                .collect(),
            first_copies: manifest.stores.clone(),
            late_copies: Vec::new(),
            let_go_by: Vec::new(),
            unlock: keys_and_sizes(&manifest.unlock),
            rekeyed: Vec::new(),
            sealed_to: SealedFor::of(&manifest.custody, &manifest.recipients),
            sealed_before: Vec::new(),
        }
    }

    /// Whether retention let it go.
    pub fn is_let_go(&self) -> bool {
        !self.let_go_by.is_empty()
    }

    /// Whether a copy may have this entity tag: the usual one for its parts, or one that a store gave
    /// when it took it.
    pub fn may_have_etag(&self, etag: &str) -> bool {
        let recorded = self.first_copies.iter().chain(&self.late_copies);
        let mut recorded = recorded.filter_map(|copy| copy.etag.as_deref());
        self.md5_etag == etag || recorded.any(|known| known == etag)
    }

    /// Which sealing is in force.
    pub fn sealed(&self) -> Sealed<'_> {
        Sealed {
            escrow: &self.id,
            rekey: self.rekey_id(),
        }
    }

    /// The newest record of a copy in this store.
    pub fn record_in(&self, store: &StoreName) -> Option<&StoreRecord> {
        let newest_last = self.first_copies.iter().chain(&self.late_copies);
        let mut own =
            newest_last.filter(|one| one.name == *store && one.state == StoreState::Stored);
        own.next_back()
    }

    /// The lock on each copy, as the manifest recorded it that tells of the copy.
    pub fn recorded_locks(&self) -> impl Iterator<Item = (&StoreName, Lock)> {
        let records = self.first_copies.iter().chain(&self.late_copies);
        records.filter_map(|record| match record.lock.as_ref()?.state() {
            LockState::Locked(lock) => Some((&record.name, lock)),
            LockState::Unlocked | LockState::Unknown => None,
        })
    }

    fn rekey_id(&self) -> Option<&RekeyId> {
        Some(&self.rekeyed.last()?.rekeyed.rekey_id)
    }

    /// The copies that held the payload before are of no use to the new sealing.
    fn reseal(&mut self, by: Mark, rekeyed: &Rekeyed) {
        let mut before = SealedFor::of(&rekeyed.custody, &rekeyed.recipients);
        std::mem::swap(&mut before, &mut self.sealed_to);
        before.locked_until = self.recorded_locks().map(|(_, lock)| lock.until).max();
        self.sealed_before.push(before);
        let stored = rekeyed.stores.iter();
        let stored = stored.filter(|record| record.state == StoreState::Stored);
        self.stored_in = stored.map(|record| record.name.clone()).collect();
        self.late_copies.clear();
        self.first_copies = rekeyed.stores.clone();
        self.size = rekeyed.payload.size;
        self.parts = rekeyed.payload.parts.len();
        self.md5_etag = rekeyed.payload.md5_etag.clone();
        self.unlock = keys_and_sizes(&rekeyed.unlock);
        self.policy_sha256 = rekeyed.policy_sha256;
        self.rekeyed.push(Resealing {
            by,
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

fn position(source: &Source) -> Option<(u32, Lsn)> {
    let start = source.start_lsn.as_deref()?.parse().ok()?;
    Some((source.timeline, start))
}

impl SealedFor {
    fn of(custody: &Custody, recipients: &[Recipient]) -> Self {
        let named = recipients.iter().map(|one| {
            let spec = RecipientSpec::parse(one.custodian.as_str(), &one.recipient);
            (
                one.custodian.clone(),
                spec.ok().map(|spec| spec.fingerprint),
            )
        });
        Self {
            custody: custody.clone(),
            to: named.collect(),
            locked_until: None,
        }
    }
}

fn keys_and_sizes(unlock: &[Unlock]) -> Vec<(String, u64)> {
    let files = unlock.iter();
    files.map(|one| (one.key.clone(), one.size)).collect()
}

/// Lets each escrow know what later manifests say of it. What lies beside the chain says nothing:
/// whoever made a fork must not direct readers of the chain.
pub(super) fn amend(entries: &mut [Entry], layout: &Layout, forks: &[Fork]) {
    let is_aside = |mark: &Mark| {
        let mut followed = forks.iter().filter(|fork| fork.followed.is_some());
        followed.any(|fork| fork.others.contains(&mark.manifest_sha256))
    };
    let reports = entries.iter().filter(|entry| !entry.changes.is_empty());
    let reports: Vec<(Mark, Vec<Change>)> = reports
        .map(|entry| (entry.mark(), entry.changes.clone()))
        .filter(|(mark, _)| !is_aside(mark))
        .collect();
    for entry in entries {
        let Some(escrow) = &mut entry.escrow else {
            continue;
        };
        let later = reports.iter().filter(|(by, _)| by.seq > entry.link.seq);
        for (by, change) in later.flat_map(|(by, changes)| changes.iter().map(move |c| (by, c))) {
            match change {
                Change::Copied { escrow_id, store } if *escrow_id == escrow.id => {
                    escrow.add_copy(layout, store);
                }
                Change::Expired { escrow_ids } if escrow_ids.contains(&escrow.id) => {
                    escrow.let_go_by.push(*by);
                }
                Change::Rekeyed(rekeyed) if rekeyed.escrow_id == escrow.id => {
                    escrow.reseal(*by, rekeyed);
                }
                _ => {}
            }
        }
    }
}
