//! What a storage holds now, in a table of the session, so that no number of objects fills memory.

use std::ops::ControlFlow;

use crate::base::error_chain::error_chain;
use crate::postgres::sql::{literal, nullable};
use crate::postgres::wire::{Connection, PgError};
use crate::store::{ObjectMeta, Store, StoreErrorKind};

/// How many objects one statement inserts.
const BATCH: usize = 500;

/// How a listing ended.
pub(super) enum Listed {
    /// All is in the table.
    All,
    /// Why it is not.
    Failed(String),
}

/// Puts all that a storage holds into the session's table `pg_temp.listed`.
pub(super) fn list_into(session: &mut Connection, store: &dyn Store) -> Result<Listed, PgError> {
    session.simple_query(
        "CREATE TEMPORARY TABLE IF NOT EXISTS listed (key text, size bigint, etag text); \
         TRUNCATE pg_temp.listed",
    )?;
    let mut values = Vec::with_capacity(BATCH);
    let mut failed = None;
    let outcome = store.list("", None, &mut |object| {
        values.push(value(&object));
        if values.len() < BATCH {
            return ControlFlow::Continue(());
        }
        match insert(session, &mut values) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    insert(session, &mut values)?;
    Ok(match outcome {
        Ok(()) => Listed::All,
        // Nothing was ever written below the prefix.
        Err(error) if error.kind == StoreErrorKind::NotFound => Listed::All,
        Err(error) => Listed::Failed(error_chain(&error)),
    })
}

fn value(object: &ObjectMeta) -> String {
    format!(
        "({}, {}, {})",
        literal(&object.key),
        object.size,
        nullable(object.etag.as_deref())
    )
}

fn insert(session: &mut Connection, values: &mut Vec<String>) -> Result<(), PgError> {
    if values.is_empty() {
        return Ok(());
    }
    let rows = values.join(", ");
    values.clear();
    session.simple_query(&format!("INSERT INTO pg_temp.listed VALUES {rows}"))?;
    Ok(())
}
