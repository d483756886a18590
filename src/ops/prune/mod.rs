//! Letting old escrows go: planned from signed facts, announced in a signed manifest, and only then
//! deleted, wherever no lock holds them.
//!
//! # Order
//! Read the whole chain from all stores, and refuse while any doubt is left → plan → sign what goes
//! → delete it, and what earlier runs announced → sweep what crashed runs left. Manifests,
//! signatures and policies are never deleted.

mod delete;
mod sweep;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::base::names::EscrowId;
use crate::base::time::UtcTime;
use crate::model::amend::{Amend, Change};
use crate::model::finding::Finding;
use crate::model::layout::Layout;
use crate::model::manifest::Instance;
use crate::model::mark::Mark;
use crate::model::proof::{Level, Outcome, ProofRecord};
use crate::model::retention::{self, Candidate, Reason, Rules};

use super::certainty::{self, Uncertain};
use super::commit::{Author, CommitError, Committer, Ports, Reach};
use super::history::{Entry, EscrowSummary, History};
use super::inventory::{self, Holding};

pub(super) use delete::delete_objects;
pub use delete::{Deleted, State};
pub use sweep::{Left, Swept};

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What is kept.
    pub rules: Rules,
    /// Only look, and tell what would be done.
    pub dry_run: bool,
}

/// What was decided, and done.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Every escrow, oldest first, save those that went before and left nothing behind.
    pub escrows: Vec<Row>,
    /// What became of what was let go, now or earlier, in each store.
    pub deleted: Vec<Deleted>,
    /// What crashed runs left.
    pub swept: Vec<Swept>,
    /// The manifest that announces what goes; none where nothing does.
    pub announced_by: Option<Mark>,
    /// What was found on the way.
    pub findings: Vec<Finding>,
}

/// What is decided of one escrow.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its place in the chain.
    pub seq: u64,
    /// Which.
    pub id: EscrowId,
    /// When its copy began.
    pub snapshot_at: UtcTime,
    /// Of its payload, in bytes.
    pub size: u64,
    /// Why it is kept; empty where it goes.
    pub kept_for: BTreeSet<Reason>,
    /// The manifest that announced before that it goes.
    pub let_go_by: Option<u64>,
}

impl Row {
    /// Whether it goes.
    pub fn goes(&self) -> bool {
        self.kept_for.is_empty()
    }
}

impl Report {
    /// What goes, or went before.
    fn going(&self) -> impl Iterator<Item = &Row> {
        self.escrows.iter().filter(|row| row.goes())
    }

    /// What goes and was not announced before.
    fn fresh(&self) -> Vec<EscrowId> {
        let fresh = self.going().filter(|row| row.let_go_by.is_none());
        fresh.map(|row| row.id.clone()).collect()
    }
}

/// Nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The chain could not be read or extended.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// What was signed, and what is where, is not certain.
    #[error(transparent)]
    Uncertain(#[from] Uncertain),
    /// The newest escrow may open nothing.
    #[error("the key in the newest escrow, {0}, opened nothing that was tried")]
    NotProven(EscrowId),
    /// Older escrows may be what is needed.
    #[error("secret.key is another one since escrow {0}")]
    KeyChanged(EscrowId),
}

/// Plans, and unless this is a dry run announces and deletes, under the host's lock.
pub fn run(
    author: Author<'_>,
    ports: Ports<'_>,
    settings: &Settings,
) -> Result<Report, PruneError> {
    let _lock = ports.state.lock(author.slug).map_err(CommitError::from)?;
    let mut chain = Committer::new(author, ports)?;
    if !settings.dry_run {
        chain.finish_pending()?;
    }
    let history = chain.read_history(Reach::Whole)?;
    chain.look_for_stolen_key(&history)?;
    let (holdings, unlisted) = inventory::read(ports.destinations, chain.layout());
    certainty::of_stores(&history, &holdings, ports, unlisted)?;
    certainty::of_chain(&chain, &history)?;
    refuse_alarm(&history)?;
    let disowned = ports
        .state
        .strangers(author.slug)
        .map_err(CommitError::from)?;
    let (escrows, past) = plan(&history, &holdings, &disowned.manifests, &settings.rules);
    let swept = sweep::find(&chain, &history, &holdings, ports.clock.now());
    let mut report = Report {
        escrows,
        deleted: Vec::new(),
        swept,
        announced_by: None,
        findings: Vec::new(),
    };
    if !settings.dry_run {
        let mut gone = past;
        gone.extend(report.going().map(|row| row.id.clone()));
        report.announced_by = announce(&mut chain, history, report.fresh())?;
        report.deleted = delete::delete(ports.destinations, chain.layout(), &gone, ports.cancel);
        ports.cancel.check().map_err(CommitError::from)?;
        sweep::sweep(&mut report.swept, ports, chain.layout());
    }
    report.findings = std::mem::take(&mut chain.findings);
    Ok(report)
}

