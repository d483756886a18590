//! Where databases are listed.

use uuid::Uuid;

use crate::postgres::wire::{Connection, PgError};

const SELECT: &str = "\
SELECT DISTINCT workspace_id::text FROM public.databases WHERE workspace_id IS NOT NULL ORDER BY 1";

/// Every workspace that has a database.
pub fn workspaces(session: &mut Connection) -> Result<Vec<Uuid>, PgError> {
    let malformed = || PgError::Protocol("a workspace without an id".to_owned());
    let rows = session.simple_query(SELECT)?;
    let ids = rows.into_iter().map(|row| {
        let id = row.into_iter().flatten().next();
        id.and_then(|id| id.parse().ok()).ok_or_else(malformed)
    });
    ids.collect()
}
