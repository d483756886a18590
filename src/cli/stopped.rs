//! What commands on a stopped data directory have in common.

use std::path::{Path, PathBuf};

use crate::base::cancel::Cancel;
use crate::cli::args::StoppedDirectory;
use crate::cli::exit::CliError;
use crate::cli::hints;
use crate::cli::programs::Wanted;
use crate::cli::source::docker;
use crate::cli::storages::{Haste, Storages};
use crate::ops::stopped_instance::StoppedInstance;
use crate::postgres::binaries::Launcher;
use crate::postgres::stopped::Container;

/// The instance in the directory, proven to be stopped.
pub(super) fn open(directory: &StoppedDirectory) -> Result<StoppedInstance, CliError> {
    let container = container(directory)?;
    StoppedInstance::open(&directory.data_dir, container.as_ref()).map_err(hints::stopped_instance)
}

/// What starts a server on it.
pub(super) fn launcher(
    directory: &StoppedDirectory,
    instance: &StoppedInstance,
) -> Result<Launcher, CliError> {
    let wanted = Wanted {
        major: instance.major(),
        pg_bin: directory.pg_bin.as_deref(),
        image: directory.image.as_deref(),
    };
    wanted.launcher()
}

/// The storages that its metadata names.
pub(super) fn storages(
    directory: &StoppedDirectory,
    cancel: &Cancel,
) -> Result<Storages, CliError> {
    let local = local_files(&directory.data_dir);
    Storages::new(Haste::Need, local, &directory.read_only_credentials, cancel)
}

/// The container that is to prove by its end that nothing runs on a directory.
fn container(directory: &StoppedDirectory) -> Result<Option<Container>, CliError> {
    let Some(name) = &directory.container else {
        return Ok(None);
    };
    let docker = docker().ok_or_else(|| {
        CliError::usage("there is no docker or podman on PATH to ask for the container")
            .hint("without --container this host's processes are looked at")
    })?;
    Ok(Some(Container {
        docker,
        name: name.clone(),
    }))
}

/// Where the files of LOCAL storages are; an escrow holds none unless it was told to, and then
/// an empty folder says nothing of what production has.
pub(super) fn local_files(data_dir: &Path) -> Option<PathBuf> {
    let folder = data_dir.join("backups");
    let is_file = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
    };
    let has_files = std::fs::read_dir(&folder).is_ok_and(|mut found| found.any(is_file));
    has_files.then_some(folder)
}
