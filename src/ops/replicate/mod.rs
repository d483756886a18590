//! Bringing every store up to what it should hold: sealed bytes are copied from a store that has
//! them, compared with what was signed on the way, and never opened.
//!
//! # Order
//! Read the whole chain → list every store → small documents and manifests, oldest first → payloads
//! → one signed manifest that says what was copied. A copy that no manifest reports yet is found
//! and reported by the next run; nothing is ever overwritten.

mod beneath;
mod checkins;
mod documents;
mod payloads;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::names::{EscrowId, StoreName};
use crate::base::time::UtcTime;
use crate::model::amend::Change;
use crate::model::finding::Finding;
use crate::model::manifest::{Manifest, StoreRecord};
use crate::model::mark::Mark;
use crate::store::Store;

use super::commit::{Author, CommitError, Committer, Completeness, Ports, Reach};
use super::destination::Destination;
use super::fetch;
use super::history::{Entry, EscrowSummary, History};
use super::inventory::{self, Holding, Unlisted};
use super::open_uploads::OpenUploads;
use super::state::LockProbe;

use documents::Document;
use payloads::Copy;

/// How closely copies that are there are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looking {
    /// Size and entity tag in the listing; the bytes where these are not as recorded.
    Listed,
    /// All bytes of all copies.
    Whole,
}

/// Told the size in bytes of each part that arrived.
pub type Told = Arc<dyn Fn(u64) + Send + Sync>;

/// What was done, and what is still missing.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Payloads that were copied.
    pub copied: Vec<Copied>,
    /// Small documents that were put.
    pub documents: usize,
    /// What a store still lacks.
    pub missing: Vec<Missing>,
    /// The manifest that reports the copies; none where there were none.
    pub amend: Option<Mark>,
    /// What was found on the way, where this was a job of its own.
    pub findings: Vec<Finding>,
}

/// A payload that a store has got.
#[derive(Debug, Serialize)]
pub struct Copied {
    /// Of which escrow.
    pub escrow: EscrowId,
    /// The store.
    pub store: StoreName,
    /// In bytes.
    pub bytes: u64,
}

/// Something that a store lacks.
#[derive(Debug, Serialize)]
pub struct Missing {
    /// The store.
    pub store: StoreName,
    /// Whether it has to hold it.
    pub required: bool,
    /// What, and why it is not there.
    pub why: String,
}

impl Report {
    /// How this run is to be taken.
    pub fn completeness(&self) -> Completeness {
        Completeness::of(&self.findings, self.lacks_something_required())
    }

    /// Whether a store lacks something that it has to hold.
    pub fn lacks_something_required(&self) -> bool {
        self.missing.iter().any(|one| one.required)
    }
}

/// Replicates as a job of its own, under the host's lock.
pub fn run(
    author: Author<'_>,
    ports: Ports<'_>,
    looking: Looking,
    on_bytes: Told,
) -> Result<Report, CommitError> {
    let _lock = ports.state.lock(author.slug)?;
    let mut chain = Committer::new(author, ports)?;
    chain.uploads().remove_leftovers(ports.destinations)?;
    chain.finish_pending()?;
    let mut report = catch_up(&mut chain, looking, on_bytes)?;
    report.findings = std::mem::take(&mut chain.findings);
    Ok(report)
}

