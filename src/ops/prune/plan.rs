//! What becomes of each escrow.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::base::fingerprint::Fingerprint;
use crate::base::names::EscrowId;
use crate::base::time::UtcTime;
use crate::model::layout::Layout;
use crate::model::mark::Mark;
use crate::model::proof::{Level, Outcome, ProofRecord};
use crate::model::retention::{self, Candidate, Reason, Rules};
use crate::ops::history::{Entry, EscrowSummary, History};
use crate::ops::inventory::Holding;

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
    /// The manifest by which somebody else let it go.
    pub let_go_by: Option<u64>,
}

/// What is decided of all escrows.
pub(super) struct Plan {
    /// Those that this host has not let go before, oldest first.
    pub(super) rows: Vec<Row>,
    /// Those that it has: that is final.
    past: BTreeSet<EscrowId>,
}

/// Who plans.
pub(super) struct Planner<'a> {
    /// With which rules.
    pub(super) rules: &'a Rules,
    /// The key whose announcements are this host's own.
    pub(super) own_key: Fingerprint,
    /// Manifests by that key which this host did not make.
    pub(super) disowned: &'a [Mark],
}

impl Row {
    fn of(entry: &Entry, escrow: &EscrowSummary, kept_for: BTreeSet<Reason>) -> Self {
        Self {
            seq: entry.link.seq,
            id: escrow.id.clone(),
            snapshot_at: escrow.snapshot_at,
            size: escrow.size,
            kept_for,
            let_go_by: escrow.let_go_by.first().map(|by| by.seq),
        }
    }

    /// Whether it goes.
    pub fn goes(&self) -> bool {
        self.kept_for.is_empty()
    }
}

impl Plan {
    /// What goes now.
    pub(super) fn fresh(&self) -> Vec<EscrowId> {
        let goes = self.rows.iter().filter(|row| row.goes());
        let goes = goes.map(|row| &row.id).filter(|id| !self.keeps(id));
        goes.cloned().collect()
    }

    /// Escrows of which everything is to be deleted.
    pub(super) fn gone(&self) -> BTreeSet<EscrowId> {
        let past = self.past.iter().filter(|id| !self.keeps(id));
        past.cloned().chain(self.fresh()).collect()
    }

    /// Whether any row keeps what has this id.
    fn keeps(&self, id: &EscrowId) -> bool {
        let mut kept = self.rows.iter().filter(|row| !row.goes());
        kept.any(|row| row.id == *id)
    }
}

