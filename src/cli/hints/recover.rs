//! What keeps a backup from being recovered.

use std::error::Error;
use std::io;

use crate::cli::exit::{CliError, Exit};
use crate::databasus::backup_file::BackupFileError;
use crate::ops::backup_object::BackupObjectError;
use crate::ops::escrowed_key::EscrowedKeyError;
use crate::ops::recover::RecoverError;
use crate::ops::recover::find::FindError;
use crate::ops::recover::output::OutputError;
use crate::store::StoreError;

/// No backup was chosen.
pub(in crate::cli) fn find(error: FindError) -> CliError {
    let (exit, hint) = match &error {
        FindError::List(store) | FindError::Sidecar { source: store, .. } => {
            (Exit::Failed, super::store_hint(store))
        }
        FindError::NoSuchId(_) | FindError::NoSuchDatabase(_) => (
            Exit::NotFound,
            Some("--list shows what there is; check the prefix in --from"),
        ),
        FindError::NothingCommitted { .. } => (
            Exit::NotFound,
            Some(
                "WAL_V1 and releases before 3.14 commit nothing, and failed dumps are never \
                 committed: --list tells them apart, and each can be named by its id",
            ),
        ),
        FindError::SameId { .. } | FindError::Ambiguous { .. } => {
            (Exit::Refused, Some("name the backup itself"))
        }
    };
    CliError::new(exit, error).maybe_hint(hint)
}

/// A storage could not be listed.
pub(in crate::cli) fn listing(error: StoreError) -> CliError {
    find(FindError::List(error))
}

/// A backup was not recovered.
pub(in crate::cli) fn backup(error: RecoverError) -> CliError {
    let (exit, hint) = match &error {
        RecoverError::Object { source, .. } => object(source),
        RecoverError::FailedDump(_) => (
            Exit::Refused,
            Some("an empty backup does not exist: take the one before it"),
        ),
        RecoverError::NoKey { tried: 0, .. } => (
            Exit::NoIdentity,
            Some("give --secret-key FILE, or --secret-key escrow with --identity"),
        ),
        RecoverError::NoKey {
            is_history: true, ..
        } => (
            Exit::NoIdentity,
            Some(
                "releases 3.43 to 3.45 encrypted history files under an id that is written \
                 nowhere (databasus issue 643); PostgreSQL writes the file again at the next \
                 promotion",
            ),
        ),
        RecoverError::NoKey { .. } => (
            Exit::NoIdentity,
            Some(
                "the key may have been another one when it was made: --secret-key escrow:all \
                 tries every key that was ever escrowed; a file must hold the exact 72 bytes, \
                 without a newline",
            ),
        ),
        RecoverError::NoId(_) => (
            Exit::NoIdentity,
            Some("bring the .metadata object back; the id stands in no other place"),
        ),
        RecoverError::Damaged { .. } | RecoverError::Size { .. } => (
            Exit::Integrity,
            Some("take another backup, or another copy of this one"),
        ),
        RecoverError::Unrecognised(_) => (
            Exit::Integrity,
            Some(
                "it may be an encrypted backup with a damaged beginning: take another copy of it; \
                 --force writes it as it is",
            ),
        ),
        RecoverError::Read { source, .. } => read(source),
        RecoverError::Write(source) if source.kind() == io::ErrorKind::BrokenPipe => (
            Exit::Failed,
            Some("whoever read standard output stopped before the end"),
        ),
        RecoverError::Write(_) | RecoverError::Interrupted(_) => (Exit::Failed, None),
    };
    CliError::new(exit, error).maybe_hint(hint)
}

fn object(error: &BackupObjectError) -> (Exit, Option<&'static str>) {
    match error {
        BackupObjectError::NotFound(_) => (
            Exit::NotFound,
            Some("--list shows what there is; check the prefix in --from"),
        ),
        BackupObjectError::Store(error) => (Exit::Failed, super::store_hint(error)),
        _ => (
            Exit::Integrity,
            Some("take another backup, or another copy of this one"),
        ),
    }
}

/// What a reader's error carries says whether the backup is damaged or the storage away.
fn read(error: &io::Error) -> (Exit, Option<&'static str>) {
    let mut cause: Option<&(dyn Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(error) = cause {
        if error.is::<BackupFileError>() {
            return (
                Exit::Integrity,
                Some("take another backup, or another copy of this one"),
            );
        }
        if let Some(error) = error.downcast_ref::<BackupObjectError>() {
            return match object(error) {
                // It was there a moment ago.
                (Exit::NotFound, _) => (Exit::Integrity, None),
                other => other,
            };
        }
        cause = error.source();
    }
    (Exit::Failed, None)
}

/// A file was not written.
pub(in crate::cli) fn output(error: OutputError) -> CliError {
    let (exit, hint) = match &error {
        OutputError::Exists(_) => (
            Exit::Refused,
            Some("name another --output, or replace it with --force"),
        ),
        OutputError::Io { .. } => (Exit::Failed, None),
    };
    CliError::new(exit, error).maybe_hint(hint)
}

/// No key came out of an escrow.
pub(in crate::cli) fn escrowed_key(error: EscrowedKeyError) -> CliError {
    match error {
        EscrowedKeyError::Unpack(error) => super::unpack(error),
        other => CliError::new(Exit::Integrity, other),
    }
}
