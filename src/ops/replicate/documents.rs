//! Small signed and content-addressed objects, from a store that has them to one that lacks them:
//! manifests with their signatures, policies, instructions, unlock files and canaries.

use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::time::UtcTime;
use crate::model::layout::Layout;
use crate::model::manifest::Manifest;
use crate::model::namespace::Namespace;
use crate::model::policy;
use crate::ops::commit::{CommitError, Committer};
use crate::ops::destination::Lasting;
use crate::ops::history::{Entry, History};
use crate::ops::inventory::Holding;
use crate::ops::noncurrent;
use crate::ops::state::Pending;
use crate::sealing::sshsig::{MAX_SIGNATURE_BYTES, verify_sshsig};
use crate::store::StoreErrorKind;

use super::Looking;

/// An object whose bytes a signed manifest names.
pub(super) struct Document {
    pub(super) key: String,
    pub(super) sha256: Digest,
    lasting: Lasting,
}

impl Document {
    /// All that the manifest of an escrow names, the payload aside.
    pub(super) fn all_of(manifest: &Manifest, layout: &Layout) -> Vec<Self> {
        let restore = &manifest.restore_md_sha256;
        let named = |key, sha256: &Digest, lasting| Self {
            key,
            sha256: *sha256,
            lasting,
        };
        let mut documents = vec![
            Self::policy_of(manifest, layout),
            named(layout.restore_md(restore), restore, Lasting::Manifest),
        ];
        // A key is only believed where the layout would have put it.
        let own = layout.escrow(&manifest.escrow_id);
        let unlock = manifest.unlock.iter().map(|one| (&one.key, &one.sha256));
        let canaries = manifest.canaries.iter().map(|one| (&one.key, &one.sha256));
        let beside = unlock
            .chain(canaries)
            .filter(|(key, _)| key.starts_with(&own));
        documents.extend(beside.map(|(key, sha256)| named(key.clone(), sha256, Lasting::Payload)));
        documents
    }

    /// Whether it is of use once the payload is gone.
    pub(super) fn outlives_payload(&self) -> bool {
        self.lasting == Lasting::Manifest
    }

    /// The recipients and signers that were in force.
    pub(super) fn policy_of(manifest: &Manifest, layout: &Layout) -> Self {
        Self {
            key: layout.policy(&manifest.policy_sha256),
            sha256: manifest.policy_sha256,
            lasting: Lasting::Manifest,
        }
    }

    /// Its bytes, from any store that has them whole, if only beneath a delete or an overwrite.
    fn read(&self, holdings: &[Holding<'_>]) -> Option<Vec<u8>> {
        holdings.iter().find_map(|one| {
            let (store, max) = (one.store().as_ref(), policy::MAX_BYTES);
            let found = noncurrent::get_document(store, &self.key, &self.sha256, max);
            Some(found.ok()??.bytes)
        })
    }
}

/// Puts a document into every store that lacks it; how many did, and what was said by those that
/// did not take it.
pub(super) fn spread(
    document: &Document,
    holdings: &[Holding<'_>],
    now: UtcTime,
) -> (usize, Vec<String>) {
    let lacking: Vec<_> = holdings
        .iter()
        .filter(|one| !one.holds(&document.key))
        .collect();
    if lacking.is_empty() {
        return (0, Vec::new());
    }
    let Some(bytes) = document.read(holdings) else {
        return (0, vec![format!("no store has {} whole", document.key)]);
    };
    let mut put = 0;
    let mut failed = Vec::new();
    for holding in lacking {
        let store = holding.destination.for_small(document.lasting, now);
        match store.put_if_absent(&document.key, &bytes) {
            Ok(_) => put += 1,
            // It came there meanwhile.
            Err(error) if error.kind == StoreErrorKind::AlreadyExists => {}
            Err(error) => failed.push(error_chain(&error)),
        }
    }
    (put, failed)
}

/// What each store has in a document's place that is something else, where all is to be read.
pub(super) fn damaged(
    document: &Document,
    holdings: &[Holding<'_>],
    looking: Looking,
) -> Vec<String> {
    if looking == Looking::Listed {
        return Vec::new();
    }
    let holders = holdings.iter().filter(|one| one.holds(&document.key));
    let differs = |one: &&Holding<'_>| {
        let object = one.store().get(&document.key, policy::MAX_BYTES);
        object.is_ok_and(|object| Digest::of(&object.bytes) != document.sha256)
    };
    let told = holders.filter(differs);
    told.map(|one| {
        format!(
            "store {}: {} is not what was signed",
            one.name(),
            document.key
        )
    })
    .collect()
}

/// Puts a manifest with its signature into every store that lacks it. Where a store holds another
/// valid manifest in its place, which is a fork, nothing is put until the fork is closed.
pub(super) fn spread_manifest(
    chain: &mut Committer<'_>,
    history: &History,
    entry: &Entry,
    holdings: &[Holding<'_>],
    now: UtcTime,
) -> Result<(usize, Vec<String>), CommitError> {
    let lacking: Vec<_> = holdings
        .iter()
        .filter(|one| !entry.held_by.contains(one.name()) || !is_signed(one, history, entry))
        .collect();
    let mut forks = history.forks.iter();
    let fork = forks.find(|fork| fork.seq == entry.link.seq);
    if lacking.is_empty() || fork.is_some_and(|fork| fork.closed_by.is_none()) {
        return Ok((0, Vec::new()));
    }
    let bytes = history.bytes_of(entry)?;
    let Some(signature) = signature(history, entry, &bytes, holdings) else {
        let seq = entry.link.seq;
        return Ok((
            0,
            vec![format!("no store has the signature of manifest {seq}")],
        ));
    };
    let stores = lacking.iter().map(|one| one.name().clone());
    let signed = Pending {
        seq: entry.link.seq,
        signer: entry.signer.clone(),
        manifest: String::from_utf8_lossy(&bytes).into_owned(),
        signature,
        stores: stores.collect(),
    };
    let mut put = 0;
    let mut failed = Vec::new();
    for holding in lacking {
        let store = holding.destination.for_documents(now);
        let filled = match fork {
            None => chain.fill_slot(store.as_ref(), &signed),
            Some(_) => chain.put_beside(store.as_ref(), &signed),
        };
        match filled {
            Ok(()) => put += 1,
            Err(why) => failed.push(why),
        }
    }
    Ok((put, failed))
}

fn is_signed(holding: &Holding<'_>, history: &History, entry: &Entry) -> bool {
    let key = history
        .layout()
        .signature(&entry.link.digest, &entry.signer);
    holding.holds(&key)
}

/// The signature by which the manifest was verified, from any store that has it whole, if only
/// beneath a delete or an overwrite.
fn signature(
    history: &History,
    entry: &Entry,
    manifest: &[u8],
    holdings: &[Holding<'_>],
) -> Option<String> {
    let key = history
        .layout()
        .signature(&entry.link.digest, &entry.signer);
    let is_the_one = |armoured: &[u8]| {
        let signed = verify_sshsig(armoured, Namespace::Manifest, manifest);
        signed.is_ok_and(|signed| signed.key.fingerprint() == entry.fingerprint)
    };
    holdings.iter().find_map(|one| {
        let (store, max) = (one.store().as_ref(), MAX_SIGNATURE_BYTES as u64);
        let found = noncurrent::get_where(store, &key, max, &is_the_one).ok()??;
        String::from_utf8(found.bytes).ok()
    })
}
