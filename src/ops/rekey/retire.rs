//! Deleting what a re-sealing replaced, and what one that was never committed left behind.
//!
//! What was replaced is known from the chain, so that a run on a box that has lost its state, or
//! after a lock has ended, deletes it too.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::names::{EscrowId, RekeyId};
use crate::model::finding::Finding;
use crate::model::layout::Layout;
use crate::model::mark::Mark;
use crate::ops::certainty;
use crate::ops::commit::{CommitError, Committer, Reach};
use crate::ops::history::{EscrowSummary, History, Resealing};
use crate::ops::inventory::{self, Holding};
use crate::ops::prune::{self, Deleted, State as Fate};
use crate::ops::state::OpenRekey;

/// Everything that may be deleted of one escrow.
#[derive(Default)]
struct Doomed {
    /// Re-sealings.
    rekeys: BTreeSet<RekeyId>,
    /// Whether what the snapshot sealed goes too.
    original: bool,
}

/// Deletes what this host's re-sealings have left to delete. While anything is uncertain, all of it
/// stays, for a later run.
pub(super) fn retire(chain: &mut Committer<'_>) -> Result<Vec<Deleted>, CommitError> {
    let ports = *chain.ports();
    let begun = ports.state.open_rekeys(chain.slug())?;
    let history = chain.read_history(Reach::Whole)?;
    let uncommitted = begun.into_iter().filter(|one| !is_named(&history, one));
    let uncommitted: Vec<OpenRekey> = uncommitted.collect();
    let own = own_resealings(chain, &history)?;
    if uncommitted.is_empty() && own.is_empty() {
        ports.state.set_open_rekeys(chain.slug(), &[])?;
        return Ok(Vec::new());
    }
    let (holdings, unlisted) = inventory::read(ports.destinations, chain.layout());
    let certain = certainty::of_stores(&history, &holdings, ports, unlisted)
        .and_then(|()| certainty::of_chain(chain, &history));
    if let Err(why) = certain {
        tell_kept(chain, &why.to_string());
        return Ok(Vec::new());
    }
    if history.reports_unknown() {
        tell_kept(chain, "a manifest reports what only a later version knows");
        return Ok(Vec::new());
    }
    let is_everywhere = |one: &&(&EscrowSummary, &Resealing)| {
        is_everywhere(chain, &history, &holdings, one.0, one.1)
    };
    let in_force = own.iter().filter(is_everywhere).map(|(escrow, _)| *escrow);
    let doomed = doomed(in_force, &uncommitted);
    let layout = chain.layout();
    let wanted = |key: &str| wanted(layout, &doomed, key);
    let deleted = prune::delete_objects(ports.destinations, layout, &wanted, ports.cancel);
    ports.cancel.check()?;
    remember(chain, uncommitted, &deleted)?;
    Ok(deleted)
}

fn tell_kept(chain: &mut Committer<'_>, why: &str) {
    chain.tell(Finding::warning(
        "replaced-kept",
        format!("what was sealed again may still be there as it was, too: {why}"),
    ));
}

/// Whether a manifest commits it: then the chain tells what is to be deleted.
fn is_named(history: &History, one: &OpenRekey) -> bool {
    let mut rekeyed = history.escrows().flat_map(|(_, escrow)| &escrow.rekeyed);
    rekeyed.any(|later| {
        later.rekeyed.escrow_id == one.escrow_id && later.rekeyed.rekey_id == one.rekey_id
    })
}

/// The sealings in force that this host has made itself, of escrows that are retained. It was here
/// that every byte went from one payload into the other: somebody else's word deletes nothing.
fn own_resealings<'h>(
    chain: &Committer<'_>,
    history: &'h History,
) -> Result<Vec<(&'h EscrowSummary, &'h Resealing)>, CommitError> {
    let ours = chain.fingerprint();
    let strangers = chain.strangers(history)?.manifests;
    let is_own = |by: &Mark| {
        let entry = history.entry_of(by);
        entry.is_some_and(|entry| entry.fingerprint == ours) && !strangers.contains(by)
    };
    let kept = history.escrows().filter(|(_, one)| !one.is_let_go());
    let newest = kept.filter_map(|(_, escrow)| Some((escrow, escrow.rekeyed.last()?)));
    Ok(newest.filter(|(_, newest)| is_own(&newest.by)).collect())
}

/// Whether every store that has to hold it lists the payload in force, in the signed size, what
/// opens it, and the manifest that says so: any of them may be the only one that is left.
fn is_everywhere(
    chain: &Committer<'_>,
    history: &History,
    holdings: &[Holding<'_>],
    escrow: &EscrowSummary,
    newest: &Resealing,
) -> bool {
    let key = chain.layout().payload(escrow.sealed());
    let Some(entry) = history.entry_of(&newest.by) else {
        return false;
    };
    let holds = |holding: &&Holding<'_>| {
        let listed = holding.get(&key);
        let mut unlock = newest.rekeyed.unlock.iter();
        listed.is_some_and(|listed| listed.size == escrow.size)
            && unlock.all(|file| holding.holds(&file.key))
            && entry.held_by.contains(holding.name())
    };
    chain.are_enough(holdings.iter().filter(holds).map(Holding::name))
}

fn doomed<'h>(
    in_force: impl Iterator<Item = &'h EscrowSummary>,
    uncommitted: &[OpenRekey],
) -> BTreeMap<EscrowId, Doomed> {
    let mut doomed: BTreeMap<EscrowId, Doomed> = BTreeMap::new();
    for one in uncommitted {
        let of = doomed.entry(one.escrow_id.clone()).or_default();
        of.rekeys.insert(one.rekey_id.clone());
    }
    for escrow in in_force {
        let of = doomed.entry(escrow.id.clone()).or_default();
        of.original = true;
        let sealings = escrow.rekeyed.iter().map(|later| &later.rekeyed.rekey_id);
        let in_force = escrow.sealed().rekey;
        of.rekeys
            .extend(sealings.filter(|id| Some(*id) != in_force).cloned());
    }
    doomed
}

fn wanted(layout: &Layout, doomed: &BTreeMap<EscrowId, Doomed>, key: &str) -> Option<EscrowId> {
    let (id, rekey) = layout.parse_sealing(key)?;
    let of = doomed.get(&id)?;
    let goes = match rekey {
        Some(rekey) => of.rekeys.contains(&rekey),
        None => of.original,
    };
    goes.then_some(id)
}

/// What was never committed and is not wholly gone stays on record: a lock ends one day.
fn remember(
    chain: &Committer<'_>,
    uncommitted: Vec<OpenRekey>,
    deleted: &[Deleted],
) -> Result<(), CommitError> {
    let is_left = |one: &OpenRekey| {
        let mut left = deleted.iter().filter(|fate| fate.state != Fate::Gone);
        left.any(|fate| fate.escrow.as_ref().is_none_or(|id| *id == one.escrow_id))
    };
    let left: Vec<OpenRekey> = uncommitted.into_iter().filter(is_left).collect();
    let state = chain.ports().state;
    Ok(state.set_open_rekeys(chain.slug(), &left)?)
}
