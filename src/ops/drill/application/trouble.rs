//! What a Databasus did not do, and how bad that is.

use std::io;
use std::net::IpAddr;
use std::process::ExitStatus;
use std::time::Duration;

use crate::base::cancel::Interrupted;
use crate::base::digest::Digest;
use crate::base::text::printable;
use crate::base::time::span;
use crate::databasus::api::{AnswerError, Call};
use crate::ops::drill::verdict::Verdict;

/// It cannot be spoken to at all.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// Nobody knows where that is.
    #[error("cannot look up {host}")]
    Unknown {
        /// The name.
        host: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Too far away to be sent a token in clear.
    #[error(
        "{0} is neither this host nor of a private network, and an administrator's token would go \
         there in clear"
    )]
    Far(IpAddr),
}

/// A call was not answered as it should be.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer.
    #[error("Databasus does not answer when asked for {what}")]
    Silent {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It says no.
    #[error("Databasus, asked for {what}, answers {status} {said}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// HTTP's status.
        status: u16,
        /// Its own words, printable.
        said: String,
    },
    /// It does not accept the token.
    #[error("Databasus does not accept a token signed with the rehydrated key: {0}")]
    Unauthorised(String),
    /// The answer ends too early, or comes too slowly.
    #[error("the answer breaks off when Databasus is asked for {what}")]
    Cut {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is more of it than there can be.
    #[error("the answer is longer than it may be when Databasus is asked for {0}")]
    TooLarge(&'static str),
    /// It is something else.
    #[error("the answer cannot be read when Databasus is asked for {what}")]
    Answer {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: AnswerError,
    },
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Why level 5 is not reached.
#[derive(Debug, thiserror::Error)]
pub enum ApplicationTrouble {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Something answers there before anything was started.
    #[error(
        "something answers there already, so nothing was started: stop it, or leave the command out"
    )]
    Occupied,
    /// The command that starts it does not.
    #[error("cannot run the command")]
    Command(#[source] io::Error),
    /// It failed.
    #[error("the command failed ({0})")]
    Failed(ExitStatus),
    /// It took too long.
    #[error("the command did not end within {}", span(.0.as_secs()))]
    Endless(Duration),
    /// Nobody started it in time.
    #[error("Databasus did not answer within {}", span(.0.as_secs()))]
    TooLate(Duration, #[source] CallError),
    /// Still there, when everything is to be removed.
    #[error("Databasus still runs on what is removed now")]
    StillRunning,
    /// Another release.
    #[error("Databasus says that it is {}, and {} was escrowed", printable(.answers), printable(.recorded))]
    OtherVersion {
        /// What it says.
        answers: String,
        /// What the manifest says.
        recorded: String,
    },
    /// It says nothing of its release.
    #[error(
        "Databasus says that it is {}, which every build says that was told no version; {} was \
         escrowed",
        crate::databasus::api::FALLBACK_VERSION,
        printable(.0)
    )]
    NoVersion(String),
    /// Nobody to make a token out to.
    #[error("the rehydrated users table has no active administrator")]
    NoAdmin,
    /// Nothing shows that it is a clone.
    #[error(
        "what answers cannot be told from production: it is not seen to work on what this drill \
         brought back, and {fenced} of {of} hosts of its databases are fenced"
    )]
    Unrecognised {
        /// How many hosts of databases are such as a fence leaves.
        fenced: usize,
        /// Of how many.
        of: usize,
    },
    /// It lists other backups than its catalogue has.
    #[error("{words}")]
    Differs {
        /// Which, and how many.
        words: String,
        /// It ran before the drill began, and knows nothing of what came or went since it was
        /// rehydrated.
        was_running: bool,
    },
    /// It lists more than anybody can have.
    #[error("Databasus never comes to the end of its list")]
    EndlessList,
    /// It serves something else.
    #[error(
        "Databasus serves {served_size} bytes with SHA-256 {served}, and recover gives {size} with \
         {sha256}"
    )]
    OtherContent {
        /// Of what it serves.
        served: Digest,
        /// In bytes.
        served_size: u64,
        /// Of what is right.
        sha256: Digest,
        /// In bytes.
        size: u64,
    },
    /// A list for comparison cannot be kept.
    #[error("cannot keep the list of objects")]
    Keep(#[source] io::Error),
}

impl CallError {
    pub(super) fn answer(call: &Call<'_>, source: AnswerError) -> Self {
        Self::Answer {
            what: call.words(),
            source,
        }
    }

    pub(super) fn refused(call: &Call<'_>, status: u16, said: String) -> Self {
        match status {
            401 | 403 => Self::Unauthorised(said),
            _ => Self::Refused {
                what: call.words(),
                status,
                said,
            },
        }
    }
}

impl ApplicationTrouble {
    /// How bad it is.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::OtherContent { .. } | Self::Call(CallError::TooLarge("a backup")) => {
                Verdict::Integrity
            }
            Self::Call(CallError::Interrupted(_))
            | Self::Occupied
            | Self::NoVersion(_)
            | Self::Unrecognised { .. }
            | Self::Keep(_)
            | Self::Differs {
                was_running: true, ..
            } => Verdict::Unknown,
            Self::Call(_)
            | Self::Command(_)
            | Self::Failed(_)
            | Self::Endless(_)
            | Self::TooLate(..)
            | Self::StillRunning
            | Self::OtherVersion { .. }
            | Self::NoAdmin
            | Self::Differs { .. }
            | Self::EndlessList => Verdict::Unmet,
        }
    }

    /// What a report says of it, which lies in the open.
    pub fn sentence(&self) -> &'static str {
        match self {
            Self::Call(CallError::Interrupted(_)) => "interrupted",
            Self::Call(CallError::Unauthorised(_)) => {
                "Databasus does not accept the rehydrated key"
            }
            Self::Call(_) => "Databasus does not answer as it should",
            Self::Occupied => "something else answers in its place",
            Self::Command(_) | Self::Failed(_) | Self::Endless(_) => "its command failed",
            Self::TooLate(..) => "Databasus did not start in time",
            Self::StillRunning => "Databasus was not stopped",
            Self::OtherVersion { .. } => "it is another release than was escrowed",
            Self::NoVersion(_) => "it does not say which release it is",
            Self::NoAdmin => "there is no administrator",
            Self::Unrecognised { .. } => "it cannot be told from production",
            Self::Differs { .. } => "it lists other backups than its catalogue has",
            Self::EndlessList => "its list has no end",
            Self::OtherContent { .. } => "it serves something else than was backed up",
            Self::Keep(_) => "the drill box's filesystem failed",
        }
    }
}
