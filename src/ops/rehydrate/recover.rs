//! Bringing the cluster to a clean shutdown, and looking at it on the way.

use std::path::Path;

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::error_chain::error_chain;
use crate::model::index::{Catalogue, ExpectedRows, Index, expected_rows};
use crate::postgres::amcheck;
use crate::postgres::binaries::Launcher;
use crate::postgres::control_file::{ClusterState, ControlFile};
use crate::postgres::private_server::{PrivateServer, PrivateServerError};
use crate::postgres::wire::{Connection, PgError};
use crate::source::catalogue;

use super::Proof;

/// Databasus' own database.
pub(super) const DATABASE: &str = "databasus";

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
    /// The server ended, but not cleanly.
    #[error("pg_control says {0:?} after the shutdown")]
    NotShutDown(ClusterState),
    /// A tool that builds a cluster from the logical copy failed.
    #[error("{tool} failed: {said}")]
    Tool {
        /// `initdb` or `pg_restore`.
        tool: &'static str,
        /// The end of what it said.
        said: String,
    },
}

/// Recovers `pgdata`, checks it and shuts it down.
pub(super) fn recover(
    launcher: &Launcher,
    pgdata: &Path,
    index: &Index,
    cancel: &Cancel,
) -> Result<Vec<Proof>, RecoverError> {
    let server = PrivateServer::start(launcher, pgdata, cancel)?;
    let mut proofs = vec![Proof::proven(
        "recovery",
        "PostgreSQL replayed to consistency on a private socket",
    )];
    proofs.extend(examine(&server, index)?);
    proofs.push(shut_down(server)?);
    Ok(proofs)
}

/// Row counts and structure, as the running server shows them.
pub(super) fn examine(server: &PrivateServer, index: &Index) -> Result<Vec<Proof>, RecoverError> {
    let mut session = server.connect(DATABASE)?;
    let found = catalogue::read(&mut session)?;
    Ok(vec![
        compare_rows(index, &found),
        check_structure(&mut session),
    ])
}

/// Stops the server and proves in `pg_control` that nothing is left to replay.
pub(super) fn shut_down(server: PrivateServer) -> Result<Proof, RecoverError> {
    let control: ControlFile = server.stop()?;
    if control.state != ClusterState::ShutDown {
        return Err(RecoverError::NotShutDown(control.state));
    }
    Ok(Proof::proven(
        "clean shutdown",
        format!("pg_control says shut down, at {}", control.checkpoint),
    ))
}

fn compare_rows(index: &Index, found: &Catalogue) -> Proof {
    const WHAT: &str = "row counts";
    let (Some(before), Some(after)) = (&index.catalogue_before, &index.catalogue_after) else {
        return Proof::unknown(WHAT, "the escrow records none: no server was asked");
    };
    let mut equal = 0;
    let mut unknown = Vec::new();
    let mut wrong = Vec::new();
    for (table, expected) in expected_rows(before, after) {
        match (expected, found.row_counts.get(&table)) {
            (ExpectedRows::Unknown, _) => unknown.push(table),
            (ExpectedRows::Exactly(rows), Some(found)) if rows == *found => equal += 1,
            (ExpectedRows::Exactly(rows), found) => {
                let found = found.map_or("none".to_owned(), u64::to_string);
                wrong.push(format!("{table} has {found} instead of {rows}"));
            }
        }
    }
    if !wrong.is_empty() {
        return Proof::failed(WHAT, wrong.join(", "));
    }
    let mut detail = format!("{equal} tables have the recorded number of rows");
    if !unknown.is_empty() {
        detail.push_str(&format!(
            "; unknown for {}, written to during the snapshot",
            unknown.join(", ")
        ));
    }
    if equal == 0 {
        return Proof::unknown(WHAT, detail);
    }
    Proof::proven(WHAT, detail)
}

fn check_structure(session: &mut Connection) -> Proof {
    const WHAT: &str = "amcheck";
    match amcheck::check(session) {
        Err(error) => Proof::unknown(WHAT, error_chain(&error)),
        Ok(report) if !report.available => {
            Proof::unknown(WHAT, "this PostgreSQL has no amcheck extension")
        }
        Ok(report) if report.corruptions.is_empty() => {
            Proof::proven(WHAT, format!("{} relations are sound", report.relations))
        }
        Ok(report) => Proof::failed(WHAT, report.corruptions.join("; ")),
    }
}
