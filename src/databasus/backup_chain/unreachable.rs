//! Why nothing reaches a target, and what is nearest to it.

use std::fmt;

use uuid::Uuid;

use super::chain::{Chain, Edge, Gap, Window};
use super::cluster::Cluster;
use super::facts::Spoilt;
use super::family::Obstacle;
use super::plan::Target;
use crate::base::text::printable;
use crate::databasus::objects::name::BackupName;

/// Nothing reaches a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// Which.
    pub target: Target,
    /// Why.
    pub why: Why,
    /// The last point before it that is reached.
    pub before: Option<Point>,
    /// The first point behind it that is reached.
    pub after: Option<Point>,
}

/// A point that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When and where.
    pub edge: Edge,
    /// Whether replay to a time ends just before this time and not at it.
    pub is_exclusive: bool,
    /// The backup whose moment this is, where only that is reached and no time beside it.
    pub backup: Option<Uuid>,
}

/// Why nothing reaches a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is no base backup that could be used.
    NoBase,
    /// No base backup of this id is there.
    NoSuchBackup(Uuid),
    /// No chain follows this timeline.
    NoSuchTimeline(u32),
    /// It lies before the first window.
    BeforeFirst,
    /// It lies where WAL is missing.
    InGap(Gap),
    /// It lies behind the last window.
    AfterLast,
    /// It lies between windows, with no WAL behind the one before it.
    NoWal,
    /// A base backup that is needed cannot be used.
    Obstacle(Obstacle),
    /// WAL that is needed is there and of no use.
    Spoilt(Vec<(BackupName, Spoilt)>),
}

impl std::error::Error for Unreachable {}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing reaches {}: {}", self.target, self.why)?;
        for (which, point) in [("before", self.before), ("after", self.after)] {
            if let Some(point) = point {
                write!(f, "; nearest {which} it: {point}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => time.fmt(f),
            Self::Lsn(lsn) => lsn.fmt(f),
            Self::Latest => f.write_str("the end of the WAL"),
            Self::Backup(id) => write!(f, "backup {id}"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBase => f.write_str("there is no base backup that can be used"),
            Self::NoSuchBackup(_) => f.write_str("it is not there"),
            Self::NoSuchTimeline(timeline) => write!(f, "no chain follows timeline {timeline}"),
            Self::BeforeFirst => f.write_str("it is before the first backup was complete"),
            Self::InGap(gap) => write!(f, "{gap}"),
            Self::AfterLast => f.write_str("it is behind the end of the WAL"),
            Self::NoWal => f.write_str("no WAL follows the backup before it"),
            Self::Obstacle(obstacle) => obstacle.fmt(f),
            Self::Spoilt(objects) => list(objects, f),
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = &self.missing;
        match missing.count {
            1 => write!(f, "WAL segment {} is missing", missing.first),
            count => write!(
                f,
                "WAL segments {} to {} are missing ({count})",
                missing.first, missing.last
            ),
        }
    }
}

fn list(objects: &[(BackupName, Spoilt)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (place, (name, why)) in objects.iter().enumerate() {
        let between = if place == 0 { "" } else { "; " };
        let name = name.to_string();
        write!(f, "{between}{} cannot be used: {why}", printable(&name))?;
    }
    Ok(())
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Edge { time, lsn } = self.edge;
        if let Some(id) = self.backup {
            write!(f, "backup {id}, ")?;
        }
        match time {
            Some(time) if self.is_exclusive => write!(f, "just before {}", time.at)?,
            Some(time) => write!(f, "{}", time.at)?,
            None => write!(f, "{lsn}")?,
        }
        match time.is_some_and(|time| !time.exact) && self.backup.is_none() {
            true => f.write_str(" (approximate)"),
            false => Ok(()),
        }
    }
}

/// Finds the points on both sides of a target, and what lies between.
pub(super) struct Nearest<'c> {
    pub(super) cluster: &'c Cluster,
    pub(super) chains: Vec<Chain>,
    pub(super) target: Target,
}

impl Nearest<'_> {
    pub(super) fn unreachable(&self, needed: Option<Why>) -> Box<Unreachable> {
        let before = self
            .windows()
            .filter(|(_, window)| !self.is_behind(window.to));
        let before = before.max_by_key(|(_, window)| self.place(window.to));
        let after = self
            .windows()
            .filter(|(_, window)| self.is_behind(window.from));
        let after = after.min_by_key(|(_, window)| self.place(window.from));
        let why = needed.unwrap_or_else(|| match (before, after) {
            (None, None) => Why::NoBase,
            (None, Some(_)) => Why::BeforeFirst,
            (Some((chain, window)), after) => self.between(chain, window, after.is_some()),
        });
        Box::new(Unreachable {
            target: self.target,
            why,
            before: before.map(|(_, window)| self.point(window, window.to)),
            after: after.map(|(_, window)| self.point(window, window.from)),
        })
    }

    fn windows(&self) -> impl Iterator<Item = (&Chain, &Window)> {
        let chains = self.chains.iter();
        chains.flat_map(|chain| chain.windows.iter().map(move |window| (chain, window)))
    }

    /// What an edge is compared by.
    fn place(&self, edge: Edge) -> (i128, u64) {
        let time = edge.time.map_or(i128::MIN, |time| time.at.as_nanosecond());
        match self.target {
            Target::Lsn(_) => (0, edge.lsn.0),
            _ => (time, edge.lsn.0),
        }
    }

    fn is_behind(&self, edge: Edge) -> bool {
        match self.target {
            Target::Time(target) => edge.time.is_some_and(|time| time.at > target),
            Target::Lsn(target) => edge.lsn > target,
            Target::Latest | Target::Backup(_) => false,
        }
    }

    fn between(&self, chain: &Chain, window: &Window, more: bool) -> Why {
        let behind = |gap: &&Gap| gap.from >= window.to.lsn && !gap.is_maybe_in_base;
        let gap = chain.gaps.iter().filter(behind).min_by_key(|gap| gap.from);
        let gap = gap.filter(|gap| gap.from <= window.to.lsn || window.wal.is_none());
        match gap {
            Some(gap) if !gap.spoilt.is_empty() => Why::Spoilt(gap.spoilt.clone()),
            Some(gap) => Why::InGap(gap.clone()),
            None if more => Why::NoWal,
            None => self.spoilt_behind(window).unwrap_or(Why::AfterLast),
        }
    }

    /// WAL at the very end that is of no use.
    fn spoilt_behind(&self, window: &Window) -> Option<Why> {
        let log = &self.cluster.log;
        let last = window.wal.map(|wal| wal.last.timeline)?;
        let next = (last, log.number(window.to.lsn));
        let objects = self.cluster.spoilt.segments.get(&next)?;
        Some(Why::Spoilt(objects.clone()))
    }

    fn point(&self, window: &Window, edge: Edge) -> Point {
        let base = window
            .bases
            .last()
            .and_then(|place| self.cluster.bases.get(*place));
        let is_instant = window.is_instant();
        Point {
            edge,
            is_exclusive: !is_instant && edge == window.to && edge.time.is_some_and(|t| t.exact),
            backup: base.filter(|_| is_instant).and_then(|base| base.id()),
        }
    }
}
