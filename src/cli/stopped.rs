//! What commands on a stopped data directory have in common.

use std::path::{Path, PathBuf};

use crate::cli::exit::CliError;
use crate::cli::source::docker;
use crate::postgres::stopped::Container;

/// The container that is to prove by its end that nothing runs on a directory.
pub(super) fn container(name: Option<&str>) -> Result<Option<Container>, CliError> {
    let Some(name) = name else {
        return Ok(None);
    };
    let docker = docker().ok_or_else(|| {
        CliError::usage("there is no docker or podman on PATH to ask for the container")
            .hint("without --container this host's processes are looked at")
    })?;
    Ok(Some(Container {
        docker,
        name: name.to_owned(),
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
