//! Files that come into being together: created new, synced, and gone again if one of them fails.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{InitError, Written};
use crate::base::file_error::{FileError, failed};
use crate::base::fingerprint::Fingerprint;

/// A file that is to be written. Its text may be a private key.
pub(super) struct PlannedFile {
    path: PathBuf,
    mode: u32,
    text: Zeroizing<String>,
}

/// Files that have been written, and folders made for them. All of it is removed when this is
/// dropped, unless it is kept.
#[must_use = "what is not kept is removed again"]
pub(in crate::ops) struct WrittenFiles {
    files: Vec<PathBuf>,
    dirs: Vec<PathBuf>,
    fingerprint: Fingerprint,
}

impl PlannedFile {
    pub(super) fn new(path: PathBuf, mode: u32, text: &str) -> Self {
        let text = Zeroizing::new(text.to_owned());
        Self { path, mode, text }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Never wider than its mode, not even for a moment; the umask may narrow it.
    fn create(&self) -> Result<File, InitError> {
        let created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(self.mode)
            .open(&self.path);
        created.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => InitError::Exists(vec![self.path.clone()]),
            _ => failed("create", &self.path)(error).into(),
        })
    }
}

/// Names every planned file that exists, dangling links included.
pub(super) fn refuse_existing(planned: &[PlannedFile]) -> Result<(), InitError> {
    let mut existing = Vec::new();
    for file in planned {
        if exists(&file.path)? {
            existing.push(file.path.clone());
        }
    }
    if existing.is_empty() {
        return Ok(());
    }
    Err(InitError::Exists(existing))
}

/// Creates every file, in the order given.
pub(super) fn write_all(
    planned: &[PlannedFile],
    fingerprint: Fingerprint,
) -> Result<WrittenFiles, InitError> {
    let mut written = WrittenFiles {
        files: Vec::new(),
        dirs: Vec::new(),
        fingerprint,
    };
    for file in planned {
        if let Some(parent) = file.path.parent() {
            written.make_dir(parent)?;
        }
        written.write(file)?;
    }
    Ok(written)
}

impl WrittenFiles {
    /// Leaves everything where it is.
    pub(in crate::ops) fn keep(mut self) -> Written {
        self.dirs.clear();
        Written {
            paths: std::mem::take(&mut self.files),
            fingerprint: self.fingerprint,
        }
    }

    fn make_dir(&mut self, dir: &Path) -> Result<(), FileError> {
        let is_here = dir.as_os_str().is_empty();
        if is_here || fs::metadata(dir).is_ok_and(|meta| meta.is_dir()) {
            return Ok(());
        }
        if let Some(parent) = dir.parent() {
            self.make_dir(parent)?;
        }
        let made = DirBuilder::new().mode(0o755).create(dir);
        made.map_err(failed("create", dir))?;
        self.dirs.push(dir.to_owned());
        sync_parent(dir)
    }

    fn write(&mut self, planned: &PlannedFile) -> Result<(), InitError> {
        let mut file = planned.create()?;
        self.files.push(planned.path.clone());
        file.write_all(planned.text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(failed("write", &planned.path))?;
        Ok(sync_parent(&planned.path)?)
    }
}

impl Drop for WrittenFiles {
    fn drop(&mut self) {
        let files = self.files.iter().map(|path| (path, fs::remove_file(path)));
        // Inner folders first; one that somebody else has put something into stays.
        let dirs = self.dirs.iter().rev();
        let dirs = dirs.map(|path| (path, fs::remove_dir(path)));
        for (path, removed) in files.chain(dirs) {
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "cannot be removed again");
            }
        }
    }
}

fn exists(path: &Path) -> Result<bool, InitError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("look at", path)(error).into()),
    }
}

fn sync_parent(path: &Path) -> Result<(), FileError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(failed("sync", parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(path: PathBuf) -> PlannedFile {
        PlannedFile::new(path, 0o600, "text")
    }

    fn print() -> Fingerprint {
        Fingerprint::of(b"key")
    }

    #[test]
    fn a_failure_takes_back_what_was_written_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("taken");
        fs::write(&taken, "mine").unwrap();
        let files = [
            planned(dir.path().join("a/b/first")),
            planned(taken.clone()),
        ];
        let outcome = write_all(&files, print());
        assert!(matches!(outcome, Err(InitError::Exists(paths)) if paths == [taken.clone()]));
        assert!(!dir.path().join("a").exists());
        assert_eq!(fs::read_to_string(taken).unwrap(), "mine");
    }

    #[test]
    fn what_is_not_kept_goes_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/file");
        drop(write_all(&[planned(path.clone())], print()).unwrap());
        assert!(!dir.path().join("new").exists());
        let kept = write_all(&[planned(path.clone())], print()).unwrap().keep();
        assert_eq!(kept.paths, std::slice::from_ref(&path));
        assert!(path.exists());
    }

    #[test]
    fn a_dangling_link_is_a_file_that_exists() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/nowhere/at/all", &link).unwrap();
        let outcome = refuse_existing(&[planned(link.clone())]);
        assert!(matches!(outcome, Err(InitError::Exists(paths)) if paths == [link]));
    }
}
