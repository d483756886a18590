//! Small files that a command is given, and those that it leaves.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::exit::CliError;
use crate::base::file_error::failed;

/// Reads a file of at most `most` bytes; `-` is standard input. It may be a secret.
pub(super) fn read(path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>, CliError> {
    // With room for all of it: a buffer that grows leaves unwiped copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    let limit = most as u64 + 1;
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().lock().take(limit).read_to_end(&mut bytes),
        false => File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)),
    };
    read.map_err(|error| CliError::usage(format!("cannot read {}: {error}", path.display())))?;
    match bytes.len() > most {
        true => Err(CliError::usage(format!("{} is too large", path.display()))),
        false => Ok(bytes),
    }
}

/// Writes a file that nobody else can read, and never over one that is there.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let written = created.and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| CliError::usage(format!("cannot write {}: {error}", path.display())))
}

/// Fails where no file of this path could be written: before a long run, not after it.
pub(super) fn check_place(path: &Path) -> Result<(), CliError> {
    let told = path.display();
    if path.is_dir() || path.file_name().is_none() {
        return Err(CliError::usage(format!(
            "cannot write {told}: it is no file"
        )));
    }
    match folder_of(path).is_dir() {
        true => Ok(()),
        false => Err(CliError::usage(format!(
            "cannot write {told}: there is no such folder"
        ))),
    }
}

/// Puts a file that everybody may read in the place of what is there, durably: at every moment it is
/// the old one or the new one.
pub(super) fn publish(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let folder = folder_of(path);
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut beside| {
        beside.write_all(bytes)?;
        let readable = std::fs::Permissions::from_mode(0o644);
        beside.as_file().set_permissions(readable)?;
        beside.as_file().sync_all()?;
        beside.persist(path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    });
    written.map_err(|error| CliError::failed(failed("write", path)(error)))
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), CliError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(CliError::failed(failed("remove", path)(error)))
        }
        _ => Ok(()),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
