//! A custodian's answer: verified, and kept in every store beside the escrows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::{CustodianName, SignerName, StoreName};
use crate::base::time::UtcTime;
use crate::model::checkin::{Checkin, CheckinError, MAX_BYTES, Unproven};
use crate::model::manifest::Manifest;
use crate::model::namespace::Namespace;
use crate::model::trust::{Trust, TrustError};
use crate::ops::destination::Destination;
use crate::ops::history::{Entry, History, HistoryError};
use crate::sealing::sshsig::{
    EmbeddedKey, MAX_SIGNATURE_BYTES, Presence, SignatureError, verify_sshsig,
};
use crate::store::{Store, StoreError, StoreErrorKind};

/// An answer older than this is not taken any more, in seconds: seven days.
const FRESH: i64 = 7 * 86_400;

/// How many answers of one custodian are looked at in one store, from the newest on. Whoever may
/// write there can plant any number.
pub const LOOKED_AT: usize = 64;

/// An answer that was verified.
pub struct Verified {
    /// The answer.
    pub checkin: Checkin,
    /// The recipient that was proven, as the manifest names it.
    pub recipient: String,
    /// With which key it was signed.
    pub signed_by: Fingerprint,
    /// What a FIDO token says of the moment of signing.
    pub presence: Option<Presence>,
}

