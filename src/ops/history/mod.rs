//! Reading the chain of manifests from all stores: what is signed by whom, what is missing where.
//!
//! Nothing is parsed before its signature was verified, and what cannot be verified is reported
//! and otherwise ignored, so that planted objects neither stop nor mislead a reader.

mod beneath;
mod candidates;
mod listing;
mod signatures;
mod summary;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::{SignerName, Slug, StoreName};
use crate::base::time::UtcTime;
use crate::model::amend::Change;
use crate::model::chain;
use crate::model::document::Document;
use crate::model::finding::Finding;
use crate::model::fork::{self, Fork};
use crate::model::layout::Layout;
use crate::model::link::{self, Link};
use crate::model::manifest::{self, Manifest, ManifestError};
use crate::model::mark::Mark;
use crate::model::policy::{self, Policy};
use crate::model::trust::Trust;
use crate::ops::noncurrent;
use crate::store::{Store, StoreError, StoreErrorKind};

use candidates::Listings;
use listing::Listing;
pub use summary::{EscrowSummary, Resealing, SealedFor};

use summary::amend;
use verify::Verifier;

/// A verified manifest, reduced to what lists and decisions need. The whole of it is read again
/// with [`History::load`], so that memory stays small over years of nights.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the chain.
    pub link: Link,
    /// When the next one is due.
    pub next_due: UtcTime,
    /// Who signed it.
    pub signer: SignerName,
    /// With which key.
    pub fingerprint: Fingerprint,
    /// Stores that hold the manifest.
    pub held_by: Vec<StoreName>,
    /// Its object key.
    pub key: String,
    /// The escrow it commits; none for an amend.
    pub escrow: Option<EscrowSummary>,
    /// What an amend reports.
    pub changes: Vec<Change>,
}

impl Entry {
    /// Its place and digest.
    pub fn mark(&self) -> Mark {
        Mark {
            seq: self.link.seq,
            manifest_sha256: self.link.digest,
        }
    }
}

/// Every verified manifest of an instance, and everything that was found wrong on the way.
pub struct History {
    /// In the order of the chain.
    pub entries: Vec<Entry>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Places that several of them claim, closed ones included.
    pub forks: Vec<Fork>,
    /// Stores that answered.
    pub answered: Vec<StoreName>,
    /// Whether every store answered, and gave what it had listed. Only then does the absence of
    /// something prove anything.
    pub complete: bool,
    /// The trust that was gathered: signers named by the policies of trusted manifests included.
    pub trust: Trust,
    layout: Layout,
    stores: Vec<Arc<dyn Store>>,
}

/// The chain could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Not one store answered.
    #[error("no store could be read")]
    NoStore(#[source] StoreError),
    /// The run was told to stop.
    #[error(transparent)]
    Interrupted(#[from] crate::base::cancel::Interrupted),
    /// A manifest that was there a moment ago is not what it was.
    #[error("manifest {seq} cannot be read again")]
    Reread {
        /// Its sequence number.
        seq: u64,
        /// Why not.
        #[source]
        source: Option<StoreError>,
    },
    /// A signed manifest that this version cannot use.
    #[error("manifest {seq} cannot be used")]
    Unusable {
        /// Its sequence number.
        seq: u64,
        /// Why not.
        #[source]
        source: ManifestError,
    },
    /// The manifest commits no escrow.
    #[error("manifest {0} commits no escrow")]
    NoEscrow(u64),
    /// The policy that a manifest names is nowhere, or not whole.
    #[error("the policy that manifest {0} names is in no store that can be read")]
    NoPolicy(u64),
}

/// What to read, and how far to trust it.
pub struct Request<'a> {
    /// Whose chain.
    pub slug: &'a Slug,
    /// From where; all of them hold the same chain.
    pub stores: &'a [Arc<dyn Store>],
    /// Whose signatures count to begin with.
    pub trust: Trust,
    /// The newest manifest seen before, if any was.
    pub mark: Option<Mark>,
    /// Read only from the mark on: enough to extend the chain.
    pub since_mark: bool,
    /// What later manifests than this one say counts for nothing: the chain as it was then.
    pub up_to: Option<u64>,
    /// The present.
    pub now: UtcTime,
    /// Looked at between requests.
    pub cancel: &'a Cancel,
}

