//! Listing a tree in the order of its keys, one directory's names in memory at a time.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{self, AtFlags, Dir, FileType};
use rustix::io::Errno;

use super::tree::{Tree, open_directory};
use crate::store::ObjectMeta;
use crate::store::key::Key;

struct Walk<'a> {
    prefix: &'a str,
    after: Option<&'a str>,
    visit: &'a mut dyn FnMut(ObjectMeta) -> ControlFlow<()>,
}

/// Visits the objects under `prefix` that come after `after`, in ascending order.
pub(super) fn walk(
    tree: &Tree,
    prefix: &str,
    after: Option<&str>,
    visit: &mut dyn FnMut(ObjectMeta) -> ControlFlow<()>,
) -> io::Result<()> {
    let root = tree.directory(std::iter::empty())?;
    let mut walk = Walk {
        prefix,
        after,
        visit,
    };
    walk.directory(&root, "").map(|_| ())
}

impl Walk<'_> {
    /// Visits what lies in a directory whose keys begin with `path` (empty, or ending in `/`).
    fn directory(&mut self, directory: &OwnedFd, path: &str) -> io::Result<ControlFlow<()>> {
        for name in sorted_names(directory)? {
            let flow = match name.strip_suffix('/') {
                Some(name) => self.subdirectory(directory, name, &format!("{path}{name}/"))?,
                None => self.file(directory, &name, format!("{path}{name}"))?,
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn subdirectory(
        &mut self,
        parent: &OwnedFd,
        name: &str,
        path: &str,
    ) -> io::Result<ControlFlow<()>> {
        let inside = path.starts_with(self.prefix) || self.prefix.starts_with(path);
        let before = self
            .after
            .is_some_and(|after| after > path && !after.starts_with(path));
        // The path without its slash obeys the rules of keys; `.uploads` does not.
        if !inside || before || Key::to_read(path.trim_end_matches('/')).is_err() {
            return Ok(ControlFlow::Continue(()));
        }
        match open_directory(parent, name) {
            Ok(directory) => self.directory(&directory, path),
            Err(error) if is_gone(&error) => Ok(ControlFlow::Continue(())),
            Err(error) => Err(error),
        }
    }

    fn file(&mut self, parent: &OwnedFd, name: &str, key: String) -> io::Result<ControlFlow<()>> {
        let before = self.after.is_some_and(|after| key.as_str() <= after);
        if before || !key.starts_with(self.prefix) || Key::to_read(&key).is_err() {
            return Ok(ControlFlow::Continue(()));
        }
        let size = match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => u64::try_from(stat.st_size).unwrap_or(0),
            Err(Errno::NOENT) => return Ok(ControlFlow::Continue(())),
            Err(error) => return Err(error.into()),
        };
        Ok((self.visit)(ObjectMeta {
            key,
            size,
            etag: None,
            version_id: None,
        }))
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
    )
}

/// Names of files and, with a slash at the end, of directories: sorted so, they come in the
/// order of the keys (`a.json` before `a/b`). Links, devices and names that are not UTF-8 are
/// no objects.
fn sorted_names(directory: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        match file_type(directory, name, entry.file_type())? {
            _ if name == "." || name == ".." => {}
            FileType::Directory => names.push(format!("{name}/")),
            FileType::RegularFile => names.push(name.to_owned()),
            _ => {}
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Some file systems do not say in the directory what an entry is.
fn file_type(directory: impl AsFd, name: &str, listed: FileType) -> io::Result<FileType> {
    if listed != FileType::Unknown {
        return Ok(listed);
    }
    match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode)),
        Err(Errno::NOENT) => Ok(FileType::Unknown),
        Err(error) => Err(error.into()),
    }
}
