//! Rows of backups whose objects are gone: deleted by production's retention since the snapshot.
//!
//! They are shown by Databasus and cannot be restored. A row leaves the catalogue only where its
//! object is certainly gone; whatever hangs on it leaves with it, for Databasus would delete the
//! objects of WAL whose full backup it does not find (DATABASUS.md §5.2).

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::databasus::catalogue_rows::{KnownRow, LogPlace, RowState, Table};
use crate::databasus::storages::StorageKind;

use super::ImportSettings;
use super::chains::Chains;
use super::known::Known;
use super::matching::Matched;
use super::report::GhostsKept;
use super::survey::{Place, Survey};

/// Rows that leave, in an order in which nothing refers to one that has left.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    pub(super) leaving: BTreeMap<Table, Vec<Uuid>>,
    /// By place: rows that stay although their objects are gone.
    pub(super) kept: Vec<Option<GhostsKept>>,
    ids: BTreeSet<Uuid>,
}

impl Ghosts {
    /// Finds them; `chains` loses what leaves.
    pub(super) fn find(
        known: &Known,
        survey: &Survey,
        matched: &Matched,
        settings: &ImportSettings,
        chains: &mut Chains,
    ) -> Self {
        let mut ghosts = Self::default();
        for place in &survey.places {
            let missing = missing_in(place, known, matched);
            let why = (!missing.is_empty()).then(|| why_kept(place, known, matched, settings));
            ghosts.kept.push(why.flatten().map(|why| GhostsKept {
                rows: missing.len() as u64,
                why,
            }));
            if why.flatten().is_none() {
                missing.iter().for_each(|row| ghosts.leave(row));
            }
        }
        ghosts.take_dependents(known, chains);
        ghosts
    }

    /// Whether a row leaves.
    pub(super) fn has(&self, id: Uuid) -> bool {
        self.ids.contains(&id)
    }

    fn leave(&mut self, row: &KnownRow) {
        if self.ids.insert(row.id) {
            self.leaving.entry(row.table).or_default().push(row.id);
        }
    }

    /// Incremental backups on what leaves, and WAL that nothing would carry any more.
    fn take_dependents(&mut self, known: &Known, chains: &mut Chains) {
        if self.ids.is_empty() {
            return;
        }
        let before = chains.clone();
        let mut incrementals: Vec<&KnownRow> = of_table(known, Table::Incremental).collect();
        incrementals.sort_by_key(|row| place_in_chain(row));
        for row in incrementals {
            let stands_on = [row.root, row.parent];
            if stands_on.into_iter().flatten().any(|id| self.has(id)) {
                self.leave(row);
            }
        }
        for id in &self.ids {
            chains.remove_full(*id);
            chains.remove_incremental(*id);
        }
        for row in of_table(known, Table::Wal) {
            let reached = |chains: &Chains| {
                let begins = row.begins;
                begins.is_some_and(|begins| chains.reaches(row.database, begins))
            };
            if reached(&before) && !reached(chains) {
                self.leave(row);
            }
        }
        // The last of a chain first: each refers to the one before it.
        if let Some(incrementals) = self.leaving.get_mut(&Table::Incremental) {
            let place = |id: &Uuid| known.with_id(*id).map(place_in_chain);
            incrementals.sort_by_key(|id| std::cmp::Reverse(place(id)));
        }
    }
}

/// One that was still running is the last.
fn place_in_chain(row: &KnownRow) -> (bool, Option<LogPlace>) {
    (row.begins.is_none(), row.begins)
}

fn of_table(known: &Known, table: Table) -> impl Iterator<Item = &KnownRow> {
    known.rows.iter().filter(move |row| row.table == table)
}

/// Completed backups that should be in a place and are in none.
fn missing_in<'a>(place: &Place, known: &'a Known, matched: &Matched) -> Vec<&'a KnownRow> {
    let rows = known.rows.iter().enumerate();
    let missing = rows.filter(|(index, row)| {
        row.state == RowState::Completed
            && row.file_name.is_some()
            && place.is(row.storage)
            && matched.found[*index].is_none()
            && !matched.elsewhere[*index]
    });
    missing.map(|(_, row)| row).collect()
}

fn why_kept(
    place: &Place,
    known: &Known,
    matched: &Matched,
    settings: &ImportSettings,
) -> Option<&'static str> {
    let local = |kind: &StorageKind| *kind == StorageKind::Local;
    let is_local = place.storages.iter().any(|storage| local(&storage.kind));
    let moved = |storage: &Uuid| place.is(*storage);
    let finds = known.rows.iter().zip(&matched.found);
    let mut found_here = finds.filter(|(row, found)| found.is_some() && place.is(row.storage));
    if is_local && settings.local_files_left_out {
        Some("the files of LOCAL storages were left out of the escrow")
    } else if settings.moved_storages.iter().any(moved) {
        Some("what was listed is not the place that the catalogue names")
    } else if found_here.next().is_none() {
        Some("none of the backups that the catalogue knows is there: it may be another place")
    } else {
        None
    }
}
