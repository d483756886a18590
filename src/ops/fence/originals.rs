//! What a fence took out of the storages' rows.

use crate::databasus::schema::Schema;
use crate::databasus::storages::{self, Storage};
use crate::postgres::wire::{Connection, PgError};

/// The storages with the credentials that they had before the fence; as they are where there is
/// none. Nothing is changed.
pub fn original_storages(
    session: &mut Connection,
    schema: &Schema,
) -> Result<Vec<Storage>, PgError> {
    let recorded = "SELECT WHERE to_regclass('escrow_fence.cells') IS NOT NULL";
    if session.simple_query(recorded)?.is_empty() {
        return storages::read(session, schema);
    }
    session.simple_query("BEGIN")?;
    let found = with_originals(session, schema);
    session.simple_query("ROLLBACK")?;
    found
}

fn with_originals(session: &mut Connection, schema: &Schema) -> Result<Vec<Storage>, PgError> {
    for column in ["s3_access_key", "s3_secret_key"] {
        if schema.has("s3_storages", column) {
            session.simple_query(&format!(
                "UPDATE public.s3_storages AS t SET {column} = c.original \
                 FROM escrow_fence.cells AS c \
                 WHERE c.table_name = 's3_storages' AND c.column_name = '{column}' \
                     AND t.storage_id::text = c.row_key ->> 'storage_id'"
            ))?;
        }
    }
    storages::read(session, schema)
}
