//! What can be known to end badly before a byte is fetched.

use std::path::{Path, PathBuf};

use crate::base::text;
use crate::model::manifest::Manifest;
use crate::postgres::binaries::{Launcher, PgBinaries};

use super::{Mode, RehydrateError};
use crate::target::access::{NoAccess, check_access, free_room};

/// This rehydrate cannot work here.
#[derive(Debug, thiserror::Error)]
pub enum Unable {
    /// The control file of another major is another format.
    #[error("the escrow is of PostgreSQL {escrow}, which PostgreSQL {given} cannot run")]
    Major {
        /// The source's version.
        escrow: String,
        /// The major that was given.
        given: String,
    },
    /// A copy can be restored into its own major or a later one.
    #[error(
        "the escrow is of PostgreSQL {escrow}; its logical copy needs that major or a later one, not {given}"
    )]
    Older {
        /// The source's version.
        escrow: String,
        /// The major that was given.
        given: String,
    },
    /// The logical copy goes through two programs that have to see each other.
    #[error(
        "a cluster can be built from the logical copy with PostgreSQL's programs on this host only, not with an image's"
    )]
    Image,
    /// The server's user cannot run the program, or cannot get to the directory.
    #[error(transparent)]
    Access(#[from] NoAccess),
    /// What is sealed is even larger.
    #[error("there is room for {} in {place}, and the escrow has {} sealed", text::bytes(*free), text::bytes(*sealed))]
    Room {
        /// Where the target is to be.
        place: PathBuf,
        /// In bytes.
        free: u64,
        /// In bytes.
        sealed: u64,
    },
}

/// Refuses what cannot work, where `place` is the directory that the target is to appear in.
pub(super) fn check(manifest: &Manifest, place: &Path, mode: &Mode) -> Result<(), RehydrateError> {
    match mode {
        Mode::FilesOnly => {}
        Mode::Full(launcher) => check_major(manifest, launcher)?,
        Mode::FromLogical(launcher) => check_logical(manifest, launcher)?,
    }
    if let Mode::Full(Launcher::Local(programs)) | Mode::FromLogical(Launcher::Local(programs)) =
        mode
    {
        check_access(programs, place).map_err(Unable::from)?;
    }
    check_room(manifest, place, mode)
}

fn check_major(manifest: &Manifest, launcher: &Launcher) -> Result<(), Unable> {
    let escrow = &manifest.source.pg_version;
    if launcher.major().is_some() && launcher.major() == major_of(escrow) {
        return Ok(());
    }
    Err(Unable::Major {
        escrow: text::printable(escrow).into_owned(),
        given: version(launcher),
    })
}

fn check_logical(manifest: &Manifest, launcher: &Launcher) -> Result<(), Unable> {
    let escrow = &manifest.source.pg_version;
    programs(launcher)?;
    if launcher.major().is_some() && launcher.major() >= major_of(escrow) {
        return Ok(());
    }
    Err(Unable::Older {
        escrow: text::printable(escrow).into_owned(),
        given: version(launcher),
    })
}

fn version(launcher: &Launcher) -> String {
    match launcher {
        Launcher::Local(programs) => text::printable(&programs.version).into_owned(),
        Launcher::Docker { major, .. } => major.to_string(),
    }
}

/// 17 of `17.10`.
pub(super) fn major_of(version: &str) -> Option<u32> {
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// What is sealed is compressed, so at least that much room it takes: a lower bound that spares
/// a vain download, no promise.
fn check_room(manifest: &Manifest, place: &Path, mode: &Mode) -> Result<(), RehydrateError> {
    if matches!(mode, Mode::FromLogical(_)) {
        return Ok(());
    }
    let free = free_room(place)?;
    let sealed = manifest.payload.size;
    if free >= sealed {
        return Ok(());
    }
    Err(Unable::Room {
        place: place.to_owned(),
        free,
        sealed,
    }
    .into())
}

/// The programs on this host.
pub(super) fn programs(launcher: &Launcher) -> Result<&PgBinaries, Unable> {
    match launcher {
        Launcher::Local(binaries) => Ok(binaries),
        Launcher::Docker { .. } => Err(Unable::Image),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_major_is_the_number_before_the_point() {
        assert_eq!(major_of("17.10"), Some(17));
        assert_eq!(major_of("18"), Some(18));
        assert_eq!(major_of("18beta1"), Some(18));
        assert_eq!(major_of("unknown"), None);
    }
}