impl Planner<'_> {
    /// Plans from what the chain says and the stores list.
    ///
    /// What somebody else announced goes only if this host's own rules let it go, and stands in for
    /// nothing: it may be gone tomorrow. Whoever has another host's key can so make this one
    /// neither delete nor rely on anything. Nor can who hides things: what no listing shows is not
    /// replicated, and stays. A manifest that names an escrow again changes nothing of it.
    pub(super) fn plan(&self, history: &History, holdings: &[Holding<'_>]) -> Plan {
        let own = self.announcements(history);
        let (mut announced, mut seen) = (Vec::new(), BTreeSet::new());
        let (mut strange, mut open) = (Vec::new(), Vec::new());
        for (entry, escrow) in history.escrows() {
            let is_first = seen.insert(&escrow.id);
            if !is_first || self.disowned.contains(&entry.mark()) {
                strange.push(((entry, escrow), Reason::Disowned));
            } else if history.is_left_aside(entry) {
                strange.push(((entry, escrow), Reason::Aside));
            } else if escrow.let_go_by.iter().any(|by| own.contains(by)) {
                announced.push(escrow);
            } else {
                open.push((entry, escrow));
            }
        }
        let planned = self.reasons(&open, holdings, history.layout());
        let past = past(&announced, &open, holdings, history.layout());
        let strange = strange.into_iter();
        let strange = strange.map(|(one, reason)| (one, BTreeSet::from([reason])));
        let all = open.into_iter().zip(planned).chain(strange);
        let mut rows: Vec<Row> = all
            .map(|((entry, escrow), kept_for)| Row::of(entry, escrow, kept_for))
            .collect();
        rows.sort_by_key(|row| row.seq);
        Plan { rows, past }
    }

    /// Why each is kept. Those that somebody else lets go are judged beside all, and the others as
    /// if those were gone already.
    fn reasons(
        &self,
        open: &[(&Entry, &EscrowSummary)],
        holdings: &[Holding<'_>],
        layout: &Layout,
    ) -> Vec<BTreeSet<Reason>> {
        let candidate = |(entry, escrow): &(&Entry, &EscrowSummary)| Candidate {
            seq: entry.link.seq,
            // A clock that ran ahead once dates all manifests after it alike.
            at: entry.link.created_at.min(escrow.snapshot_at),
            secret_key_id: escrow.secret_key_id.clone(),
            is_proven: escrow.proof.as_ref().is_some_and(is_proven),
            is_replicated: is_replicated(escrow, holdings, layout),
        };
        let all: Vec<Candidate> = open.iter().map(candidate).collect();
        let is_staying = |place: &usize| !open[*place].1.is_let_go();
        let staying: Vec<usize> = (0..open.len()).filter(is_staying).collect();
        let mut reasons = retention::plan(&all, self.rules);
        let alone: Vec<Candidate> = staying.iter().map(|place| all[*place].clone()).collect();
        for (place, kept_for) in staying.iter().zip(retention::plan(&alone, self.rules)) {
            reasons[*place] = kept_for;
        }
        reasons
    }

    /// The manifests by which this host itself can have let escrows go.
    fn announcements(&self, history: &History) -> Vec<Mark> {
        let is_own = |entry: &&Entry| {
            entry.fingerprint == self.own_key && !self.disowned.contains(&entry.mark())
        };
        let own = history.entries.iter().filter(is_own);
        own.map(Entry::mark).collect()
    }
}

/// What this host has let go, which is final, unless it holds a key that nothing else holds any more.
fn past(
    announced: &[&EscrowSummary],
    open: &[(&Entry, &EscrowSummary)],
    holdings: &[Holding<'_>],
    layout: &Layout,
) -> BTreeSet<EscrowId> {
    let whole = open
        .iter()
        .filter(|(_, escrow)| !escrow.is_let_go() && is_replicated(escrow, holdings, layout));
    let held: BTreeSet<&str> = whole.map(|(_, one)| one.secret_key_id.as_str()).collect();
    let past = announced.iter();
    let past = past.filter(|escrow| held.contains(escrow.secret_key_id.as_str()));
    past.map(|escrow| escrow.id.clone()).collect()
}

/// Whether the key is proven to fit the metadata at least, and nothing failed.
fn is_proven(proof: &ProofRecord) -> bool {
    let mut levels = proof.levels.iter();
    proof.reaches(Level::Fields) && levels.all(|level| level.outcome != Outcome::Failed)
}

/// Whether every store that has to hold it lists its payload, and what opens it, in the signed
/// sizes; the payload with an entity tag that it may have.
fn is_replicated(escrow: &EscrowSummary, holdings: &[Holding<'_>], layout: &Layout) -> bool {
    let key = layout.payload(escrow.sealed());
    let is_tagged = |one: &Holding<'_>| {
        let tag = one.get(&key).and_then(|listed| listed.etag.as_ref());
        tag.is_none_or(|tag| escrow.may_have_etag(tag))
    };
    let payload = (key.clone(), escrow.size);
    let holds = |one: &Holding<'_>, key: &str, size: u64| {
        one.get(key).is_some_and(|listed| listed.size == size)
    };
    let mut required = holdings.iter().filter(|one| one.destination.required);
    required.all(|one| {
        let mut objects = std::iter::once(&payload).chain(&escrow.unlock);
        objects.all(|(key, size)| holds(one, key, *size)) && is_tagged(one)
    })
}
