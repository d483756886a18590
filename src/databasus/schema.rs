//! What a metadata database has: its tables and columns, and which generation of Databasus'
//! schema that makes it.
//!
//! Fence and import go by what is there and not by what a release should have (DATABASUS.md §4.8).

use std::collections::BTreeMap;

use crate::postgres::wire::{Connection, PgError, Row};

/// The migration that renamed the tables and brought physical backups: release 3.43.0.
const RENAMING_MIGRATION: i64 = 20_260_614_221_026;

/// The migration that brought `file_name`: release 3.13.0. Before it an object is named by its id.
pub const FILE_NAMES_MIGRATION: i64 = 20_260_217_000_000;

/// The newest migration whose schema was read: mid-August 2026.
pub const NEWEST_KNOWN_MIGRATION: i64 = 20_260_813_153_131;

/// Tables that every release since 3.7 has.
const CORE_TABLES: [&str; 4] = ["databases", "storages", "s3_storages", "workspaces"];

/// All columns of ordinary tables in schema public, then the newest applied migration.
const READ: &str = "\
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), \
       (NOT a.attnotnull)::text \
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
WHERE c.relnamespace = pg_catalog.to_regnamespace('public') AND c.relkind IN ('r', 'p') \
  AND a.attnum > 0 AND NOT a.attisdropped \
ORDER BY 1, a.attnum";

const READ_VERSION: &str =
    "SELECT max(version_id)::text FROM public.goose_db_version WHERE is_applied";

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// As `format_type` writes it: `boolean`, `text`, `timestamp with time zone`.
    pub data_type: String,
    /// Whether it may be null.
    pub nullable: bool,
}

/// The schema of a metadata database, as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// The newest applied migration; none where there is no table of them.
    pub version: Option<i64>,
    tables: BTreeMap<String, BTreeMap<String, Column>>,
}

/// Which names the tables have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generation {
    /// Up to 3.42: `backups`, `backup_configs`, `postgresql_databases`; `WAL_V1`.
    UpTo342,
    /// From 3.43: `logical_backups` and its siblings, and the tables of physical backups.
    From343,
}

/// The database is not one that can be worked on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It has nothing of what Databasus' database has.
    #[error("not a metadata database of Databasus: it has no table {0}")]
    NotDatabasus(&'static str),
    /// Some tables are of one generation and some of another, or the migrations say otherwise.
    #[error("the schema is half-migrated: {0}")]
    HalfMigrated(String),
}

impl Schema {
    /// Reads it over a session with the metadata database.
    pub fn read(session: &mut Connection) -> Result<Self, PgError> {
        let mut schema = Self::of(session.simple_query(READ)?);
        if schema.has("goose_db_version", "is_applied") {
            let rows = session.simple_query(READ_VERSION)?;
            let version = rows.into_iter().flatten().flatten().next();
            schema.version = version.and_then(|text| text.parse().ok());
        }
        Ok(schema)
    }

    fn of(rows: Vec<Row>) -> Self {
        let mut schema = Self::default();
        for row in rows {
            if let [Some(table), Some(name), Some(data_type), nullable] = row.as_slice() {
                let columns = schema.tables.entry(table.clone()).or_default();
                let column = Column {
                    data_type: data_type.clone(),
                    nullable: nullable.as_deref() == Some("true"),
                };
                columns.insert(name.clone(), column);
            }
        }
        schema
    }

    /// Whether a table is there.
    pub fn has_table(&self, table: &str) -> bool {
        self.tables.contains_key(table)
    }

    /// Whether a table has a column.
    pub fn has(&self, table: &str, column: &str) -> bool {
        self.column(table, column).is_some()
    }

    /// A column of a table.
    pub fn column(&self, table: &str, column: &str) -> Option<&Column> {
        self.tables.get(table)?.get(column)
    }

