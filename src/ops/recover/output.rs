//! The file that a backup is recovered into: it has its name only once it is whole.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file being written beside the place where it belongs. Dropped, nothing of it remains.
pub struct StagedFile {
    file: NamedTempFile,
    /// Where it lies: opened at once, for afterwards it would be too late to be refused.
    folder: File,
    place: PathBuf,
    existing: Existing,
}

/// What happens to a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the new one is not written.
    Keep,
    /// The new one takes its place, in one step.
    Replace,
}

/// A file was not written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The place is taken.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// It cannot be written to.
    #[error("cannot {action} {}", .place.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        place: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl StagedFile {
    /// Begins the file, readable by its owner alone. A place that is taken is told now and not
    /// after hours.
    pub fn begin(place: &Path, existing: Existing) -> Result<Self, OutputError> {
        if existing == Existing::Keep && place.symlink_metadata().is_ok() {
            return Err(OutputError::Exists(place.to_owned()));
        }
        let parent = File::open(folder(place)).map_err(failed("open the folder of", place))?;
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let mut staged = tempfile::Builder::new();
        // The name of a backup can be as long as a name may be.
        let prefix: String = name.chars().take(40).collect();
        let prefix = format!(".{prefix}.");
        staged.prefix(&prefix).suffix(".partial");
        let file = staged
            .tempfile_in(folder(place))
            .map_err(failed("write beside", place))?;
        Ok(Self {
            file,
            folder: parent,
            place: place.to_owned(),
            existing,
        })
    }

    /// Gives the file its name, once every byte of it is on the disk.
    pub fn finish(self) -> Result<(), OutputError> {
        let Self {
            file,
            folder,
            place,
            existing,
        } = self;
        file.as_file().sync_all().map_err(failed("sync", &place))?;
        let kept = match existing {
            Existing::Keep => file.persist_noclobber(&place),
            Existing::Replace => file.persist(&place),
        };
        match kept {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(OutputError::Exists(place));
            }
            Err(error) => return Err(failed("write", &place)(error.error)),
        }
        // The file is there, and whole: no reason to call it a failure.
        if let Err(error) = folder.sync_all() {
            let place = place.display();
            tracing::warn!("cannot sync the folder of {place}, which a crash could undo: {error}");
        }
        Ok(())
    }
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn folder(place: &Path) -> &Path {
    match place.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn failed<'a>(action: &'static str, place: &'a Path) -> impl FnOnce(io::Error) -> OutputError + 'a {
    move |source| OutputError::Io {
        action,
        place: place.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_only_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("out.dump");
        let mut staged = StagedFile::begin(&place, Existing::Keep).unwrap();
        staged.write_all(b"all of it").unwrap();
        assert!(!place.exists());
        staged.finish().unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"all of it");
        assert_eq!(names(folder.path()), ["out.dump"]);
    }

    #[test]
    fn nothing_remains_of_what_was_not_finished() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("out.dump");
        let mut staged = StagedFile::begin(&place, Existing::Keep).unwrap();
        staged.write_all(b"half").unwrap();
        drop(staged);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn what_is_there_stays_unless_it_is_to_go() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("out.dump");
        fs::write(&place, "old").unwrap();
        let refused = StagedFile::begin(&place, Existing::Keep).err().unwrap();
        assert!(matches!(refused, OutputError::Exists(_)));
        let mut staged = StagedFile::begin(&place, Existing::Replace).unwrap();
        staged.write_all(b"new").unwrap();
        staged.finish().unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"new");
    }

    #[test]
    fn a_folder_that_cannot_be_opened_is_refused_before_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("out.dump");
        let only_into = fs::Permissions::from_mode(0o300);
        fs::set_permissions(folder.path(), only_into).unwrap();
        let begin = || {
            // Root may read every folder, until it gives that up.
            let none = CapabilitySet::empty();
            let sets = CapabilitySets {
                effective: none,
                permitted: none,
                inheritable: none,
            };
            set_capabilities(None, sets).unwrap();
            StagedFile::begin(&place, Existing::Keep).err().unwrap()
        };
        let refused = std::thread::scope(|scope| scope.spawn(begin).join().unwrap());
        assert!(matches!(refused, OutputError::Io { .. }), "{refused:?}");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_file_that_appeared_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("out.dump");
        let staged = StagedFile::begin(&place, Existing::Keep).unwrap();
        fs::write(&place, "somebody else's").unwrap();
        assert!(matches!(staged.finish(), Err(OutputError::Exists(_))));
        assert_eq!(fs::read(&place).unwrap(), b"somebody else's");
        assert_eq!(names(folder.path()), ["out.dump"]);
    }
}
