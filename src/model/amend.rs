//! The manifest that commits no escrow, and reports what became of earlier ones (FORMAT.md,
//! "Amend").

use serde::{Deserialize, Serialize};

use super::manifest::{FORMAT, Instance, Kind, Place, StoreRecord, Tool};
use super::strict_json::{self, StrictJsonError};
use crate::base::digest::Digest;
use crate::base::names::EscrowId;
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
