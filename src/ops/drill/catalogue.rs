//! What the rehydrated catalogue knows of the databases that have to come back.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::base::cancel::Cancel;
use crate::databasus::catalogue_rows::{Engine, KnownDatabase, databases, known_rows};
use crate::databasus::newest_dumps::{self, NewestDump};
use crate::databasus::schema::Schema;
use crate::ops::stopped_instance::StoppedInstance;
use crate::postgres::binaries::Launcher;

use super::trouble::Trouble;

/// The catalogue, read once.
pub(super) struct Catalogue {
    databases: Vec<KnownDatabase>,
    dumps: Vec<NewestDump>,
    /// Backups of each database in each storage.
    counts: BTreeMap<Uuid, BTreeMap<Uuid, u64>>,
}

impl Catalogue {
    /// Starts a private server on the rehydrated directory, and stops it again.
    pub(super) fn read(
        instance: &StoppedInstance,
        launcher: &Launcher,
        cancel: &Cancel,
    ) -> Result<Self, Trouble> {
        let served = instance.start(launcher, cancel)?;
        let mut session = served.session()?;
        let schema = Schema::read(&mut session)?;
        let generation = schema.generation()?;
        let mut counts: BTreeMap<Uuid, BTreeMap<Uuid, u64>> = BTreeMap::new();
        known_rows(&mut session, &schema, generation, |row| {
            *counts
                .entry(row.database)
                .or_default()
                .entry(row.storage)
                .or_default() += 1;
        })?;
        Ok(Self {
            databases: databases(&mut session, &schema, generation)?,
            dumps: newest_dumps::read(&mut session, &schema, generation)?,
            counts,
        })
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
