//! The place that a drill works in and that is gone afterwards.

use std::fs::{File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::base::file_error::{FileError, failed};
use crate::base::names::Slug;
use crate::target::ownership::{POSTGRES, give, gives_away};
use crate::target::{StagedTarget, TargetError};

/// A folder that only PostgreSQL's user and root may enter. Dropped, it is gone with all that is
/// in it; what a killed drill left of one is removed by the next. Two drills of an instance in one
/// folder exclude each other.
pub struct Throwaway(StagedTarget);

/// There is no such place, or it could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum ThrowawayError {
    /// It cannot be made.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The filesystem said no.
    #[error(transparent)]
    Io(#[from] FileError),
}

impl Throwaway {
    /// Makes it in `scratch`.
    pub fn make(scratch: &Path, instance: &Slug) -> Result<Self, ThrowawayError> {
        let staged = StagedTarget::begin(&scratch.join(format!("drill-of-{instance}")))?;
        let path = staged.path();
        // A target that is never made. Servers run as another user than root, and must get in.
        let folder = File::open(path).map_err(failed("open", path))?;
        give(&folder, POSTGRES).map_err(failed("give away", path))?;
        Ok(Self(staged))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Removes it, and says where that fails.
    pub fn remove(self) -> Result<(), ThrowawayError> {
        let path = self.0.path().to_owned();
        drop(self);
        match path.symlink_metadata() {
            Err(_) => Ok(()),
            Ok(_) => Err(failed("remove", &path)(ErrorKind::DirectoryNotEmpty.into()).into()),
        }
    }
}

/// A file or folder in the throwaway place that makes room for the next when it is dropped.
pub(super) struct Passing(pub(super) PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        let removed = match self.0.is_dir() {
            true => std::fs::remove_dir_all(&self.0),
            false => std::fs::remove_file(&self.0),
        };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let path = self.0.display();
                tracing::warn!("{path} stays until the teardown: {error}");
            }
            _ => {}
        }
    }
}

/// Lets others through for as long as it lives, to what they have a name of and a right to:
/// `initdb` runs as nobody where this process is root.
pub(super) struct LetThrough<'a>(&'a Path);

impl<'a> LetThrough<'a> {
    pub(super) fn into(place: &'a Path) -> Result<Self, FileError> {
        if gives_away() {
            set_mode(place, 0o711).map_err(failed("open to others", place))?;
        }
        Ok(Self(place))
    }
}

impl Drop for LetThrough<'_> {
    fn drop(&mut self) {
        if let Err(error) = set_mode(self.0, 0o700) {
            tracing::warn!("{} could not be closed again: {error}", self.0.display());
        }
    }
}

fn set_mode(place: &Path, mode: u32) -> std::io::Result<()> {
    std::fs::set_permissions(place, Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn nobody_else_may_enter_and_nothing_is_left() {
        let scratch = tempfile::tempdir().unwrap();
        let slug: Slug = "demo".parse().unwrap();
        let throwaway = Throwaway::make(scratch.path(), &slug).unwrap();
        let mode = std::fs::metadata(throwaway.path()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        std::fs::write(throwaway.path().join("secret"), "x").unwrap();
        assert!(Throwaway::make(scratch.path(), &slug).is_err());
        throwaway.remove().unwrap();
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}
