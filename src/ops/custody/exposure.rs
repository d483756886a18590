//! What somebody who leaves can still open, by signed manifests alone.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::base::names::{CustodianName, EscrowId, StoreName};
use crate::base::time::UtcTime;
use crate::model::manifest::{Custody, Manifest, Recipient, StoreRecord, StoreState};
use crate::ops::history::{History, HistoryError};

/// An escrow that a leaver's identity takes part in opening.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Exposure {
    /// Which.
    pub escrow_id: EscrowId,
    /// Its place in the chain.
    pub seq: u64,
    /// Of when.
    pub snapshot_at: UtcTime,
    /// How many others it takes: 0 if the leaver opens it alone.
    pub others_needed: u32,
    /// Where its payload was stored.
    pub copies: Vec<ExposedCopy>,
    /// Whether retention has let it go: copies may be deleted by now.
    pub let_go: bool,
    /// The manifest by which it was sealed to others: unlocked copies may be deleted by now.
    pub replaced_by: Option<u64>,
}

/// A copy that somebody who can read the store can open.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ExposedCopy {
    /// The store.
    pub store: StoreName,
    /// Until when nobody can delete it; null where no lock is on record.
    pub locked_until: Option<UtcTime>,
}

/// Every sealing of an escrow that a custodian's identities open, the newest escrow first: those that
/// name the custodian, and those that name a recipient of theirs under another name. `in_force` is
/// the recipient that stands in the recipients file now, where one does.
pub fn of(
    history: &History,
    custodian: &CustodianName,
    in_force: Option<&str>,
) -> Result<Vec<Exposure>, HistoryError> {
    let mut all = Vec::new();
    for (entry, summary) in history.escrows().rev() {
        let sealings = history.load_sealings(entry)?;
        let later = summary.rekeyed.iter().map(|later| Some(later.by.seq));
        let replaced_by = later.chain([None]);
        let sealings = sealings.into_iter().zip(replaced_by);
        all.extend(sealings.map(|(manifest, replaced_by)| {
            let exposure = Exposure {
                let_go: summary.is_let_go(),
                replaced_by,
                ..exposure(&manifest)
            };
            (manifest.recipients, exposure)
        }));
    }
    let recipients: Vec<&[Recipient]> = all.iter().map(|(to, _)| to.as_slice()).collect();
    let theirs = held_by(custodian, in_force, &recipients);
    all.retain(|(to, _)| to.iter().any(|one| is_theirs(one, custodian, &theirs)));
    Ok(all.into_iter().map(|(_, exposure)| exposure).collect())
}

/// Every recipient that somebody has ever had. Names are changed easily, keys are what opens.
fn held_by(
    custodian: &CustodianName,
    in_force: Option<&str>,
    sealings: &[&[Recipient]],
) -> BTreeSet<String> {
    let all = sealings.iter().flat_map(|recipients| recipients.iter());
    let theirs = all.filter(|one| one.custodian == *custodian);
    let theirs = theirs.map(|one| one.recipient.clone());
    theirs.chain(in_force.map(str::to_owned)).collect()
}

fn is_theirs(one: &Recipient, custodian: &CustodianName, theirs: &BTreeSet<String>) -> bool {
    one.custodian == *custodian || theirs.contains(&one.recipient)
}

fn exposure(manifest: &Manifest) -> Exposure {
    Exposure {
        escrow_id: manifest.escrow_id.clone(),
        seq: manifest.seq,
        snapshot_at: manifest.snapshot_at,
        others_needed: others_needed(&manifest.custody),
        copies: copies(manifest),
        let_go: false,
        replaced_by: None,
    }
}

/// Where a payload was stored, when its manifest was signed and later.
pub fn copies(manifest: &Manifest) -> Vec<ExposedCopy> {
    let records = manifest.stores.iter();
    let stored = records.filter(|record| record.state == StoreState::Stored);
    stored.map(copy).collect()
}

fn others_needed(custody: &Custody) -> u32 {
    custody.k.map_or(0, |k| k.saturating_sub(1))
}

fn copy(record: &StoreRecord) -> ExposedCopy {
    let lock = record.lock.as_ref();
    ExposedCopy {
        store: record.name.clone(),
        locked_until: lock.and_then(|lock| lock.retain_until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaver_opens_alone_or_with_as_many_as_are_left() {
        let custody = |mode, k| serde_json::from_value(serde_json::json!({"mode": mode, "k": k}));
        assert_eq!(others_needed(&custody("any", None::<u32>).unwrap()), 0);
        assert_eq!(others_needed(&custody("k-of-n", Some(3)).unwrap()), 2);
    }

    #[test]
    fn a_lock_on_record_says_until_when_a_copy_stays() {
        let record = |lock: serde_json::Value| {
            serde_json::from_value(serde_json::json!({
                "name": "worm", "provider": "aws", "bucket": "b", "key": "k", "version_id": null,
                "etag": null, "state": "stored", "lock": lock,
            }))
        };
        let until = "2026-07-12T02:00:00Z";
        let locked = serde_json::json!({"mode": "compliance", "retain_until": until});
        assert_eq!(
            copy(&record(locked).unwrap()).locked_until,
            Some(until.parse().unwrap())
        );
        let unlocked = record(serde_json::Value::Null).unwrap();
        assert_eq!(copy(&unlocked).locked_until, None);
    }
}
