//! Floor 3: the destination of a restore: built beside its final place, then renamed once.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::base::file_error::{FileError, failed};

pub mod access;
pub mod behind;
pub mod ownership;

/// A directory that either does not exist or is complete.
///
/// Everything is written into a hidden sibling, which nobody else may enter before the writer
/// lets them: files have the modes of the source until all of them are there. Dropping the value without
/// [`StagedTarget::commit`] removes the sibling; what a killed run left of one is removed by the
/// next.
#[derive(Debug)]
pub struct StagedTarget {
    target: PathBuf,
    partial: PathBuf,
    /// Held as long as this process works on the sibling.
    lock: File,
    committed: bool,
}

/// The destination cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// There is something in it.
    #[error("target {0} is not empty")]
    NotEmpty(PathBuf),
    /// It exists and is no directory.
    #[error("target {0} is not a directory")]
    NotADirectory(PathBuf),
    /// A directory cannot be renamed onto it.
    #[error("target {0} is a mount point; name a directory below it")]
    MountPoint(PathBuf),
    /// It has no name of its own, like `/` or `..`.
    #[error("target {0} does not name a directory that could be made")]
    NoName(PathBuf),
    /// Another run is at work on it.
    #[error("another run into {0} is at work")]
    Busy(PathBuf),
    /// The filesystem said no.
    #[error(transparent)]
    Io(#[from] FileError),
}

impl StagedTarget {
    /// Checks that `target` can be made, without changing anything; gives back the directory that
    /// it would appear in.
    pub fn check(target: &Path) -> Result<PathBuf, TargetError> {
        let (parent, _) = split(target)?;
        match fs::symlink_metadata(target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let readable = fs::metadata(&parent).map_err(failed("find", &parent))?;
                if !readable.is_dir() {
                    return Err(TargetError::NotADirectory(parent));
                }
                Ok(parent)
            }
            Err(error) => Err(failed("look at", target)(error).into()),
            Ok(meta) if !meta.is_dir() => Err(TargetError::NotADirectory(target.to_owned())),
            Ok(meta) => {
                let mut entries = fs::read_dir(target).map_err(failed("list", target))?;
                if entries.next().is_some() {
                    return Err(TargetError::NotEmpty(target.to_owned()));
                }
                let above = fs::metadata(&parent).map_err(failed("look at", &parent))?;
                if above.dev() != meta.dev() {
                    return Err(TargetError::MountPoint(target.to_owned()));
                }
                Ok(parent)
            }
        }
    }

    /// Begins the target: removes what a killed run left, and makes the hidden sibling.
    pub fn begin(target: &Path) -> Result<Self, TargetError> {
        Self::check(target)?;
        let (parent, name) = split(target)?;
        let target = parent.join(&name);
        let partial = parent.join(format!(".{name}.databasus-escrow-partial"));
        let lock = loop {
            match DirBuilder::new().mode(0o700).create(&partial) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let _held = lock_directory(&partial, &target)?;
                    fs::remove_dir_all(&partial).map_err(failed("remove", &partial))?;
                    continue;
                }
                Err(error) => return Err(failed("create", &partial)(error).into()),
            }
            // Before it was locked, another run may have taken it for a leftover.
            let lock = lock_directory(&partial, &target)?;
            if is_at(&lock, &partial).map_err(failed("look at", &partial))? {
                break lock;
            }
        };
        Ok(Self {
            target,
            partial,
            lock,
            committed: false,
        })
    }

    /// The directory that the target is to appear in.
    pub fn place(&self) -> &Path {
        self.partial.parent().unwrap_or(Path::new("/"))
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Makes the target appear, complete and durable. On failure nothing appears, unless it is
    /// the very last sync that fails.
    pub fn commit(self) -> Result<PathBuf, TargetError> {
        let whole = self.partial.clone();
        self.appear(&whole)
    }

    /// The same for one directory of what was written; everything beside it is removed before.
    pub fn commit_part(self, name: &str) -> Result<PathBuf, TargetError> {
        let part = self.partial.join(name);
        for entry in fs::read_dir(&self.partial).map_err(failed("list", &self.partial))? {
            let path = entry.map_err(failed("list", &self.partial))?.path();
            if path != part {
                remove(&path).map_err(failed("remove", &path))?;
            }
        }
        let around = self.partial.clone();
        let target = self.appear(&part)?;
        // Empty, and in nobody's way: the target is there, which is what counts.
        if let Err(error) = fs::remove_dir(&around) {
            tracing::warn!(path = %around.display(), %error, "could not remove an empty folder");
        }
        Ok(target)
    }

    fn appear(mut self, made: &Path) -> Result<PathBuf, TargetError> {
        rustix::fs::syncfs(&self.lock).map_err(|e| failed("sync", &self.partial)(e.into()))?;
        fs::rename(made, &self.target).map_err(failed("rename onto", &self.target))?;
        self.committed = true;
        File::open(self.place())
            .and_then(|place| place.sync_all())
            .map_err(failed("sync", self.place()))?;
        Ok(self.target.clone())
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

impl Drop for StagedTarget {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.partial) {
            tracing::warn!(path = %self.partial.display(), %error, "could not remove a half-made target");
        }
    }
}

