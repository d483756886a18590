//! What belongs to no chain, and why.

use std::collections::BTreeMap;
use std::ops::Range;

use super::chain::Stretch;
use super::cluster::Cluster;
use super::family::{Family, Obstacle};
use super::path::Path;
use super::reach::{Start, starts};

/// Objects of a cluster that no chain of it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loose {
    /// WAL.
    Wal {
        /// Which.
        wal: Stretch,
        /// Why.
        reason: Apart,
    },
    /// A segment of another size than the cluster's others, or not where its name says, by its
    /// place in [`super::log::Log::odd`].
    OddSegment(usize),
    /// A base backup, by its place.
    Base {
        /// Its place among the cluster's bases.
        base: usize,
        /// What keeps it from a chain.
        obstacle: Obstacle,
    },
    /// A history file, by its place: no chain enters its timeline.
    History(usize),
}

/// Why WAL belongs to no chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Apart {
    /// There is no base backup of the cluster.
    NoBase,
    /// There is none before it on its timeline.
    BeforeAnyBase,
    /// No base backup is of its timeline, and no history file leads into it.
    OtherTimeline,
    /// Segments before it are missing, and no base backup begins behind the gap.
    BehindAGap,
}

/// What chains can need of a timeline: the numbers between its beginning and its end on some
/// path, and the first base there.
type Ways = BTreeMap<u32, BTreeMap<(u64, u64), u64>>;

impl Cluster {
    /// All that belongs to no chain.
    pub fn loose(&self) -> Vec<Loose> {
        let family = Family::new(self);
        let starts = starts(self, &family);
        let mut found: Vec<Loose> = family
            .strays()
            .map(|(base, obstacle)| Loose::Base {
                base,
                obstacle: obstacle.clone(),
            })
            .collect();
        found.extend(self.loose_wal(&starts));
        found.extend((0..self.log.odd().len()).map(Loose::OddSegment));
        let entered = |timeline| {
            let mut all = starts.iter().flat_map(|start| start.path.timelines());
            all.any(|on_the_way| on_the_way == timeline)
        };
        let histories = self.histories.iter().enumerate();
        let unneeded = histories.filter(|(_, history)| !entered(history.timeline));
        found.extend(unneeded.map(|(place, _)| Loose::History(place)));
        found
    }

    fn loose_wal(&self, starts: &[Start]) -> Vec<Loose> {
        let needed = self.needed(starts);
        let ways = ways(starts);
        let mut found = Vec::new();
        for run in self.log.runs() {
            let none = Vec::new();
            let covers = needed.get(&run.timeline).unwrap_or(&none);
            for rest in subtract(run.first..run.end, covers) {
                let reason = match self.bases.is_empty() {
                    true => Apart::NoBase,
                    false => reason(&ways, run.timeline, rest.start),
                };
                let wal = self.stretch(&Path::straight(run.timeline), rest);
                found.push(Loose::Wal { wal, reason });
            }
        }
        found
    }

    /// What chains need, or carry in their bases, by timeline: apart from each other, in order.
    fn needed(&self, starts: &[Start]) -> BTreeMap<u32, Vec<Range<u64>>> {
        let mut all: BTreeMap<u32, Vec<Range<u64>>> = BTreeMap::new();
        for start in starts {
            let reach = &start.reach;
            for (timeline, part) in start.path.split(reach.first..reach.end) {
                all.entry(timeline).or_default().push(part);
            }
            if let Some(base) = self.bases.get(start.base) {
                let within = self.log.number(base.start)..reach.carried + 1;
                all.entry(base.timeline).or_default().push(within);
            }
        }
        for ranges in all.values_mut() {
            *ranges = merged(std::mem::take(ranges));
        }
        all
    }
}

fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        match merged.last_mut().filter(|last| range.start <= last.end) {
            Some(last) => last.end = last.end.max(range.end),
            None => merged.push(range),
        }
    }
    merged
}

/// What is left of a range, without others that are in order and apart.
fn subtract(range: Range<u64>, covers: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    let mut at = range.start;
    let first = covers.partition_point(|cover| cover.end <= range.start);
    for cover in covers.iter().skip(first) {
        if cover.start >= range.end {
            break;
        }
        if at < cover.start {
            left.push(at..cover.start);
        }
        at = cover.end;
    }
    if at < range.end {
        left.push(at..range.end);
    }
    left
}

fn ways(starts: &[Start]) -> Ways {
    let mut ways = Ways::new();
    for start in starts {
        for (timeline, part) in start.path.split(0..u64::MAX) {
            let way = ways.entry(timeline).or_default();
            let first = way.entry((part.start, part.end)).or_insert(u64::MAX);
            *first = (*first).min(start.reach.carried);
        }
    }
    ways
}

fn reason(ways: &Ways, timeline: u32, number: u64) -> Apart {
    let ways = ways.get(&timeline).into_iter().flatten();
    let mut here = ways.filter(|((from, to), _)| (*from..*to).contains(&number));
    let mut any = false;
    let behind = here.any(|(_, first)| {
        any = true;
        *first < number
    });
    match (any, behind) {
        (_, true) => Apart::BehindAGap,
        (true, false) => Apart::BeforeAnyBase,
        (false, false) => Apart::OtherTimeline,
    }
}
