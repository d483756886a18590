//! What keeps a fence from being taken back.

use crate::cli::exit::{CliError, Exit};
use crate::ops::import::ImportError;
use crate::ops::unfence::{OnStoppedError, UnfenceError};

/// The directory is as fenced as it was.
pub(in crate::cli) fn unfence(error: OnStoppedError) -> CliError {
    match error {
        OnStoppedError::Instance(error) => super::stopped_instance(error),
        OnStoppedError::Unfence(error) => refused(error),
        OnStoppedError::Marker(_) => CliError::failed(error).hint("run it again to finish"),
    }
}

fn refused(error: UnfenceError) -> CliError {
    let hint = match &error {
        UnfenceError::Import(cause) => {
            let usage = matches!(
                cause.downcast_ref::<ImportError>(),
                Some(ImportError::Assign(_))
            );
            let exit = if usage { Exit::Usage } else { Exit::Failed };
            return CliError::new(exit, error)
                .hint("nothing was given back; --no-import goes on without");
        }
        UnfenceError::Session(_) => return CliError::failed(error),
        UnfenceError::NoSuchDatabase(_) | UnfenceError::SeveralDatabases(_) => {
            return CliError::new(Exit::Usage, error).hint("`unfence --dry-run` lists them");
        }
        UnfenceError::NotFenced => "there is nothing to take back",
        UnfenceError::FencedByHand => "RESTORE.md, at the end of part 7, says how it is undone",
        UnfenceError::NotConfirmed(_) => "if production is dead: --confirm with that name",
        UnfenceError::ProductionLives(_) => {
            "stop production for good, then rehydrate anew: what it made since belongs into the \
             copy that replaces it"
        }
        UnfenceError::ProductionUnknown(_) => {
            "make them readable (--store, --read-only-credentials); or, if you know that \
             production is dead, --production-is-dead"
        }
        UnfenceError::Schema(_) => {
            "start Databasus of that release once, without a network, so that its migrations end"
        }
        UnfenceError::Record(_) | UnfenceError::Downgraded { .. } => {
            "use the release of Databasus, and of this tool, that it was fenced with"
        }
    };
    CliError::new(Exit::Refused, error).hint(hint)
}
