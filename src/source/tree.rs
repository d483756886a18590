//! Listing a directory tree so that a later look can tell whether anything changed.

use std::fs::{self, DirEntry, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{EntrySink, SinkError, SourceContent, SourceEntry, SourceError};
use crate::base::cancel::Cancel;
use crate::base::text::printable;

/// One directory or file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Relative to the root, `/`-separated.
    pub(super) path: String,
    /// Permission bits.
    pub(super) mode: u32,
    /// None for a directory.
    pub(super) file: Option<FileStamp>,
}

/// What tells one content of a file from another without reading it. The time of the last
/// change of the inode cannot be set back by anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    device: u64,
    inode: u64,
    pub(super) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// When the content was last written, in seconds since 1970.
    pub(super) fn modified(&self) -> i64 {
        self.modified.0
    }
}

/// What to do with an entry of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Take it, and what is in it.
    Whole,
    /// Take the directory, but nothing in it.
    Empty,
    /// Leave it out.
    Nothing,
}

/// A tree cannot be copied as it is.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Data that lies elsewhere would be missing from the copy.
    #[error("{} is a symbolic link: {}", printable(&path.to_string_lossy()), hint(path))]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A socket, a pipe or a device.
    #[error("{} is a {kind}, which cannot be sealed", printable(&path.to_string_lossy()))]
    Special {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// An archive's names are UTF-8.
    #[error("the name {} is not UTF-8", printable(&.0.to_string_lossy()))]
    Name(PathBuf),
    /// What was read is not one moment's state.
    #[error("{} changed while it was being copied", printable(&.0.to_string_lossy()))]
    Changed(PathBuf),
    /// A file or directory could not be read.
    #[error("cannot read {}", printable(&path.to_string_lossy()))]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn hint(path: &Path) -> &'static str {
    let parent = path.parent().and_then(Path::file_name);
    if path.file_name().is_some_and(|name| name == "pg_wal") {
        "a log on another volume is copied by the online method only"
    } else if parent.is_some_and(|name| name == "pg_tblspc") {
        "a tablespace of its own, which Databasus never makes, is not supported"
    } else {
        "what it leads to would be missing"
    }
}

/// Lists what is under `root`, directories before what they hold, names in byte order.
pub(super) fn list(root: &Path, keep: &dyn Fn(&str) -> Keep) -> Result<Vec<Node>, TreeError> {
    let mut nodes = Vec::new();
    list_into(&mut nodes, root, "", keep)?;
    Ok(nodes)
}

fn list_into(
    nodes: &mut Vec<Node>,
    directory: &Path,
    prefix: &str,
    keep: &dyn Fn(&str) -> Keep,
) -> Result<(), TreeError> {
    for entry in sorted(directory)? {
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| TreeError::Name(entry.path()))?;
        let path = format!("{prefix}{name}");
        let keep_it = keep(&path);
        if keep_it == Keep::Nothing {
            continue;
        }
        let metadata = entry.metadata().map_err(|e| read_error(&entry.path(), e))?;
        if metadata.is_dir() {
            nodes.push(node(path.clone(), &metadata));
            if keep_it == Keep::Whole {
                list_into(nodes, &entry.path(), &format!("{path}/"), keep)?;
            }
            continue;
        }
        refuse_special(&entry.path(), metadata.file_type())?;
        nodes.push(node(path, &metadata));
    }
    Ok(())
}

