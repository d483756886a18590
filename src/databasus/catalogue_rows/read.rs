//! What the catalogue knows.

use std::collections::BTreeSet;
use std::str::FromStr;

use uuid::Uuid;

use super::{Engine, KnownDatabase, KnownRow, LogPlace, RowState, Table, WalV1};
use crate::databasus::schema::{Generation, Schema};
use crate::postgres::lsn::Lsn;
use crate::postgres::sql::literal;
use crate::postgres::wire::{Connection, PgError, Row};

/// Rows asked for at once: the answer to one query is held in memory.
const PAGE: usize = 5_000;

/// Visits every row that lists a backup.
pub fn known_rows(
    session: &mut Connection,
    schema: &Schema,
    generation: Generation,
    mut visit: impl FnMut(KnownRow),
) -> Result<(), PgError> {
    for table in Table::all(generation) {
        let select = select_known(*table, schema, generation);
        let mut after = String::new();
        loop {
            let page = format!("{select}{after} ORDER BY id LIMIT {PAGE}");
            let rows = session.simple_query(&page)?;
            let last = rows.len() < PAGE;
            for row in rows {
                let known = Columns(row.into_iter()).known(*table)?;
                after = format!(" WHERE id > {}", literal(&known.id.to_string()));
                visit(known);
            }
            if last {
                break;
            }
        }
    }
    Ok(())
}

/// The columns, in the order that [`Columns::known`] takes them.
fn select_known(table: Table, schema: &Schema, generation: Generation) -> String {
    let name = table.name(generation);
    let or = |column: &str, otherwise: &str| match schema.has(name, column) {
        true => format!("{column}::text"),
        false => otherwise.to_owned(),
    };
    // Before 3.13 an object was named by its id alone.
    let file_name = or("file_name", "id::text");
    let status = match table {
        Table::Wal => {
            "CASE WHEN file_name IS NULL THEN 'IN_PROGRESS' ELSE 'COMPLETED' END".to_owned()
        }
        _ => or("status", "'COMPLETED'"),
    };
    let columns = [
        "id::text".to_owned(),
        "database_id::text".to_owned(),
        "storage_id::text".to_owned(),
        status,
        file_name,
        or("pg_wal_backup_type", "NULL"),
        format!(
            "coalesce({}, {})",
            or("pg_wal_segment_name", "NULL"),
            or("pg_wal_start_segment", "NULL")
        ),
        or("timeline_id", "NULL"),
        or("start_lsn", "NULL"),
        or("root_full_backup_id", "NULL"),
        or("parent_incremental_backup_id", "NULL"),
    ];
    format!("SELECT {} FROM public.{name}", columns.join(", "))
}

/// The columns of a row, taken from left to right.
struct Columns(std::vec::IntoIter<Option<String>>);

impl Columns {
    fn text(&mut self) -> Option<String> {
        self.0.next().flatten()
    }

    fn parsed<T: FromStr>(&mut self) -> Option<T> {
        self.text().and_then(|text| text.parse().ok())
    }

    fn id(&mut self) -> Result<Uuid, PgError> {
        self.parsed()
            .ok_or_else(|| PgError::Protocol("a row of the catalogue without an id".to_owned()))
    }

    fn known(mut self, table: Table) -> Result<KnownRow, PgError> {
        let (id, database, storage) = (self.id()?, self.id()?, self.id()?);
        let state = match self.text().as_deref() {
            Some("COMPLETED") => RowState::Completed,
            Some("IN_PROGRESS") => RowState::InProgress,
            _ => RowState::Failed,
        };
        let file_name = self.text().map(String::into_boxed_str);
        let wal_kind = self.text();
        let segment = self.parsed();
        let wal_v1 = match wal_kind.as_deref() {
            Some("PG_FULL_BACKUP") => Some(WalV1::Base(segment)),
            Some("PG_WAL_SEGMENT") => Some(WalV1::Segment(segment)),
            _ => None,
        };
        let (timeline, position) = (self.parsed(), self.parsed());
        let position = match table {
            // One per timeline, wherever that begins.
            Table::History => Some(Lsn(0)),
            _ => position,
        };
        let begins = timeline.zip(position);
        Ok(KnownRow {
            table,
            id,
            database,
            storage,
            state,
            file_name,
            wal_v1,
            begins: begins.map(|(timeline, position)| LogPlace { timeline, position }),
            root: self.parsed(),
            parent: self.parsed(),
        })
    }
}

/// Tables that say what a database is called on its server, with their columns for it.
fn source_tables(generation: Generation) -> [&'static str; 4] {
    [
        generation.postgresql_databases(),
        "mysql_databases",
        "mariadb_databases",
        "mongodb_databases",
    ]
}

/// Reads every database.
pub fn databases(
    session: &mut Connection,
    schema: &Schema,
    generation: Generation,
) -> Result<Vec<KnownDatabase>, PgError> {
    let rows = session.simple_query(&select_databases(schema, generation))?;
    let mut seen = BTreeSet::new();
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let database = database_of(row)?;
        // In 3.7 nothing keeps a database from having two rows about its source.
        if seen.insert(database.id) {
            found.push(database);
        }
    }
    Ok(found)
}

fn select_databases(schema: &Schema, generation: Generation) -> String {
    let coalesce = |parts: Vec<String>| format!("coalesce({}, NULL)", parts.join(", "));
    let configs = [generation.backup_configs(), "physical_backup_configs"];
    let joined = source_tables(generation).into_iter().chain(configs);
    let joins: String = joined
        .filter(|table| schema.has(table, "database_id"))
        .map(|table| format!(" LEFT JOIN public.{table} ON {table}.database_id = d.id"))
        .collect();
    let with = |tables: &[&str], column: &str| -> Vec<String> {
        let having = tables.iter().filter(|table| schema.has(table, column));
        let mut columns: Vec<String> = having.map(|t| format!("{t}.{column}::text")).collect();
        columns.push("NULL".to_owned());
        columns
    };
    let source = coalesce(with(&source_tables(generation), "database"));
    let kind = coalesce(with(&[generation.postgresql_databases()], "backup_type"));
    let storage = coalesce(with(&configs, "storage_id"));
    format!(
        "SELECT d.id::text, d.name, d.type, {kind}, {source}, {storage} \
         FROM public.databases d{joins} ORDER BY d.id"
    )
}

fn database_of(row: Row) -> Result<KnownDatabase, PgError> {
    let mut columns = Columns(row.into_iter());
    let id = columns.id()?;
    let name = columns.text().unwrap_or_default();
    let (kind, backup_type) = (columns.text().unwrap_or_default(), columns.text());
    Ok(KnownDatabase {
        id,
        name,
        engine: Engine::read(&kind, backup_type.as_deref()),
        source: columns.text().filter(|source| !source.is_empty()),
        storage: columns.parsed(),
    })
}

/// The workspace that a new database belongs into: the one of its storage, else the only one.
pub fn workspace_for(session: &mut Connection, storage: Uuid) -> Result<Option<Uuid>, PgError> {
    let id = literal(&storage.to_string());
    let rows = session.simple_query(&format!(
        "SELECT coalesce((SELECT workspace_id FROM public.storages WHERE id = {id}), \
         (SELECT min(id::text)::uuid FROM public.workspaces HAVING count(*) = 1))::text"
    ))?;
    let found = rows.into_iter().flatten().flatten().next();
    Ok(found.and_then(|text| text.parse().ok()))
}
