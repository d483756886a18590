//! A drill's report out of a store: verified, then read.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::base::digest::Digest;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::SignerName;
use crate::base::time::UtcTime;
use crate::model::drill::{DrillReport, DrillReportError, MAX_BYTES};
use crate::model::layout::Layout;
use crate::model::namespace::Namespace;
use crate::model::trust::TrustError;
use crate::ops::history::History;
use crate::sealing::sshsig::{MAX_SIGNATURE_BYTES, SignatureError, verify_sshsig};
use crate::store::Store;

/// A clock of a drill box may be ahead by this much, in seconds.
const SKEW: i64 = 300;

/// Signatures of one document that are looked at in one store: anybody who writes there can plant
/// any number.
const SIGNATURES: usize = 8;

/// A report that a store holds.
pub struct Found {
    /// What it says.
    pub report: DrillReport,
    /// Of its bytes.
    pub sha256: Digest,
    /// With which key it was signed.
    pub signed_by: Fingerprint,
}

/// A report that does not count.
#[derive(Debug, thiserror::Error)]
pub enum NotAReport {
    /// Not signed, or not for this.
    #[error("the drill report's signature is not good")]
    Signature(#[from] SignatureError),
    /// By a key that may not.
    #[error("the drill report's signer may not sign drills")]
    Signer(#[from] TrustError),
    /// Not a document of this kind.
    #[error(transparent)]
    Document(#[from] DrillReportError),
    /// It lies under another's key.
    #[error("the drill report is not of this escrow and time")]
    Elsewhere,
    /// No verified manifest has the digest that it names.
    #[error("no verified manifest has the digest {0}")]
    NoManifest(Digest),
    /// It was made in the future.
    #[error("the drill report is dated {0}, which is not yet")]
    Future(UtcTime),
}

/// Reads the report that a store holds under this key; its signature may be in any of `stores`.
/// None where the store does not give it, or nothing signs it. What is said of the name under
/// which it lies counts for nothing: it must say the same itself.
pub fn find(
    history: &History,
    stores: &[Arc<dyn Store>],
    store: &dyn Store,
    key: &str,
    now: UtcTime,
) -> Option<Result<Found, NotAReport>> {
    let document = store.get(key, MAX_BYTES).ok()?.bytes;
    let prefix = history.layout().signatures_of(&Digest::of(&document));
    let mut refused = None;
    for store in stores {
        for place in signatures(store.as_ref(), &prefix) {
            let signer = history.layout().parse_signature(&place);
            let signature = store.get(&place, MAX_SIGNATURE_BYTES as u64);
            let (Some((_, signer)), Ok(signature)) = (signer, signature) else {
                continue;
            };
            let submitted = Submitted {
                place: key,
                document: &document,
                signature: &signature.bytes,
                signer: &signer,
            };
            match submitted.verify(history, now) {
                Ok(found) => return Some(Ok(found)),
                Err(error) => refused = Some(Err(error)),
            }
        }
    }
    refused
}

fn signatures(store: &dyn Store, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    let listed = store.list(prefix, None, &mut |one| {
        found.push(one.key);
        match found.len() < SIGNATURES {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    });
    // Another store may have what this one does not give.
    listed.map_or_else(|_| Vec::new(), |()| found)
}

/// A document, and a signature that is said to be over it.
struct Submitted<'a> {
    place: &'a str,
    document: &'a [u8],
    signature: &'a [u8],
    signer: &'a SignerName,
}

impl Submitted<'_> {
    fn verify(&self, history: &History, now: UtcTime) -> Result<Found, NotAReport> {
        let key = verify_sshsig(self.signature, Namespace::Drill, self.document)?;
        let authentic = history
            .trust
            .authenticate(&key.key, Namespace::Drill, self.signer)?;
        let report = DrillReport::parse(self.document)?;
        let home = Layout::new(&report.instance).drill(&report.escrow_id, report.began_at);
        if home != self.place || report.signer != *self.signer {
            return Err(NotAReport::Elsewhere);
        }
        authentic.check_window(report.ended_at)?;
        if report.ended_at > now.plus(SKEW) {
            return Err(NotAReport::Future(report.ended_at));
        }
        let manifest = report.manifest_sha256;
        let mut entries = history.entries.iter();
        match entries.any(|entry| entry.link.digest == manifest) {
            true => Ok(Found {
                report,
                sha256: Digest::of(self.document),
                signed_by: key.fingerprint,
            }),
            false => Err(NotAReport::NoManifest(manifest)),
        }
    }
}
