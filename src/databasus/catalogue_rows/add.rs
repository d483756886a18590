//! Adding backups to the catalogue, and completing rows that a crash left unfinished
//! (DATABASUS.md §4.6).

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{BackupRow, Table};
use crate::databasus::schema::{Generation, Schema};
use crate::postgres::sql::{identifier, literal};
use crate::postgres::wire::{Connection, PgError};

/// Rows sent in one statement.
const BATCH: usize = 1_000;

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows that were not there before.
    pub inserted: Vec<Uuid>,
    /// Rows that were there, unfinished.
    pub promoted: Vec<Uuid>,
}

/// Columns that a row which was left unfinished gets; all others it keeps.
const LOGICAL_PROMOTED: &[&str] = &[
    "status",
    "fail_message",
    "backup_size_mb",
    "encryption",
    "encryption_salt",
    "encryption_iv",
    "is_skip_retry",
    "pg_wal_backup_type",
    "pg_wal_start_segment",
    "pg_wal_stop_segment",
    "pg_wal_segment_name",
];

const PHYSICAL_PROMOTED: &[&str] = &[
    "status",
    "error_reason",
    "fail_message",
    "timeline_id",
    "file_name",
    "start_lsn",
    "stop_lsn",
    "backup_size_mb",
    "compression",
    "encryption",
    "encryption_salt",
    "encryption_iv",
    "manifest_file_name",
    "manifest_encryption_salt",
    "manifest_encryption_iv",
    "completed_at",
];

const WAL_PROMOTED: &[&str] = &[
    "file_name",
    "wal_filename",
    "end_lsn",
    "compressed_size_mb",
    "received_at",
    "encryption",
    "encryption_salt",
    "encryption_iv",
];

/// Adds rows, in the order given as far as their tables allow; one that is there already and not
/// completed is completed, one that is completed is left alone. In the caller's transaction.
pub fn add(
    session: &mut Connection,
    schema: &Schema,
    generation: Generation,
    rows: &[BackupRow],
) -> Result<Written, PgError> {
    let mut written = Written::default();
    for table in Table::all(generation) {
        let of_table: Vec<&BackupRow> = rows.iter().filter(|row| row.table() == *table).collect();
        for batch in of_table.chunks(BATCH) {
            add_batch(
                session,
                schema,
                *table,
                table.name(generation),
                batch,
                &mut written,
            )?;
        }
    }
    Ok(written)
}

fn add_batch(
    session: &mut Connection,
    schema: &Schema,
    table: Table,
    name: &str,
    rows: &[&BackupRow],
    written: &mut Written,
) -> Result<(), PgError> {
    let columns: Result<Vec<_>, _> = rows.iter().map(|row| row.columns()).collect();
    let columns = columns.map_err(not_written)?;
    let insert = insert_from_json(schema, name, &columns)?;
    let answer = session.simple_query(&format!(
        "{insert} {} RETURNING known.id::text, (known.xmax = 0)::text",
        on_conflict(schema, table, name)
    ))?;
    for row in answer {
        let mut values = row.into_iter().flatten();
        let id: Option<Uuid> = values.next().and_then(|text| text.parse().ok());
        let list = match values.next().as_deref() {
            Some("true") => &mut written.inserted,
            _ => &mut written.promoted,
        };
        list.extend(id);
    }
    Ok(())
}

fn on_conflict(schema: &Schema, table: Table, name: &str) -> String {
    let (promoted, unfinished) = match table {
        Table::Logical => (LOGICAL_PROMOTED, "known.status <> 'COMPLETED'"),
        Table::Full | Table::Incremental => (PHYSICAL_PROMOTED, "known.status <> 'COMPLETED'"),
        Table::Wal => (WAL_PROMOTED, "known.file_name IS NULL"),
        Table::History => return "ON CONFLICT (id) DO NOTHING".to_owned(),
    };
    let set = promoted.iter().filter(|column| schema.has(name, column));
    let set: Vec<String> = set.map(|c| format!("{c} = excluded.{c}")).collect();
    format!(
        "ON CONFLICT (id) DO UPDATE SET {} WHERE {unfinished}",
        set.join(", ")
    )
}

/// `INSERT … SELECT` of rows as JSON, with the columns of the first that the table has. Numbers
/// arrive exactly: JSON carries them in decimal, with as many digits as a double needs.
pub(super) fn insert_from_json(
    schema: &Schema,
    table: &str,
    rows: &[Map<String, Value>],
) -> Result<String, PgError> {
    let names = rows.first().into_iter().flat_map(|row| row.keys());
    let found: Vec<(String, &str)> = names
        .filter_map(|name| {
            let column = schema.column(table, name)?;
            Some((identifier(name), column.data_type.as_str()))
        })
        .collect();
    let list: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let list = list.join(", ");
    let typed: Vec<String> = found.iter().map(|(n, t)| format!("{n} {t}")).collect();
    let json = serde_json::to_string(rows).map_err(not_written)?;
    Ok(format!(
        "INSERT INTO public.{} AS known ({list}) SELECT {list} \
         FROM pg_catalog.jsonb_to_recordset({}::pg_catalog.jsonb) AS new({})",
        identifier(table),
        literal(&json),
        typed.join(", ")
    ))
}

fn not_written(error: serde_json::Error) -> PgError {
    PgError::Protocol(format!("a row cannot be written as JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::{EncryptionColumns, Listing, LogicalRow, WalV1Columns};
    use super::*;
    use crate::databasus::objects::sidecar::Encryption;

    #[test]
    fn a_promotion_writes_every_column_of_a_fresh_row_but_its_origin() {
        let row = BackupRow::Logical(LogicalRow {
            listing: Listing {
                id: Uuid::nil(),
                database_id: Uuid::nil(),
                storage_id: Uuid::nil(),
                file_name: "a".to_owned(),
            },
            created_at: "2026-11-23T03:12:47Z".to_owned(),
            backup_size_mb: 0.0,
            encryption: EncryptionColumns::from(&Encryption::None),
            wal_v1: WalV1Columns::default(),
        });
        let columns = row.columns().unwrap();
        let names = columns.keys().map(String::as_str);
        let kept: Vec<&str> = names
            .filter(|name| !LOGICAL_PROMOTED.contains(name))
            .collect();
        let origin = ["created_at", "database_id", "file_name", "id", "storage_id"];
        assert_eq!(kept, origin);
    }
}
