//! How far the WAL behind a base backup reaches, on each timeline that leads on from it.

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};

use super::cluster::Cluster;
use super::facts::Base;
use super::family::{Family, Obstacle};
use super::log::Log;
use super::path::Path;
use crate::postgres::lsn::Lsn;

/// `WAL_V1` is dated by its names alone, in whole seconds that were cut off: what a base holds may
/// have been committed up to a second behind them.
const NAMED_TO: SignedDuration = SignedDuration::from_secs(1);

/// A point in time, and whether the WAL itself or only the time of an upload tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// Whether a record of the WAL tells it.
    pub exact: bool,
}

/// A base backup that replay can begin with, on the way to the end of one timeline.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The place of the full backup.
    pub(super) full: usize,
    /// The place of the backup itself.
    pub(super) base: usize,
    /// The timeline that is followed to its end.
    pub(super) timeline: u32,
    /// From when on it reaches a point in time.
    pub(super) ready: Moment,
    /// Where it is consistent, as far as that is told.
    pub(super) stop: Lsn,
    pub(super) path: Path,
    pub(super) reach: Reach,
    /// Why it cannot be used.
    pub(super) obstacle: Option<Obstacle>,
}

/// The WAL behind a base, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// The last segment that the base brings along for certain.
    pub(super) carried: u64,
    /// The first that is there and needed.
    pub(super) first: u64,
    /// Behind the last that follows without a hole.
    pub(super) end: u64,
    /// What is not there before the first, and may be within a base of `WAL_V1`.
    pub(super) hole: Option<Range<u64>>,
    /// The next that is there behind the end.
    pub(super) next: Option<u64>,
}

impl Reach {
    fn behind(base: &Base, path: &Path, log: &Log) -> Self {
        let carried = match base.stop {
            Some(stop) => log.number_before(stop),
            None => log.number(base.start),
        };
        // Where the timeline changes within the last segment, the new timeline's is needed.
        let timeline = path.timeline_of(carried);
        let is_stored = log.run_at(timeline, carried).is_some();
        let mut first = match is_stored || timeline != base.timeline {
            true => carried,
            false => carried + 1,
        };
        let mut end = path.end_from(first, log);
        let mut hole = None;
        let is_open = base.stop.is_none() && end <= carried + 1;
        if let Some(next) = path.next_at(end, log).filter(|_| is_open) {
            hole = Some(end..next);
            (first, end) = (next, path.end_from(next, log));
        }
        Self {
            carried,
            first,
            end,
            hole,
            next: path.next_at(end, log),
        }
    }

    pub(super) fn has_wal(&self) -> bool {
        self.end > self.first
    }
}

impl Start {
    /// The last moment that it reaches; none without WAL, and where nothing tells a time.
    pub(super) fn until(&self, cluster: &Cluster) -> Option<Moment> {
        if !self.reach.has_wal() {
            return None;
        }
        let last = self.reach.end.checked_sub(1)?;
        let timeline = self.path.timeline_of(last);
        if let Some(at) = cluster.evidence.ends.get(&cluster.log.name(timeline, last)) {
            let (at, exact) = (*at, true);
            return Some(Moment { at, exact });
        }
        let at = whole_micros(cluster.log.received(timeline, last)?, RoundMode::Floor);
        let exact = false;
        Some(Moment { at, exact })
    }

    /// The position behind the last byte that it reaches.
    pub(super) fn end(&self, log: &Log) -> Lsn {
        match self.reach.has_wal() {
            true => log.position(self.reach.end).max(self.stop),
            false => self.stop,
        }
    }
}

/// All that replay can begin with, full backup by full backup and timeline by timeline.
pub(super) fn starts(cluster: &Cluster, family: &Family<'_>) -> Vec<Start> {
    let mut found = Vec::new();
    for (full, members) in family.trees() {
        for timeline in timelines(cluster, members) {
            let before = found.len();
            let all = members.iter().filter_map(|place| {
                let base = cluster.bases.get(*place)?;
                let path = path_of(cluster, base, timeline)?;
                Some(start(cluster, family, (full, *place), base, timeline, path))
            });
            found.extend(all);
            let mut new = found.get(before..).unwrap_or_default().iter();
            if !new.any(|start| is_entered(start, cluster)) {
                found.truncate(before);
            }
        }
    }
    found
}

/// A timeline counts for a full backup that was taken on it, and for one whose WAL leads into it.
fn is_entered(start: &Start, cluster: &Cluster) -> bool {
    let own = cluster.bases.get(start.base);
    own.is_some_and(|base| base.timeline == start.timeline)
        || start.reach.end > start.path.entered()
}

fn timelines(cluster: &Cluster, members: &[usize]) -> BTreeSet<u32> {
    let bases = members.iter().filter_map(|place| cluster.bases.get(*place));
    let own = bases.map(|base| base.timeline);
    let later = cluster.histories.iter().map(|history| history.timeline);
    own.chain(later).collect()
}

fn path_of(cluster: &Cluster, base: &Base, timeline: u32) -> Option<Path> {
    if base.timeline == timeline {
        return Some(Path::straight(timeline));
    }
    let needed = base.stop.unwrap_or(base.start);
    let from = cluster
        .histories
        .partition_point(|one| one.timeline < timeline);
    let files = cluster.histories.get(from..)?.iter();
    let mut files = files.take_while(|one| one.timeline == timeline);
    files.find_map(|file| Path::along(file, base.timeline, needed, &cluster.log))
}

fn start(
    cluster: &Cluster,
    family: &Family<'_>,
    (full, place): (usize, usize),
    base: &Base,
    timeline: u32,
    path: Path,
) -> Start {
    let reach = Reach::behind(base, &path, &cluster.log);
    Start {
        full,
        base: place,
        timeline,
        ready: ready(cluster, base, &path, &reach),
        stop: base.stop.unwrap_or(base.start),
        path,
        reach,
        obstacle: family.obstacle(place).cloned(),
    }
}

/// When a base was complete: by its own word, or for one of `WAL_V1` by the first WAL behind it.
fn ready(cluster: &Cluster, base: &Base, path: &Path, reach: &Reach) -> Moment {
    let told = base
        .id()
        .and_then(|id| cluster.evidence.beginnings.get(&id));
    if let Some(at) = told {
        let (at, exact) = (*at, true);
        return Moment { at, exact };
    }
    let behind = || {
        let first = reach.has_wal().then_some(reach.first)?;
        let at = cluster.log.received(path.timeline_of(first), first)?;
        Some(at.max(base.begun))
    };
    let named = || {
        let at = behind().unwrap_or(base.begun);
        at.saturating_add(NAMED_TO).unwrap_or(at)
    };
    let at = base.completed.unwrap_or_else(named);
    let at = whole_micros(at, RoundMode::Ceil);
    Moment { at, exact: false }
}

/// PostgreSQL knows no smaller unit, and nobody types one: what is said must be reached as it is
/// said.
fn whole_micros(at: Timestamp, mode: RoundMode) -> Timestamp {
    let round = TimestampRound::new().smallest(Unit::Microsecond).mode(mode);
    at.round(round).unwrap_or(at)
}
