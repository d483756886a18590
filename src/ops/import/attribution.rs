//! Which database a dump is of.
//!
//! Sidecars of dumps name no database, and names of objects begin with the database's name at
//! that time, which may be another's by now (DATABASUS.md §4.6). What points at one database
//! alone decides; what several fit is decided by the dump's own header, or by a person.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::databasus::catalogue_rows::{Engine, KnownDatabase, KnownRow, Table, placeholder_id};
use crate::databasus::objects::name::{BackupName, sanitise};

/// What the content of an object is, as far as that tells databases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// `pg_dump`, custom format.
    PgDump,
    /// SQL of MySQL or MariaDB.
    Sql,
    /// `mongodump`.
    MongoArchive,
    /// What `WAL_V1` stores.
    WalV1,
}

/// What is known of an object whose database is sought.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Its name.
    pub name: &'a BackupName,
    /// What it holds.
    pub content: Content,
    /// What the server called the database, where the dump says so.
    pub source: Option<&'a str>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attributed {
    /// This one; `differs` where the database now backs up another database of its server.
    To {
        /// `databases.id`.
        database: Uuid,
        /// What it backs up by now.
        differs: Option<String>,
    },
    /// One of these.
    Several(Vec<Uuid>),
    /// The name fits databases that have no backups of this kind.
    OtherKind(Vec<Uuid>),
    /// None that the catalogue knows.
    Nobody,
}

/// What a person has decided: `--assign NAME=DATABASE`.
#[derive(Clone, Debug, Default)]
pub struct Assignments(BTreeMap<String, Uuid>);

/// A decision that cannot be followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssignError {
    /// No such database.
    #[error("no database is called {0:?} or has that id")]
    NoSuchDatabase(String),
    /// The name is not enough.
    #[error("several databases are called {name:?}: give one of their ids, {}", ids.join(", "))]
    SeveralDatabases {
        /// What was given.
        name: String,
        /// What it may mean.
        ids: Vec<String>,
    },
    /// Two decisions about the same.
    #[error("{0:?} is assigned twice")]
    Twice(String),
}

impl Assignments {
    /// Resolves pairs of an object's name, or of the label that objects' names begin with, and a
    /// database's name or id.
    pub fn resolve(
        pairs: &[(String, String)],
        databases: &[KnownDatabase],
    ) -> Result<Self, AssignError> {
        let mut found = BTreeMap::new();
        for (name, database) in pairs {
            let id = database_called(database, databases)?;
            if found
                .insert(name.clone(), id)
                .is_some_and(|other| other != id)
            {
                return Err(AssignError::Twice(name.clone()));
            }
        }
        Ok(Self(found))
    }

    fn of(&self, name: &BackupName) -> Option<Uuid> {
        let by_object = self.0.get(&name.to_string());
        let by_label = || name.label().and_then(|label| self.0.get(label));
        by_object.or_else(by_label).copied()
    }
}

fn database_called(text: &str, databases: &[KnownDatabase]) -> Result<Uuid, AssignError> {
    let id = Uuid::try_parse(text).ok();
    let called = |database: &&KnownDatabase| id == Some(database.id) || database.name == text;
    let found: Vec<&KnownDatabase> = databases.iter().filter(called).collect();
    match found.as_slice() {
        [one] => Ok(one.id),
        [] => Err(AssignError::NoSuchDatabase(text.to_owned())),
        several => Err(AssignError::SeveralDatabases {
            name: text.to_owned(),
            ids: several
                .iter()
                .map(|database| database.id.to_string())
                .collect(),
        }),
    }
}

/// Everything that tells databases apart.
#[derive(Debug, Default)]
pub struct Attribution {
    databases: BTreeMap<Uuid, KnownDatabase>,
    /// Databases by what the names of their objects begin with: now, or on any day that the
    /// catalogue remembers.
    labels: BTreeMap<String, BTreeSet<Uuid>>,
    assignments: Assignments,
}

impl Attribution {
    /// From the databases and what people decided; [`Self::remember`] brings the past.
    pub fn new(databases: Vec<KnownDatabase>, assignments: Assignments) -> Self {
        let mut new = Self {
            assignments,
            ..Self::default()
        };
        for database in databases {
            new.learn(sanitise(&database.name), database.id);
            new.databases.insert(database.id, database);
        }
        new
    }

