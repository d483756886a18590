//! Deleting what a re-sealing replaced, and what one that was never committed left behind.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::names::{EscrowId, RekeyId};
use crate::model::finding::Finding;
use crate::model::layout::Layout;
use crate::ops::certainty::{self, Uncertain};
use crate::ops::commit::{CommitError, Committer, Reach};
use crate::ops::history::{EscrowSummary, History};
use crate::ops::inventory::{self, Holding};
use crate::ops::prune::{self, Deleted, State as Fate};
use crate::ops::state::OpenRekey;

use super::are_enough;

/// What is to be done about a re-sealing that this host began.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// No manifest names it: it goes itself.
    DeleteIt,
    /// It is in force, wherever it has to be: what it replaced goes.
    DeleteReplaced,
    /// It is in force, and some store lacks it.
    Wait,
    /// Another one has taken its place, or retention lets the escrow go.
    Forget,
}

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
    let open = ports.state.open_rekeys(chain.slug())?;
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let history = chain.read_history(Reach::Whole)?;
    let (holdings, unlisted) = inventory::read(ports.destinations, chain.layout());
    let certain = certainty::of_stores(&history, &holdings, ports, unlisted)
        .and_then(|()| certainty::of_chain(chain, &history));
    if let Err(why) = certain {
        tell_kept(chain, &why);
        return Ok(Vec::new());
    }
    let next = |one: &OpenRekey| next(chain, &history, &holdings, one);
    let planned: Vec<(OpenRekey, Next)> = open
        .into_iter()
        .map(|one| (one.clone(), next(&one)))
        .collect();
    let doomed = doomed(&history, &planned);
    let layout = chain.layout();
    let wanted = |key: &str| wanted(layout, &doomed, key);
    let deleted = prune::delete_objects(ports.destinations, layout, &wanted, ports.cancel);
    ports.cancel.check()?;
    remember(chain, &planned, &deleted)?;
    Ok(deleted)
}

fn tell_kept(chain: &mut Committer<'_>, why: &Uncertain) {
    chain.tell(Finding::warning(
        "replaced-kept",
        format!("what was sealed again is still there as it was, too: {why}"),
    ));
}

fn next(
    chain: &Committer<'_>,
    history: &History,
    holdings: &[Holding<'_>],
    one: &OpenRekey,
) -> Next {
    let mut escrows = history.escrows().map(|(_, escrow)| escrow);
    let escrow = escrows.find(|escrow| escrow.id == one.escrow_id);
    let named = |escrow: &&EscrowSummary| {
        let mut rekeyed = escrow.rekeyed.iter();
        rekeyed.any(|later| later.rekeyed.rekey_id == one.rekey_id)
    };
    let Some(escrow) = escrow.filter(named) else {
        return Next::DeleteIt;
    };
    let is_in_force = escrow.sealed().rekey == Some(&one.rekey_id);
    match is_in_force && !escrow.is_let_go() {
        false => Next::Forget,
        true if is_everywhere(chain, history, holdings, escrow) => Next::DeleteReplaced,
        true => Next::Wait,
    }
}

/// Whether every store that has to hold it lists the payload in force, in the signed size, what
/// opens it, and the manifest that says so: any of them may be the only one that is left.
fn is_everywhere(
    chain: &Committer<'_>,
    history: &History,
    holdings: &[Holding<'_>],
    escrow: &EscrowSummary,
) -> bool {
    let Some(newest) = escrow.rekeyed.last() else {
        return false;
    };
    let key = chain.layout().payload(escrow.sealed());
    let mut entries = history.entries.iter();
    let Some(entry) = entries.find(|entry| entry.link.seq == newest.seq) else {
        return false;
    };
    let holds = |holding: &&Holding<'_>| {
        let listed = holding.get(&key);
        let mut unlock = newest.rekeyed.unlock.iter();
        listed.is_some_and(|listed| listed.size == escrow.size)
            && unlock.all(|file| holding.holds(&file.key))
            && entry.held_by.contains(holding.name())
    };
    are_enough(chain, holdings.iter().filter(holds).map(Holding::name))
}

fn doomed(history: &History, planned: &[(OpenRekey, Next)]) -> BTreeMap<EscrowId, Doomed> {
    let mut doomed: BTreeMap<EscrowId, Doomed> = BTreeMap::new();
    for (one, next) in planned {
        let of = doomed.entry(one.escrow_id.clone()).or_default();
        match next {
            Next::Wait | Next::Forget => {}
            Next::DeleteIt => drop(of.rekeys.insert(one.rekey_id.clone())),
            Next::DeleteReplaced => {
                of.original = true;
                let mut escrows = history.escrows().map(|(_, escrow)| escrow);
                let escrow = escrows.find(|escrow| escrow.id == one.escrow_id);
                let named = escrow.iter().flat_map(|escrow| &escrow.rekeyed);
                let named = named.map(|later| &later.rekeyed.rekey_id);
                let replaced = named.filter(|id| **id != one.rekey_id);
                of.rekeys.extend(replaced.cloned());
            }
        }
    }
    doomed
}

fn wanted(layout: &Layout, doomed: &BTreeMap<EscrowId, Doomed>, key: &str) -> Option<EscrowId> {
    let id = layout.parse_escrow(key)?;
    let of = doomed.get(&id)?;
    let goes = match layout.parse_rekey(key) {
        Some(rekey) => of.rekeys.contains(&rekey),
        None => of.original,
    };
    goes.then_some(id)
}

/// What is not wholly gone stays on record: a lock ends one day.
fn remember(
    chain: &Committer<'_>,
    planned: &[(OpenRekey, Next)],
    deleted: &[Deleted],
) -> Result<(), CommitError> {
    let is_left = |one: &OpenRekey| {
        let mut left = deleted.iter().filter(|fate| fate.state != Fate::Gone);
        left.any(|fate| fate.escrow.as_ref().is_none_or(|id| *id == one.escrow_id))
    };
    let open = planned.iter().filter(|(one, next)| match next {
        Next::Forget => false,
        Next::Wait => true,
        Next::DeleteIt | Next::DeleteReplaced => is_left(one),
    });
    let open: Vec<OpenRekey> = open.map(|(one, _)| one.clone()).collect();
    let state = chain.ports().state;
    Ok(state.set_open_rekeys(chain.slug(), &open)?)
}
