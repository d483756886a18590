//! Which escrows are kept: some of each day, week and month, and those that nobody may lose.
//!
//! Pure: it sees only what signed manifests say, so that nothing that somebody plants in a bucket
//! can take an escrow's slot.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

use crate::base::time::UtcTime;

/// How many escrows are kept of each grain. Days, weeks (ISO 8601) and months are those of UTC, and
/// only those count in which there is an escrow: a host that was off for a month loses nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Days.
    pub daily: u32,
    /// Weeks.
    pub weekly: u32,
    /// Months.
    pub monthly: u32,
    /// So many are kept at least, whatever else applies.
    pub floor: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            daily: 7,
            weekly: 5,
            monthly: 12,
            floor: 3,
        }
    }
}

/// An escrow that retention may let go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its place in the chain.
    pub seq: u64,
    /// When its manifest was signed: what its slots go by, since the chain bounds it.
    pub at: UtcTime,
    /// Fingerprint of the key in it.
    pub secret_key_id: String,
    /// Whether its proof held: a slot prefers such an escrow to others.
    pub is_proven: bool,
    /// Whether every store that must hold it does.
    pub is_replicated: bool,
}

/// A stretch of time of which one escrow is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// A day: year, month, day.
    Day(i16, i8, i8),
    /// A week of ISO 8601: its year and number.
    Week(i16, i8),
    /// A month: year, month.
    Month(i16, i8),
}

/// Why an escrow is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is the newest one.
    Newest,
    /// It is the one kept of this stretch of time.
    Slot(Slot),
    /// No newer escrow holds its `secret.key`, which old backups may need.
    LastHolderOfKey,
    /// A store that must hold it does not.
    Unreplicated,
    /// Too few would be left.
    Floor,
    /// Somebody else made it with the host's key: it fills no slot, and nobody deletes it.
    Disowned,
    /// It lies beside the chain, in a fork that was closed: it fills no slot, and nobody deletes it.
    Aside,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(year, month, day) => write!(f, "{year:04}-{month:02}-{day:02}"),
            Self::Week(year, week) => write!(f, "{year:04}-W{week:02}"),
            Self::Month(year, month) => write!(f, "{year:04}-{month:02}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::Slot(slot @ Slot::Day(..)) => write!(f, "day {slot}"),
            Self::Slot(slot @ Slot::Week(..)) => write!(f, "week {slot}"),
            Self::Slot(slot @ Slot::Month(..)) => write!(f, "month {slot}"),
            Self::LastHolderOfKey => f.write_str("no newer one holds its secret.key"),
            Self::Unreplicated => f.write_str("a required store lacks it"),
            Self::Floor => f.write_str("too few would be left"),
            Self::Disowned => f.write_str("made by somebody else with this host's key"),
            Self::Aside => f.write_str("left beside the chain by a fork"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why each of these escrows is kept, in the order given; what has no reason goes.
///
/// One that is not replicated stays, and stands in for no other: it takes no slot, and counts
/// neither for its key nor for the floor.
pub fn plan(candidates: &[Candidate], rules: &Rules) -> Vec<BTreeSet<Reason>> {
    let mut kept = vec![BTreeSet::new(); candidates.len()];
    let all: Vec<(usize, [Slot; 3])> = candidates
        .iter()
        .map(|one| slots(one.at))
        .enumerate()
        .filter(|(place, _)| candidates[*place].is_replicated)
        .collect();
    for (grain, count) in [rules.daily, rules.weekly, rules.monthly]
        .into_iter()
        .enumerate()
    {
        let slots = all.iter().map(|(place, slots)| (slots[grain], *place));
        for (slot, place) in best_of_newest(slots, count, candidates) {
            kept[place].insert(Reason::Slot(slot));
        }
    }
    if let Some((newest, _)) = newest_first(candidates).next() {
        kept[newest].insert(Reason::Newest);
    }
    let mut seen = BTreeSet::new();
    for (place, one) in newest_first(candidates) {
        if !one.is_replicated {
            kept[place].insert(Reason::Unreplicated);
        } else if seen.insert(&one.secret_key_id) {
            kept[place].insert(Reason::LastHolderOfKey);
        }
    }
    keep_floor(candidates, rules.floor, &mut kept);
    kept
}

/// The best escrow of each of the newest slots.
fn best_of_newest(
    slots: impl Iterator<Item = (Slot, usize)>,
    count: u32,
    candidates: &[Candidate],
) -> impl Iterator<Item = (Slot, usize)> {
    let mut best: BTreeMap<Slot, usize> = BTreeMap::new();
    let worth = |place: usize| {
        let one = &candidates[place];
        (one.is_proven, one.at, one.seq)
    };
    for (slot, place) in slots {
        let held = best.entry(slot).or_insert(place);
        if worth(place) > worth(*held) {
            *held = place;
        }
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    best.into_iter().rev().take(count)
}

fn keep_floor(candidates: &[Candidate], floor: u32, kept: &mut [BTreeSet<Reason>]) {
    let held = kept.iter().zip(candidates);
    let held = held
        .filter(|(reasons, one)| !reasons.is_empty() && one.is_replicated)
        .count();
    let floor = usize::try_from(floor).unwrap_or(usize::MAX);
    let goes: Vec<usize> = newest_first(candidates)
        .map(|(place, _)| place)
        .filter(|place| kept[*place].is_empty())
        .collect();
    for place in goes.into_iter().take(floor.saturating_sub(held)) {
        kept[place].insert(Reason::Floor);
    }
}

fn newest_first(candidates: &[Candidate]) -> impl Iterator<Item = (usize, &Candidate)> {
    let mut all: Vec<_> = candidates.iter().enumerate().collect();
    all.sort_by_key(|(_, one)| std::cmp::Reverse(one.seq));
    all.into_iter()
}

/// The day, week and month of a time.
fn slots(at: UtcTime) -> [Slot; 3] {
    let time = Timestamp::from_second(at.unix()).unwrap_or(Timestamp::UNIX_EPOCH);
    let date: Date = time.to_zoned(TimeZone::UTC).date();
    let week = date.iso_week_date();
    [
        Slot::Day(date.year(), date.month(), date.day()),
        Slot::Week(week.year(), week.week()),
        Slot::Month(date.year(), date.month()),
    ]
}

#[cfg(test)]
mod tests;