impl History {
    /// Reads and judges the chain.
    pub fn read(request: Request<'_>) -> Result<Self, HistoryError> {
        let layout = Layout::new(request.slug);
        let first = match request.mark {
            Some(mark) if request.since_mark => mark.seq,
            _ => 1,
        };
        let listings = Listings::read(request.stores, &layout, first);
        request.cancel.check()?;
        let mut findings = listings.findings();
        if listings.answered.is_empty() {
            return Err(listings.no_store());
        }
        let verifier = Verifier::new(request.slug, &layout, request.trust, request.cancel);
        let verdict = verifier.run(&listings)?;
        let complete = verdict.complete && listings.are_complete();
        findings.extend(verdict.findings);
        let links: Vec<Link> = verdict.verified.values().map(|entry| entry.link).collect();
        let changes =
            |digest: &Digest| verdict.verified.get(digest).map_or(&[][..], |e| &e.changes);
        let forks = fork::forks(&links, changes);
        let judged = chain::judge(&links, &forks, first, request.mark.as_ref(), request.now);
        findings.extend(judged.into_iter().map(|finding| match complete {
            true => finding,
            false => doubted(finding, &links, request.mark.as_ref()),
        }));
        findings.extend(missing_documents(&verdict.verified, &listings.answered));
        let mut entries: Vec<Entry> = verdict.verified.into_values().collect();
        entries.sort_by_key(|entry| (entry.link.seq, entry.link.digest));
        entries.retain(|entry| request.up_to.is_none_or(|last| entry.link.seq <= last));
        amend(&mut entries, &layout, &forks);
        Ok(Self {
            entries,
            findings,
            forks,
            answered: names(&listings.answered),
            complete,
            trust: verdict.trust,
            layout,
            stores: request.stores.to_vec(),
        })
    }

    /// The newest verified manifest. Of a fork, the one dated first: its writer was first.
    pub fn head(&self) -> Option<&Entry> {
        let links: Vec<Link> = self.entries.iter().map(|entry| entry.link).collect();
        let head = *link::head(&links)?;
        self.entries.iter().find(|entry| entry.link == head)
    }

