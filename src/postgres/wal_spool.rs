//! The folder through which a replaying server gets its WAL: `wal` beside its data directory.
//!
//! A feed puts segments there ahead of replay; PostgreSQL's `restore_command`, the constant
//! [`RESTORE_COMMAND`], takes them away. The two agree by files alone, so that it does not matter
//! whether the server runs on this host or in a container that has the folder mounted:
//!
//! | file | written by | means |
//! |---|---|---|
//! | `plan` | feed, before the server starts | the name of every file that there will be, one a line |
//! | `lock` | feed | the feed lives as long as it holds an exclusive `flock` on it |
//! | `NAME` | feed, by a rename | the whole file, checked; a segment is taken by a rename, a history copied |
//! | `NAME.wanted` | command, again and again while it waits | replay waits for this file |
//! | `failed` | feed | what replay waits for will not come |
//!
//! What the command answers, and what PostgreSQL makes of it (`RestoreArchivedFile`): 0, there it
//! is; 1, not in the plan: the end of the log, or a timeline that does not exist; 255, not to be
//! had: PostgreSQL ends with a fatal error instead of taking it for the end. Whatever goes wrong
//! in the command itself is 255 too: a full disk at the rename, a fork that fails, a folder that is
//! gone since its owner was killed and the next run cleaned up.
//!
//! There is no race to lose. A file is there whole or not at all. A request that the feed removes
//! because it is about to answer it, or that is made at the moment in which the answer appears, is
//! made again or removed by the command, and at worst something is fetched twice. A file that was
//! taken is fetched again when it is wanted again: PostgreSQL reads the last segment twice. The
//! feed leaves `failed` behind however it ends, and one that was killed leaves its lock free.
//! Replay never asks for two files at once: only the startup process does.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::program::User;
use crate::base::file_error::{FileError, failed};

/// What the folder is called, beside the data directory.
pub const FOLDER: &str = "wal";

const PLAN: &str = "plan";
const LOCK: &str = "lock";
const FAILED: &str = "failed";
const WANTED: &str = ".wanted";

/// `restore_command` for a server whose data directory has the folder beside it. PostgreSQL puts
/// the file's name and the place for it in place of `%f` and `%p`; both are relative and made of
/// letters, digits, dots and slashes. For any POSIX shell, `flock` where there is one: without it,
/// a server that outlives its feed waits until the folder is removed.
pub const RESTORE_COMMAND: &str = "\
r=255; trap 'exit $r' 0
f=../wal/%f; n=0
if [ ! -f $f ]; then
  grep -qx %f ../wal/plan
  case $? in 0) ;; 1) r=1; exit ;; *) exit ;; esac
fi
until [ -f $f ]; do
  if [ -f ../wal/failed ] || [ ! -f ../wal/plan ]; then exit; fi
  true > $f.wanted || exit
  sleep 0.02 2> /dev/null || sleep 1
  n=$((n + 1))
  if [ $n = 50 ]; then n=0; flock -n ../wal/lock true 2> /dev/null && exit; fi
done
case $f in
  *.history) cp $f %p || exit ;;
  *) mv -f $f %p || exit ;;
esac
rm -f $f.wanted
r=0";

/// The feed's side of the folder.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    /// The server's user, where that is another than this process' own.
    owner: Option<User>,
    _lock: File,
}

impl Spool {
    /// Makes the folder, which `planned` files will go through. Nobody but `owner`, or this
    /// process' own user, may enter it.
    pub fn create<'a>(
        folder: &Path,
        owner: Option<User>,
        planned: impl Iterator<Item = &'a str>,
    ) -> Result<Self, FileError> {
        let made = DirBuilder::new().mode(0o700).create(folder);
        made.map_err(failed("create", folder))?;
        let lock_path = folder.join(LOCK);
        let lock = new_file(&lock_path, owner).map_err(failed("create", &lock_path))?;
        let held = flock(&lock, FlockOperation::NonBlockingLockExclusive);
        held.map_err(|error| failed("lock", &lock_path)(error.into()))?;
        let plan = folder.join(PLAN);
        let text: String = planned.flat_map(|name| [name, "\n"]).collect();
        let written = new_file(&plan, owner).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(failed("write", &plan))?;
        let handle = File::open(folder).map_err(failed("open", folder))?;
        give(&handle, owner).map_err(failed("give away", folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            owner,
            _lock: lock,
        })
    }

    /// A new file in the folder under a name that nobody asks for, to be filled and published.
    pub fn begin(&self, number: u64) -> Result<(PathBuf, File), FileError> {
        let path = self.folder.join(format!(".{number}"));
        let file = new_file(&path, self.owner).map_err(failed("create", &path))?;
        Ok((path, file))
    }

    /// Lets the server have a filled file.
    pub fn publish(&self, file: &Path, name: &str) -> Result<(), FileError> {
        // First: what is asked for from now on is asked for once more.
        let _ = fs::remove_file(self.folder.join(format!("{name}{WANTED}")));
        let place = self.folder.join(name);
        fs::rename(file, &place).map_err(failed("rename onto", &place))
    }

    /// Whether a published file has not been taken.
    pub fn holds(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    /// Takes back a published file, if it has not been taken.
    pub fn withdraw(&self, name: &str) {
        let _ = fs::remove_file(self.folder.join(name));
    }

    /// The file that replay waits for, if it does.
    pub fn wanted(&self) -> Result<Option<String>, FileError> {
        let entries = fs::read_dir(&self.folder).map_err(failed("list", &self.folder))?;
        for entry in entries {
            let name = entry.map_err(failed("list", &self.folder))?.file_name();
            let wanted = name.to_str().and_then(|name| name.strip_suffix(WANTED));
            if let Some(wanted) = wanted.filter(|wanted| !self.holds(wanted)) {
                return Ok(Some(wanted.to_owned()));
            }
        }
        Ok(None)
    }

    /// Says that what replay waits for will not come.
    pub fn fail(&self) {
        if let Err(error) = File::create(self.folder.join(FAILED)) {
            tracing::warn!(folder = %self.folder.display(), %error, "could not tell the server that no more WAL comes");
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if self.folder.exists() {
            self.fail();
        }
    }
}

fn new_file(path: &Path, owner: Option<User>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(path)?;
    give(&file, owner)?;
    Ok(file)
}

fn give(file: &File, owner: Option<User>) -> io::Result<()> {
    match owner {
        Some(user) => fchown(file, Some(user.uid), Some(user.gid)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
