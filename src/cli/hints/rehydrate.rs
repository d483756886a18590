//! What keeps an escrow from being opened, or a target from being made.

use crate::cli::exit::{CliError, Exit};
use crate::ops::fetch::is_damage;
use crate::ops::rehydrate::{RecoverError, RehydrateError, Unable};
use crate::sealing::custody::UnlockError;
use crate::sealing::unpack::UnpackError;
use crate::target::TargetError;

/// Nothing was rehydrated.
pub(in crate::cli) fn rehydrate(error: RehydrateError) -> CliError {
    let (exit, hint) = match &error {
        RehydrateError::Target(TargetError::Busy(_)) => (Exit::Busy, None),
        RehydrateError::Target(TargetError::Io(_)) => (Exit::Failed, None),
        RehydrateError::Target(_) => (
            Exit::Refused,
            Some("name a directory that does not exist yet; nothing was changed"),
        ),
        RehydrateError::Unable(unable) => (Exit::Failed, Some(unable_hint(unable))),
        RehydrateError::Unpack(error) => unpack_exit(error),
        RehydrateError::WrongKey { .. } | RehydrateError::NoKey => (Exit::Integrity, None),
        RehydrateError::NoLogicalCopy => (
            Exit::Refused,
            Some("rehydrate without --from-logical, with the recorded PostgreSQL major"),
        ),
        RehydrateError::Recover(RecoverError::Server(_)) => (
            Exit::Failed,
            Some(
                "--files-only restores the files without starting PostgreSQL; --from-logical builds a new cluster from the logical copy",
            ),
        ),
        _ => (Exit::Failed, None),
    };
    CliError::new(exit, error).maybe_hint(hint)
}

fn unable_hint(unable: &Unable) -> &'static str {
    match unable {
        Unable::Major { .. } | Unable::Older { .. } | Unable::Image => {
            "name the programs of a fitting PostgreSQL with --pg-bin; --files-only goes without"
        }
        Unable::Access(_) => {
            "give that user the way in, or name another place; nothing was fetched"
        }
        Unable::Room { .. } => "name a target on a larger disk; nothing was fetched",
    }
}

/// An escrow could not be opened.
pub(in crate::cli) fn unpack(error: UnpackError) -> CliError {
    let (exit, hint) = unpack_exit(&error);
    CliError::new(exit, error).maybe_hint(hint)
}

pub(super) fn unpack_exit(error: &UnpackError) -> (Exit, Option<&'static str>) {
    match error {
        UnpackError::NoIdentity => (
            Exit::NoIdentity,
            Some("`databasus-escrow show` names the custodians whose identities open it"),
        ),
        UnpackError::Locked(error) => unlock_exit(error),
        UnpackError::Entry { .. } => (
            Exit::Failed,
            Some("check room and permissions where the target is made"),
        ),
        UnpackError::UnsafePath(_)
        | UnpackError::ForbiddenKind { .. }
        | UnpackError::Duplicate(_)
        | UnpackError::Foreign(_) => (
            Exit::Refused,
            Some("the payload is signed, but not of this tool's making: distrust its signer"),
        ),
        UnpackError::Read(error) => (read_exit(error), None),
        _ => (Exit::Integrity, None),
    }
}

pub(super) fn unlock_exit(error: &UnlockError) -> (Exit, Option<&'static str>) {
    match error {
        UnlockError::QuorumNotMet { .. } => (
            Exit::NoIdentity,
            Some(
                "give --identity for each of them, or --unlock - where they are on other machines",
            ),
        ),
        UnlockError::Unreadable { source, .. } => (read_exit(source), None),
        UnlockError::Differs(_) | UnlockError::Layer { .. } | UnlockError::Content { .. } => {
            (Exit::Integrity, None)
        }
    }
}

/// A store that is merely away is no integrity error.
fn read_exit(error: &std::io::Error) -> Exit {
    match is_damage(error) {
        true => Exit::Integrity,
        false => Exit::Failed,
    }
}
