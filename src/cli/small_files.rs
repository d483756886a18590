//! Small files that a command is given, and those that it leaves.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::exit::CliError;

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
