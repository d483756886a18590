//! The WAL of a cluster in the order of its log: what is there without a hole, and what is there
//! twice.
//!
//! Segments go by number, their position divided by the size of a segment: numbers are small, so
//! that one can be added to them without an overflow, and no position can.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::Timestamp;

use super::facts::Segment;
use crate::postgres::lsn::Lsn;
use crate::postgres::wal_segment::{SegmentName, SegmentSize};

/// The WAL of one cluster.
#[derive(Clone, Debug)]
pub struct Log {
    size: SegmentSize,
    /// By timeline and number, copies of one beside each other, the first to arrive first.
    segments: Vec<Segment>,
    /// Where in `segments` the copies of each begin, and at the end their number.
    entries: Vec<usize>,
    /// Stored bytes of all entries before each.
    bytes: Vec<u64>,
    /// The last time of arrival that is known, up to each entry from the beginning of its run.
    received: Vec<Option<Timestamp>>,
    runs: Vec<Run>,
    odd: Vec<Segment>,
}

/// Segments of one timeline without a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Of all of them.
    pub timeline: u32,
    /// The number of the first.
    pub first: u64,
    /// The number behind the last.
    pub end: u64,
    /// The entry of the first.
    entry: usize,
}

impl Log {
    /// Puts segments in order, which may come in any.
    pub fn new(segments: Vec<Segment>) -> Self {
        let size = usual_size(&segments);
        let (mut segments, odd): (Vec<_>, Vec<_>) = segments
            .into_iter()
            .partition(|segment| segment.size == size && is_where_its_name_says(segment));
        segments.sort_by(|a, b| (key(a), a.stored.name()).cmp(&(key(b), b.stored.name())));
        let mut log = Self {
            size,
            segments,
            entries: Vec::new(),
            bytes: vec![0],
            received: Vec::new(),
            runs: Vec::new(),
            odd,
        };
        log.index();
        log
    }

    fn index(&mut self) {
        let mut sum = 0u64;
        let mut last: Option<(u32, u64)> = None;
        for (at, segment) in self.segments.iter().enumerate() {
            let (timeline, number) = (segment.name.timeline, number(segment.start, self.size));
            if last != Some((timeline, number)) {
                let follows = last == number.checked_sub(1).map(|before| (timeline, before));
                let known = self.received.last().copied().flatten();
                match self.runs.last_mut().filter(|_| follows) {
                    Some(run) => run.end = number + 1,
                    None => self.runs.push(Run {
                        timeline,
                        first: number,
                        end: number + 1,
                        entry: self.entries.len(),
                    }),
                }
                self.entries.push(at);
                self.received
                    .push(segment.received.or(known.filter(|_| follows)));
                self.bytes.push(0);
                last = Some((timeline, number));
            }
            let stored = segment.stored.group.content.size().unwrap_or(0);
            sum = sum.saturating_add(stored);
            if let Some(total) = self.bytes.last_mut() {
                *total = sum;
            }
        }
        self.entries.push(self.segments.len());
    }

    /// Of all segments in it.
    pub fn segment_size(&self) -> SegmentSize {
        self.size
    }

    /// The number of the segment that holds a position.
    pub fn number(&self, position: Lsn) -> u64 {
        number(position, self.size)
    }

    /// The number of the segment that holds the last byte before a position.
    pub fn number_before(&self, position: Lsn) -> u64 {
        number(Lsn(position.0.saturating_sub(1)), self.size)
    }

    /// The position of a segment's first byte.
    pub fn position(&self, number: u64) -> Lsn {
        Lsn(number.saturating_mul(self.size.bytes()))
    }

    /// The name of a segment.
    pub fn name(&self, timeline: u32, number: u64) -> SegmentName {
        SegmentName::at(timeline, self.position(number), self.size)
    }

    /// All stretches without a hole, by timeline and number.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The run that holds a segment.
    pub fn run_at(&self, timeline: u32, number: u64) -> Option<&Run> {
        let behind = self.behind(timeline, number);
        let run = self.runs.get(behind.checked_sub(1)?)?;
        (run.timeline == timeline && number < run.end).then_some(run)
    }

