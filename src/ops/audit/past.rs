//! What became of earlier nights, out of the chain alone.

use crate::model::audit::past::{Night, Past, Sealing, missed, runs};
use crate::ops::history::{Entry, EscrowSummary, SealedFor};

use super::{Kept, Request};

pub(super) fn of(request: &Request<'_>, retained: &[Kept<'_>]) -> Past {
    let all = || request.history.followed_escrows();
    let nights = all().map(|(entry, escrow)| Night {
        began: escrow.snapshot_at,
        next_due: entry.next_due,
    });
    let earlier = retained.iter().flat_map(|(entry, escrow)| {
        let before = escrow.sealed_before.iter();
        before.map(|sealed| sealing(entry, escrow, sealed))
    });
    Past {
        let_go: all().count().saturating_sub(retained.len()),
        missed: missed(nights, request.now),
        sealed: runs(retained.iter().map(in_force)),
        sealed_before: runs(earlier),
    }
}

fn in_force((entry, escrow): &Kept<'_>) -> Sealing {
    Sealing {
        locked_until: escrow.recorded_locks().map(|(_, lock)| lock.until).max(),
        ..sealing(entry, escrow, &escrow.sealed_to)
    }
}

fn sealing(entry: &Entry, escrow: &EscrowSummary, sealed: &SealedFor) -> Sealing {
    Sealing {
        seq: entry.link.seq,
        began: escrow.snapshot_at,
        custody: sealed.custody.clone(),
        to: sealed.to.clone(),
        locked_until: sealed.locked_until,
    }
}
