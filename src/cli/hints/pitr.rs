//! What keeps a cluster from being rewound.

use crate::cli::exit::{CliError, Exit};
use crate::databasus::backup_chain::Obstacle;
use crate::databasus::backup_chain::facts::Spoilt;
use crate::databasus::backup_chain::unreachable::{Unreachable, Why};
use crate::databasus::backup_chain::which::Unclear;
use crate::ops::pitr::bases::BasesError;
use crate::ops::pitr::fault::Fault;
use crate::ops::pitr::restore::RestoreError;
use crate::target::TargetError;

const OTHER_KEYS: &str = "the key may have been another one when it was made: --secret-key \
                          escrow:all tries every key that was ever escrowed";

const DO_WITHOUT: &str = "--without NAME plans without it: an older backup, and more WAL, may reach \
                          the same point";

/// A name that means no cluster, or several.
pub(in crate::cli) fn which(error: Unclear) -> CliError {
    let (exit, hint) = match &error {
        Unclear::Nobody { .. } => (
            Exit::NotFound,
            "`pitr list` shows every cluster that is there; check the prefix in --from",
        ),
        Unclear::Several { .. } => (
            Exit::Refused,
            "--cluster takes the system identifier of the one that is meant; --database takes an \
             id in place of a name",
        ),
    };
    CliError::new(exit, error).hint(hint)
}

/// Nothing reaches the point.
pub(in crate::cli) fn unreachable(error: Unreachable) -> CliError {
    let (exit, hint) = match &error.why {
        Why::Obstacle(Obstacle::Spoilt {
            why: Spoilt::NoKey, ..
        }) => (Exit::NoIdentity, OTHER_KEYS),
        Why::Spoilt(objects) if objects.iter().any(|(_, why)| *why == Spoilt::NoKey) => {
            (Exit::NoIdentity, OTHER_KEYS)
        }
        Why::Obstacle(_) | Why::Spoilt(_) => (Exit::Integrity, DO_WITHOUT),
        _ => (
            Exit::NotFound,
            "`pitr list` shows the windows that can be reached; --latest goes to the end of the last \
             one",
        ),
    };
    CliError::new(exit, error).hint(hint)
}

/// There is no PostgreSQL of the right major.
pub(in crate::cli) fn no_postgres(error: CliError, major: u32) -> CliError {
    CliError {
        exit: Exit::Refused,
        ..error
    }
    .hint(format!(
        "install PostgreSQL {major} (Debian: postgresql-{major}), name its programs with --pg-bin, or \
         have Docker run the image postgres:{major}; --prepare-only leaves a directory to be started \
         elsewhere"
    ))
}

/// Nothing was rewound.
pub(in crate::cli) fn restore(error: RestoreError) -> CliError {
    let (exit, hint) = match &error {
        RestoreError::Target(TargetError::Busy(_)) => (Exit::Busy, None),
        RestoreError::Target(TargetError::Io(_)) | RestoreError::File(_) => (Exit::Failed, None),
        RestoreError::Target(_) => (
            Exit::Refused,
            Some("name a directory that does not exist yet; nothing was changed"),
        ),
        RestoreError::Access(_) => (
            Exit::Failed,
            Some("give that user the way in, or name another place; nothing was fetched"),
        ),
        RestoreError::Room { .. } => (
            Exit::Refused,
            Some("name an output on a larger disk; nothing was fetched"),
        ),
        RestoreError::NoPrograms => (
            Exit::Refused,
            Some("name the folder of its programs with --pg-bin, or plan with --without INCR"),
        ),
        RestoreError::Bases(error) => bases(error),
        RestoreError::Combine(_) => (Exit::Failed, None),
        RestoreError::Replay(error) => match error.fault() {
            None => (
                Exit::NotFound,
                Some("take a point before the last transaction that is named, or --latest"),
            ),
            Some(fault) => by_fault(fault),
        },
    };
    CliError::new(exit, error).maybe_hint(hint)
}

fn by_fault(fault: Fault) -> (Exit, Option<&'static str>) {
    match fault {
        Fault::NoKey => (Exit::NoIdentity, Some(OTHER_KEYS)),
        Fault::Damaged => (Exit::Integrity, Some(DO_WITHOUT)),
        Fault::Elsewhere => (Exit::Failed, None),
    }
}

fn bases(error: &BasesError) -> (Exit, Option<&'static str>) {
    match error {
        BasesError::Tablespaces { .. } => (
            Exit::Refused,
            Some("Databasus refuses clusters with tablespaces too; there is no way around it here"),
        ),
        BasesError::NoRoom { .. } => (
            Exit::Failed,
            Some("name an output on a larger disk; nothing was left behind"),
        ),
        other => by_fault(other.fault()),
    }
}
