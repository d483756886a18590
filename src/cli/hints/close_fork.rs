//! What keeps a fork from being closed.

use crate::cli::exit::{CliError, Exit};
use crate::ops::close_forks::CloseError;

use super::snapshot::{commit, uncertain};

/// No fork was closed.
pub(in crate::cli) fn close_fork(error: CloseError) -> CliError {
    let (exit, hint) = match &error {
        CloseError::Commit(error) => commit(error),
        CloseError::NotAllStores => (
            Exit::Failed,
            Some("a silent store may hold one more; run it again when all answer"),
        ),
        CloseError::Unvouched(error) => uncertain(error),
        CloseError::Stranger(_) => (
            Exit::Integrity,
            Some("replace the key first: `databasus-escrow init --join`"),
        ),
        CloseError::NoSuch(_) => (
            Exit::NotFound,
            Some("`databasus-escrow close-fork --dry-run` shows those that are open"),
        ),
        CloseError::Changed => (Exit::Busy, Some("look at them again")),
        CloseError::Detached(_) => (
            Exit::Integrity,
            Some("see whether `databasus-escrow replicate` finds them in another store"),
        ),
    };
    CliError::new(exit, error).maybe_hint(hint)
}
