//! Which segments of `WAL_V1` stand behind a base backup of their own cluster.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::databasus::catalogue_rows::WalV1;
use crate::postgres::wal_segment::SegmentName;

use super::examine::{Examination, Examined, What};
use super::ghosts::Ghosts;
use super::known::Known;
use super::matching::{At, Matched};
use super::survey::Survey;

/// The bases by database.
#[derive(Debug, Default)]
pub(super) struct WalV1Chains(BTreeMap<Uuid, Vec<Base>>);

#[derive(Clone, Copy, Debug)]
struct Base {
    start: SegmentName,
    system_identifier: u64,
}

impl WalV1Chains {
    /// Takes a base.
    pub(super) fn add(&mut self, database: Uuid, start: SegmentName, system_identifier: u64) {
        let base = Base {
            start,
            system_identifier,
        };
        self.0.entry(database).or_default().push(base);
    }

    /// Whether a segment can be replayed upon a base: of the same cluster and timeline, not
    /// before its start. The names of one timeline are in the order of its log.
    pub(super) fn reaches(&self, database: Uuid, segment: SegmentName, system: u64) -> bool {
        let bases = self.0.get(&database);
        bases.into_iter().flatten().any(|base| {
            base.system_identifier == system
                && base.start.timeline == segment.timeline
                && base.start <= segment
        })
    }

    /// Takes the bases that the catalogue knows, where new segments may need them. Rows say
    /// nothing of the cluster, and the base itself says it at its end.
    pub(super) fn add_known(
        &mut self,
        known: &Known,
        matched: &Matched,
        ghosts: &Ghosts,
        look: &Look<'_>,
        examined: &[(At, Examined)],
    ) {
        let new: BTreeSet<u64> = examined.iter().filter_map(segment_system).collect();
        if new.is_empty() {
            return;
        }
        let there = known.rows.iter().zip(&matched.found);
        for (row, found) in there.filter(|(row, _)| !ghosts.has(row.id)) {
            if let (Some(WalV1::Base(Some(start))), Some(at)) = (row.wal_v1, found) {
                let behind = nearest_behind(known, matched, row.database, start);
                let system = behind
                    .and_then(|behind| look.by_segment(behind, start, &new))
                    .or_else(|| look.by_base(*at));
                if let Some(system) = system {
                    self.add(row.database, start, system);
                }
            }
        }
    }
}

/// Reads what the catalogue knows.
pub(super) struct Look<'a> {
    pub(super) survey: &'a Survey,
    pub(super) examination: &'a Examination<'a>,
}

impl Look<'_> {
    /// By a known segment that begins where the base does, or with the next: so the cluster that
    /// wrote it went on from the base. Reading it is cheap; where there are signs of a second
    /// cluster it proves nothing.
    fn by_segment(&self, at: At, start: SegmentName, new: &BTreeSet<u64>) -> Option<u64> {
        let What::WalV1Segment(page) = self.read(at)? else {
            return None;
        };
        let base = start.start(page.segment_size)?;
        let next = base.0.checked_add(page.segment_size.bytes())?;
        let follows = (base.0..=next).contains(&page.start.0);
        let alone = new.iter().all(|system| *system == page.system_identifier);
        (follows && alone).then_some(page.system_identifier)
    }

    /// By the base itself, read whole.
    fn by_base(&self, at: At) -> Option<u64> {
        match self.read(at)? {
            What::WalV1Base(base) => Some(base.system_identifier),
            _ => None,
        }
    }

    fn read(&self, at: At) -> Option<What> {
        let place = self.survey.places.get(at.place)?;
        let group = place.held.backups.get(at.group)?;
        match self.examination.of(&place.store, group) {
            Ok(examined) => Some(examined.what),
            Err(refusal) => {
                tracing::warn!("cannot read {}: {}", group.name, refusal.detail);
                None
            }
        }
    }
}

fn segment_system((_, one): &(At, Examined)) -> Option<u64> {
    match &one.what {
        What::WalV1Segment(page) => Some(page.system_identifier),
        _ => None,
    }
}

/// The first known segment of a timeline from a base's start on.
fn nearest_behind(
    known: &Known,
    matched: &Matched,
    database: Uuid,
    start: SegmentName,
) -> Option<At> {
    let there = known.rows.iter().zip(&matched.found);
    let behind = there.filter_map(|(row, found)| match row.wal_v1 {
        Some(WalV1::Segment(Some(segment)))
            if row.database == database
                && segment.timeline == start.timeline
                && segment >= start =>
        {
            Some((segment, (*found)?))
        }
        _ => None,
    });
    let nearest = behind.min_by_key(|(segment, _)| *segment);
    nearest.map(|(_, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_needs_a_base_of_its_cluster_and_timeline_before_it() {
        let database = Uuid::from_u128(1);
        let mut chains = WalV1Chains::default();
        let name = |text: &str| text.parse::<SegmentName>().unwrap();
        chains.add(database, name("000000010000000000000015"), 7);
        let reaches = |segment, system| chains.reaches(database, name(segment), system);
        assert!(reaches("000000010000000000000015", 7));
        assert!(reaches("000000010000000100000000", 7));
        assert!(!reaches("000000010000000000000014", 7));
        assert!(!reaches("000000020000000000000016", 7));
        assert!(!reaches("000000010000000000000016", 8));
        assert!(!chains.reaches(Uuid::from_u128(2), name("000000010000000000000016"), 7));
    }
}
