//! Physical retention and the sweep of orphan WAL (DATABASUS.md §5.2; `cleaner.go` and
//! `chain_view` of 3.49). Nothing of it goes by the age of a backup; what can be extended by the
//! next backup is never touched.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::gfs::Gfs;
use super::{DAY, GRACE, Loss, Micros, SECOND};

/// A completed FULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// Its id.
    pub id: Uuid,
    /// When it began.
    pub created_at: Micros,
    /// When it was complete.
    pub completed_at: Option<Micros>,
    /// Its timeline.
    pub timeline: i64,
    /// Where it starts.
    pub start: u64,
}

/// An incremental backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incremental {
    /// The FULL that it rests on.
    pub root: Uuid,
    /// When it was complete; none where it is not.
    pub completed_at: Option<Micros>,
    /// Whether it broke the chain.
    pub broke_chain: bool,
}

/// A WAL segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its timeline.
    pub timeline: i64,
    /// Where it starts.
    pub start: u64,
    /// When it was received.
    pub received_at: Micros,
}

/// Everything that is known of a database's physical backups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// FULLs that are complete.
    pub fulls: Vec<Full>,
    /// INCREMENTALs.
    pub incrementals: Vec<Incremental>,
    /// WAL.
    pub segments: Vec<Segment>,
}

/// The policy of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What is kept.
    pub keep: Keep,
    /// The longer of the intervals between FULLs and between INCREMENTALs.
    pub cadence: Micros,
}

/// What is kept beside the chain that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// So many whole chains; none or fewer: all.
    Chains(i64),
    /// These FULLs; what rests on them goes.
    Fulls(Fulls),
    /// Whole chains: so many of them, and those of these FULLs.
    Both(i64, Fulls),
}

/// Which FULLs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fulls {
    /// No rule: none is deleted for being a FULL.
    Unset,
    /// The newest so many.
    Last(i64),
    /// By calendar slots.
    Gfs(Gfs),
}

/// How long an interval is for the grace that is given; cron counts as a day.
pub fn cadence(interval: &str) -> Micros {
    match interval {
        "HOURLY" => 3_600 * SECOND,
        "WEEKLY" => 7 * DAY,
        "MONTHLY" => 30 * DAY,
        _ => DAY,
    }
}

/// A FULL and all that rests on it, which no further backup extends.
struct Chain<'a> {
    full: &'a Full,
    /// The end of what it covers on its timeline.
    until: u64,
    ended_at: Micros,
}

impl Fulls {
    /// Which of these, newest first, are kept; none where there is no rule.
    fn keeps(&self, newest_first: &[&Full]) -> Option<BTreeSet<Uuid>> {
        let ids = newest_first.iter().map(|full| full.id);
        match self {
            Self::Last(count) if *count > 0 => Some(
                ids.take(usize::try_from(*count).unwrap_or(usize::MAX))
                    .collect(),
            ),
            Self::Gfs(gfs) if !gfs.is_empty() => {
                let times: Vec<Micros> = newest_first.iter().map(|full| full.created_at).collect();
                let kept = ids.zip(gfs.keeps(&times));
                Some(kept.filter(|(_, kept)| *kept).map(|(id, _)| id).collect())
            }
            _ => None,
        }
    }
}

impl Rows {
    /// What the next tick deletes, apart from how much of it at a time.
    pub fn loss(&self, policy: &Policy, now: Micros) -> Loss {
        let mut fulls: Vec<&Full> = self.fulls.iter().collect();
        fulls.sort_by_key(|full| (std::cmp::Reverse(full.created_at), full.id));
        let grace = policy.cadence.saturating_mul(2).max(GRACE);
        let mut chains = self.closed_chains(&fulls);
        chains.sort_by_key(|chain| std::cmp::Reverse(chain.ended_at));
        let ended = |chain: &&Chain<'_>| now.saturating_sub(chain.ended_at) >= grace;
        let mut gone = Gone::default();
        match policy.keep {
            Keep::Chains(count) if count > 0 => {
                let kept = usize::try_from(count).unwrap_or(usize::MAX);
                chains
                    .iter()
                    .skip(kept)
                    .filter(ended)
                    .for_each(|c| gone.whole(c));
            }
            Keep::Chains(_) => {}
            Keep::Fulls(which) => {
                if let Some(kept) = which.keeps(&fulls) {
                    chains.iter().filter(ended).for_each(|chain| {
                        match kept.contains(&chain.full.id) {
                            true => gone.dependents(chain),
                            false => gone.whole(chain),
                        }
                    });
                }
            }
            Keep::Both(count, which) => {
                let first = usize::try_from(count).unwrap_or(0);
                let newest = chains.iter().take(first).map(|chain| chain.full.id);
                let mut kept: BTreeSet<Uuid> = newest.collect();
                kept.extend(which.keeps(&fulls).unwrap_or_default());
                let lost = chains.iter().filter(|chain| !kept.contains(&chain.full.id));
                lost.filter(ended).for_each(|chain| gone.whole(chain));
            }
        }
        self.count(&gone)
    }

