//! The trust card: the printed page with which somebody begins on an empty box. It says whose
//! signatures count, where the escrows are and what to type, and holds no secret.

mod page;
mod store;
mod text;

use serde::Serialize;

use crate::base::digest::Digest;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::{CustodianName, SignerName, Slug};
use crate::base::time::UtcTime;
use crate::databasus::restore_md::restore_md;
use crate::model::allowed_signers::{AllowedSigners, AllowedSignersError, Entry as SignerEntry};
use crate::model::config::Config;
use crate::model::manifest::Tool;
use crate::model::mark::Mark;
use crate::model::namespace::Namespace;
use crate::model::policy::Policy;
use crate::model::recipients::{RecipientSpec, Recipients, RecipientsError};
use crate::model::strict_json::StrictJsonError;

use super::history::Entry;

pub use store::{CardPlace, CardStore, CardVariable};

/// The stores of a configuration as `--store` takes them on another box, unquoted.
pub fn store_arguments(config: &Config) -> Vec<String> {
    let stores = config.stores.iter();
    let stores = stores.map(|spec| CardStore::of(spec, config).argument);
    stores.collect()
}

/// What a card is made of.
pub struct CardRequest<'a> {
    /// The instance and its stores.
    pub config: &'a Config,
    /// The recipients file's text.
    pub recipients: &'a str,
    /// The `allowed_signers` file's text.
    pub allowed_signers: &'a str,
    /// The newest manifest; none where there is none yet, or no store was read.
    pub head: Option<CardHead>,
    /// Of the running program, where it could be read.
    pub tool_sha256: Option<Digest>,
    /// The present.
    pub now: UtcTime,
}

/// A trust card. Its JSON form has the same content as [`TrustCard::text`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrustCard {
    /// The Databasus installation it is about.
    pub instance: Slug,
    /// When it was made.
    pub issued_at: UtcTime,
    /// The program that made it.
    pub tool: CardTool,
    /// Everybody who may sign manifests, or might at some time; at least one of them now.
    pub signers: Vec<CardSigner>,
    /// Everybody who can open escrows.
    pub custodians: Vec<CardCustodian>,
    /// How many of them it takes.
    pub custodians_needed: u32,
    /// Where escrows are.
    pub stores: Vec<CardStore>,
    /// Digest of the policy object: recipients and signers in force.
    pub policy_sha256: Digest,
    /// Digest of the break-glass instructions.
    pub restore_md_sha256: Digest,
    /// The newest manifest when the card was made.
    pub head: Option<CardHead>,
}

/// The program that made a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CardTool {
    /// `databasus-escrow`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Digest of its file, where that could be read.
    pub sha256: Option<Digest>,
}

/// Somebody who may sign manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CardSigner {
    /// The principal in `allowed_signers`.
    pub name: SignerName,
    /// The key's.
    pub fingerprint: Fingerprint,
    /// The first second in which its signatures count.
    pub valid_after: Option<UtcTime>,
    /// The last one.
    pub valid_before: Option<UtcTime>,
    /// Whether they count when the card is made.
    pub valid: bool,
}

/// Somebody who can open escrows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CardCustodian {
    /// Their name.
    pub name: CustodianName,
    /// `x25519`, `ssh-ed25519`, …
    pub kind: String,
    /// Of their recipient.
    pub fingerprint: Fingerprint,
}

/// The newest manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CardHead {
    /// Its place in the chain.
    pub seq: u64,
    /// Its digest.
    pub digest: Digest,
    /// When it was signed.
    pub created_at: UtcTime,
    /// With which key.
    pub signed_by: Fingerprint,
}

/// No card can be made.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// The recipients file is malformed.
    #[error("cannot use the recipients file")]
    Recipients(#[from] RecipientsError),
    /// `allowed_signers` is malformed.
    #[error("cannot use the allowed_signers file")]
    AllowedSigners(#[from] AllowedSignersError),
    /// The policy object could not be written.
    #[error("cannot write the policy")]
    Policy(#[from] StrictJsonError),
    /// Nobody could begin with such a card.
    #[error("no key in allowed_signers may sign manifests at {0}")]
    NoSigner(UtcTime),
}

/// Makes the card of a configured instance.
pub fn from_config(request: CardRequest<'_>) -> Result<TrustCard, CardError> {
    let recipients = Recipients::parse(request.recipients)?;
    let signers = signers(request.allowed_signers, request.now)?;
    let policy = Policy::new(
        request.recipients.to_owned(),
        request.allowed_signers.to_owned(),
    );
    let stores = request.config.stores.iter();
    Ok(TrustCard {
        instance: request.config.instance.clone(),
        issued_at: request.now,
        tool: CardTool::this(request.tool_sha256),
        signers,
        custodians: recipients.iter().map(CardCustodian::from).collect(),
        custodians_needed: request.config.custody.k.unwrap_or(1),
        stores: stores
            .map(|spec| CardStore::of(spec, request.config))
            .collect(),
        policy_sha256: Digest::of(&policy.to_bytes()?),
        restore_md_sha256: Digest::of(restore_md().as_bytes()),
        head: request.head,
    })
}

impl TrustCard {
    /// The fingerprint to begin with: that of the newest manifest, if its key is still valid.
    fn pinned(&self) -> Option<Fingerprint> {
        let valid = || self.signers.iter().filter(|signer| signer.valid);
        let of_head = self
            .head
            .and_then(|head| valid().find(|signer| signer.fingerprint == head.signed_by));
        of_head.or(valid().next()).map(|signer| signer.fingerprint)
    }

    /// Whether the newest manifest was signed with a key that this card asks to trust.
    fn reaches_head(&self) -> bool {
        self.head
            .is_none_or(|head| self.pinned() == Some(head.signed_by))
    }
}

impl CardHead {
    /// The mark that a reader with this card begins with.
    pub fn mark(&self) -> Mark {
        Mark {
            seq: self.seq,
            manifest_sha256: self.digest,
        }
    }
}

impl From<&Entry> for CardHead {
    fn from(entry: &Entry) -> Self {
        Self {
            seq: entry.link.seq,
            digest: entry.link.digest,
            created_at: entry.link.created_at,
            signed_by: entry.fingerprint,
        }
    }
}

impl CardTool {
    fn this(sha256: Option<Digest>) -> Self {
        let Tool { name, version } = Tool::this();
        Self {
            name,
            version,
            sha256,
        }
    }
}

impl CardSigner {
    fn of(entry: &SignerEntry, now: UtcTime) -> Self {
        let window = entry.window();
        Self {
            name: entry.principal().clone(),
            fingerprint: entry.key().fingerprint(),
            valid_after: window.valid_after(),
            valid_before: window.valid_before(),
            // A window holds to the end of its last second; a card is for what comes after it.
            valid: window.contains(now) && window.contains(now.plus(1)),
        }
    }
}

impl From<&RecipientSpec> for CardCustodian {
    fn from(spec: &RecipientSpec) -> Self {
        Self {
            name: spec.custodian.clone(),
            kind: spec.kind.name(),
            fingerprint: spec.fingerprint,
        }
    }
}

fn signers(allowed: &str, now: UtcTime) -> Result<Vec<CardSigner>, CardError> {
    let allowed = AllowedSigners::parse(allowed)?;
    let signers: Vec<CardSigner> = allowed
        .entries()
        .filter(|entry| entry.permits(Namespace::Manifest))
        .map(|entry| CardSigner::of(entry, now))
        .collect();
    if !signers.iter().any(|signer| signer.valid) {
        return Err(CardError::NoSigner(now));
    }
    Ok(signers)
}

#[cfg(test)]
mod tests;
