//! The manifest that commits no escrow, and reports what became of earlier ones (FORMAT.md,
//! "Amend").

use serde::{Deserialize, Serialize};

use super::layout::Sealed;
use super::manifest::{
    Canary, Custody, FORMAT, Instance, Kind, Manifest, ManifestError, Payload, Place, Recipient,
    StoreRecord, Tool, Unlock,
};
use super::strict_json::{self, StrictJsonError};
use crate::base::digest::Digest;
use crate::base::names::{EscrowId, RekeyId};
use crate::base::time::UtcTime;

/// A manifest of kind [`Kind::Amend`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amend {
    /// [`FORMAT`].
    pub format: String,
    /// [`Kind::Amend`].
    pub kind: Kind,
    /// Who wrote it.
    pub tool: Tool,
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// Digest of the manifest before it.
    pub prev_sha256: Option<Digest>,
    /// Whose it is.
    pub instance: Instance,
    /// When this manifest was signed.
    pub created_at: UtcTime,
    /// Of the newest escrow: an amend puts no snapshot off.
    pub next_due: UtcTime,
    /// What it reports.
    pub changes: Vec<Change>,
}

/// What an amend reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// A store that lacked an escrow's payload has got it, byte for byte.
    Copied {
        /// The escrow.
        escrow_id: EscrowId,
        /// The copy.
        store: StoreRecord,
    },
    /// Retention lets escrows go: their payloads are deleted from now on, wherever that is possible.
    Expired {
        /// The escrows.
        escrow_ids: Vec<EscrowId>,
    },
    /// An escrow is sealed to others from now on.
    Rekeyed(Box<Rekeyed>),
    /// Two valid manifests have one place in the chain, and somebody has looked into it.
    ForkClosed {
        /// The place.
        seq: u64,
        /// The manifest that the chain goes on from.
        followed: Digest,
        /// The other ones.
        others: Vec<Digest>,
    },
    /// Something that a later version reports.
    #[serde(untagged)]
    Unknown(serde_json::Value),
}

/// An escrow sealed again: the same bytes inside, under a new file key. Each field stands in the
/// place of the one of that name in the escrow's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rekeyed {
    /// Which.
    pub escrow_id: EscrowId,
    /// This re-sealing: its objects lie in a folder of that name.
    pub rekey_id: RekeyId,
    /// The key of the payload that was in force. It is deleted from now on, with what lies beside
    /// it, wherever that is possible.
    pub replaces: String,
    /// The sealed bytes.
    pub payload: Payload,
    /// To whom it is sealed.
    pub recipients: Vec<Recipient>,
    /// How many of them it takes.
    pub custody: Custody,
    /// The wrapped ephemeral identities of k-of-n custody.
    pub unlock: Vec<Unlock>,
    /// One challenge per custodian.
    pub canaries: Vec<Canary>,
    /// Digest of the policy object in force.
    pub policy_sha256: Digest,
    /// Where the payload was stored when this was signed.
    pub stores: Vec<StoreRecord>,
}

impl Rekeyed {
    /// Which sealing of which escrow.
    pub fn sealed(&self) -> Sealed<'_> {
        Sealed {
            escrow: &self.escrow_id,
            rekey: Some(&self.rekey_id),
        }
    }

    /// Makes the manifest of the escrow one of this sealing.
    pub fn apply_to(&self, manifest: &mut Manifest) {
        manifest.payload = self.payload.clone();
        manifest.recipients.clone_from(&self.recipients);
        manifest.custody = self.custody.clone();
        manifest.unlock.clone_from(&self.unlock);
        manifest.canaries.clone_from(&self.canaries);
        manifest.policy_sha256 = self.policy_sha256;
        manifest.stores.clone_from(&self.stores);
        manifest.rekeyed = Some(self.rekey_id.clone());
    }
}

/// What a change that this version reads calls itself.
const KNOWN: [&str; 4] = ["copied", "expired", "rekeyed", "fork-closed"];

impl Change {
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        match self {
            Self::Rekeyed(rekeyed) => {
                rekeyed.payload.check()?;
                rekeyed.custody.check(&rekeyed.unlock)
            }
            // Passed over, it would leave a payload in force that was replaced, or one that was
            // let go among those to keep: what this version knows it reads, or refuses.
            Self::Unknown(change) if is_known(change) => Err(ManifestError::Contradiction(
                "a change lacks what one of its kind says",
            )),
            _ => Ok(()),
        }
    }
}

fn is_known(change: &serde_json::Value) -> bool {
    let kind = change.get("change").and_then(serde_json::Value::as_str);
    kind.is_some_and(|kind| KNOWN.contains(&kind))
}

impl Amend {
    /// An amend without a place in the chain yet.
    pub fn new(instance: Instance, next_due: UtcTime, changes: Vec<Change>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            kind: Kind::Amend,
            tool: Tool::this(),
            seq: 0,
            prev_sha256: None,
            instance,
            created_at: next_due,
            next_due,
            changes,
        }
    }

    /// Gives it its place.
    pub fn put_at(&mut self, place: Place) {
        self.seq = place.seq;
        self.prev_sha256 = place.prev_sha256;
        self.created_at = place.created_at;
    }

    /// The exact bytes that are signed and stored.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StrictJsonError> {
        strict_json::to_vec(self)
    }
}

#[cfg(test)]
mod tests;
