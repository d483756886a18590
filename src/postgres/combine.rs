//! One data directory out of a full backup and the incremental ones on top of it, by
//! `pg_combinebackup` of their release.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use super::binaries::Launcher;
use super::container::{self, Confined};
use super::program::{self, ProgramError, User};
use crate::base::cancel::Cancel;
use crate::base::file_error::{FileError, failed};

const PROGRAM: &str = "pg_combinebackup";

/// Where the directories lie inside a container.
const CONTAINER_PLACE: &str = "/escrow/bases";

/// The first release that links files.
const FIRST_WITH_LINK: u32 = 18;

/// Backups were not combined.
#[derive(Debug, thiserror::Error)]
pub enum CombineError {
    /// The program failed, or was interrupted.
    #[error("the base backups cannot be combined")]
    Program(#[from] ProgramError),
    /// The directory that holds them cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Combines the directories `inputs` below `place`, the full backup first, to the directory
/// `output` beside them. It may share files with the inputs, which are of no use afterwards.
/// Nothing is synced. As root, the program runs as the user whom `place` belongs to.
pub fn combine(
    launcher: &Launcher,
    place: &Path,
    inputs: &[&str],
    output: &str,
    cancel: &Cancel,
) -> Result<(), CombineError> {
    let place = &fs::canonicalize(place).map_err(failed("find", place))?;
    let owner = fs::metadata(place).map_err(failed("look at", place))?;
    let owner = User {
        uid: owner.uid(),
        gid: owner.gid(),
    };
    let copying = Copying::cheapest(launcher, place).map_err(failed("write to", place))?;
    let arguments = |command: &mut Command| {
        command.args(["--no-sync", "--no-manifest"]);
        command.args(copying.argument());
        command.args(inputs).args(["-o", output]);
    };
    let ran = match launcher {
        Launcher::Local(binaries) => {
            let is_root = rustix::process::geteuid().is_root();
            let mut command = program::command(binaries, PROGRAM, is_root.then_some(owner));
            command.current_dir(place);
            arguments(&mut command);
            program::run(command, tells, cancel)
        }
        Launcher::Docker {
            docker,
            image,
            major,
        } => {
            let name = &format!("databasus-escrow-combine-{:016x}", rand::random::<u64>());
            let confined = Confined {
                name,
                user: owner,
                mounts: &[(place, CONTAINER_PLACE)],
                within: CONTAINER_PLACE,
            };
            let mut command = container::command(docker, image, *major, PROGRAM, &confined);
            arguments(&mut command);
            let ran = program::run(command, |_| true, cancel);
            if ran.is_err() {
                container::remove(docker, name);
            }
            ran
        }
    };
    Ok(ran?)
}

/// All that it says is about files of the backups.
fn tells(line: &str) -> bool {
    line.starts_with("pg_combinebackup: ")
}

/// How files that did not change come into the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copying {
    /// Both directories have the same file. That is safe only because the inputs are not used
    /// any more.
    Link,
    /// The file system shares their blocks.
    Clone,
    /// Byte by byte. (`copy_file_range` is no faster where nothing is shared.)
    Copy,
}

impl Copying {
    fn cheapest(launcher: &Launcher, place: &Path) -> io::Result<Self> {
        Ok(match launcher.major() {
            Some(major) if major >= FIRST_WITH_LINK => Self::Link,
            _ if can_clone(place)? => Self::Clone,
            _ => Self::Copy,
        })
    }

    fn argument(self) -> Option<&'static str> {
        match self {
            Self::Link => Some("--link"),
            Self::Clone => Some("--clone"),
            Self::Copy => None,
        }
    }
}

/// Whether the file system lets two files share their blocks, tried with two of its own.
fn can_clone(place: &Path) -> io::Result<bool> {
    let mut from: File = tempfile::tempfile_in(place)?;
    from.write_all(&[1; 4096])?;
    let to = tempfile::tempfile_in(place)?;
    Ok(rustix::fs::ioctl_ficlone(&to, &from).is_ok())
}
