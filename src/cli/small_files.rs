//! Small files that a command is given, and those that it leaves.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

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

/// Whether [`publish`] can put a file there: said before the work begins that the file is to tell of.
pub(super) fn check_place(path: &Path) -> Result<(), CliError> {
    let refused = |why: &str| {
        let hint = "name a file in a folder that exists";
        Err(CliError::usage(format!("cannot write {}: {why}", path.display())).hint(hint))
    };
    // A rename over a device would put a file in its place.
    let is_other = std::fs::symlink_metadata(path).is_ok_and(|there| !there.is_file());
    match folder_of(path).is_dir() {
        false => refused("its folder is not there"),
        true if is_other || path.file_name().is_none() => refused("it is not a plain file"),
        true => Ok(()),
    }
}

/// The one path that a file in a folder goes by, whatever leads there.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, CliError> {
    let folder = std::fs::canonicalize(folder_of(path))
        .map_err(|error| CliError::usage(format!("cannot use {}: {error}", path.display())))?;
    Ok(path
        .file_name()
        .map_or(folder.clone(), |name| folder.join(name)))
}

/// Puts a file in its place that everybody may read: at every moment it is the old one or the new one.
pub(super) fn publish(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    check_place(path)?;
    let folder = folder_of(path);
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut beside| {
        beside.write_all(bytes)?;
        let everybody = std::fs::Permissions::from_mode(0o644);
        beside.as_file().set_permissions(everybody)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_file_is_replaced_whole_and_open_to_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("escrow.prom");
        for text in ["old", "new"] {
            publish(&path, text.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_ways_to_a_file_are_one_place() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(".", folder.path().join("link")).unwrap();
        let at = |path: &str| resolve(&folder.path().join(path)).unwrap();
        assert_eq!(at("link/a"), at("a"));
        assert_eq!(at("link/./a"), at("a"));
        assert_ne!(at("a"), at("b"));
        assert_eq!(
            resolve(Path::new("a")).unwrap(),
            resolve(Path::new("./a")).unwrap()
        );
    }

    #[test]
    fn what_is_no_plain_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("elsewhere", &link).unwrap();
        let places = [
            folder.path(),
            &link,
            &folder.path().join("none/x"),
            Path::new("/"),
        ];
        for path in places {
            let refused = check_place(path).and_then(|()| publish(path, b"x"));
            assert!(refused.is_err(), "{}", path.display());
        }
        assert!(link.is_symlink());
    }
}