    /// The first segment of a timeline that is there, from this number on.
    pub fn next_at(&self, timeline: u32, number: u64) -> Option<u64> {
        if self.run_at(timeline, number).is_some() {
            return Some(number);
        }
        let next = self.runs.get(self.behind(timeline, number))?;
        (next.timeline == timeline).then_some(next.first)
    }

    /// How many runs begin at this segment or before it.
    fn behind(&self, timeline: u32, number: u64) -> usize {
        self.runs
            .partition_point(|run| (run.timeline, run.first) <= (timeline, number))
    }

    fn entry(&self, timeline: u32, number: u64) -> Option<usize> {
        let run = self.run_at(timeline, number)?;
        let offset = usize::try_from(number - run.first).ok()?;
        run.entry.checked_add(offset)
    }

    /// The objects that hold a segment, the first to arrive first; none where there is none.
    pub fn copies(&self, timeline: u32, number: u64) -> &[Segment] {
        let entry = self.entry(timeline, number);
        entry.map_or(&[], |entry| self.copies_of(entry))
    }

    fn copies_of(&self, entry: usize) -> &[Segment] {
        let bounds = self.entries.get(entry).zip(self.entries.get(entry + 1));
        let copies = bounds.and_then(|(from, to)| self.segments.get(*from..*to));
        copies.unwrap_or_default()
    }

    /// When a segment arrived, or where that is not known, the last before it without a hole.
    pub fn received(&self, timeline: u32, number: u64) -> Option<Timestamp> {
        *self.received.get(self.entry(timeline, number)?)?
    }

    /// The stored bytes of segments of one run.
    pub fn bytes(&self, timeline: u32, numbers: Range<u64>) -> u64 {
        let Some(last) = numbers.end.checked_sub(1) else {
            return 0;
        };
        let entries = self
            .entry(timeline, numbers.start)
            .zip(self.entry(timeline, last));
        let sums = entries.and_then(|(from, to)| self.bytes.get(from).zip(self.bytes.get(to + 1)));
        sums.map_or(0, |(before, after)| after.saturating_sub(*before))
    }

    /// All segments in the order of the log, copies included.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// How many segments there are, copies not counted.
    pub fn count(&self) -> usize {
        self.entries.len().saturating_sub(1)
    }

    /// Segments that are stored more than once, each with all its objects.
    pub fn duplicates(&self) -> impl Iterator<Item = &[Segment]> {
        let entries = (0..self.count()).map(|entry| self.copies_of(entry));
        entries.filter(|copies| copies.len() > 1)
    }

    /// What cannot be a segment of this cluster: of another size than its others, or not where
    /// its name says.
    pub fn odd(&self) -> &[Segment] {
        &self.odd
    }
}

fn key(segment: &Segment) -> (u32, Lsn, bool, Option<Timestamp>) {
    let Segment {
        name,
        start,
        received,
        ..
    } = segment;
    (name.timeline, *start, received.is_none(), *received)
}

fn number(position: Lsn, size: SegmentSize) -> u64 {
    position.0 / size.bytes()
}

/// The size of most of them. Of two that are as frequent, the smaller.
fn usual_size(segments: &[Segment]) -> SegmentSize {
    let mut votes: BTreeMap<u64, (u64, SegmentSize)> = BTreeMap::new();
    for segment in segments {
        let vote = votes.entry(segment.size.bytes());
        vote.or_insert((0, segment.size)).0 += 1;
    }
    let most = votes.values().rev().max_by_key(|(count, _)| *count);
    most.map_or(SegmentSize::DEFAULT, |(_, size)| *size)
}

fn is_where_its_name_says(segment: &Segment) -> bool {
    let Segment {
        name, start, size, ..
    } = segment;
    start.0.is_multiple_of(size.bytes()) && SegmentName::at(name.timeline, *start, *size) == *name
}