fn sorted(directory: &Path) -> Result<Vec<DirEntry>, TreeError> {
    let failed = |error| read_error(directory, error);
    let entries = fs::read_dir(directory).map_err(failed)?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn node(path: String, metadata: &Metadata) -> Node {
    Node {
        path,
        mode: metadata.mode() & 0o7777,
        file: metadata.is_file().then(|| FileStamp::of(metadata)),
    }
}

pub(super) fn refuse_special(path: &Path, kind: FileType) -> Result<(), TreeError> {
    let path = path.to_owned();
    let kind = if kind.is_file() {
        return Ok(());
    } else if kind.is_symlink() {
        return Err(TreeError::Link { path });
    } else if kind.is_socket() {
        "socket"
    } else if kind.is_fifo() {
        "pipe"
    } else {
        "device"
    };
    Err(TreeError::Special { path, kind })
}

pub(super) fn read_error(path: &Path, source: io::Error) -> TreeError {
    TreeError::Read {
        path: path.to_owned(),
        source,
    }
}

/// The first entry in which two listings of one tree differ.
pub(super) fn difference<'a>(before: &'a [Node], after: &'a [Node]) -> Option<&'a str> {
    let same = before
        .iter()
        .zip(after)
        .take_while(|(old, new)| old == new)
        .count();
    match (before.get(same), after.get(same)) {
        (None, None) => None,
        (Some(old), Some(new)) if before.iter().any(|node| node.path == new.path) => {
            Some(&old.path)
        }
        (_, Some(added)) => Some(&added.path),
        (Some(gone), None) => Some(&gone.path),
    }
}

/// Sends the entries of a tree on, each under `prefix`, and makes sure that every file is the
/// one that was listed, before and after it is read.
pub(super) struct Sender<'a> {
    pub(super) root: &'a Path,
    pub(super) prefix: &'a str,
    pub(super) sink: &'a mut dyn EntrySink,
    pub(super) cancel: &'a Cancel,
}

impl Sender<'_> {
    /// Sends the directory that holds all the others.
    pub(super) fn send_root(&mut self, path: &str, mode: u32) -> Result<(), SourceError> {
        self.sink.entry(SourceEntry {
            path: path.to_owned(),
            mode,
            content: SourceContent::Directory,
        })?;
        Ok(())
    }

    /// Sends one directory or file.
    pub(super) fn send(&mut self, node: &Node) -> Result<(), SourceError> {
        self.cancel.check()?;
        match node.file {
            None => self.entry(node, SourceContent::Directory),
            Some(stamp) => self.send_file(node, stamp),
        }
    }

    fn send_file(&mut self, node: &Node, stamp: FileStamp) -> Result<(), SourceError> {
        let path = self.root.join(&node.path);
        let file = open_listed(&path, stamp)?;
        let mut reader = Exactly {
            file: &file,
            left: stamp.size,
            cut: false,
            cancel: self.cancel,
        };
        let content = SourceContent::File {
            size: stamp.size,
            reader: &mut reader,
        };
        let sent = self.entry(node, content);
        if reader.cut {
            return Err(TreeError::Changed(path).into());
        }
        sent?;
        Ok(same_file(&path, &file, stamp)?)
    }

    /// Sends content that is already in memory in place of a file's.
    pub(super) fn send_bytes(&mut self, node: &Node, bytes: &[u8]) -> Result<(), SourceError> {
        self.cancel.check()?;
        let content = SourceContent::File {
            size: bytes.len() as u64,
            reader: &mut &bytes[..],
        };
        self.entry(node, content)
    }

    fn entry(&mut self, node: &Node, content: SourceContent<'_>) -> Result<(), SourceError> {
        let entry = SourceEntry {
            path: format!("{}{}", self.prefix, node.path),
            mode: node.mode,
            content,
        };
        let sent: Result<_, SinkError> = self.sink.entry(entry);
        // A signal makes the reader fail, and the sink with it: it is the cause.
        self.cancel.check()?;
        sent?;
        Ok(())
    }
}

/// Reads a listed file whole, if it is still the one that was listed.
pub(super) fn read_listed(path: &Path, stamp: FileStamp) -> Result<Vec<u8>, TreeError> {
    let mut file = open_listed(path, stamp)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(|e| read_error(path, e))?;
    same_file(path, &file, stamp)?;
    Ok(bytes)
}

fn open_listed(path: &Path, stamp: FileStamp) -> Result<File, TreeError> {
    // Something else may have taken the file's place: follow no link, wait for no pipe.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    let file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => TreeError::Changed(path.to_owned()),
        _ => read_error(path, error),
    })?;
    same_file(path, &file, stamp)?;
    Ok(file)
}