    /// Takes the name that a known backup has. A sibling: its database has had that label.
    pub fn remember(&mut self, row: &KnownRow) {
        let Some(name) = row.file_name.as_deref() else {
            return;
        };
        // Labels of physical backups end in a word of their own, and their sidecars name the
        // database.
        if row.table == Table::Logical
            && let Some(BackupName::Labelled { label, .. }) = BackupName::parse(name)
        {
            self.learn(label, row.database);
        }
    }

    fn learn(&mut self, label: String, database: Uuid) {
        self.labels.entry(label).or_default().insert(database);
    }

    /// A database by its id.
    pub fn database(&self, id: Uuid) -> Option<&KnownDatabase> {
        self.databases.get(&id)
    }

    /// Takes a database that was made for objects of unknown ones.
    pub fn add(&mut self, database: KnownDatabase) {
        self.learn(sanitise(&database.name), database.id);
        self.databases.insert(database.id, database);
    }

    /// Whose an object is.
    pub fn of(&self, evidence: Evidence<'_>) -> Attributed {
        if let Some(database) = self.assignments.of(evidence.name) {
            return match self.fits_kind(database, evidence.content) {
                true => self.to(database, evidence),
                false => Attributed::OtherKind(vec![database]),
            };
        }
        let label = evidence.name.label();
        let called = label.and_then(|label| self.labels.get(label));
        let called: Vec<Uuid> = called.into_iter().flatten().copied().collect();
        let of_kind = called.iter().copied();
        let fits: Vec<Uuid> = of_kind
            .filter(|id| self.fits_kind(*id, evidence.content))
            .filter(|id| !self.stands_for_another(*id, evidence.source))
            .collect();
        match fits.as_slice() {
            [one] => self.to(*one, evidence),
            [] if called.iter().all(|id| self.is_placeholder(*id)) => Attributed::Nobody,
            [] => Attributed::OtherKind(called),
            _ => self.by_header(fits, evidence),
        }
    }

    /// Decides among several by what the dump says of itself. One whose database is not known
    /// could be meant as well.
    fn by_header(&self, fits: Vec<Uuid>, evidence: Evidence<'_>) -> Attributed {
        let possible = |id: &&Uuid| match self.source(**id) {
            Some(source) => evidence.source == Some(source),
            None => true,
        };
        let left: Vec<Uuid> = fits.iter().filter(possible).copied().collect();
        match left.as_slice() {
            [one] if self.source(*one).is_some() => self.to(*one, evidence),
            _ => Attributed::Several(fits),
        }
    }

    /// A placeholder was made for dumps of one database of a server, and takes no other's.
    fn stands_for_another(&self, id: Uuid, source: Option<&str>) -> bool {
        self.is_placeholder(id) && self.source(id) != source
    }

    fn is_placeholder(&self, id: Uuid) -> bool {
        self.databases.get(&id).is_some_and(|database| {
            let source = database.source.as_deref();
            id == placeholder_id(&database.name, database.engine, source)
        })
    }

    fn source(&self, id: Uuid) -> Option<&str> {
        self.databases.get(&id)?.source.as_deref()
    }

    fn to(&self, database: Uuid, evidence: Evidence<'_>) -> Attributed {
        let now = self.source(database);
        let differs = now.filter(|now| evidence.source.is_some_and(|then| then != *now));
        Attributed::To {
            database,
            differs: differs.map(str::to_owned),
        }
    }

    fn fits_kind(&self, id: Uuid, content: Content) -> bool {
        let Some(database) = self.databases.get(&id) else {
            return false;
        };
        match database.engine {
            Engine::Postgres => content == Content::PgDump,
            Engine::PostgresWalV1 => content == Content::WalV1,
            Engine::MySql | Engine::MariaDb => content == Content::Sql,
            Engine::MongoDb => content == Content::MongoArchive,
            // Its backups say what they are in their sidecars.
            Engine::PostgresPhysical => false,
            Engine::Unknown => true,
        }
    }
}

#[cfg(test)]
mod tests;