    /// Every column, by table, both in the order of their names.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &str, &Column)> {
        self.tables.iter().flat_map(|(table, columns)| {
            let columns = columns.iter();
            columns.map(move |(name, column)| (table.as_str(), name.as_str(), column))
        })
    }

    /// Whether it is of a release later than any whose schema was read.
    pub fn is_newer_than_known(&self) -> bool {
        self.version.is_some_and(|v| v > NEWEST_KNOWN_MIGRATION)
    }

    /// Which names its tables have; refuses a database in which that is not one answer.
    pub fn generation(&self) -> Result<Generation, SchemaError> {
        if let Some(missing) = CORE_TABLES.into_iter().find(|name| !self.has_table(name)) {
            return Err(SchemaError::NotDatabasus(missing));
        }
        let migrated = self.version.map(|version| version >= RENAMING_MIGRATION);
        let renamed = [
            ("backups", "logical_backups"),
            ("backup_configs", "logical_backup_configs"),
            ("postgresql_databases", "postgresql_logical_databases"),
        ];
        let found: Vec<_> = renamed.map(|(old, new)| self.which(old, new)).into();
        let half = || Err(SchemaError::HalfMigrated(self.describe(&renamed)));
        let Some(Some(generation)) = found.first().copied() else {
            return half();
        };
        let is_new = generation == Generation::From343;
        let physical = self.has_table("physical_full_backups");
        let agrees = found.iter().all(|one| *one == Some(generation))
            && physical == is_new
            && migrated.is_none_or(|migrated| migrated == is_new);
        if agrees { Ok(generation) } else { half() }
    }

    fn which(&self, old: &str, new: &str) -> Option<Generation> {
        match (self.has_table(old), self.has_table(new)) {
            (true, false) => Some(Generation::UpTo342),
            (false, true) => Some(Generation::From343),
            _ => None,
        }
    }

    fn describe(&self, renamed: &[(&str, &str)]) -> String {
        let pairs = renamed.iter().flat_map(|(old, new)| [*old, *new]);
        let tables = pairs.chain(["physical_full_backups"]);
        let there: Vec<&str> = tables.filter(|table| self.has_table(table)).collect();
        let version = self.version.map_or("none".to_owned(), |v| v.to_string());
        format!("migration {version} beside tables {}", there.join(", "))
    }
}

impl Generation {
    /// A word for it, as it is put on record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UpTo342 => "up-to-3.42",
            Self::From343 => "from-3.43",
        }
    }

    /// Reads what [`Generation::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::UpTo342, Self::From343]
            .into_iter()
            .find(|generation| generation.as_str() == text)
    }

    /// The table of logical backups (and, up to 3.42, of `WAL_V1`).
    pub fn backups(self) -> &'static str {
        match self {
            Self::UpTo342 => "backups",
            Self::From343 => "logical_backups",
        }
    }

    /// The table of what is backed up logically, when and for how long.
    pub fn backup_configs(self) -> &'static str {
        match self {
            Self::UpTo342 => "backup_configs",
            Self::From343 => "logical_backup_configs",
        }
    }

    /// The table of PostgreSQL sources that are dumped.
    pub fn postgresql_databases(self) -> &'static str {
        match self {
            Self::UpTo342 => "postgresql_databases",
            Self::From343 => "postgresql_logical_databases",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: [&str; 3] = ["backups", "backup_configs", "postgresql_databases"];
    const NEW: [&str; 4] = [
        "logical_backups",
        "logical_backup_configs",
        "postgresql_logical_databases",
        "physical_full_backups",
    ];

    fn schema(version: Option<i64>, tables: &[&str]) -> Schema {
        let tables = tables.iter().chain(&CORE_TABLES);
        Schema {
            version,
            tables: tables
                .map(|name| ((*name).to_owned(), BTreeMap::new()))
                .collect(),
        }
    }

    #[test]
    fn generations_are_told_by_their_tables() {
        let old = schema(Some(20_260_522_161_848), &OLD);
        assert_eq!(old.generation(), Ok(Generation::UpTo342));
        let new = schema(Some(RENAMING_MIGRATION), &NEW);
        assert_eq!(new.generation(), Ok(Generation::From343));
        assert_eq!(schema(None, &NEW).generation(), Ok(Generation::From343));
    }

    #[test]
    fn a_schema_between_two_generations_is_refused() {
        let both: Vec<&str> = OLD.into_iter().chain(NEW).collect();
        let half = [
            schema(None, &both),
            schema(Some(RENAMING_MIGRATION), &OLD),
            schema(Some(RENAMING_MIGRATION - 1), &NEW),
            schema(None, &NEW[..3]),
            schema(
                None,
                &["backups", "logical_backup_configs", "postgresql_databases"],
            ),
        ];
        for schema in half {
            let refused = schema.generation();
            assert!(
                matches!(refused, Err(SchemaError::HalfMigrated(_))),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn another_database_is_not_taken_for_one() {
        let refused = Schema::default().generation();
        assert_eq!(refused, Err(SchemaError::NotDatabasus("databases")));
    }
}
