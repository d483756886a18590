//! What keeps a drill from beginning.

use crate::cli::exit::{CliError, Exit};
use crate::ops::drill::{DrillError, ThrowawayError};
use crate::target::TargetError;

/// There was no drill.
pub(in crate::cli) fn drill(error: DrillError) -> CliError {
    let (exit, hint) = match &error {
        DrillError::Room { .. } => (
            Exit::Refused,
            Some("--scratch names a folder on a larger disk; nothing was fetched"),
        ),
        DrillError::Throwaway(ThrowawayError::Target(TargetError::Busy(_))) => (
            Exit::Busy,
            Some("another drill of this instance works in the same --scratch"),
        ),
        DrillError::Throwaway(_) => (
            Exit::Failed,
            Some("--scratch names a folder that this process can write to"),
        ),
        DrillError::Application(_) => (
            Exit::Usage,
            Some("--application names a Databasus on this host or in a private network"),
        ),
        DrillError::Interrupted(_) => (Exit::Failed, None),
    };
    CliError::new(exit, error).maybe_hint(hint)
}