/// A newest escrow that may be useless must not push older ones out.
fn refuse_alarm(history: &History) -> Result<(), PruneError> {
    let mut newest_first = history.escrows().rev().map(|(_, escrow)| escrow);
    let Some(newest) = newest_first.next() else {
        return Ok(());
    };
    let proof = newest.proof.as_ref();
    if proof.is_some_and(ProofRecord::speaks_against_the_key) {
        return Err(PruneError::NotProven(newest.id.clone()));
    }
    match newest_first.next() {
        Some(before) if before.secret_key_id != newest.secret_key_id => {
            Err(PruneError::KeyChanged(before.id.clone()))
        }
        _ => Ok(()),
    }
}

/// What becomes of each escrow, and those that were let go before and have left no payload behind.
///
/// What was announced before and is still there is planned once more: whoever could sign that
/// everything goes cannot make this host delete what its own rules keep.
fn plan(
    history: &History,
    holdings: &[Holding<'_>],
    disowned: &[Mark],
    rules: &Rules,
) -> (Vec<Row>, BTreeSet<EscrowId>) {
    let layout = history.layout();
    // What somebody announced who had stolen the key is not announced.
    let announced = |escrow: &EscrowSummary| {
        let by = escrow.let_go_by;
        by.filter(|seq| disowned.iter().all(|mark| mark.seq != *seq))
    };
    let is_there = |escrow: &EscrowSummary| {
        let key = layout.payload(escrow.sealed());
        announced(escrow).is_none() || holdings.iter().any(|one| one.holds(&key))
    };
    let (strange, own): (Vec<_>, Vec<_>) = history
        .escrows()
        .partition(|(entry, _)| disowned.contains(&entry.mark()));
    let (own, past): (Vec<_>, Vec<_>) = own.into_iter().partition(|(_, one)| is_there(one));
    let candidate = |(entry, escrow): &(&Entry, &EscrowSummary)| Candidate {
        seq: entry.link.seq,
        snapshot_at: escrow.snapshot_at,
        secret_key_id: escrow.secret_key_id.clone(),
        is_proven: escrow.proof.as_ref().is_some_and(is_proven),
        is_replicated: announced(escrow).is_some() || is_replicated(escrow, holdings, layout),
    };
    let candidates: Vec<Candidate> = own.iter().map(candidate).collect();
    let planned = own.into_iter().zip(retention::plan(&candidates, rules));
    let row = |entry: &Entry, escrow: &EscrowSummary, kept_for| Row {
        seq: entry.link.seq,
        id: escrow.id.clone(),
        snapshot_at: escrow.snapshot_at,
        size: escrow.size,
        kept_for,
        let_go_by: announced(escrow),
    };
    let planned = planned.map(|((entry, escrow), kept_for)| row(entry, escrow, kept_for));
    let strange = strange.into_iter();
    let strange = strange.map(|(entry, escrow)| row(entry, escrow, [Reason::Disowned].into()));
    let past = past.into_iter().map(|(_, escrow)| escrow.id.clone());
    let mut rows: Vec<Row> = planned.chain(strange).collect();
    rows.sort_by_key(|row| row.seq);
    (rows, past.collect())
}

/// Whether the key is proven to fit the metadata at least, and nothing failed.
fn is_proven(proof: &ProofRecord) -> bool {
    let mut levels = proof.levels.iter();
    proof.reaches(Level::Fields) && levels.all(|level| level.outcome != Outcome::Failed)
}

/// Whether every store that has to hold its payload lists it, in the signed size.
fn is_replicated(escrow: &EscrowSummary, holdings: &[Holding<'_>], layout: &Layout) -> bool {
    let key = layout.payload(escrow.sealed());
    let mut required = holdings.iter().filter(|one| one.destination.required);
    required.all(|one| {
        one.get(&key)
            .is_some_and(|listed| listed.size == escrow.size)
    })
}

fn announce(
    chain: &mut Committer<'_>,
    history: History,
    escrow_ids: Vec<EscrowId>,
) -> Result<Option<Mark>, CommitError> {
    let Some(head) = history.head().filter(|_| !escrow_ids.is_empty()) else {
        return Ok(None);
    };
    let instance = Instance {
        slug: chain.slug().clone(),
        id: None,
    };
    let changes = vec![Change::Expired { escrow_ids }];
    let mut amend = Amend::new(instance, head.next_due, changes);
    Ok(Some(chain.commit(&mut amend, history)?.mark))
}
