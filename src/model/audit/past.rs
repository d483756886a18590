//! The past of a chain, as a report draws it: nights that were missed, and who could open what.
//!
//! All of it follows from signed manifests alone, and is small however long the chain is: runs of
//! escrows that are sealed alike, and gaps between neighbours.

use crate::base::fingerprint::Fingerprint;
use crate::base::names::CustodianName;
use crate::base::time::UtcTime;
use crate::model::manifest::Custody;

/// What became of earlier nights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// How many escrows retention has let go. Their payloads may be gone.
    pub let_go: usize,
    /// Spans in which an escrow was due and none was begun, the oldest first.
    pub missed: Vec<Missed>,
    /// To whom the escrows are sealed that retention keeps, in the order of the chain.
    pub sealed: Vec<SealedRun>,
    /// To whom some of them were sealed before they were sealed again. Whoever has a copy of that
    /// sealing, or finds it under a lock, opens it as before.
    pub sealed_before: Vec<SealedRun>,
}

/// A span in which an escrow was due and none was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// When it was due, as the manifest before it says.
    pub due: UtcTime,
    /// When one was begun; none where that did not happen yet.
    pub until: Option<UtcTime>,
}

/// A night on which an escrow was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Night {
    /// When its copy began.
    pub began: UtcTime,
    /// When its manifest says that the next one is due.
    pub next_due: UtcTime,
}

/// Who can open something that is sealed to them. A recipient of a kind that this release does
/// not know has no fingerprint.
pub type SealedTo = Vec<(CustodianName, Option<Fingerprint>)>;

/// One sealing of an escrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// The escrow's place in the chain.
    pub seq: u64,
    /// When its copy began.
    pub began: UtcTime,
    /// How many custodians it takes.
    pub custody: Custody,
    /// Who they are.
    pub to: SealedTo,
    /// Until when a store keeps a copy from being deleted, as manifests recorded it; none where
    /// none does.
    pub locked_until: Option<UtcTime>,
}

/// Escrows that follow each other and are sealed alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRun {
    /// Sequence numbers of the first and the last of them.
    pub seqs: (u64, u64),
    /// When their copies began.
    pub began: (UtcTime, UtcTime),
    /// How many they are.
    pub escrows: usize,
    /// How many custodians it takes.
    pub custody: Custody,
    /// Who they are.
    pub to: SealedTo,
    /// Until when the last of their locks holds.
    pub locked_until: Option<UtcTime>,
}

/// The spans between nights that are longer than each manifest had promised.
pub fn missed(nights: impl IntoIterator<Item = Night>, now: UtcTime) -> Vec<Missed> {
    let mut found = Vec::new();
    let mut due: Option<UtcTime> = None;
    for night in nights {
        found.extend(late(due, Some(night.began)));
        due = Some(night.next_due);
    }
    found.extend(late(due.filter(|due| *due < now), None));
    found
}

fn late(due: Option<UtcTime>, until: Option<UtcTime>) -> Option<Missed> {
    let due = due?;
    let is_late = until.is_none_or(|until| until > due);
    is_late.then_some(Missed { due, until })
}

/// Puts neighbours together that are sealed to the same people in the same way.
pub fn runs(sealings: impl IntoIterator<Item = Sealing>) -> Vec<SealedRun> {
    let mut runs: Vec<SealedRun> = Vec::new();
    for one in sealings {
        match runs.last_mut() {
            Some(run) if run.to == one.to && run.custody == one.custody => run.extend(&one),
            _ => runs.push(SealedRun::of(one)),
        }
    }
    runs
}

impl SealedRun {
    fn of(sealing: Sealing) -> Self {
        Self {
            seqs: (sealing.seq, sealing.seq),
            began: (sealing.began, sealing.began),
            escrows: 1,
            custody: sealing.custody,
            to: sealing.to,
            locked_until: sealing.locked_until,
        }
    }

    fn extend(&mut self, sealing: &Sealing) {
        self.seqs.1 = sealing.seq;
        self.began.1 = sealing.began;
        self.escrows += 1;
        self.locked_until = self.locked_until.max(sealing.locked_until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::CustodyMode;

    const DAY: i64 = 86_400;

    fn at(day: i64) -> UtcTime {
        UtcTime::from_unix(1_780_000_000 + day * DAY)
    }

    fn night(day: i64) -> Night {
        Night {
            began: at(day),
            next_due: at(day).plus(DAY + 7_200),
        }
    }

    fn sealing(seq: u64, who: &str, locked_until: Option<UtcTime>) -> Sealing {
        Sealing {
            seq,
            began: at(i64::try_from(seq).unwrap()),
            custody: Custody {
                mode: CustodyMode::Any,
                k: None,
            },
            to: vec![(who.parse().unwrap(), Some(Fingerprint::of(who.as_bytes())))],
            locked_until,
        }
    }

    #[test]
    fn nights_in_time_leave_no_gap() {
        assert_eq!(missed([0, 1, 2].map(night), at(3)), []);
        assert_eq!(missed([], at(3)), []);
    }

    #[test]
    fn a_night_without_an_escrow_is_missed_from_when_it_was_due() {
        let gap = Missed {
            due: at(1).plus(DAY + 7_200),
            until: Some(at(4)),
        };
        assert_eq!(missed([0, 1, 4].map(night), at(4)), [gap]);
    }

    #[test]
    fn an_escrow_that_is_overdue_now_is_missed_without_end() {
        let gap = Missed {
            due: at(0).plus(DAY + 7_200),
            until: None,
        };
        assert_eq!(missed([night(0)], at(2)), [gap]);
    }

    #[test]
    fn neighbours_that_are_sealed_alike_are_one_run() {
        let runs = runs([
            sealing(1, "alice", Some(at(30))),
            sealing(2, "alice", None),
            sealing(5, "bob", None),
            sealing(6, "alice", None),
        ]);
        let told: Vec<_> = runs.iter().map(|run| (run.seqs, run.escrows)).collect();
        assert_eq!(told, [((1, 2), 2), ((5, 5), 1), ((6, 6), 1)]);
        assert_eq!(runs[0].locked_until, Some(at(30)));
    }
}