    /// The manifest that a mark names.
    pub fn entry_of(&self, mark: &Mark) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.mark() == *mark)
    }

    /// Whether any manifest reports something that only a later version knows.
    pub fn reports_unknown(&self) -> bool {
        let mut changes = self.entries.iter().flat_map(|entry| &entry.changes);
        changes.any(|change| matches!(change, Change::Unknown(_)))
    }

    /// Whether it lies beside the chain, and a manifest of the chain says that this is known.
    pub fn is_left_aside(&self, entry: &Entry) -> bool {
        let mut forks = self.forks.iter();
        forks.any(|fork| fork.has_left(&entry.link.digest))
    }

    /// Holds the chain against one more mark, older than the one it was read with.
    pub fn hold_against(&mut self, mark: &Mark) {
        let links = self.entries.iter().map(|entry| entry.link);
        let slot: Vec<Link> = links.filter(|link| link.seq == mark.seq).collect();
        let is_left = self
            .forks
            .iter()
            .any(|fork| fork.has_left(&mark.manifest_sha256));
        let known = !is_left && slot.iter().any(|link| link.digest == mark.manifest_sha256);
        if !slot.is_empty() && !known {
            let message = format!("manifest {} is not the one that was seen before", mark.seq);
            let finding = Finding::violation("history-rewritten", message);
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
    }

    /// The mark that this reading leaves behind.
    pub fn mark(&self) -> Option<Mark> {
        self.head().map(Entry::mark)
    }

    /// Entries that commit an escrow, oldest first.
    pub fn escrows(&self) -> impl DoubleEndedIterator<Item = (&Entry, &EscrowSummary)> {
        self.entries
            .iter()
            .filter_map(|entry| Some((entry, entry.escrow.as_ref()?)))
    }

    /// The same without those that a closed fork left beside the chain.
    pub fn followed_escrows(&self) -> impl DoubleEndedIterator<Item = (&Entry, &EscrowSummary)> {
        self.escrows()
            .filter(|(entry, _)| !self.is_left_aside(entry))
    }

    /// Reads a whole manifest again, from any store that holds it. It must be the very bytes
    /// that were verified, here with what later manifests say of it: of an escrow that was sealed
    /// again the newest sealing, and the copies that were made later, behind those it records.
    pub fn load(&self, entry: &Entry) -> Result<Manifest, HistoryError> {
        let newest = self.load_sealings(entry)?.pop();
        newest.ok_or(HistoryError::NoEscrow(entry.link.seq))
    }

    /// What manifests say of each of an escrow's sealings, the newest last, which is the one that
    /// [`History::load`] gives.
    pub fn load_sealings(&self, entry: &Entry) -> Result<Vec<Manifest>, HistoryError> {
        let signed = self.load_signed(entry)?;
        let later = entry.escrow.iter().flat_map(|one| &one.rekeyed);
        let later = later.map(|one| {
            let mut manifest = signed.clone();
            one.rekeyed.apply_to(&mut manifest);
            manifest
        });
        let later: Vec<Manifest> = later.collect();
        let mut all: Vec<Manifest> = std::iter::once(signed).chain(later).collect();
        if let (Some(newest), Some(escrow)) = (all.last_mut(), &entry.escrow) {
            newest.stores.extend(escrow.late_copies.iter().cloned());
        }
        Ok(all)
    }

    fn load_signed(&self, entry: &Entry) -> Result<Manifest, HistoryError> {
        let seq = entry.link.seq;
        let document = Document::parse(&self.bytes_of(entry)?)
            .map_err(|source| HistoryError::Unusable { seq, source })?;
        let manifest = document.escrow.ok_or(HistoryError::NoEscrow(seq))?;
        Ok(*manifest)
    }

    /// The exact bytes of a manifest, from any store that holds it.
    pub fn bytes_of(&self, entry: &Entry) -> Result<Vec<u8>, HistoryError> {
        let link = &entry.link;
        // Where one store's slot was squatted, the same manifest has another name in the next.
        let keys = [
            self.layout.manifest(link.seq),
            self.layout.manifest_beside(link.seq, &link.digest),
        ];
        let mut stores = self.stores.iter();
        let mut last = None;
        while let Some(store) = stores.find(|store| entry.held_by.contains(store.name())) {
            for key in &keys {
                let store = store.as_ref();
                match noncurrent::get_document(store, key, &link.digest, manifest::MAX_BYTES) {
                    Ok(Some(there)) => return Ok(there.bytes),
                    Ok(None) => {}
                    Err(error) => last = Some(error),
                }
            }
        }
        Err(HistoryError::Reread {
            seq: link.seq,
            source: last,
        })
    }

    /// Reads the policy that the manifest of an escrow names, from any store that has it whole:
    /// recipients and signers in force when that manifest was signed.
    pub fn policy(&self, entry: &Entry) -> Result<Policy, HistoryError> {
        self.read_policy(entry, &self.load(entry)?.policy_sha256)
    }

    /// The same of the manifest as it was signed, whoever its escrow was sealed to since. Readers
    /// learn signers from such policies alone.
    pub fn signed_policy(&self, entry: &Entry) -> Result<Policy, HistoryError> {
        self.read_policy(entry, &self.load_signed(entry)?.policy_sha256)
    }

    fn read_policy(&self, entry: &Entry, named: &Digest) -> Result<Policy, HistoryError> {
        let key = self.layout.policy(named);
        self.stores
            .iter()
            .filter_map(|store| {
                let store = store.as_ref();
                noncurrent::get_document(store, &key, named, policy::MAX_BYTES).ok()?
            })
            .find_map(|document| Policy::parse(&document.bytes, named).ok())
            .ok_or(HistoryError::NoPolicy(entry.link.seq))
    }

    /// The layout of this instance's keys.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

/// A finding about what is not there, when a store that did not answer may have it: somebody
/// should look, but nobody has done anything wrong.
fn doubted(finding: Finding, links: &[Link], mark: Option<&Mark>) -> Finding {
    let is_absence = match finding.id {
        "chain-gap" | "rollback" => true,
        // The manifest of the mark is either gone or another one, which is proof.
        "history-rewritten" => !links
            .iter()
            .any(|link| mark.is_some_and(|mark| mark.seq == link.seq)),
        _ => false,
    };
    match is_absence {
        false => finding,
        true => Finding::warning(
            finding.id,
            format!("{}; a store that failed may have it", finding.message),
        ),
    }
}

/// Findings for each store that answered and lacks what others hold: whoever is left with that
/// store alone could not verify these escrows.
fn missing_documents(verified: &BTreeMap<Digest, Entry>, answered: &[Listing]) -> Vec<Finding> {
    let lacking = |lacks: &dyn Fn(&Entry) -> bool| -> BTreeSet<u64> {
        let lacking = verified.values().filter(|entry| lacks(entry));
        lacking.map(|entry| entry.link.seq).collect()
    };
    let mut findings = Vec::new();
    for listing in answered {
        let store = listing.store.name();
        let holds = |entry: &Entry| entry.held_by.contains(store);
        let signed = |entry: &Entry| listing.names_signature(&entry.link.digest, &entry.signer);
        let missing = lacking(&|entry| !holds(entry));
        if !missing.is_empty() {
            let message = format!("store {store} lacks {}", manifests(&missing));
            findings.push(Finding::warning("manifest-missing", message).about(store));
        }
        let unsigned = lacking(&|entry| holds(entry) && !signed(entry));
        if !unsigned.is_empty() {
            let message = format!(
                "store {store} lacks the signature of {}",
                manifests(&unsigned)
            );
            findings.push(Finding::warning("signature-missing", message).about(store));
        }
    }
    findings
}

/// `manifest 7`, or `3 manifests between 7 and 12`.
fn manifests(seqs: &BTreeSet<u64>) -> String {
    match (seqs.first(), seqs.last()) {
        (Some(first), Some(last)) if first != last => {
            format!("{} manifests between {first} and {last}", seqs.len())
        }
        (Some(only), _) => format!("manifest {only}"),
        (None, _) => "no manifest".to_owned(),
    }
}

fn names(listings: &[Listing]) -> Vec<StoreName> {
    listings
        .iter()
        .map(|listing| listing.store.name().clone())
        .collect()
}

/// Whether nothing was ever written under a prefix.
fn is_missing(error: &StoreError) -> bool {
    error.kind == StoreErrorKind::NotFound
}
