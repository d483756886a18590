//! Whether what was extracted is of the cluster and the release that were planned.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::base::file_error::failed;
use crate::databasus::backup_chain::plan::Plan;
use crate::postgres::backup_manifest::BackupManifest;
use crate::postgres::control_file::ControlFile;

use super::damage::Damage;
use super::{BasesError, Planned};

/// The longest `PG_VERSION` that is read, in bytes.
const MAX_VERSION_BYTES: u64 = 64;

/// The control file and the major release of what lies in `folder`.
pub(super) fn check(
    folder: &Path,
    manifest: &BackupManifest,
    planned: &Planned<'_>,
    plan: &Plan,
) -> Result<(ControlFile, u32), BasesError> {
    let damaged = |source| BasesError::Damaged {
        name: planned.name.clone(),
        source,
    };
    let control = ControlFile::of(folder).map_err(|error| damaged(error.into()))?;
    let found = control.system_identifier;
    let ids = [
        manifest.system_identifier,
        planned.base.system_identifier,
        plan.system_identifier,
    ];
    if let Some(expected) = ids.into_iter().flatten().find(|id| *id != found) {
        return Err(damaged(Damage::OtherCluster { found, expected }));
    }
    let found = version(folder)?;
    let majors = [planned.base.pg_major, plan.pg_major];
    let mut majors = majors.into_iter().flatten();
    let major = found.trim_end().parse::<u32>().ok();
    match (major, majors.find(|wanted| Some(*wanted) != major)) {
        (Some(major), None) => Ok((control, major)),
        (_, wanted) => {
            let expected = wanted.map_or("a number".to_owned(), |major| major.to_string());
            Err(damaged(Damage::OtherRelease { found, expected }))
        }
    }
}

fn version(folder: &Path) -> Result<String, BasesError> {
    let path = folder.join("PG_VERSION");
    let mut text = Vec::new();
    let read = File::open(&path).and_then(|file| {
        let mut bounded = file.take(MAX_VERSION_BYTES);
        bounded.read_to_end(&mut text)
    });
    read.map_err(|error| BasesError::Write(failed("read", &path)(error)))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
