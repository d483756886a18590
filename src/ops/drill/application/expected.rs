//! What the rehydrated metadata has, against which Databasus is held.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::databasus::api::{Admin, ListingKind, admin, workspaces};
use crate::databasus::catalogue_rows::{KnownDatabase, KnownRow, RowState, known_rows};
use crate::databasus::newest_dumps::{self, Newest, NewestDump};
use crate::databasus::schema::{Generation, Schema};
use crate::postgres::wire::{Connection, PgError};

/// Read before Databasus is started, for the server is its own then.
pub(in crate::ops::drill) struct Expected {
    /// Whom tokens are made out to.
    pub(super) admin: Option<Admin>,
    /// Where its databases are listed.
    pub(super) workspaces: Vec<Uuid>,
    /// Every database, with its backups.
    pub(super) databases: Vec<Database>,
    /// Of each storage the newest dump.
    pub(super) newest: Vec<NewestDump>,
}

/// A database, and what is to be listed of it.
pub(super) struct Database {
    pub(super) id: Uuid,
    pub(super) kind: ListingKind,
    /// What can be restored.
    pub(super) completed: BTreeSet<Uuid>,
    /// What failed, or had not ended.
    pub(super) others: BTreeSet<Uuid>,
}

impl Expected {
    pub(in crate::ops::drill) fn read(
        session: &mut Connection,
        schema: &Schema,
        generation: Generation,
        known: &[KnownDatabase],
    ) -> Result<Self, PgError> {
        let databases = known.iter().map(|one| (one.id, Database::of(one)));
        let mut databases: BTreeMap<Uuid, Database> = databases.collect();
        known_rows(session, schema, generation, |row| {
            if let Some(database) = databases.get_mut(&row.database) {
                database.add(&row);
            }
        })?;
        Ok(Self {
            admin: admin(session)?,
            workspaces: workspaces(session)?,
            databases: databases.into_values().collect(),
            newest: newest_dumps::read(session, schema, generation, Newest::InStorage)?,
        })
    }
}

impl Database {
    fn of(known: &KnownDatabase) -> Self {
        Self {
            id: known.id,
            kind: ListingKind::of(known.engine),
            completed: BTreeSet::new(),
            others: BTreeSet::new(),
        }
    }

    fn add(&mut self, row: &KnownRow) {
        if !self.kind.holds(row.table) {
            return;
        }
        match row.state {
            RowState::Completed => self.completed.insert(row.id),
            RowState::InProgress | RowState::Failed => self.others.insert(row.id),
        };
    }
}