/// An answer that does not count.
#[derive(Debug, thiserror::Error)]
pub enum CheckinRefused {
    /// Not signed, or not for this.
    #[error("the check-in's signature is not good")]
    Signature(#[from] SignatureError),
    /// By a key that may not.
    #[error("the check-in's signer may not check in")]
    Signer(#[from] TrustError),
    /// By the key of another custodian.
    #[error("it says that {said} answers, and {signer} signed it")]
    OtherCustodian {
        /// By the document.
        said: CustodianName,
        /// By the signature.
        signer: SignerName,
    },
    /// Not a document of this kind.
    #[error(transparent)]
    Document(#[from] CheckinError),
    /// The manifest is not in the chain.
    #[error("no verified manifest has the digest {0}")]
    NoManifest(Digest),
    /// The manifest cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// It proves nothing.
    #[error("the check-in proves nothing")]
    Unproven(#[from] Unproven),
    /// Made too long ago.
    #[error("the check-in is of {0}, more than seven days ago")]
    Stale(UtcTime),
}

/// Verifies what a custodian sent in. Who signed is told by the key alone, before anything of
/// the document is read.
pub fn verify_submitted(
    document: &[u8],
    signature: &[u8],
    history: &History,
    now: UtcTime,
) -> Result<Verified, CheckinRefused> {
    let key = verify_sshsig(signature, Namespace::Checkin, document)?;
    let signer = principal(&history.trust, &key)?;
    let verified = verify(document, &key, &signer, history, now)?;
    match verified.checkin.created_at.plus(FRESH) < now {
        true => Err(CheckinRefused::Stale(verified.checkin.created_at)),
        false => Ok(verified),
    }
}

/// Where stored answers are looked for, and what they are held against.
#[derive(Clone, Copy)]
pub struct Stored<'a> {
    /// The chain, and whom it trusts.
    pub history: &'a History,
    /// Where signatures lie.
    pub stores: &'a [Arc<dyn Store>],
    /// The present.
    pub now: UtcTime,
}

/// A verified answer out of a store, as it was signed.
pub struct Found {
    /// What it says.
    pub verified: Verified,
    /// Its bytes.
    pub document: Vec<u8>,
    /// The signature over them.
    pub signature: Vec<u8>,
}

/// Reads the answer of a custodian that a store holds under this key; its signature may be in any
/// of the stores. None where it does not verify.
pub fn find(
    stored: Stored<'_>,
    store: &dyn Store,
    key: &str,
    custodian: &CustodianName,
) -> Option<Found> {
    let document = store.get(key, MAX_BYTES).ok()?.bytes;
    let signer: SignerName = custodian.as_str().parse().ok()?;
    let layout = stored.history.layout();
    let signature_key = layout.signature(&Digest::of(&document), &signer);
    let most = MAX_SIGNATURE_BYTES as u64;
    let mut stores = stored.stores.iter();
    let (verified, signature) = stores.find_map(|store| {
        let signature = store.get(&signature_key, most).ok()?.bytes;
        let key = verify_sshsig(&signature, Namespace::Checkin, &document).ok()?;
        let verified = verify(&document, &key, &signer, stored.history, stored.now);
        Some((verified.ok()?, signature))
    })?;
    Some(Found {
        verified,
        document,
        signature,
    })
}

fn verify(
    document: &[u8],
    key: &EmbeddedKey,
    signer: &SignerName,
    history: &History,
    now: UtcTime,
) -> Result<Verified, CheckinRefused> {
    let authentic = history
        .trust
        .authenticate(&key.key, Namespace::Checkin, signer)?;
    let checkin = Checkin::parse(document)?;
    if checkin.custodian.as_str() != signer.as_str() {
        return Err(CheckinRefused::OtherCustodian {
            said: checkin.custodian,
            signer: signer.clone(),
        });
    }
    authentic.check_window(checkin.created_at)?;
    let named = |entry: &&Entry| entry.link.digest == checkin.manifest_sha256;
    let entry = history.entries.iter().find(named);
    let entry = entry.ok_or(CheckinRefused::NoManifest(checkin.manifest_sha256))?;
    // The canary may be that of an earlier sealing: what it proves of its recipient stands.
    let sealings = history.load_sealings(entry)?;
    let proves = |manifest: &Manifest| checkin.proves(manifest, &entry.link.digest, now);
    let proven = sealings.iter().find(|manifest| proves(manifest).is_ok());
    let manifest = proven.or(sealings.last());
    let manifest = manifest.ok_or(CheckinRefused::NoManifest(checkin.manifest_sha256))?;
    proves(manifest)?;
    Ok(Verified {
        recipient: recipient(manifest, &checkin.custodian),
        checkin,
        signed_by: key.fingerprint,
        presence: key.presence,
    })
}

/// The name under which a key may check in.
fn principal(trust: &Trust, key: &EmbeddedKey) -> Result<SignerName, TrustError> {
    let mut refused = None;
    for signer in trust.principals_of(&key.key) {
        match trust.authenticate(&key.key, Namespace::Checkin, &signer) {
            Ok(_) => return Ok(signer),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or(TrustError::UnknownSigner {
        fingerprint: key.fingerprint,
    }))
}

fn recipient(manifest: &Manifest, custodian: &CustodianName) -> String {
    let mut recipients = manifest.recipients.iter();
    let found = recipients.find(|one| one.custodian == *custodian);
    found.map_or_else(String::new, |one| one.recipient.clone())
}

/// Puts an answer and its signature into every store; returns what each did not take.
pub fn keep<'d>(
    verified: &Verified,
    document: &[u8],
    signature: &[u8],
    history: &History,
    destinations: impl IntoIterator<Item = &'d Destination>,
) -> BTreeMap<StoreName, String> {
    let checkin = &verified.checkin;
    let layout = history.layout();
    let mut lacking = BTreeMap::new();
    // A custodian's name is a signer's.
    let Ok(signer) = checkin.custodian.as_str().parse() else {
        return lacking;
    };
    let objects = [
        (layout.signature(&Digest::of(document), &signer), signature),
        (
            layout.checkin(&checkin.custodian, checkin.created_at),
            document,
        ),
    ];
    for destination in destinations {
        let store = destination.store.as_ref();
        let put = objects
            .iter()
            .try_for_each(|(key, bytes)| put(store, key, bytes));
        if let Err(error) = put {
            lacking.insert(store.name().clone(), error_chain(&error));
        }
    }
    lacking
}

/// Puts an object that is there already only where it has these very bytes.
pub(in crate::ops) fn put(store: &dyn Store, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
    match store.put_if_absent(key, bytes) {
        Err(error) if error.kind == StoreErrorKind::AlreadyExists => {
            match store.get(key, bytes.len() as u64)?.bytes == bytes {
                true => Ok(()),
                false => Err(error),
            }
        }
        put => put.map(drop),
    }
}
