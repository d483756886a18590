//! What keeps custodians from opening, proving and changing.

use crate::cli::exit::{CliError, Exit};
use crate::ops::custody::step::StepError;

use super::rehydrate::unlock_exit;

/// A custodian's step was not done.
pub(in crate::cli) fn step(error: StepError) -> CliError {
    let (exit, hint) = match &error {
        StepError::NotShared(_) => (
            Exit::Usage,
            Some("`databasus-escrow rehydrate --identity FILE` opens it with one identity"),
        ),
        StepError::Unknown(_) => (
            Exit::Integrity,
            Some("name the escrow that the file is of: --escrow ID; ask who sent it by voice"),
        ),
        StepError::NotYours { .. } => (
            Exit::NoIdentity,
            Some(
                "the custodian who stands first in the recipients file takes the first step; \
                 `databasus-escrow show` lists them in that order",
            ),
        ),
        StepError::OtherTurn(_) => (Exit::NoIdentity, None),
        StepError::Unlock(error) => unlock_exit(error),
        StepError::Layer { .. } | StepError::Content(_) => (Exit::Integrity, None),
    };
    CliError::new(exit, error).maybe_hint(hint)
}
