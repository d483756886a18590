//! Bringing the cluster to a clean shutdown, and looking at it on the way.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::error_chain::error_chain;
use crate::model::index::{Catalogue, ExpectedRows, Index, expected_rows};
use crate::postgres::amcheck;
use crate::postgres::binaries::Launcher;
use crate::postgres::control_file::ControlFile;
use crate::postgres::initdb::InitdbError;
use crate::postgres::private_server::{PrivateServer, PrivateServerError};
use crate::postgres::program::ProgramError;
use crate::postgres::wire::{Connection, PgError};
use crate::source::catalogue;

use super::Proof;

/// Databasus' own database.
pub(super) const DATABASE: &str = "databasus";

const ROWS: &str = "row counts";

/// The cluster could not be brought to a clean shutdown.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The server did not start, or did not stop.
    #[error(transparent)]
    Server(#[from] PrivateServerError),
    /// A session failed.
    #[error("a session of the recovered server failed")]
    Session(#[from] PgError),
    /// No new cluster could be made for the logical copy.
    #[error("cannot make a new cluster")]
    Initdb(#[from] InitdbError),
    /// The logical copy could not be restored.
    #[error("cannot restore the logical copy")]
    Restore(#[from] ProgramError),
}

/// Starts a server on `pgdata`, which recovers it.
pub(super) fn recover(
    launcher: &Launcher,
    pgdata: &Path,
    cancel: &Cancel,
) -> Result<(PrivateServer, Proof), RecoverError> {
    let server = PrivateServer::start(launcher, pgdata, cancel)?;
    let proof = Proof::proven(
        "recovery",
        "PostgreSQL replayed to consistency on a private socket",
    );
    Ok((server, proof))
}

/// Row counts and structure, as the running server shows them. Damage is told and stops nothing:
/// in a disaster most of a catalogue is better than none.
pub(super) fn examine(server: &PrivateServer, index: &Index) -> Result<Vec<Proof>, RecoverError> {
    let mut session = server.connect(DATABASE)?;
    let found = match catalogue::read(&mut session) {
        Err(PgError::Interrupted(signal)) => return Err(signal.into()),
        other => other,
    };
    let mut proofs = vec![check_rows(index, found.as_ref())];
    proofs.extend(found.ok().as_ref().and_then(check_legacy_keys));
    proofs.push(check_structure(&mut session)?);
    Ok(proofs)
}

/// Stops the server and proves in `pg_control` that nothing is left to replay.
pub(super) fn shut_down(server: PrivateServer) -> Result<Proof, RecoverError> {
    let control: ControlFile = server.stop()?;
    Ok(Proof::proven(
        "clean shutdown",
        format!("pg_control says shut down, at {}", control.checkpoint),
    ))
}

fn check_rows(index: &Index, found: Result<&Catalogue, &PgError>) -> Proof {
    let (Some(before), Some(after)) = (&index.catalogue_before, &index.catalogue_after) else {
        return Proof::unknown(ROWS, "the escrow records none: no server was asked");
    };
    match found {
        Ok(found) => compare_rows(&expected_rows(before, after), found),
        Err(error) => Proof::failed(ROWS, error_chain(error)),
    }
}

/// Databasus writes a row of this table over `secret.key` at its next start.
fn check_legacy_keys(found: &Catalogue) -> Option<Proof> {
    let rows = found.legacy_secret_keys;
    (rows > 0).then(|| {
        let detail = format!(
            "table secret_keys holds {rows} rows: empty it before Databasus starts, which would \
             write one of them over secret.key"
        );
        Proof::failed("legacy keys", detail)
    })
}

fn compare_rows(expected: &BTreeMap<String, ExpectedRows>, found: &Catalogue) -> Proof {
    let mut equal = 0;
    let mut unknown = Vec::new();
    let mut wrong = Vec::new();
    for (table, expected) in expected {
        match (expected, found.row_counts.get(table)) {
            (ExpectedRows::Unknown, _) => unknown.push(table.as_str()),
            (ExpectedRows::Exactly(rows), Some(found)) if rows == found => equal += 1,
            (ExpectedRows::Exactly(rows), found) => {
                let found = found.map_or("none".to_owned(), u64::to_string);
                wrong.push(format!("{table} has {found} instead of {rows}"));
            }
        }
    }
    if !wrong.is_empty() {
        return Proof::failed(ROWS, wrong.join(", "));
    }
    let mut detail = format!("{equal} tables have the recorded number of rows");
    if !unknown.is_empty() {
        detail.push_str(&format!(
            "; unknown for {}, written to during the snapshot",
            unknown.join(", ")
        ));
    }
    if equal == 0 {
        return Proof::unknown(ROWS, detail);
    }
    Proof::proven(ROWS, detail)
}

fn check_structure(session: &mut Connection) -> Result<Proof, RecoverError> {
    const WHAT: &str = "amcheck";
    Ok(match amcheck::check(session) {
        Err(PgError::Interrupted(signal)) => return Err(signal.into()),
        Err(error) => Proof::unknown(WHAT, error_chain(&error)),
        Ok(report) if !report.available => {
            Proof::unknown(WHAT, "this PostgreSQL has no amcheck extension")
        }
        Ok(report) if report.corruptions.is_empty() => {
            Proof::proven(WHAT, format!("{} relations are sound", report.relations))
        }
        Ok(report) => Proof::failed(WHAT, report.corruptions.join("; ")),
    })
}
