//! The identity of an escrow that takes several custodians, where enough of their identities are
//! on one machine. Nothing of it touches a disk.

use std::collections::BTreeSet;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::signed_object::{self, SignedObjectError};
use crate::base::names::CustodianName;
use crate::model::manifest::{Canary, CustodyMode, Manifest, Unlock};
use crate::sealing::custody::{
    EscrowIdentity, LayerError, MAX_LAYER_BYTES, UnlockError, open_layer,
};
use crate::sealing::identities::Identities;
use crate::store::Store;

/// Opens an unlock file of a verified manifest with these identities, in memory; none where each
/// custodian opens the escrow alone. No file is opened whose digest is not the signed one.
pub fn escrow_identity(
    manifest: &Manifest,
    stores: &[Arc<dyn Store>],
    identities: &Identities,
) -> Result<Option<EscrowIdentity>, UnlockError> {
    if manifest.custody.mode == CustodyMode::Any {
        return Ok(None);
    }
    let mut absent = BTreeSet::new();
    let mut damage = None;
    for unlock in &manifest.unlock {
        if unlock.custodians.iter().any(|name| absent.contains(name)) {
            continue;
        }
        match open(unlock, stores, identities) {
            Ok(identity) => return Ok(Some(identity)),
            Err(Refusal::Absent(custodian)) => drop(absent.insert(custodian)),
            Err(Refusal::Unusable(error)) => drop(damage.get_or_insert(error)),
        }
    }
    Err(damage.unwrap_or_else(|| quorum_not_met(manifest, stores, identities)))
}

enum Refusal {
    /// This custodian's identity is not here.
    Absent(CustodianName),
    /// The file is no good.
    Unusable(UnlockError),
}

fn open(
    unlock: &Unlock,
    stores: &[Arc<dyn Store>],
    identities: &Identities,
) -> Result<EscrowIdentity, Refusal> {
    let file = read(unlock, stores).map_err(Refusal::Unusable)?;
    let key = || unlock.key.clone();
    let mut content = Zeroizing::new(file);
    for custodian in &unlock.custodians {
        content = open_layer(&content, identities).map_err(|error| match error {
            LayerError::NoIdentity => Refusal::Absent(custodian.clone()),
            source => Refusal::Unusable(UnlockError::Layer { key: key(), source }),
        })?;
    }
    EscrowIdentity::parse(&content)
        .map_err(|source| Refusal::Unusable(UnlockError::Content { key: key(), source }))
}

/// Reads an unlock file as it was signed.
pub(super) fn read(unlock: &Unlock, stores: &[Arc<dyn Store>]) -> Result<Vec<u8>, UnlockError> {
    let read = signed_object::read(stores, &unlock.key, MAX_LAYER_BYTES as u64, &unlock.sha256);
    read.map_err(|error| match error {
        SignedObjectError::Differs(key) => UnlockError::Differs(key),
        error => UnlockError::Unreadable {
            key: unlock.key.clone(),
            source: error.into(),
        },
    })
}

/// Whose identities these are is told by the canaries, since unlock files show the outermost
/// layer alone.
fn quorum_not_met(
    manifest: &Manifest,
    stores: &[Arc<dyn Store>],
    identities: &Identities,
) -> UnlockError {
    let opens = |canary: &Canary| {
        let max_bytes = MAX_LAYER_BYTES as u64;
        let file = signed_object::read(stores, &canary.key, max_bytes, &canary.sha256);
        file.is_ok_and(|file| open_layer(&file, identities).is_ok())
    };
    let present = manifest.canaries.iter().filter(|canary| opens(canary));
    let present: Vec<CustodianName> = present.map(|canary| canary.custodian.clone()).collect();
    let everybody = manifest.recipients.iter().map(|one| &one.custodian);
    UnlockError::QuorumNotMet {
        k: manifest.custody.k.unwrap_or_default(),
        others: everybody
            .filter(|name| !present.contains(name))
            .cloned()
            .collect(),
        present,
    }
}
