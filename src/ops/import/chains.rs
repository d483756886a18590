//! Which physical backups hang on which: nothing comes into a catalogue that Databasus would
//! take out again, together with its object (DATABASUS.md §5.2).

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::databasus::catalogue_rows::LogPlace;

/// The physical backups of a catalogue, as far as others hang on them.
#[derive(Clone, Debug, Default)]
pub struct Chains {
    fulls: BTreeMap<Uuid, (Uuid, LogPlace)>,
    /// The same by database, to find what lies before a place.
    places: BTreeMap<Uuid, BTreeSet<(LogPlace, Uuid)>>,
    incrementals: BTreeSet<Uuid>,
}

impl Chains {
    /// Takes a completed full backup.
    pub fn add_full(&mut self, id: Uuid, database: Uuid, begins: LogPlace) {
        self.fulls.insert(id, (database, begins));
        self.places
            .entry(database)
            .or_default()
            .insert((begins, id));
    }

    /// Takes a completed incremental backup.
    pub fn add_incremental(&mut self, id: Uuid) {
        self.incrementals.insert(id);
    }

    /// Leaves a full backup out again.
    pub fn remove_full(&mut self, id: Uuid) {
        if let Some((database, begins)) = self.fulls.remove(&id)
            && let Some(places) = self.places.get_mut(&database)
        {
            places.remove(&(begins, id));
        }
    }

    /// Leaves an incremental backup out again.
    pub fn remove_incremental(&mut self, id: Uuid) {
        self.incrementals.remove(&id);
    }

    /// Whether what an incremental backup stands on is there.
    pub fn carries(&self, root: Uuid, parent: Option<Uuid>) -> bool {
        let parent = parent.is_none_or(|parent| self.incrementals.contains(&parent));
        parent && self.fulls.contains_key(&root)
    }

    /// Whether WAL from this place on belongs to a full backup: Databasus deletes the object of a
    /// segment that has none of its timeline before it.
    pub fn reaches(&self, database: Uuid, wal: LogPlace) -> bool {
        let beginning = LogPlace {
            position: crate::postgres::lsn::Lsn(0),
            ..wal
        };
        let range = (beginning, Uuid::nil())..=(wal, Uuid::max());
        let places = self.places.get(&database);
        places.is_some_and(|places| places.range(range).next().is_some())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::postgres::lsn::Lsn;

    fn place(timeline: u32, position: u64) -> LogPlace {
        LogPlace {
            timeline,
            position: Lsn(position),
        }
    }

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn wal_belongs_to_a_full_backup_of_its_own_timeline_that_begins_before_it() {
        let mut chains = Chains::default();
        chains.add_full(id(1), id(7), place(1, 0x2300_0028));
        assert!(chains.reaches(id(7), place(1, 0x2400_0000)));
        assert!(chains.reaches(id(7), place(1, 0x2300_0028)));
        // The segment that holds the backup's own start begins before it.
        assert!(!chains.reaches(id(7), place(1, 0x2300_0000)));
        assert!(!chains.reaches(id(7), place(2, 0x2400_0000)));
        assert!(!chains.reaches(id(8), place(1, 0x2400_0000)));
    }

    #[test]
    fn an_incremental_backup_needs_its_full_one_and_its_parent() {
        let mut chains = Chains::default();
        assert!(!chains.carries(id(1), None));
        chains.add_full(id(1), id(7), place(1, 1));
        assert!(chains.carries(id(1), None));
        assert!(!chains.carries(id(1), Some(id(2))));
        chains.add_incremental(id(2));
        assert!(chains.carries(id(1), Some(id(2))));
        chains.remove_full(id(1));
        assert!(!chains.carries(id(1), Some(id(2))));
    }

    proptest! {
        #[test]
        fn reaching_is_what_databasus_asks_in_sql(
            fulls in prop::collection::vec((0u128..2, 1u32..3, 0u64..9), 0..6),
            (database, timeline, position) in (0u128..2, 1u32..3, 0u64..9),
        ) {
            let mut chains = Chains::default();
            for (number, (database, timeline, start)) in (10..).zip(&fulls) {
                chains.add_full(id(number), id(*database), place(*timeline, *start));
            }
            let plainly = fulls.iter().any(|(d, t, start)| {
                (*d, *t) == (database, timeline) && *start <= position
            });
            prop_assert_eq!(chains.reaches(id(database), place(timeline, position)), plainly);
        }
    }
}