/// Replicates within a run that holds the lock and has finished what earlier ones began. Findings
/// are told to `chain`.
pub fn catch_up(
    chain: &mut Committer<'_>,
    looking: Looking,
    on_bytes: Told,
) -> Result<Report, CommitError> {
    let history = chain.read_history(Reach::Whole)?;
    let ports = *chain.ports();
    let (holdings, failed) = inventory::read(ports.destinations, chain.layout());
    let job = Job {
        uploads: chain.uploads(),
        cancel: ports.cancel,
        on_bytes,
        looking,
        now: ports.clock.now(),
        probes: ports.state.lock_probes(chain.slug())?,
    };
    let mut run = Run {
        job,
        history: &history,
        holdings,
        report: Report {
            copied: Vec::new(),
            documents: 0,
            missing: failed.iter().map(unlisted).collect(),
            amend: None,
            findings: Vec::new(),
        },
        records: Vec::new(),
    };
    for entry in &history.entries {
        ports.cancel.check()?;
        run.bring_up(chain, entry)?;
    }
    ports.cancel.check()?;
    let (put, unput) = checkins::spread(&history, &run.holdings, run.job.now);
    run.report.documents += put;
    tell_missing(chain, unput);
    // What could not be put has been told; the rest is there now.
    let is_put = |finding: &Finding| matches!(finding.id, "manifest-missing" | "signature-missing");
    chain.findings.retain(|finding| !is_put(finding));
    let Run {
        mut report,
        records,
        ..
    } = run;
    report.amend = sign(chain, history, records)?;
    let lacking: BTreeSet<StoreName> = report.missing.iter().map(|one| one.store.clone()).collect();
    ports.state.set_lacking(chain.slug(), &lacking)?;
    Ok(report)
}

fn unlisted((destination, why): &Unlisted<'_>) -> Missing {
    Missing {
        store: destination.store.name().clone(),
        required: destination.required,
        why: format!("it does not answer: {why}"),
    }
}

/// Signs what was copied into the chain.
fn sign(
    chain: &mut Committer<'_>,
    history: History,
    records: Vec<(EscrowId, StoreRecord)>,
) -> Result<Option<Mark>, CommitError> {
    if records.is_empty() {
        return Ok(None);
    }
    let changes = records.into_iter();
    let changes = changes.map(|(escrow_id, store)| Change::Copied { escrow_id, store });
    Ok(Some(chain.report(history, changes.collect())?.mark))
}

/// What copying stands on.
struct Job<'a> {
    uploads: OpenUploads<'a>,
    cancel: &'a Cancel,
    on_bytes: Told,
    looking: Looking,
    /// From when on what is written counts as locked.
    now: UtcTime,
    /// What tries to break locks found.
    probes: BTreeMap<StoreName, LockProbe>,
}

struct Run<'a> {
    job: Job<'a>,
    history: &'a History,
    holdings: Vec<Holding<'a>>,
    report: Report,
    /// Copies that no manifest reports yet.
    records: Vec<(EscrowId, StoreRecord)>,
}

