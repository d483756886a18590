//! Chains: a full backup, the incremental ones on it, and the WAL that follows them along one
//! timeline; and the windows of time that a chain reaches.

use std::collections::BTreeMap;
use std::ops::Range;

use super::cluster::Cluster;
use super::facts::{Segment, Spoilt};
use super::family::{Family, Obstacle};
use super::path::Path;
use super::reach::{Moment, Start, starts};
use crate::databasus::objects::name::BackupName;
use crate::postgres::lsn::Lsn;
use crate::postgres::wal_segment::SegmentName;

/// A full backup and all that makes it reach further, along one timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The place of the full backup among the cluster's bases.
    pub full: usize,
    /// The timeline that it follows to its end.
    pub timeline: u32,
    /// The timelines on the way, the full backup's own first.
    pub timelines: Vec<u32>,
    /// The other base backups in it, in the order of time.
    pub incrementals: Vec<Member>,
    /// Why the full backup cannot be used, and with it the chain.
    pub obstacle: Option<Obstacle>,
    /// What it reaches, in the order of the log.
    pub windows: Vec<Window>,
    /// What ends a window before the WAL ends.
    pub gaps: Vec<Gap>,
    /// WAL segments in its windows.
    pub segments: u64,
    /// Their stored bytes.
    pub wal_bytes: u64,
}

/// An incremental backup of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its place among the cluster's bases.
    pub base: usize,
    /// Why it cannot be used.
    pub obstacle: Option<Obstacle>,
}

/// What a chain reaches without a hole: every point from one to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first point.
    pub from: Edge,
    /// The last one. Where WAL follows, replay to a time reaches up to here and not this time
    /// itself: it stops before the first commit that is later.
    pub to: Edge,
    /// The bases that it holds, by their places, in the order of the log.
    pub bases: Vec<usize>,
    /// The WAL that it needs; none where it reaches nothing but the moment of a backup.
    pub wal: Option<Stretch>,
}

/// An end of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// When; none where nothing tells.
    pub time: Option<Moment>,
    /// Where in the log.
    pub lsn: Lsn,
}

/// WAL without a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its first segment.
    pub first: SegmentName,
    /// Its last one.
    pub last: SegmentName,
    /// How many there are.
    pub count: u64,
}

/// Segments that are not there, with others behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What is missing.
    pub missing: Stretch,
    /// Where it begins.
    pub from: Lsn,
    /// What is there of it and of no use.
    pub spoilt: Vec<(BackupName, Spoilt)>,
    /// Whether a base of `WAL_V1` may bring it along: only the whole of it tells.
    pub is_maybe_in_base: bool,
}

/// How many names of objects of no use a gap tells.
const NAMED: usize = 20;

impl Cluster {
    /// All chains, in the order of time.
    pub fn chains(&self) -> Vec<Chain> {
        let family = Family::new(self);
        let mut grouped: BTreeMap<(usize, u32), Vec<Start>> = BTreeMap::new();
        for start in starts(self, &family) {
            let key = (start.full, start.timeline);
            grouped.entry(key).or_default().push(start);
        }
        let chains = grouped.into_iter();
        chains
            .map(|((full, timeline), starts)| self.chain(full, timeline, starts))
            .collect()
    }

    fn chain(&self, full: usize, timeline: u32, mut starts: Vec<Start>) -> Chain {
        starts.sort_by_key(|start| (start.base != full, start.stop, start.ready.at, start.base));
        let others = starts.iter().filter(|start| start.base != full);
        let incrementals = others.map(|start| Member {
            base: start.base,
            obstacle: start.obstacle.clone(),
        });
        let first = starts.first();
        let timelines = first.map(|start| start.path.timelines().collect());
        let obstacle = first.filter(|start| start.base == full);
        let mut chain = Chain {
            full,
            timeline,
            timelines: timelines.unwrap_or_default(),
            incrementals: incrementals.collect(),
            obstacle: obstacle.and_then(|start| start.obstacle.clone()),
            windows: Vec::new(),
            gaps: Vec::new(),
            segments: 0,
            wal_bytes: 0,
        };
        let mut ends = Vec::new();
        for start in starts.iter().filter(|start| start.obstacle.is_none()) {
            self.extend(&mut chain, &mut ends, start);
        }
        chain
    }

