//! Letting old escrows go: planned from signed facts, announced in a signed manifest, and only then
//! deleted, wherever no lock holds them.
//!
//! # Order
//! Read the whole chain from all stores, and refuse while any doubt is left → plan → sign what goes
//! → delete it, and what earlier runs announced → sweep what crashed runs left. Manifests,
//! signatures and policies are never deleted.

mod delete;
mod plan;
mod sweep;

use serde::Serialize;

use crate::base::names::{EscrowId, StoreName};
use crate::model::amend::Change;
use crate::model::finding::Finding;
use crate::model::mark::Mark;
use crate::model::proof::ProofRecord;
use crate::model::retention::Rules;

use super::certainty::{self, Uncertain};
use super::commit::{Author, CommitError, Committer, Ports, Reach};
use super::history::History;
use super::inventory;
use super::lock_probe;

pub(super) use delete::delete_objects;
pub use delete::{Deleted, State};
pub use plan::Row;
pub use sweep::{Left, Swept};

use plan::Planner;

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
    /// Every escrow that this host has not let go before, oldest first.
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

/// Nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The chain could not be read or extended.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// What was signed, and what is where, is not certain.
    #[error(transparent)]
    Uncertain(#[from] Uncertain),
    /// Whoever is left with such a store would not know why payloads are gone.
    #[error("what goes could not be announced in every required store: {}", .0.join("; "))]
    Unannounced(Vec<String>),
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
    match settings.dry_run {
        true => chain.tell_strangers(&chain.strangers(&history)?),
        false => chain.look_for_stolen_key(&history)?,
    }
    let (holdings, unlisted) = inventory::read(ports.destinations, chain.layout());
    certainty::of_stores(&history, &holdings, ports, unlisted)?;
    certainty::of_chain(&chain, &history)?;
    refuse_alarm(&history)?;
    let disowned = chain.strangers(&history)?;
    let planner = Planner {
        rules: &settings.rules,
        own_key: chain.fingerprint(),
        disowned: &disowned.manifests,
    };
    let plan = planner.plan(&history, &holdings);
    let mut report = Report {
        deleted: Vec::new(),
        swept: sweep::find(&mut chain, &history, &holdings, ports.clock.now()),
        announced_by: None,
        findings: Vec::new(),
        escrows: Vec::new(),
    };
    if !settings.dry_run {
        let gone = plan.gone();
        report.announced_by = announce(&mut chain, history, plan.fresh())?;
        report.deleted = delete::delete(ports.destinations, chain.layout(), &gone, ports.cancel);
        ports.cancel.check().map_err(CommitError::from)?;
        sweep::sweep(&mut report.swept, ports, chain.layout());
        for destination in ports.destinations {
            let store = destination.store.as_ref();
            // What a lock still holds stays on record.
            lock_probe::sweep(chain.slug(), store, ports.state).map_err(CommitError::from)?;
        }
    }
    report.escrows = plan.rows;
    report.findings = std::mem::take(&mut chain.findings);
    Ok(report)
}

/// A newest escrow that may be useless must not push older ones out.
fn refuse_alarm(history: &History) -> Result<(), PruneError> {
    let mut newest_first = history.followed_escrows().rev().map(|(_, escrow)| escrow);
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

fn announce(
    chain: &mut Committer<'_>,
    history: History,
    escrow_ids: Vec<EscrowId>,
) -> Result<Option<Mark>, PruneError> {
    if escrow_ids.is_empty() {
        return Ok(None);
    }
    let changes = vec![Change::Expired { escrow_ids }];
    // Where another host was faster, this plan is of yesterday.
    let committed = chain.report_at_once(history, changes)?;
    let lacks = |name: &&StoreName| committed.lacking.contains_key(*name);
    let destinations = chain.ports().destinations.iter();
    let names = destinations.map(|to| to.store.name());
    match chain.are_enough(names.filter(|name| !lacks(name))) {
        true => Ok(Some(committed.mark)),
        false => Err(PruneError::Unannounced(
            committed.lacking.into_values().collect(),
        )),
    }
}