    /// All chains but the one that goes on: the newest, unless an INCREMENTAL broke it.
    fn closed_chains<'a>(&'a self, newest_first: &[&'a Full]) -> Vec<Chain<'a>> {
        let newest = newest_first.first().map(|full| full.created_at);
        let mut open_seen = false;
        let closed = newest_first.iter().filter(|full| {
            let of_it = |row: &&Incremental| row.root == full.id && row.broke_chain;
            let broken = self.incrementals.iter().find(of_it).is_some();
            let goes_on = !open_seen && Some(full.created_at) == newest && !broken;
            open_seen |= goes_on;
            !goes_on
        });
        closed.map(|full| self.chain(full)).collect()
    }

    fn chain<'a>(&self, full: &'a Full) -> Chain<'a> {
        let later = self.fulls.iter();
        let later = later.filter(|one| one.timeline == full.timeline && one.start > full.start);
        let until = later.map(|one| one.start).min().unwrap_or(u64::MAX);
        let chain = Chain {
            full,
            until,
            ended_at: 0,
        };
        let rests = self.incrementals.iter().filter(|row| row.root == full.id);
        let times = rests.filter_map(|row| row.completed_at);
        let received = self.segments.iter().filter(|row| chain.covers(row));
        let times = times.chain(received.map(|row| row.received_at));
        let ended_at = times.chain(full.completed_at).max().unwrap_or(0);
        Chain { ended_at, ..chain }
    }

    fn is_orphan(&self, segment: &Segment) -> bool {
        let mut fulls = self.fulls.iter();
        !fulls.any(|full| full.timeline == segment.timeline && full.start <= segment.start)
    }

    fn count(&self, gone: &Gone<'_>) -> Loss {
        let fulls = self.fulls.iter().map(|full| {
            let at = full.completed_at.unwrap_or(full.created_at);
            (at, gone.fulls.contains(&full.id))
        });
        let rest = self.incrementals.iter().filter_map(|row| {
            let at = row.completed_at?;
            Some((at, gone.rests_on.contains(&row.root)))
        });
        let backups: Vec<(Micros, bool)> = fulls.chain(rest).collect();
        let newest = backups.iter().max_by_key(|(at, _)| *at);
        let lost = |row: &&Segment| {
            self.is_orphan(row) || gone.wal_of.iter().any(|chain| chain.covers(row))
        };
        Loss {
            backups: backups.len(),
            deleted: backups.iter().filter(|(_, gone)| *gone).count(),
            newest: newest.is_some_and(|(_, gone)| *gone),
            segments: self.segments.len(),
            deleted_segments: self.segments.iter().filter(lost).count(),
        }
    }
}

impl Chain<'_> {
    fn covers(&self, segment: &Segment) -> bool {
        segment.timeline == self.full.timeline
            && (self.full.start..self.until).contains(&segment.start)
    }
}

/// What goes.
#[derive(Default)]
struct Gone<'a> {
    fulls: BTreeSet<Uuid>,
    rests_on: BTreeSet<Uuid>,
    wal_of: Vec<&'a Chain<'a>>,
}

impl<'a> Gone<'a> {
    fn whole(&mut self, chain: &'a Chain<'a>) {
        self.fulls.insert(chain.full.id);
        self.dependents(chain);
    }

    fn dependents(&mut self, chain: &'a Chain<'a>) {
        self.rests_on.insert(chain.full.id);
        self.wal_of.push(chain);
    }
}

#[cfg(test)]
mod tests;