fn same_file(path: &Path, file: &File, stamp: FileStamp) -> Result<(), TreeError> {
    let metadata = file.metadata().map_err(|e| read_error(path, e))?;
    if metadata.is_file() && FileStamp::of(&metadata) == stamp {
        return Ok(());
    }
    Err(TreeError::Changed(path.to_owned()))
}

/// Yields as many bytes as were announced, or fails.
struct Exactly<'a> {
    file: &'a File,
    left: u64,
    cut: bool,
    cancel: &'a Cancel,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check_io()?;
        let room = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read(&mut buffer[..room])?;
        if read == 0 && room > 0 {
            self.cut = true;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything(_: &str) -> Keep {
        Keep::Whole
    }

    fn paths(nodes: &[Node]) -> Vec<&str> {
        nodes.iter().map(|node| node.path.as_str()).collect()
    }

    #[test]
    fn directories_come_before_what_they_hold_and_names_in_order() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("base/1")).unwrap();
        for file in ["base/1/1259", "base/1/112", "base.old", "PG_VERSION"] {
            fs::write(root.path().join(file), file).unwrap();
        }
        let all = list(root.path(), &everything).unwrap();
        let expected = [
            "PG_VERSION",
            "base",
            "base/1",
            "base/1/112",
            "base/1/1259",
            "base.old",
        ];
        assert_eq!(paths(&all), expected);
        let some = list(root.path(), &|path| match path {
            "base" => Keep::Empty,
            "base.old" => Keep::Nothing,
            _ => Keep::Whole,
        });
        assert_eq!(paths(&some.unwrap()), ["PG_VERSION", "base"]);
    }

    #[test]
    fn links_and_special_files_are_refused_by_name() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let error = list(root.path(), &everything).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{} is a pipe, which cannot be sealed", pipe.display())
        );
        fs::remove_file(&pipe).unwrap();
        fs::create_dir(root.path().join("pg_tblspc")).unwrap();
        for (link, hint) in [
            ("pg_tblspc/16384", "tablespace"),
            ("pg_wal", "another volume"),
        ] {
            let link = root.path().join(link);
            std::os::unix::fs::symlink("/", &link).unwrap();
            let error = list(root.path(), &everything).unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
            fs::remove_file(&link).unwrap();
        }
    }

    #[test]
    fn any_change_of_a_tree_is_a_difference() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("b");
        fs::write(&file, "one").unwrap();
        let before = list(root.path(), &everything).unwrap();
        assert_eq!(
            difference(&before, &list(root.path(), &everything).unwrap()),
            None
        );
        // The same bytes under the same name, but another file.
        fs::write(root.path().join("c"), "one").unwrap();
        let added = list(root.path(), &everything).unwrap();
        assert_eq!(difference(&before, &added), Some("c"));
        assert_eq!(difference(&added, &before), Some("c"));
        fs::write(root.path().join("a"), "").unwrap();
        let earlier = list(root.path(), &everything).unwrap();
        assert_eq!(difference(&added, &earlier), Some("a"));
        assert_eq!(difference(&earlier, &added), Some("a"));
        fs::remove_file(root.path().join("a")).unwrap();
        fs::rename(root.path().join("c"), &file).unwrap();
        let replaced = list(root.path(), &everything).unwrap();
        assert_eq!(difference(&before, &replaced), Some("b"));
    }

    #[test]
    fn a_file_that_is_no_longer_the_listed_one_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a");
        fs::write(&path, "one").unwrap();
        let stamp = list(root.path(), &everything).unwrap()[0].file.unwrap();
        assert_eq!(read_listed(&path, stamp).unwrap(), b"one");
        fs::write(&path, "longer").unwrap();
        assert!(matches!(
            read_listed(&path, stamp),
            Err(TreeError::Changed(_))
        ));
        fs::remove_file(&path).unwrap();
        assert!(matches!(
            read_listed(&path, stamp),
            Err(TreeError::Changed(_))
        ));
    }
}
