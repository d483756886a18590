//! Whether PostgreSQL will be able to work where a target is to appear.

use std::path::{Path, PathBuf};

use crate::base::file_error::{FileError, failed};
use crate::postgres::binaries::PgBinaries;
use crate::postgres::program::runs_in;

use super::ownership::{POSTGRES, gives_away};

/// The user whom PostgreSQL runs as has no way in.
#[derive(Debug, thiserror::Error)]
pub enum NoAccess {
    /// PostgreSQL does not run as root, and as whom it runs may not execute it.
    #[error("user {uid}, as whom PostgreSQL is to run, cannot execute {program}")]
    Program {
        /// The server's program.
        program: PathBuf,
        /// The user.
        uid: u32,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The server could not reach its data directory.
    #[error(
        "user {uid}, as whom PostgreSQL is to run, cannot enter {directory}; let it (chmod o+x), or name a target elsewhere"
    )]
    Directory {
        /// The topmost directory that it cannot enter.
        directory: PathBuf,
        /// The user.
        uid: u32,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// As root, PostgreSQL runs as another user, who must be able to execute it and be let through
/// every directory above `place`.
pub fn check_access(programs: &PgBinaries, place: &Path) -> Result<(), NoAccess> {
    if !gives_away() {
        return Ok(());
    }
    let uid = POSTGRES.uid;
    let root = Path::new("/");
    runs_in(programs, POSTGRES, root).map_err(|source| NoAccess::Program {
        program: programs.program("postgres"),
        uid,
        source,
    })?;
    let mut above: Vec<&Path> = place.ancestors().collect();
    above.reverse();
    above.into_iter().try_for_each(|directory| {
        runs_in(programs, POSTGRES, directory).map_err(|source| NoAccess::Directory {
            directory: directory.to_owned(),
            uid,
            source,
        })
    })
}

/// How many bytes an unprivileged user can still write where `place` is.
pub fn free_room(place: &Path) -> Result<u64, FileError> {
    let status = rustix::fs::statvfs(place).map_err(|e| failed("look at", place)(e.into()))?;
    Ok(status.f_bavail.saturating_mul(status.f_frsize))
}
