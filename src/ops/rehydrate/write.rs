//! Writing a payload's entries below the staged target.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::base::entry_path::EntryPath;
use crate::base::file_error::failed;
use crate::postgres::program::User;
use crate::sealing::payload::{DATA_DIR, DATABASUS_OWNER, DUMP_DIR};
use crate::sealing::unpack::EntryVisitor;
use crate::target::behind::{Syncs, WriteBehind};
use crate::target::ownership::{POSTGRES, give, new_file, user};

use super::{Mode, RehydrateError};

const COPY_BUFFER: usize = 256 << 10;

/// Where the logical copy is put together while a cluster is built from it.
pub(super) const DUMP_FILE: &str = ".metadata.dump";

const DATABASUS: User = user(DATABASUS_OWNER);

/// Writes files with the modes and owners that Databasus' image expects.
pub(super) struct DataDirWriter {
    root: PathBuf,
    /// The logical copy, where a cluster is to be built from it.
    dump: Option<Dump>,
    behind: WriteBehind,
    buffer: Vec<u8>,
}

impl DataDirWriter {
    pub(super) fn new(root: &Path, mode: &Mode) -> Result<Self, RehydrateError> {
        Ok(Self {
            root: root.to_owned(),
            dump: matches!(mode, Mode::FromLogical(_)).then(|| Dump::beside(root)),
            behind: WriteBehind::start(root, Syncs::Early).map_err(failed("write below", root))?,
            buffer: vec![0; COPY_BUFFER],
        })
    }

    /// Waits for the last byte, then sets what the format does not leave to the payload:
    /// `pgdata` 0700, `secret.key` 0600, the data directory itself 0755.
    pub(super) fn finish(&mut self) -> Result<(), RehydrateError> {
        let written = self.behind.finish();
        written.map_err(failed("write below", &self.root))?;
        for (name, mode) in [("", 0o755), ("pgdata", 0o700), ("secret.key", 0o600)] {
            let path = self.root.join(name);
            if path.exists() {
                fs::set_permissions(&path, Permissions::from_mode(mode))
                    .map_err(failed("set the mode of", &path))?;
            }
        }
        let root = File::open(&self.root).map_err(failed("open", &self.root))?;
        let given = give(&root, DATABASUS);
        Ok(given.map_err(failed("set the owner of", &self.root))?)
    }

    /// Where an entry goes, and whose it is; none for what is checked and then dropped.
    fn place(&self, path: &EntryPath) -> Option<(PathBuf, User)> {
        let name = path.below(DATA_DIR)?;
        let in_pgdata = name == "pgdata" || name.starts_with("pgdata/");
        match in_pgdata {
            true if self.dump.is_some() => None,
            true => Some((self.root.join(name), POSTGRES)),
            false => Some((self.root.join(name), DATABASUS)),
        }
    }
}

impl EntryVisitor for DataDirWriter {
    fn directory(&mut self, path: &EntryPath, mode: u32) -> io::Result<()> {
        let Some((place, owner)) = self.place(path) else {
            return Ok(());
        };
        DirBuilder::new().mode(0o700).create(&place)?;
        let directory = File::open(&place)?;
        // Never without access for its owner: entries follow.
        directory.set_permissions(Permissions::from_mode(mode & 0o777 | 0o700))?;
        give(&directory, owner)
    }

    fn file(
        &mut self,
        path: &EntryPath,
        mode: u32,
        _size: u64,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        if let (Some(dump), Some(piece)) = (&mut self.dump, path.below(DUMP_DIR)) {
            return dump.append(piece, content, &mut self.buffer);
        }
        let Some((place, owner)) = self.place(path) else {
            return io::copy(content, &mut io::sink()).map(|_| ());
        };
        let file = new_file(&place)?;
        let settle = move |file: &File| {
            // Nor here: PostgreSQL has to read what it once wrote.
            file.set_permissions(Permissions::from_mode(mode & 0o777 | 0o600))?;
            give(file, owner)
        };
        self.behind.file(&place, file, content, Box::new(settle))
    }
}

/// The pieces of the logical copy, put together again.
struct Dump {
    place: PathBuf,
    file: Option<File>,
    pieces: u32,
}

impl Dump {
    fn beside(root: &Path) -> Self {
        Self {
            place: root.join(DUMP_FILE),
            file: None,
            pieces: 0,
        }
    }

    /// Appends a piece; they come in order, numbered from 1.
    fn append(&mut self, name: &str, content: &mut dyn Read, buffer: &mut [u8]) -> io::Result<()> {
        self.pieces += 1;
        let expected = format!("{:06}", self.pieces);
        if name != expected {
            let what = format!("piece {expected} of the logical copy is missing");
            return Err(io::Error::other(what));
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => new_file(&self.place)?,
        };
        copy(content, &file, buffer)?;
        self.file = Some(file);
        Ok(())
    }
}

fn copy(content: &mut dyn Read, mut file: &File, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        match content.read(buffer)? {
            0 => return Ok(()),
            read => file.write_all(&buffer[..read])?,
        }
    }
}
