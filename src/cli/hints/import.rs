//! What keeps a catalogue from being brought up to date.

use crate::cli::exit::{CliError, Exit};
use crate::ops::from_key::FromKeyError;
use crate::ops::import::ImportError;
use crate::ops::stopped_instance::StoppedInstanceError;

/// Nothing was imported.
pub(in crate::cli) fn import(error: ImportError) -> CliError {
    let (exit, hint) = match &error {
        ImportError::Schema(_) => (
            Exit::Refused,
            Some(
                "start Databasus of that release once, without a network, so that its migrations \
                 end; nothing was changed",
            ),
        ),
        ImportError::Assign(_) => (
            Exit::Usage,
            Some("`import --dry-run` lists what waits for a decision, and what fits"),
        ),
        _ => (Exit::Failed, Some("nothing was changed; run it again")),
    };
    CliError::new(exit, error).maybe_hint(hint)
}

/// No catalogue was made from a key.
pub(in crate::cli) fn from_key(error: FromKeyError) -> CliError {
    let (exit, hint) = match error {
        FromKeyError::Import(error) => return import(error),
        FromKeyError::Instance(error) => return stopped_instance(error),
        FromKeyError::AnotherKey => (
            Exit::Refused,
            Some("put the key into the directory before Databasus starts on it for the first time"),
        ),
        FromKeyError::NotFresh(_) => (
            Exit::Refused,
            Some(
                "`databasus-escrow import` works on a catalogue that is in use; nothing was changed",
            ),
        ),
        FromKeyError::TooEarly => (
            Exit::Refused,
            Some("start it again, without a network, until its table of users has an admin"),
        ),
        FromKeyError::Bucket(_) => (
            Exit::Failed,
            Some("look at --storage and its credentials; nothing was changed"),
        ),
        FromKeyError::Empty(_) => (
            Exit::NotFound,
            Some("bucket and prefix must be those of Databasus' storage; nothing was changed"),
        ),
        FromKeyError::Schema(_) => (Exit::Refused, None),
        FromKeyError::Session(_) => (Exit::Failed, Some("nothing was changed; run it again")),
    };
    CliError::new(exit, error).maybe_hint(hint)
}

/// A data directory cannot be worked on.
pub(in crate::cli) fn stopped_instance(error: StoppedInstanceError) -> CliError {
    let (exit, hint) = match &error {
        StoppedInstanceError::Running(_) => (
            Exit::Refused,
            Some("stop the container, and name it with --container where this host cannot see it"),
        ),
        StoppedInstanceError::NotADataDir { .. } => (
            Exit::Usage,
            Some("--data-dir is what the container mounts as /databasus-data"),
        ),
        StoppedInstanceError::Key { .. } => (
            Exit::Refused,
            Some("without its key Databasus would make a new one that opens nothing"),
        ),
        _ => (Exit::Failed, None),
    };
    CliError::new(exit, error).maybe_hint(hint)
}
