//! What a custodian's answer proves: by its signature, the chain, and the canary that it answers.

use crate::base::digest::Digest;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::{CustodianName, SignerName};
use crate::base::time::UtcTime;
use crate::model::checkin::{Checkin, CheckinError, Unproven};
use crate::model::manifest::Manifest;
use crate::model::namespace::Namespace;
use crate::model::trust::{Trust, TrustError};
use crate::ops::history::{Entry, History, HistoryError, Resealing};
use crate::sealing::sshsig::{EmbeddedKey, Presence, SignatureError, verify_sshsig};

/// An answer that was verified.
pub struct Verified {
    /// The answer.
    pub checkin: Checkin,
    /// As of when it is proven: the date of the canary, whatever date the answer has. What was in a
    /// canary is no secret once it was answered, so that an old answer is easily dated anew.
    pub proven_at: UtcTime,
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
}

/// Verifies an answer. Who signed is told by the key alone, before anything of the document is
/// read; `signer` is who must have, where that is known.
pub fn verify(
    document: &[u8],
    signature: &[u8],
    signer: Option<&SignerName>,
    history: &History,
    now: UtcTime,
) -> Result<Verified, CheckinRefused> {
    let key = verify_sshsig(signature, Namespace::Checkin, document)?;
    let signer = match signer {
        Some(signer) => signer.clone(),
        None => principal(&history.trust, &key)?,
    };
    let authentic = history
        .trust
        .authenticate(&key.key, Namespace::Checkin, &signer)?;
    let checkin = Checkin::parse(document)?;
    if checkin.custodian.as_str() != signer.as_str() {
        return Err(CheckinRefused::OtherCustodian {
            said: checkin.custodian,
            signer,
        });
    }
    authentic.check_window(checkin.created_at)?;
    let (proven_at, manifest) = answered(&checkin, history, now)?;
    Ok(Verified {
        recipient: recipient(&manifest, &checkin.custodian),
        checkin,
        proven_at,
        signed_by: key.fingerprint,
        presence: key.presence,
    })
}

/// The sealing whose canary it answers, and when that was signed. It may be an earlier one: what it
/// proves of its recipient stands.
fn answered(
    checkin: &Checkin,
    history: &History,
    now: UtcTime,
) -> Result<(UtcTime, Manifest), CheckinRefused> {
    let named = |entry: &&Entry| entry.link.digest == checkin.manifest_sha256;
    let entry = history.entries.iter().find(named);
    let entry = entry.ok_or(CheckinRefused::NoManifest(checkin.manifest_sha256))?;
    let sealings = history.load_sealings(entry)?;
    let mut why = None;
    for (since, manifest) in signed_at(history, entry).zip(sealings) {
        match checkin.proves(&manifest, &entry.link.digest, since, now) {
            Ok(()) => return Ok((since, manifest)),
            Err(unproven) => why = Some(unproven),
        }
    }
    Err(match why {
        Some(unproven) => unproven.into(),
        None => CheckinRefused::NoManifest(checkin.manifest_sha256),
    })
}

/// When each sealing of an escrow was signed, the first one first.
fn signed_at<'h>(history: &'h History, entry: &'h Entry) -> impl Iterator<Item = UtcTime> + 'h {
    let first = entry.link.created_at;
    let later = entry.escrow.iter().flat_map(|escrow| &escrow.rekeyed);
    let report = |one: &Resealing| history.entry_of(&one.by).map(|entry| entry.link.created_at);
    let later = later.map(move |one| report(one).unwrap_or(first));
    std::iter::once(first).chain(later)
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