fn split(target: &Path) -> Result<(PathBuf, String), TargetError> {
    let no_name = || TargetError::NoName(target.to_owned());
    let name = target
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(no_name)?;
    let parent = match target.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(no_name()),
    };
    let parent = fs::canonicalize(parent).map_err(failed("find", parent))?;
    Ok((parent, name.to_owned()))
}

fn lock_directory(partial: &Path, target: &Path) -> Result<File, TargetError> {
    let directory = File::open(partial).map_err(failed("open", partial))?;
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(directory),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(TargetError::Busy(target.to_owned())),
        Err(error) => Err(failed("lock", partial)(error.into()).into()),
    }
}

fn is_at(directory: &File, path: &Path) -> io::Result<bool> {
    let (open, there) = (directory.metadata()?, fs::symlink_metadata(path)?);
    Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn nothing_appears_before_the_commit() {
        let dir = sandbox();
        let target = dir.path().join("data");
        let staged = StagedTarget::begin(&target).unwrap();
        fs::write(staged.path().join("secret.key"), "x").unwrap();
        assert!(!target.exists());
        staged.commit().unwrap();
        assert_eq!(fs::read_to_string(target.join("secret.key")).unwrap(), "x");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_directory_of_many_becomes_the_target() {
        let dir = sandbox();
        let target = dir.path().join("data");
        let staged = StagedTarget::begin(&target).unwrap();
        for part in ["full", "data"] {
            fs::create_dir(staged.path().join(part)).unwrap();
            fs::write(staged.path().join(part).join("x"), part).unwrap();
        }
        fs::write(staged.path().join("list"), "x").unwrap();
        staged.commit_part("data").unwrap();
        assert_eq!(fs::read_to_string(target.join("x")).unwrap(), "data");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_part_that_is_not_there_leaves_nothing() {
        let dir = sandbox();
        let staged = StagedTarget::begin(&dir.path().join("data")).unwrap();
        assert!(staged.commit_part("data").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_target_that_was_taken_meanwhile_is_left_alone() {
        let dir = sandbox();
        let target = dir.path().join("data");
        let staged = StagedTarget::begin(&target).unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(target.join("x"), "theirs").unwrap();
        assert!(staged.commit().is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(target.join("x")).unwrap(), "theirs");
    }

    #[test]
    fn nobody_else_may_enter_a_target_in_the_making() {
        let dir = sandbox();
        let staged = StagedTarget::begin(&dir.path().join("data")).unwrap();
        let mode = fs::metadata(staged.path()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn an_abandoned_target_leaves_nothing() {
        let dir = sandbox();
        drop(StagedTarget::begin(&dir.path().join("data")).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_empty_directory_is_taken_and_a_full_one_is_not() {
        let dir = sandbox();
        let target = dir.path().join("data");
        fs::create_dir(&target).unwrap();
        StagedTarget::begin(&target).unwrap().commit().unwrap();
        fs::write(target.join("x"), "x").unwrap();
        assert!(matches!(
            StagedTarget::begin(&target),
            Err(TargetError::NotEmpty(_))
        ));
    }

    #[test]
    fn two_at_once_exclude_each_other() {
        let dir = sandbox();
        let target = dir.path().join("data");
        let _first = StagedTarget::begin(&target).unwrap();
        assert!(matches!(
            StagedTarget::begin(&target),
            Err(TargetError::Busy(_))
        ));
    }

    #[test]
    fn leftovers_of_a_killed_run_are_removed() {
        let dir = sandbox();
        let left = dir.path().join(".data.databasus-escrow-partial");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("half"), "x").unwrap();
        let staged = StagedTarget::begin(&dir.path().join("data")).unwrap();
        assert_eq!(fs::read_dir(staged.path()).unwrap().count(), 0);
    }

    #[test]
    fn files_links_and_missing_parents_are_refused() {
        let dir = sandbox();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        for bad in [file, link] {
            assert!(matches!(
                StagedTarget::begin(&bad),
                Err(TargetError::NotADirectory(_))
            ));
        }
        assert!(StagedTarget::begin(&dir.path().join("no/such")).is_err());
        assert!(StagedTarget::begin(Path::new("/")).is_err());
    }
}
