//! Which objects reach a target.

use jiff::Timestamp;
use uuid::Uuid;

use super::facts::{Base, History, Segment};
use crate::postgres::lsn::Lsn;
use crate::postgres::wal_segment::SegmentSize;

/// Where replay is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Behind the last transaction that ended at this time or before (`recovery_target_time`,
    /// inclusive).
    Time(Timestamp),
    /// Behind the record that begins at this position (`recovery_target_lsn`, inclusive).
    Lsn(Lsn),
    /// At the end of the WAL that there is.
    Latest,
    /// As soon as this backup is consistent.
    Backup(Uuid),
}

/// The objects that reach a target, in the order in which they are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where it ends.
    pub target: Target,
    /// The cluster's; none for a base of `WAL_V1` without any WAL.
    pub system_identifier: Option<u64>,
    /// The major release, where it is known.
    pub pg_major: Option<u32>,
    /// Of the cluster's segments; none where there is no WAL, and nothing told.
    pub segment_size: Option<SegmentSize>,
    /// The full backup.
    pub full: Base,
    /// The incremental ones on top of it, each standing on the one before.
    pub incrementals: Vec<Base>,
    /// The WAL to replay, without a hole. Each inner list is one segment: more than one object
    /// where it is stored more than once, and then all must hold the same.
    pub wal: Vec<Vec<Segment>>,
    /// How many of these replay is expected to need: times of arrival tell it roughly, so a
    /// little more is counted. It may ask for all.
    pub expected: usize,
    /// Of the timelines that are entered on the way.
    pub histories: Vec<History>,
    /// The timeline to follow to its end.
    pub timeline: u32,
    /// What to know about the choice.
    pub remarks: Vec<String>,
}

impl Plan {
    /// The backup whose consistency ends the bases: the last incremental one, or the full one.
    pub fn last_base(&self) -> &Base {
        self.incrementals.last().unwrap_or(&self.full)
    }

    /// The stored bytes that are fetched in all likelihood: bases, their manifests, and the WAL
    /// that replay is expected to need.
    pub fn bytes(&self) -> u64 {
        let base = |base: &Base| {
            let group = &base.stored.group;
            let manifest = group.manifest.size().unwrap_or(0);
            group.content.size().unwrap_or(0).saturating_add(manifest)
        };
        let wal = self.wal.iter().take(self.expected).flatten();
        let wal = wal.map(|segment| segment.stored.group.content.size().unwrap_or(0));
        let all = self.bases().map(base).chain(wal);
        all.fold(0, u64::saturating_add)
    }

    /// All base backups, the full one first.
    pub fn bases(&self) -> impl Iterator<Item = &Base> {
        std::iter::once(&self.full).chain(&self.incrementals)
    }
}