impl Run<'_> {
    /// Brings every store up to one manifest and what it names.
    fn bring_up(&mut self, chain: &mut Committer<'_>, entry: &Entry) -> Result<(), CommitError> {
        if let Some(escrow) = &entry.escrow {
            let manifest = self.history.load(entry)?;
            self.spread_documents(chain, escrow, &manifest);
            if manifest.rekeyed.is_some() {
                self.spread_first_policy(chain, entry)?;
            }
            // What retention has let go is not copied any more.
            if !escrow.is_let_go() {
                self.spread_payload(chain, escrow, &manifest);
            }
        }
        // Last, as always: it commits what it names.
        let (put, failed) =
            documents::spread_manifest(chain, self.history, entry, &self.holdings, self.job.now)?;
        self.report.documents += put;
        tell_missing(chain, failed);
        Ok(())
    }

    fn spread_documents(
        &mut self,
        chain: &mut Committer<'_>,
        escrow: &EscrowSummary,
        manifest: &Manifest,
    ) {
        let all = Document::all_of(manifest, self.history.layout()).into_iter();
        for document in all.filter(|one| !escrow.is_let_go() || one.outlives_payload()) {
            self.spread(chain, &document);
        }
    }

    /// Whoever verifies learns signers from the policy that the signed manifest itself names.
    fn spread_first_policy(
        &mut self,
        chain: &mut Committer<'_>,
        entry: &Entry,
    ) -> Result<(), CommitError> {
        let sealings = self.history.load_sealings(entry)?;
        if let Some(first) = sealings.first() {
            let document = Document::policy_of(first, self.history.layout());
            self.spread(chain, &document);
        }
        Ok(())
    }

    fn spread(&mut self, chain: &mut Committer<'_>, document: &Document) {
        for why in documents::damaged(document, &self.holdings, self.job.looking) {
            chain.tell(Finding::violation("document-damaged", why));
        }
        let (put, failed) = documents::spread(document, &self.holdings, self.job.now);
        self.report.documents += put;
        tell_missing(chain, failed);
    }

    fn spread_payload(
        &mut self,
        chain: &mut Committer<'_>,
        escrow: &EscrowSummary,
        manifest: &Manifest,
    ) {
        let key = self.history.layout().payload(escrow.sealed());
        let look = |holding| payloads::look(&self.job, holding, &key, manifest);
        let seen = self.holdings.iter().map(|one| (one.destination, look(one)));
        let seen: Vec<(&Destination, Copy)> = seen.collect();
        let whole = |(_, copy): &&(_, Copy)| matches!(copy, Copy::Whole | Copy::Beneath(_));
        let whole = seen.iter().filter(whole);
        let from: Vec<Arc<dyn Store>> = whole.map(|(one, _)| one.store.clone()).collect();
        for (destination, copy) in seen {
            let name = destination.store.name();
            tell_copy(chain, escrow, (name, &key), &copy);
            let outcome = match copy {
                Copy::Whole if escrow.stored_in.contains(name) => continue,
                // A run that died before it could say so has copied it.
                Copy::Whole => payloads::record(&self.job, manifest, &key, destination),
                // Else whoever may delete would cost another locked copy every night.
                Copy::Beneath(copy) if copy.is_kept || !copy.is_hidden => continue,
                Copy::Absent if from.is_empty() => Err("no store has it whole".to_owned()),
                Copy::Beneath(_) | Copy::Absent => self.copy(chain, manifest, &from, destination),
                Copy::Differs(why) | Copy::Unread(why) => Err(why),
            };
            match outcome {
                Ok(record) => self.records.push((escrow.id.clone(), record)),
                Err(why) => self.report.missing.push(Missing {
                    store: name.clone(),
                    required: destination.required,
                    why: format!("escrow {}: {why}", escrow.id),
                }),
            }
        }
    }

    fn copy(
        &mut self,
        chain: &mut Committer<'_>,
        manifest: &Manifest,
        from: &[Arc<dyn Store>],
        to: &Destination,
    ) -> Result<StoreRecord, String> {
        let mut tell = |finding| chain.tell(finding);
        let record = payloads::copy(&self.job, manifest, from, to, &mut tell)?;
        self.report.copied.push(Copied {
            escrow: manifest.escrow_id.clone(),
            store: record.name.clone(),
            bytes: manifest.payload.size,
        });
        Ok(record)
    }
}

/// What is wrong with a store's copy.
fn tell_copy(
    chain: &mut Committer<'_>,
    escrow: &EscrowSummary,
    (store, key): (&StoreName, &str),
    copy: &Copy,
) {
    let id = &escrow.id;
    chain.tell(match copy {
        Copy::Absent if escrow.stored_in.contains(store) => {
            let why = format!("escrow {id}: it was stored in {store}, and is gone");
            Finding::warning("copy-missing", why)
        }
        Copy::Beneath(copy) if copy.is_hidden => fetch::hidden(store, key),
        Copy::Beneath(_) => fetch::overwritten(store, key),
        Copy::Differs(why) => Finding::violation("copy-damaged", format!("escrow {id}: {why}")),
        Copy::Absent | Copy::Whole | Copy::Unread(_) => return,
    });
}

fn tell_missing(chain: &mut Committer<'_>, documents: Vec<String>) {
    for why in documents {
        chain.tell(Finding::warning("document-missing", why));
    }
}
