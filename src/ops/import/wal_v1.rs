//! Which segments of `WAL_V1` stand behind a base backup of their own cluster.

use std::collections::BTreeMap;

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
    /// nothing of the cluster; a segment behind the base does, and so does the base itself.
    pub(super) fn add_known(
        &mut self,
        known: &Known,
        matched: &Matched,
        ghosts: &Ghosts,
        survey: &Survey,
        examination: &Examination<'_>,
        examined: &[(At, Examined)],
    ) {
        let wanted = |(_, one): &(At, Examined)| matches!(one.what, What::WalV1Segment(_));
        if !examined.iter().any(wanted) {
            return;
        }
        let there = || known.rows.iter().zip(&matched.found);
        for (row, found) in there().filter(|(row, _)| !ghosts.has(row.id)) {
            let (Some(WalV1::Base(Some(start))), Some(base_at)) = (row.wal_v1, found) else {
                continue;
            };
            let behind = there().filter_map(|(other, found)| match other.wal_v1 {
                Some(WalV1::Segment(Some(segment)))
                    if other.database == row.database
                        && segment.timeline == start.timeline
                        && segment >= start =>
                {
                    Some((segment, (*found)?))
                }
                _ => None,
            });
            let nearest = behind.min_by_key(|(segment, _)| *segment);
            let at = nearest.map_or(*base_at, |(_, at)| at);
            if let Some(system) = system_of(survey, examination, at) {
                self.add(row.database, start, system);
            }
        }
    }
}

fn system_of(survey: &Survey, examination: &Examination<'_>, at: At) -> Option<u64> {
    let place = survey.places.get(at.place)?;
    let group = place.held.backups.get(at.group)?;
    examination
        .wal_v1_system(&place.store, group)
        .map_err(|refusal| {
            tracing::warn!(
                "cannot tell which cluster {} is of: {}",
                group.name,
                refusal.detail
            );
        })
        .ok()
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
