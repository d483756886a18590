//! What keeps custodians from opening, proving and changing.

use crate::cli::exit::{CliError, Exit};
use crate::ops::custody::challenge::ChallengeError;
use crate::ops::custody::checkin::CheckinRefused;
use crate::ops::custody::signed_object::SignedObjectError;
use crate::ops::custody::step::StepError;
use crate::ops::custody::submission::SubmissionRefused;

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

/// There is nothing to challenge a custodian with.
pub(in crate::cli) fn challenge(error: ChallengeError) -> CliError {
    let (exit, hint) = match error {
        ChallengeError::History(error) => return super::history(error),
        ChallengeError::Nobody(_) => (
            Exit::NotFound,
            Some("canaries are made by snapshots: take one, if this custodian has just joined"),
        ),
        ChallengeError::Object {
            source: SignedObjectError::Differs(_),
            ..
        } => (
            Exit::Integrity,
            Some("somebody changed it in a store; do not let anybody open it"),
        ),
        ChallengeError::Object { .. } => (Exit::Failed, None),
    };
    CliError::new(exit, error).maybe_hint(hint)
}

/// A custodian's answer does not count.
pub(in crate::cli) fn checkin(error: SubmissionRefused) -> CliError {
    use SubmissionRefused::{Answered, Checkin, OldCanary};
    let hint = match &error {
        Checkin(CheckinRefused::Signer(_)) => Some(
            "allowed_signers needs a line that begins with the custodian's name and permits \
             escrow-checkin@databasus",
        ),
        OldCanary(_) => Some("`databasus-escrow custody challenge NAME` prints the newest one"),
        Answered(_) => Some(
            "the next snapshot brings a new canary, and `databasus-escrow custody challenge NAME` \
             prints it",
        ),
        _ => None,
    };
    let exit = match error {
        Checkin(CheckinRefused::History(error)) => return super::history(error),
        _ => Exit::Integrity,
    };
    CliError::new(exit, error).maybe_hint(hint)
}