    /// Takes one more base: into the window that it stands in, or else with one of its own.
    fn extend(&self, chain: &mut Chain, ends: &mut Vec<u64>, start: &Start) {
        let at = ends.iter().position(|end| *end == start.reach.end);
        let window = at.and_then(|at| chain.windows.get_mut(at));
        match window.filter(|window| window.wal.is_some()) {
            Some(window) => window.bases.push(start.base),
            None => {
                chain.windows.push(self.window(start));
                ends.push(start.reach.end);
                let reach = &start.reach;
                chain.segments += reach.end - reach.first;
                for (timeline, part) in start.path.split(reach.first..reach.end) {
                    let bytes = self.log.bytes(timeline, part);
                    chain.wal_bytes = chain.wal_bytes.saturating_add(bytes);
                }
            }
        }
        for gap in self.gaps_of(start) {
            if !chain.gaps.contains(&gap) {
                chain.gaps.push(gap);
            }
        }
    }

    fn window(&self, start: &Start) -> Window {
        let from = Edge {
            time: Some(start.ready),
            lsn: start.stop,
        };
        let reach = &start.reach;
        let until = start.until(self).filter(|until| until.at > start.ready.at);
        let to = Edge {
            time: until.or(from.time),
            lsn: start.end(&self.log),
        };
        let wal = reach.has_wal();
        Window {
            from,
            to,
            bases: vec![start.base],
            wal: wal.then(|| self.stretch(&start.path, reach.first..reach.end)),
        }
    }

    pub(super) fn stretch(&self, path: &Path, numbers: Range<u64>) -> Stretch {
        let last = numbers.end.saturating_sub(1).max(numbers.start);
        let name = |number| self.log.name(path.timeline_of(number), number);
        Stretch {
            first: name(numbers.start),
            last: name(last),
            count: numbers.end.saturating_sub(numbers.start),
        }
    }

    /// What is missing behind a base: before its WAL, and where that ends too early.
    pub(super) fn gaps_of(&self, start: &Start) -> impl Iterator<Item = Gap> {
        let reach = &start.reach;
        let before = reach.hole.clone().map(|hole| (hole, true));
        let behind = reach.next.map(|next| (reach.end..next, false));
        let gaps = before.into_iter().chain(behind);
        gaps.map(|(numbers, is_maybe_in_base)| self.gap(start, numbers, is_maybe_in_base))
    }

    pub(super) fn gap(&self, start: &Start, numbers: Range<u64>, maybe: bool) -> Gap {
        let spoilt = self.spoilt_in(&start.path, numbers.clone());
        Gap {
            from: self.log.position(numbers.start),
            missing: self.stretch(&start.path, numbers),
            spoilt,
            is_maybe_in_base: maybe,
        }
    }

    /// Segments that are there and of no use: the first of them.
    fn spoilt_in(&self, path: &Path, numbers: Range<u64>) -> Vec<(BackupName, Spoilt)> {
        let parts = path.split(numbers);
        let found = parts.flat_map(|(timeline, part)| {
            let range = (timeline, part.start)..(timeline, part.end);
            self.spoilt.segments.range(range)
        });
        let objects = found.flat_map(|(_, objects)| objects);
        objects.take(NAMED).cloned().collect()
    }

    /// Segments that are stored more than once, each with all its objects.
    pub fn duplicates(&self) -> impl Iterator<Item = &[Segment]> {
        self.log.duplicates()
    }
}

impl Window {
    /// Whether it reaches no span of time, but the moments of backups alone.
    pub fn is_instant(&self) -> bool {
        self.from.time == self.to.time
    }
}
