//! A custodian's challenge: the commands that answer it with stock tools, and take no part in
//! opening anything else.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::signed_object::{self, SignedObjectError};
use crate::base::digest::Digest;
use crate::base::names::{CustodianName, EscrowId, Slug};
use crate::model::checkin::{FORMAT, STATEMENT};
use crate::model::manifest::{Canary, Manifest};
use crate::model::namespace::Namespace;
use crate::ops::history::{History, HistoryError};
use crate::sealing::custody::MAX_LAYER_BYTES;
use crate::store::Store;

/// The newest canary of a custodian.
pub struct Challenge {
    /// Whose escrows.
    pub instance: Slug,
    /// Which escrow it is in.
    pub escrow_id: EscrowId,
    /// Place of its manifest in the chain.
    pub seq: u64,
    /// Digest of its manifest.
    pub manifest_sha256: Digest,
    /// What the manifest says of it.
    pub canary: Canary,
    file: Vec<u8>,
}

/// Nothing to challenge with.
#[derive(Debug, thiserror::Error)]
pub enum ChallengeError {
    /// No escrow is sealed to them.
    #[error("no escrow holds a canary of {0}")]
    Nobody(CustodianName),
    /// The chain cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The canary is in no store as it was signed.
    #[error("cannot have the canary of {custodian} in escrow {escrow_id}")]
    Object {
        /// Whose.
        custodian: CustodianName,
        /// Where.
        escrow_id: EscrowId,
        /// Why not.
        #[source]
        source: SignedObjectError,
    },
}

impl Challenge {
    /// Takes the canary of the newest escrow that is sealed to `custodian`.
    pub fn newest(
        history: &History,
        stores: &[Arc<dyn Store>],
        custodian: &CustodianName,
    ) -> Result<Self, ChallengeError> {
        let newest = newest_canary(history, custodian)?;
        let newest = newest.ok_or_else(|| ChallengeError::Nobody(custodian.clone()))?;
        Self::of(newest, stores)
    }

    fn of(newest: NewestCanary, stores: &[Arc<dyn Store>]) -> Result<Self, ChallengeError> {
        let NewestCanary {
            manifest,
            manifest_sha256,
            canary,
        } = newest;
        let max_bytes = MAX_LAYER_BYTES as u64;
        let read = signed_object::read(stores, &canary.key, max_bytes, &canary.sha256);
        Ok(Self {
            instance: manifest.instance.slug.clone(),
            escrow_id: manifest.escrow_id.clone(),
            seq: manifest.seq,
            manifest_sha256,
            file: read.map_err(|source| ChallengeError::Object {
                custodian: canary.custodian.clone(),
                escrow_id: manifest.escrow_id.clone(),
                source,
            })?,
            canary,
        })
    }

    fn file_as_text(&self) -> String {
        let text = STANDARD.encode(&self.file);
        let lines = text.as_bytes().chunks(76).map(String::from_utf8_lossy);
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A custodian's canary in the newest escrow that has one.
pub struct NewestCanary {
    /// Of that escrow, as it is sealed now.
    pub manifest: Manifest,
    /// Digest of its own manifest.
    pub manifest_sha256: Digest,
    /// What is said of the canary.
    pub canary: Canary,
}

/// Finds the newest canary of a custodian; none where no escrow is sealed to them.
pub fn newest_canary(
    history: &History,
    custodian: &CustodianName,
) -> Result<Option<NewestCanary>, HistoryError> {
    for (entry, _) in history.escrows().rev() {
        let manifest = history.load(entry)?;
        let mut canaries = manifest.canaries.iter();
        let found = canaries.find(|canary| canary.custodian == *custodian);
        if let Some(canary) = found.cloned() {
            return Ok(Some(NewestCanary {
                manifest,
                manifest_sha256: entry.link.digest,
                canary,
            }));
        }
    }
    Ok(None)
}

/// The commands: to the byte the same, whoever prints them. Every value in them is a name, a number
/// or a digest: no shell takes them for more.
///
/// The canary's own digest is compared before `age` sees it, and what comes out must have 32 bytes
/// of the signed digest before it goes anywhere: a file that was put in the canary's place tells
/// nobody anything.
impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            instance,
            escrow_id,
            seq,
            manifest_sha256,
            canary,
            ..
        } = self;
        let Canary {
            custodian,
            sha256,
            nonce_sha256,
            ..
        } = canary;
        let file = self.file_as_text();
        let namespace = Namespace::Checkin;
        write!(
            f,
            r#"# Check-in of {custodian} for {instance}: escrow {escrow_id}, manifest {seq}.
#
# Nothing signs this text. Before you change or run it, have its SHA-256 read out to you by who asked
# for the check-in, and compare: sha256sum FILE. With the trust card and databasus-escrow at hand do
# not take it from a mail at all, print it yourself: custody challenge {custodian}, with --instance,
# --store and --trust as the card has them.
#
# Then run it in bash, on your own machine, in an empty folder. Set these two first.
KEY=identity.txt   # your age identity, or the SSH key that is your recipient
SIGN=$HOME/.ssh/id_ed25519   # the SSH key that allowed_signers names for {custodian}

(
set -euo pipefail
umask 077
refuse() {{ echo "REFUSED: $1. Nothing was signed; tell whoever sent this." >&2; exit 1; }}
base64 -d > canary.age <<'CANARY'
{file}
CANARY
echo '{sha256}  canary.age' | sha256sum --check --status || refuse "this is not the canary"
NONCE=$(age -d -i "$KEY" canary.age | head -c 4096 | od -An -v -tx1 | tr -d ' \n')
[ "${{#NONCE}}" = 64 ] || refuse "what is inside is no nonce"
SEEN=$(printf '%b' "$(printf '%s' "$NONCE" | sed 's/../\\x&/g')" | sha256sum | cut -c 1-64)
[ "$SEEN" = '{nonce_sha256}' ] || refuse "what is inside is another nonce"
cat > checkin.json <<CHECKIN
{{
  "format": "{FORMAT}",
  "instance": "{instance}",
  "custodian": "{custodian}",
  "escrow_id": "{escrow_id}",
  "manifest_sha256": "{manifest_sha256}",
  "nonce": "$NONCE",
  "created_at": "$(date -u +%Y-%m-%dT%H:%M:%SZ)",
  "statement": "{STATEMENT}"
}}
CHECKIN
ssh-keygen -Y sign -n {namespace} -f "$SIGN" checkin.json
echo "Send checkin.json and checkin.json.sig back; neither is a secret any more." >&2
)
"#
        )
    }
}
