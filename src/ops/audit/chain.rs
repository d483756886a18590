//! The chain as facts.

use std::collections::HashMap;

use crate::model::audit::facts::{ChainFacts, EscrowSeen, HeadSeen, Retained, Seen};
use crate::ops::history::{Entry, EscrowSummary};
use crate::postgres::lsn::Lsn;

use super::{Kept, Request};

pub(super) fn of(request: &Request<'_>, retained: &[Kept<'_>]) -> ChainFacts {
    let history = request.history;
    ChainFacts {
        mark: request.mark,
        is_complete: history.complete,
        verified: history.entries.len(),
        findings: history.findings.clone(),
        head: history.head().map(head),
        newest: Seen::Known(
            request
                .newest()
                .map(|(entry, escrow)| newest(entry, escrow)),
        ),
        retained: retained
            .iter()
            .map(|(entry, escrow)| of_retained(entry, escrow))
            .collect(),
        secret_key_ids: changes(request, |escrow| &escrow.secret_key_id),
        system_identifiers: changes(request, |escrow| &escrow.system_identifier),
        set_backs: set_backs(request),
    }
}

fn of_retained(entry: &Entry, escrow: &EscrowSummary) -> Retained {
    let locks = escrow.recorded_locks();
    Retained {
        id: escrow.id.clone(),
        seq: entry.link.seq,
        snapshot_at: escrow.snapshot_at,
        recorded_locks: locks.map(|(name, lock)| (name.clone(), lock)).collect(),
    }
}

fn head(entry: &Entry) -> HeadSeen {
    HeadSeen {
        mark: entry.mark(),
        created_at: entry.link.created_at,
        next_due: entry.next_due,
        signer: entry.signer.clone(),
        key: entry.fingerprint,
    }
}

fn newest(entry: &Entry, escrow: &EscrowSummary) -> EscrowSeen {
    EscrowSeen {
        id: escrow.id.clone(),
        mark: entry.mark(),
        snapshot_at: escrow.snapshot_at,
        key: entry.fingerprint,
        proof: escrow.proof.clone(),
    }
}

/// A cluster that goes on never runs back in its log, one that was restored does: on a later
/// timeline, too.
fn set_backs(request: &Request<'_>) -> Vec<u64> {
    let mut last: HashMap<&str, (u32, Lsn)> = HashMap::new();
    let mut found = Vec::new();
    for (entry, escrow) in request.history.followed_escrows() {
        let Some((timeline, start)) = escrow.position else {
            continue;
        };
        let before = last.insert(&escrow.system_identifier, (timeline, start));
        if before.is_some_and(|(line, at)| timeline < line || start < at) {
            found.push(entry.link.seq);
        }
    }
    found
}

/// Each value with the first manifest that has it, in the order of the chain; of escrows that
/// were let go, too.
fn changes(request: &Request<'_>, of: impl Fn(&EscrowSummary) -> &String) -> Vec<(u64, String)> {
    let mut seen: Vec<(u64, String)> = Vec::new();
    for (entry, escrow) in request.history.followed_escrows() {
        let value = of(escrow);
        if seen.last().is_none_or(|(_, last)| last != value) {
            seen.push((entry.link.seq, value.clone()));
        }
    }
    seen
}
