//! Writing a payload's entries below the staged target.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::sealing::entry_path::EntryPath;
use crate::sealing::payload::{DATA_DIR, DATABASUS_OWNER, DUMP_DIR, POSTGRES_OWNER};
use crate::sealing::unpack::EntryVisitor;

use super::{Mode, RehydrateError, failed};

const COPY_BUFFER: usize = 256 << 10;

/// Where the logical copy is put together while a cluster is built from it.
pub(super) const DUMP_FILE: &str = ".metadata.dump";

/// Writes files with the modes and owners that Databasus' image expects.
pub(super) struct DataDirWriter {
    root: PathBuf,
    /// Only root can give files away; anybody else keeps them, and Databasus' start script
    /// repairs owners.
    gives_away: bool,
    logical: bool,
    buffer: Vec<u8>,
}

impl DataDirWriter {
    pub(super) fn new(root: &Path, mode: &Mode) -> Self {
        Self {
            root: root.to_owned(),
            gives_away: rustix::process::geteuid().is_root(),
            logical: matches!(mode, Mode::FromLogical(_)),
            buffer: vec![0; COPY_BUFFER],
        }
    }

    /// Sets what the format does not leave to the payload: `pgdata` 0700, `secret.key` 0600, the
    /// data directory itself 0755.
    pub(super) fn finish(&self) -> Result<(), RehydrateError> {
        for (name, mode) in [("", 0o755), ("pgdata", 0o700), ("secret.key", 0o600)] {
            let path = self.root.join(name);
            if path.exists() {
                fs::set_permissions(&path, Permissions::from_mode(mode))
                    .map_err(failed("set the mode of", &path))?;
            }
        }
        let root = File::open(&self.root).map_err(failed("open", &self.root))?;
        self.give(&root, DATABASUS_OWNER)
            .map_err(failed("set the owner of", &self.root))
    }

    fn give(&self, file: &File, (uid, gid): (u64, u64)) -> io::Result<()> {
        if !self.gives_away {
            return Ok(());
        }
        let id = |id| u32::try_from(id).map_err(io::Error::other);
        fchown(file, Some(id(uid)?), Some(id(gid)?))
    }

    /// Where an entry goes; none for what is checked and then dropped.
    fn place(&self, path: &EntryPath) -> Option<Place> {
        if let Some(name) = path.below(DATA_DIR) {
            let in_pgdata = name == "pgdata" || name.starts_with("pgdata/");
            if in_pgdata && self.logical {
                return None;
            }
            let owner = if in_pgdata {
                POSTGRES_OWNER
            } else {
                DATABASUS_OWNER
            };
            return Some(Place::Entry(self.root.join(name), owner));
        }
        if self.logical && path.below(DUMP_DIR).is_some() {
            return Some(Place::Dump(self.root.join(DUMP_FILE)));
        }
        None
    }

    fn copy(&mut self, content: &mut dyn Read, file: &mut File) -> io::Result<()> {
        loop {
            match content.read(&mut self.buffer)? {
                0 => return Ok(()),
                read => file.write_all(&self.buffer[..read])?,
            }
        }
    }
}

enum Place {
    Entry(PathBuf, (u64, u64)),
    Dump(PathBuf),
}

impl EntryVisitor for DataDirWriter {
    fn directory(&mut self, path: &EntryPath, mode: u32) -> io::Result<()> {
        let Some(Place::Entry(place, owner)) = self.place(path) else {
            return Ok(());
        };
        DirBuilder::new().mode(0o700).create(&place)?;
        let directory = File::open(&place)?;
        // Never without access for ourselves: entries follow.
        directory.set_permissions(Permissions::from_mode(mode & 0o777 | 0o700))?;
        self.give(&directory, owner)
    }

    fn file(
        &mut self,
        path: &EntryPath,
        mode: u32,
        _size: u64,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        match self.place(path) {
            None => io::copy(content, &mut io::sink()).map(|_| ()),
            Some(Place::Entry(place, owner)) => {
                let mut file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&place)?;
                self.copy(content, &mut file)?;
                file.set_permissions(Permissions::from_mode(mode & 0o777))?;
                self.give(&file, owner)
            }
            Some(Place::Dump(place)) => {
                let mut file = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .mode(0o600)
                    .open(&place)?;
                self.copy(content, &mut file)
            }
        }
    }
}
