//! The side schema: rows that were taken out of the catalogue, and what was seen in the storages.
//!
//! Nothing is deleted from a catalogue without being kept here, as the JSON of its whole row.

use uuid::Uuid;

use super::Table;
use crate::databasus::schema::Generation;
use crate::postgres::sql::{identifier, literal, nullable};
use crate::postgres::wire::{Connection, PgError};

/// Why a row stands in the side schema.
const GHOST: &str = "ghost";

/// Credentials for one download each: they are not worth keeping, and better gone.
const NOT_KEPT: &str = "download_tokens";

/// Rows or ids sent in one statement.
const BATCH: usize = 1_000;

/// Where rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SideSchema {
    /// `escrow_fence`, of a fenced database.
    Fence,
    /// `escrow_leftover`, of one that is not fenced: the other name would have snapshots refuse
    /// it as a clone.
    Leftover,
}

impl SideSchema {
    /// The one of this database.
    pub fn of(session: &mut Connection) -> Result<Self, PgError> {
        let fenced = "SELECT 1 WHERE pg_catalog.to_regnamespace('escrow_fence') IS NOT NULL";
        let found = session.simple_query(fenced)?;
        Ok(match found.is_empty() {
            false => Self::Fence,
            true => Self::Leftover,
        })
    }

    /// Its table; what an unfence leaves in `escrow_leftover` has tables of its own.
    fn table(self) -> &'static str {
        match self {
            Self::Fence => "escrow_fence.rows",
            Self::Leftover => "escrow_leftover.ghosts",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Fence => "escrow_fence",
            Self::Leftover => "escrow_leftover",
        }
    }
}

/// Moves rows of a table aside, with all rows that would go with them. In the caller's
/// transaction.
pub fn move_aside(
    session: &mut Connection,
    generation: Generation,
    side: SideSchema,
    table: Table,
    ids: &[Uuid],
) -> Result<(), PgError> {
    if ids.is_empty() {
        return Ok(());
    }
    session.simple_query(&format!(
        "CREATE SCHEMA IF NOT EXISTS {0}; \
         CREATE TABLE IF NOT EXISTS {1} (id bigserial PRIMARY KEY, \
           table_name text NOT NULL, row jsonb NOT NULL, why text NOT NULL)",
        side.name(),
        side.table()
    ))?;
    let name = table.name(generation);
    for batch in ids.chunks(BATCH) {
        let list: Vec<String> = batch.iter().map(|id| literal(&id.to_string())).collect();
        let condition = format!("id IN ({})", list.join(", "));
        keep(session, side, name, &condition)?;
        keep_dependents(session, side, name, &condition, 0)?;
        session.simple_query(&format!("DELETE FROM public.{name} WHERE {condition}"))?;
    }
    Ok(())
}

fn keep(
    session: &mut Connection,
    side: SideSchema,
    table: &str,
    condition: &str,
) -> Result<(), PgError> {
    let (side, name, why) = (side.table(), literal(table), literal(GHOST));
    let table = identifier(table);
    let sql = format!(
        "INSERT INTO {side} (table_name, row, why) \
         SELECT {name}, pg_catalog.to_jsonb(t), {why} FROM public.{table} t WHERE {condition}"
    );
    session.simple_query(&sql).map(|_| ())
}

/// Tables whose rows are deleted together with those of another, with the column that refers.
const CASCADING: &str = "\
SELECT c.relname, a.attname \
FROM pg_catalog.pg_constraint f \
JOIN pg_catalog.pg_class c ON c.oid = f.conrelid \
JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1] \
WHERE f.contype = 'f' AND f.confdeltype = 'c' AND cardinality(f.conkey) = 1 \
  AND c.relnamespace = pg_catalog.to_regnamespace('public') AND f.conrelid <> f.confrelid \
  AND f.confrelid = pg_catalog.to_regclass(";

/// Databasus' tables hang three deep; a circle must not end in one here.
const DEEPEST: u8 = 5;

fn keep_dependents(
    session: &mut Connection,
    side: SideSchema,
    table: &str,
    condition: &str,
    depth: u8,
) -> Result<(), PgError> {
    if depth == DEEPEST {
        return Ok(());
    }
    let qualified = literal(&format!("public.{}", identifier(table)));
    for row in session.simple_query(&format!("{CASCADING}{qualified})"))? {
        let mut names = row.into_iter().flatten();
        let (Some(child), Some(column)) = (names.next(), names.next()) else {
            continue;
        };
        if child == NOT_KEPT {
            continue;
        }
        let condition = format!(
            "{} IN (SELECT id FROM public.{} WHERE {condition})",
            identifier(&column),
            identifier(table)
        );
        keep(session, side, &child, &condition)?;
        keep_dependents(session, side, &child, &condition, depth + 1)?;
    }
    Ok(())
}

/// Remembers what a storage held when it was first listed for a fenced database: its objects'
/// names relative to the prefix, sizes and entity tags. `unfence` looks for what came after, so
/// what a later import lists must not take its place. In the caller's transaction.
pub fn remember_seen<'a>(
    session: &mut Connection,
    storage: Uuid,
    objects: impl Iterator<Item = (&'a str, u64, Option<&'a str>)>,
) -> Result<(), PgError> {
    let storage = literal(&storage.to_string());
    let remembered = session.simple_query(&format!(
        "CREATE TABLE IF NOT EXISTS escrow_fence.seen_objects (storage_id uuid NOT NULL, \
           key text NOT NULL, size bigint NOT NULL, etag text); \
         SELECT FROM escrow_fence.seen_objects WHERE storage_id = {storage} LIMIT 1"
    ))?;
    if !remembered.is_empty() {
        return Ok(());
    }
    let mut values = Vec::with_capacity(BATCH);
    for (key, size, etag) in objects {
        values.push(format!(
            "({storage}, {}, {size}, {})",
            literal(key),
            nullable(etag)
        ));
        if values.len() == BATCH {
            insert_seen(session, &mut values)?;
        }
    }
    insert_seen(session, &mut values)
}

fn insert_seen(session: &mut Connection, values: &mut Vec<String>) -> Result<(), PgError> {
    if values.is_empty() {
        return Ok(());
    }
    let rows = values.join(", ");
    values.clear();
    let sql = format!(
        "INSERT INTO escrow_fence.seen_objects (storage_id, key, size, etag) VALUES {rows}"
    );
    session.simple_query(&sql).map(|_| ())
}
