//! What the rehydrated catalogue knows of the databases that have to come back.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::databasus::catalogue_rows::{Engine, KnownDatabase, databases, known_rows};
use crate::databasus::newest_dumps::{self, Newest, NewestDump};
use crate::databasus::schema::{Generation, Schema};
use crate::postgres::wire::{Connection, PgError};

use super::trouble::Trouble;

/// The catalogue, read once.
pub(super) struct Catalogue {
    databases: Vec<KnownDatabase>,
    dumps: Vec<NewestDump>,
    /// Backups of each database in each storage.
    counts: BTreeMap<Uuid, BTreeMap<Uuid, u64>>,
}

impl Catalogue {
    /// Reads it in a session with the rehydrated metadata.
    pub(super) fn read(
        session: &mut Connection,
        schema: &Schema,
        generation: Generation,
    ) -> Result<Self, PgError> {
        let mut counts: BTreeMap<Uuid, BTreeMap<Uuid, u64>> = BTreeMap::new();
        known_rows(session, schema, generation, |row| {
            *counts
                .entry(row.database)
                .or_default()
                .entry(row.storage)
                .or_default() += 1;
        })?;
        Ok(Self {
            databases: databases(session, schema, generation)?,
            dumps: newest_dumps::read(session, schema, generation, Newest::OfDatabase)?,
            counts,
        })
    }

    /// Every database that it knows.
    pub(super) fn databases(&self) -> &[KnownDatabase] {
        &self.databases
    }

    /// What people call a database.
    pub(super) fn name_of(&self, id: Uuid) -> &str {
        let known = self.databases.iter().find(|one| one.id == id);
        known.map_or("a database", |known| known.name.as_str())
    }

    /// The one database of this name or id.
    pub(super) fn find(&self, wanted: &str) -> Result<&KnownDatabase, Trouble> {
        let id = Uuid::try_parse(wanted).ok();
        let is_meant = |one: &&KnownDatabase| one.name == wanted || Some(one.id) == id;
        let meant: Vec<_> = self.databases.iter().filter(is_meant).collect();
        match meant.as_slice() {
            [one] => Ok(one),
            several => Err(Trouble::Databases {
                name: wanted.to_owned(),
                count: several.len(),
            }),
        }
    }

    /// Its newest dump.
    pub(super) fn newest_dump(&self, of: &KnownDatabase) -> Result<&NewestDump, Trouble> {
        if of.engine != Engine::Postgres {
            return Err(other_kind(of));
        }
        let mut dumps = self.dumps.iter();
        dumps
            .find(|dump| dump.database == of.id)
            .ok_or_else(|| Trouble::NoDump(of.name.clone()))
    }

    /// The storage that most of a cluster's backups are in; the one that it is to go to, where
    /// there are none.
    pub(super) fn storage_of(&self, cluster: &KnownDatabase) -> Result<Uuid, Trouble> {
        if !matches!(
            cluster.engine,
            Engine::PostgresPhysical | Engine::PostgresWalV1
        ) {
            return Err(other_kind(cluster));
        }
        let counts = self.counts.get(&cluster.id).into_iter().flatten();
        let most = counts.max_by_key(|(_, count)| **count);
        most.map(|(storage, _)| *storage)
            .or(cluster.storage)
            .ok_or_else(|| Trouble::Storage(cluster.name.clone()))
    }
}

fn other_kind(database: &KnownDatabase) -> Trouble {
    Trouble::OtherKind {
        name: database.name.clone(),
        how: match database.engine {
            Engine::Postgres => "as a dump: [[drill.database]]",
            Engine::PostgresWalV1 | Engine::PostgresPhysical => "as a cluster: [[drill.cluster]]",
            Engine::MySql | Engine::MariaDb | Engine::MongoDb => {
                "by another database's programs, which a drill does not run"
            }
            Engine::Unknown => "in a way that this release does not know",
        },
    }
}
