//! From the directories of base backups to the one of the cluster.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::cancel::Cancel;
use crate::base::file_error::{FileError, failed};
use crate::postgres::binaries::Launcher;
use crate::postgres::combine::{CombineError, combine as pg_combine};

use super::ExtractedBase;

/// The base backups were not made into one.
#[derive(Debug, thiserror::Error)]
pub enum CombineBasesError {
    /// `pg_combinebackup` did not do it.
    #[error(transparent)]
    Combine(#[from] CombineError),
    /// There is no PostgreSQL to do it.
    #[error("incremental backups are put together by pg_combinebackup alone, which is not there")]
    NoPrograms,
    /// A directory could not be moved or removed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Makes the directory `name` below `staged`, a cluster as of the end of the last of `bases`, and
/// removes those. Where there is but a full one, it becomes the cluster, with no PostgreSQL at hand.
///
/// Its `backup_manifest` is gone: it would describe what replay is about to change.
pub fn combine(
    launcher: Option<&Launcher>,
    staged: &Path,
    bases: &[ExtractedBase],
    name: &str,
    cancel: &Cancel,
) -> Result<PathBuf, CombineBasesError> {
    let data = staged.join(name);
    if let [full] = bases {
        let manifest = full.folder.join(super::contents::MANIFEST_FILE);
        fs::remove_file(&manifest).map_err(failed("remove", &manifest))?;
        fs::rename(&full.folder, &data).map_err(failed("rename", &full.folder))?;
        return Ok(data);
    }
    let launcher = launcher.ok_or(CombineBasesError::NoPrograms)?;
    let folders = bases
        .iter()
        .filter_map(|base| base.folder.file_name()?.to_str());
    let folders: Vec<&str> = folders.collect();
    pg_combine(launcher, staged, &folders, name, cancel)?;
    for base in bases {
        fs::remove_dir_all(&base.folder).map_err(failed("remove", &base.folder))?;
    }
    Ok(data)
}
