//! Exit codes, and errors as they are told.

use std::path::Path;
use std::process::ExitCode;

use crate::base::cancel::Cancel;
use crate::base::error_chain::error_chain;
use crate::ops::commit::Completeness;

use super::render::nagios::Status;

/// How a run ended, as scripts see it. Unknown codes mean failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// Usage or configuration; nothing was touched.
    Usage,
    /// Committed or rehydrated, but something required is missing.
    Partial,
    /// What a policy demands does not hold.
    Unmet,
    /// No such escrow, or the store was never used.
    NotFound,
    /// Another run is at work, or a race was lost.
    Busy,
    /// No identity opens it.
    NoIdentity,
    /// Signature, hash, chain: something is not what was signed.
    Integrity,
    /// Refused: target not empty, unsafe entry, a clone.
    Refused,
    /// Stopped by a signal.
    Signal(i32),
    /// As Nagios' plugin contract has it, whose numbers are its own.
    Plugin(Status),
}

impl Exit {
    /// The number.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::Unmet => 4,
            Self::NotFound => 10,
            Self::Busy => 11,
            Self::NoIdentity => 12,
            Self::Integrity => 13,
            Self::Refused => 14,
            Self::Plugin(status) => status.code(),
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(1),
        }
    }
}

impl From<Completeness> for Exit {
    fn from(completeness: Completeness) -> Self {
        match completeness {
            Completeness::Whole => Self::Done,
            Completeness::Partial => Self::Partial,
            Completeness::Alarm => Self::Integrity,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that ends the run: its chain of causes on one line, a code, and what to do next.
#[derive(Debug)]
pub(super) struct CliError {
    /// The code.
    pub(super) exit: Exit,
    /// What failed and why.
    pub(super) message: String,
    /// The next action.
    pub(super) hint: Option<String>,
}

impl CliError {
    /// An error with this code.
    pub(super) fn new(exit: Exit, error: impl std::error::Error) -> Self {
        Self {
            exit,
            message: error_chain(&error),
            hint: None,
        }
    }

    /// A failure without a more telling code.
    pub(super) fn failed(error: impl std::error::Error) -> Self {
        Self::new(Exit::Failed, error)
    }

    /// A mistake in arguments or configuration.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
            hint: None,
        }
    }

    /// A mistake in a file of the configuration.
    pub(super) fn in_file(path: &Path, error: impl std::error::Error) -> Self {
        Self::usage(format!("{}: {}", path.display(), error_chain(&error)))
    }

    /// Says what to do next.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds to what to do next.
    pub(super) fn add_hint(mut self, more: &str) -> Self {
        self.hint = self.hint.map(|hint| hint + more);
        self
    }

    /// Says what to do next, where there is something to say.
    pub(super) fn maybe_hint(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// A failure after a signal is an interruption, however it showed.
    pub(super) fn or_interrupted(mut self, cancel: &Cancel) -> Self {
        if let Some(signal) = cancel.signal() {
            self.exit = Exit::Signal(signal);
            self.hint = None;
        }
        self
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error)
    }
}
