//! The one transaction.

use crate::databasus::catalogue_rows::{
    SideSchema, Table, add, add_placeholder, move_aside, remember_seen,
};
use crate::databasus::fence::statements::EXACT_TEXT;
use crate::postgres::wire::{Connection, PgError};

use super::survey::Survey;
use super::{Decided, Work};

/// Writes everything, or nothing: what the session did since the beginning is taken back where
/// something fails.
pub(super) fn write(
    session: &mut Connection,
    work: &Work<'_>,
    decided: &Decided,
    survey: &Survey,
) -> Result<(), PgError> {
    session.simple_query(&format!("BEGIN; {EXACT_TEXT}"))?;
    let written = write_all(session, work, decided, survey);
    let end = match written {
        Ok(()) => "COMMIT",
        Err(_) => "ROLLBACK",
    };
    let ended = session.simple_query(end).map(|_| ());
    written.and(ended)
}

fn write_all(
    session: &mut Connection,
    work: &Work<'_>,
    decided: &Decided,
    survey: &Survey,
) -> Result<(), PgError> {
    let Work {
        schema,
        generation,
        side,
    } = *work;
    // What refers to others goes before them, and comes after them.
    for (table, ids) in decided.ghosts.leaving.iter().rev() {
        move_aside(session, generation, side, *table, ids)?;
    }
    let plan = &decided.plan;
    move_aside(session, generation, side, Table::Wal, &plan.stale_claims)?;
    for placeholder in &plan.placeholders {
        add_placeholder(session, schema, generation, placeholder)?;
    }
    let written = add(session, schema, generation, &plan.rows)?;
    tracing::info!(
        "{} backups added, {} completed",
        written.inserted.len(),
        written.promoted.len()
    );
    match side {
        SideSchema::Fence => remember_listed(session, survey),
        SideSchema::Leftover => Ok(()),
    }
}

fn remember_listed(session: &mut Connection, survey: &Survey) -> Result<(), PgError> {
    for place in &survey.places {
        for storage in &place.storages {
            let seen = place.seen.iter();
            let seen = seen.map(|one| (&*one.key, one.size, one.etag.as_deref()));
            remember_seen(session, storage.id, seen)?;
        }
    }
    Ok(())
}
