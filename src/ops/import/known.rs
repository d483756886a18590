//! What the catalogue knows, found again by name and by id.

use std::collections::HashMap;

use uuid::Uuid;

use crate::databasus::catalogue_rows::{
    KnownDatabase, KnownRow, LogPlace, RowState, Table, databases, known_rows,
};
use crate::databasus::schema::{Generation, Schema};
use crate::postgres::wire::{Connection, PgError};

use super::chains::Chains;

/// The catalogue before the import.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) databases: Vec<KnownDatabase>,
    pub(super) rows: Vec<KnownRow>,
    /// Rows in the order of their objects' names.
    by_name: Vec<usize>,
    by_id: HashMap<Uuid, usize>,
    /// Of WAL and history files, of which there is one at a place.
    by_place: HashMap<(Table, Uuid, LogPlace), usize>,
}

impl Known {
    pub(super) fn read(
        session: &mut Connection,
        schema: &Schema,
        generation: Generation,
    ) -> Result<Self, PgError> {
        let mut rows = Vec::new();
        known_rows(session, schema, generation, |row| rows.push(row))?;
        Ok(Self::new(databases(session, schema, generation)?, rows))
    }

    pub(super) fn new(databases: Vec<KnownDatabase>, rows: Vec<KnownRow>) -> Self {
        let mut by_name: Vec<usize> = (0..rows.len())
            .filter(|index| rows[*index].file_name.is_some())
            .collect();
        by_name.sort_by(|a, b| rows[*a].file_name.cmp(&rows[*b].file_name));
        let indexed = || rows.iter().enumerate();
        let by_id = indexed().map(|(index, row)| (row.id, index)).collect();
        let one_at_a_place =
            indexed().filter(|(_, row)| matches!(row.table, Table::Wal | Table::History));
        let by_place = one_at_a_place
            .filter_map(|(index, row)| Some(((row.table, row.database, row.begins?), index)))
            .collect();
        Self {
            by_id,
            by_place,
            by_name,
            databases,
            rows,
        }
    }

    /// The rows that name an object so, in any storage.
    pub(super) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        let of = |index: &usize| self.rows[*index].file_name.as_deref().unwrap_or_default();
        let first = self.by_name.partition_point(|index| of(index) < name);
        let rest = self.by_name[first..].iter();
        rest.take_while(move |index| of(index) == name).copied()
    }

    /// The row of this id.
    pub(super) fn with_id(&self, id: Uuid) -> Option<&KnownRow> {
        self.rows.get(*self.by_id.get(&id)?)
    }

    /// The WAL segment or history file that the catalogue has at a place.
    pub(super) fn at(&self, table: Table, database: Uuid, place: LogPlace) -> Option<&KnownRow> {
        self.rows
            .get(*self.by_place.get(&(table, database, place))?)
    }

    /// What hangs on what, among completed backups.
    pub(super) fn chains(&self) -> Chains {
        let mut chains = Chains::default();
        for row in self
            .rows
            .iter()
            .filter(|row| row.state == RowState::Completed)
        {
            match (row.table, row.begins) {
                (Table::Full, Some(begins)) => chains.add_full(row.id, row.database, begins),
                (Table::Incremental, _) => chains.add_incremental(row.id),
                _ => {}
            }
        }
        chains
    }
}
