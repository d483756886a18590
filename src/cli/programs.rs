//! Finding the PostgreSQL that a command starts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::cli::exit::CliError;
use crate::cli::source::docker;
use crate::cli::wire::environment;
use crate::postgres::binaries::{Docker, Launcher, NoPostgres, Places};
use crate::postgres::restore_tool::RestoreTool;

/// Which PostgreSQL, and where it was said to be.
pub(super) struct Wanted<'a> {
    /// Its major release.
    pub(super) major: u32,
    /// `--pg-bin`.
    pub(super) pg_bin: Option<&'a Path>,
    /// A Databasus image that has it.
    pub(super) image: Option<&'a str>,
}

/// What the surroundings offer.
struct Around {
    docker: Option<Docker>,
    pg_bin: Option<PathBuf>,
    path: Option<OsString>,
}

impl Around {
    fn look() -> Self {
        Self {
            docker: docker(),
            pg_bin: environment("PG_BIN").map(PathBuf::from),
            path: environment("PATH").map(OsString::from),
        }
    }
}

impl Wanted<'_> {
    /// Exactly this major: the only one that can start a cluster of it.
    pub(super) fn launcher(&self) -> Result<Launcher, CliError> {
        let around = Around::look();
        let found = Launcher::find(self.major, &self.places(&around));
        found.map_err(|error| self.missing(error))
    }

    /// This major or a later one: what a logical copy can be restored into.
    pub(super) fn launcher_or_later(&self) -> Result<Launcher, CliError> {
        let around = Around::look();
        let found = Launcher::find_at_least(self.major, &self.places(&around));
        found.map_err(|error| self.missing(error))
    }

    fn places<'p>(&'p self, around: &'p Around) -> Places<'p> {
        Places {
            given: self.pg_bin,
            pg_bin: around.pg_bin.as_deref(),
            path: around.path.as_deref(),
            image: around.docker.as_ref().zip(self.image),
        }
    }

    fn missing(&self, error: NoPostgres) -> CliError {
        let major = self.major;
        CliError::failed(error).hint(format!(
            "install PostgreSQL {major} (Debian: postgresql-{major}) or name its programs with --pg-bin"
        ))
    }
}

/// The newest `pg_restore` around: in `PG_BIN`, in the folders of PostgreSQL's releases, on `PATH`.
pub(super) fn restore_tool() -> Option<RestoreTool> {
    let around = Around::look();
    let beside = around.pg_bin.map(|dir| dir.join("pg_dump"));
    RestoreTool::find(beside.as_deref(), &around.path.unwrap_or_default())
}
