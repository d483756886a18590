//! Files below one directory, reached name by name and never through a symbolic link.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::store::key::{Key, UPLOADS};

/// Objects are sealed or public: the umask decides who else may read them.
const FILE_MODE: Mode = Mode::from_bits_retain(0o644);
const DIRECTORY_MODE: Mode = Mode::from_bits_retain(0o755);

/// The root of a store, held open.
pub(super) struct Tree {
    root: OwnedFd,
}

/// What happens to an object that already has the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// It stays, and the write fails.
    Stays,
    /// It is replaced in one step.
    Goes,
}

/// A file in `.uploads` that has no key yet; it goes when this value is dropped.
pub(super) struct Staged {
    /// Open for reading and writing.
    pub(super) file: File,
    /// Its name in `.uploads`: 32 random hexadecimal digits.
    pub(super) name: String,
    uploads: OwnedFd,
    published: bool,
}

impl Tree {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let root = fs::open(root, directory_flags() - OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Self { root })
    }

    /// Opens a directory below the root.
    pub(super) fn directory<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
    ) -> io::Result<OwnedFd> {
        let mut at = self.root.try_clone()?;
        for name in names {
            at = open_directory(&at, name)?;
        }
        Ok(at)
    }

    /// Opens a directory below the root, making it and its parents durably where they are missing.
    fn made_directory<'n>(&self, names: impl Iterator<Item = &'n str>) -> io::Result<OwnedFd> {
        let mut at = self.root.try_clone()?;
        for name in names {
            match fs::mkdirat(&at, name, DIRECTORY_MODE) {
                Ok(()) => sync_directory(&at)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            at = open_directory(&at, name).map_err(|error| in_the_way(name, error))?;
        }
        Ok(at)
    }

    /// Opens an object for reading, with its size in bytes.
    pub(super) fn file(&self, key: Key<'_>) -> io::Result<(File, u64)> {
        let parent = self.directory(key.parents())?;
        // NONBLOCK: a planted FIFO must not hang the open.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(fs::openat(&parent, key.leaf(), flags, Mode::empty())?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Errno::NOENT.into());
        }
        Ok((file, metadata.len()))
    }

    /// Makes a file that has no key yet.
    pub(super) fn stage(&self) -> io::Result<Staged> {
        let uploads = self.made_directory([UPLOADS].into_iter())?;
        let name = hex::encode(rand::random::<[u8; 16]>());
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(fs::openat(&uploads, name.as_str(), flags, FILE_MODE)?);
        Ok(Staged {
            file,
            name,
            uploads,
            published: false,
        })
    }

    /// Gives a staged file its key, durably.
    pub(super) fn publish(
        &self,
        staged: &mut Staged,
        key: Key<'_>,
        existing: Existing,
    ) -> io::Result<()> {
        staged.file.sync_all()?;
        let parent = self.made_directory(key.parents())?;
        let (from, name) = (staged.uploads.as_fd(), staged.name.as_str());
        match existing {
            Existing::Stays => rename_new(from, name, &parent, key.leaf())?,
            Existing::Goes => fs::renameat(from, name, &parent, key.leaf())?,
        }
        staged.published = true;
        sync_directory(&parent)
    }

    /// Removes a staged file that an earlier process left.
    pub(super) fn discard(&self, name: &str) -> io::Result<()> {
        if !is_staged(name) {
            return Err(io::Error::other("not an upload id of a directory store"));
        }
        let uploads = self.directory([UPLOADS].into_iter())?;
        Ok(fs::unlinkat(&uploads, name, AtFlags::empty())?)
    }

    /// The names of staged files, of this process and others, and when each was last written to
    /// (seconds since 1970).
    pub(super) fn staged(&self) -> io::Result<Vec<(String, i64)>> {
        let uploads = match self.directory([UPLOADS].into_iter()) {
            Ok(uploads) => uploads,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in Dir::read_from(&uploads)? {
            let entry = entry?;
            let Some(name) = entry
                .file_name()
                .to_str()
                .ok()
                .filter(|name| is_staged(name))
            else {
                continue;
            };
            match fs::statat(&uploads, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => found.push((name.to_owned(), stat.st_mtime)),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    /// Removes an object durably.
    pub(super) fn remove(&self, key: Key<'_>) -> io::Result<()> {
        let parent = self.directory(key.parents())?;
        let stat = fs::statat(&parent, key.leaf(), AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Err(Errno::NOENT.into());
        }
        let _lock = self.lock()?;
        fs::unlinkat(&parent, key.leaf(), AtFlags::empty())?;
        sync_directory(&parent)
    }

    /// Keeps other processes from replacing and deleting until the value is dropped. A file
    /// and not the root itself, since NFS locks only what is open for writing.
    pub(super) fn lock(&self) -> io::Result<OwnedFd> {
        let uploads = self.made_directory([UPLOADS].into_iter())?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = fs::openat(&uploads, "lock", flags, FILE_MODE)?;
        rustix::io::retry_on_intr(|| fs::flock(&lock, FlockOperation::LockExclusive))?;
        Ok(lock)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::unlinkat(&self.uploads, self.name.as_str(), AtFlags::empty());
        }
    }
}

/// Whether a name in `.uploads` is one that [`Tree::stage`] gives.
fn is_staged(name: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.len() == 32 && name.bytes().all(digit)
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Opens a directory by its name in another one.
pub(super) fn open_directory(at: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    Ok(fs::openat(at, name, directory_flags(), Mode::empty())?)
}

fn in_the_way(name: &str, error: io::Error) -> io::Error {
    match Errno::from_io_error(&error) {
        Some(Errno::NOTDIR | Errno::LOOP) => {
            io::Error::other(format!("{name} is in the way: not a directory"))
        }
        _ => error,
    }
}

/// Renames and fails with EEXIST where the name is taken.
fn rename_new(from: impl AsFd, name: &str, to: impl AsFd, leaf: &str) -> io::Result<()> {
    match fs::renameat_with(&from, name, &to, leaf, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => link_new(from, name, to, leaf),
        other => Ok(other?),
    }
}

/// The same on file systems without RENAME_NOREPLACE (NFS, some FUSE ones): a second link
/// refuses a taken name as well.
fn link_new(from: impl AsFd, name: &str, to: impl AsFd, leaf: &str) -> io::Result<()> {
    fs::linkat(&from, name, &to, leaf, AtFlags::empty())?;
    Ok(fs::unlinkat(&from, name, AtFlags::empty())?)
}

/// Makes the names in a directory survive a crash, where the file system can say so at all.
fn sync_directory(directory: impl AsFd) -> io::Result<()> {
    match fs::fsync(directory) {
        Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn link_moves_a_file_and_refuses_a_taken_name() {
        let folder = tempfile::TempDir::new().unwrap();
        let tree = Tree::open(folder.path()).unwrap();
        let path = |name| folder.path().join(name);
        for name in ["one", "two"] {
            std::fs::write(path(name), name).unwrap();
        }
        link_new(&tree.root, "one", &tree.root, "taken").unwrap();
        let refused = link_new(&tree.root, "two", &tree.root, "taken").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(path("taken")).unwrap(), b"one");
        assert!(!path("one").exists() && path("two").exists());
    }

    #[test]
    fn staged_file_that_is_dropped_is_gone() {
        let folder = tempfile::TempDir::new().unwrap();
        let tree = Tree::open(folder.path()).unwrap();
        let staged = tree.stage().unwrap();
        let path = folder.path().join(UPLOADS).join(&staged.name);
        assert!(path.exists());
        drop(staged);
        assert!(!path.exists());
    }
}
