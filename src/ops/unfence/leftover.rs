//! What was not given back, kept in the schema `escrow_leftover`.

use std::fmt;

use super::count;
use crate::postgres::sql::literal;
use crate::postgres::wire::{Connection, PgError};

/// How many values one statement names.
const BATCH: usize = 500;

/// A value, or a row, that is not as it was before the fence.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Leftover {
    /// The table, as it was called when it was fenced.
    pub table: String,
    /// Names the row: its key in JSON.
    pub row: String,
    /// The column; none for a whole row.
    pub column: Option<String>,
    /// Why.
    pub why: Why,
}

/// Why something was not given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Somebody changed it since the fence.
    Changed,
    /// Its row is gone.
    RowGone,
    /// This schema has no such column.
    NoSuchColumn,
    /// One of the rows that it links is gone.
    EndGone,
    /// Retention would delete too much.
    HeldBack,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "changed since the fence",
            Self::RowGone => "its row is gone",
            Self::NoSuchColumn => "this schema has no such column",
            Self::EndGone => "what it links is gone",
            Self::HeldBack => "held back: retention would delete too much",
        })
    }
}

/// Rows of a table that never come back.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SetAside {
    /// The table.
    pub table: String,
    /// `work-in-progress` or `ghost`.
    pub why: String,
    /// How many.
    pub rows: u64,
}

const SET_ASIDE: &str = "\
SELECT table_name, why, count(*)::text FROM escrow_fence.rows WHERE why <> 'removed' \
GROUP BY table_name, why ORDER BY table_name, why";

/// Rows that the fence and the import set aside for good.
pub(super) fn set_aside(session: &mut Connection) -> Result<Vec<SetAside>, PgError> {
    let rows = session.simple_query(SET_ASIDE)?;
    let rows = rows.into_iter().map(|row| {
        let mut columns = row.into_iter().map(Option::unwrap_or_default);
        let mut next = || columns.next().unwrap_or_default();
        SetAside {
            table: next(),
            why: next(),
            rows: next().parse().unwrap_or(0),
        }
    });
    Ok(rows.collect())
}

const CREATE: &str = "\
CREATE SCHEMA IF NOT EXISTS escrow_leftover; \
CREATE TABLE IF NOT EXISTS escrow_leftover.cells ( \
    escrow_id text NOT NULL, fenced_at timestamptz NOT NULL, table_name text NOT NULL, \
    row_key jsonb NOT NULL, column_name text NOT NULL, original text, fenced text, \
    why text NOT NULL); \
CREATE TABLE IF NOT EXISTS escrow_leftover.rows ( \
    escrow_id text NOT NULL, fenced_at timestamptz NOT NULL, table_name text NOT NULL, \
    row jsonb NOT NULL, why text NOT NULL)";

/// Keeps every original that was not given back, by value and by row; nothing where there is none.
pub(super) fn keep(
    session: &mut Connection,
    left: &[Leftover],
    lost_links: &[String],
) -> Result<(), PgError> {
    let all = "SELECT count(*)::text FROM escrow_fence.rows WHERE why <> 'removed'";
    if left.is_empty() && lost_links.is_empty() && count(session, all)? == 0 {
        return Ok(());
    }
    session.simple_query(CREATE)?;
    let cells: Vec<String> = left.iter().filter_map(named).collect();
    for batch in cells.chunks(BATCH) {
        session.simple_query(&keep_cells(batch))?;
    }
    session.simple_query(&keep_rows(lost_links))?;
    Ok(())
}

/// A value as a row of SQL; none for a whole row.
fn named(left: &Leftover) -> Option<String> {
    Some(format!(
        "({}, {}, {}, {})",
        literal(&left.table),
        literal(&left.row),
        literal(left.column.as_deref()?),
        literal(&left.why.to_string())
    ))
}

fn keep_cells(names: &[String]) -> String {
    format!(
        "INSERT INTO escrow_leftover.cells \
         SELECT f.escrow_id, f.made_at, c.table_name, c.row_key, c.column_name, c.original, \
             c.fenced, v.why \
         FROM (VALUES {}) AS v (table_name, row_key, column_name, why) \
         JOIN escrow_fence.cells AS c ON c.table_name = v.table_name \
             AND c.column_name = v.column_name AND c.row_key::text = v.row_key \
         CROSS JOIN escrow_fence.fence AS f",
        names.join(", ")
    )
}

fn keep_rows(lost_links: &[String]) -> String {
    let ids: Vec<String> = lost_links.iter().map(|id| literal(id)).collect();
    let lost = match ids.is_empty() {
        true => "false".to_owned(),
        false => format!("r.id::text IN ({})", ids.join(", ")),
    };
    format!(
        "INSERT INTO escrow_leftover.rows \
         SELECT f.escrow_id, f.made_at, r.table_name, r.row, r.why \
         FROM escrow_fence.rows AS r CROSS JOIN escrow_fence.fence AS f \
         WHERE r.why <> 'removed' OR {lost}"
    )
}
