//! What keeps escrows from being sealed again.

use crate::cli::exit::{CliError, Exit};
use crate::ops::rekey::RekeyError;

use super::rehydrate::unpack_exit;
use super::snapshot::{commit, uncertain};

/// No escrow was sealed again.
pub(in crate::cli) fn rekey(error: RekeyError) -> CliError {
    let (exit, hint) = match &error {
        RekeyError::Commit(error) => commit(error),
        RekeyError::Uncertain(error) => uncertain(error),
        RekeyError::NoSuch(_) => (
            Exit::NotFound,
            Some("`databasus-escrow list` shows what there is"),
        ),
        RekeyError::LetGo(_) => (
            Exit::NotFound,
            Some("`databasus-escrow prune` deletes what retention has let go"),
        ),
        RekeyError::Recipient(_) => (
            Exit::Usage,
            Some("the plugin of a recipient must be installed on this host"),
        ),
        RekeyError::Unproven { .. } => (
            Exit::Refused,
            Some(
                "`databasus-escrow custody challenge NAME` prints how they show it; or give their \
                 identities here, too",
            ),
        ),
        RekeyError::Closed { source, .. } => unpack_exit(source),
    };
    CliError::new(exit, error).maybe_hint(hint)
}
