//! The way from a base backup to the end of a timeline, through those before it.
//!
//! PostgreSQL takes each segment of the latest timeline on the way that has it, and a timeline's
//! first segment is the one that holds the position where it branched off: it is a copy of its
//! parent's up to there. So the parent's own, which is mostly `.partial`, is not needed.

use std::ops::Range;

use super::facts::{History, Switch};
use super::log::Log;
use crate::postgres::lsn::Lsn;

/// Which timeline each segment is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    legs: Vec<Leg>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leg {
    timeline: u32,
    /// The number of the segment that it is entered with.
    from: u64,
    /// The number behind its last.
    to: u64,
}

impl Path {
    /// The path that stays where it is.
    pub(super) fn straight(timeline: u32) -> Self {
        let (from, to) = (0, u64::MAX);
        Self {
            legs: vec![Leg { timeline, from, to }],
        }
    }

    /// The path along a history from a timeline that is left at `needed` or behind; none where
    /// the history does not come by it, or left it before.
    pub(super) fn along(history: &History, from: u32, needed: Lsn, log: &Log) -> Option<Self> {
        let switches = history.switches.as_deref()?;
        let entered = switches.iter().position(|switch| switch.timeline == from)?;
        let switches = switches.get(entered..)?;
        let ordered = switches.is_sorted_by_key(|switch| switch.at);
        let sound = ordered && switches.is_sorted_by(|a, b| a.timeline < b.timeline);
        let last = switches.last()?.timeline;
        let reached = switches.first()?.at >= needed && last < history.timeline;
        (sound && reached).then(|| Self::through(switches, history.timeline, log))
    }

    fn through(switches: &[Switch], last: u32, log: &Log) -> Self {
        let mut from = 0;
        let mut legs = Vec::with_capacity(switches.len() + 1);
        for Switch { timeline, at } in switches {
            let (timeline, to) = (*timeline, log.number(*at));
            legs.push(Leg { timeline, from, to });
            from = to;
        }
        legs.push(Leg {
            timeline: last,
            from,
            to: u64::MAX,
        });
        Self { legs }
    }

    /// The timelines on the way.
    pub(super) fn timelines(&self) -> impl Iterator<Item = u32> {
        self.legs.iter().map(|leg| leg.timeline)
    }

    /// The number of the segment that the last timeline is entered with.
    pub(super) fn entered(&self) -> u64 {
        self.legs.last().map_or(0, |leg| leg.from)
    }

    /// The timeline that a segment is taken from.
    pub(super) fn timeline_of(&self, number: u64) -> u32 {
        let leg = self.legs.iter().find(|leg| number < leg.to);
        leg.or(self.legs.last()).map_or(1, |leg| leg.timeline)
    }

    /// The number behind the last segment that is there without a hole, from `first` on.
    pub(super) fn end_from(&self, first: u64, log: &Log) -> u64 {
        let mut end = first;
        for leg in self.legs.iter().filter(|leg| leg.to > first) {
            end = match log.run_at(leg.timeline, end) {
                Some(run) => run.end.min(leg.to),
                None => end,
            };
            if end < leg.to {
                break;
            }
        }
        end
    }

    /// The first segment that is there from this number on.
    pub(super) fn next_at(&self, number: u64, log: &Log) -> Option<u64> {
        let ahead = self.legs.iter().filter(|leg| leg.to > number);
        let mut found = ahead.filter_map(|leg| {
            let next = log.next_at(leg.timeline, number.max(leg.from))?;
            (next < leg.to).then_some(next)
        });
        found.next()
    }

    /// The same numbers, split where the timeline changes.
    pub(super) fn split(&self, numbers: Range<u64>) -> impl Iterator<Item = (u32, Range<u64>)> {
        self.legs.iter().filter_map(move |leg| {
            let part = numbers.start.max(leg.from)..numbers.end.min(leg.to);
            (!part.is_empty()).then_some((leg.timeline, part))
        })
    }
}
