//! What is wrong with a stream that opens and is no base backup of its plan.

use std::io;

use crate::base::entry_path::EntryPath;
use crate::base::text::printable;
use crate::postgres::backup_tar::BackupTarError;
use crate::postgres::control_file::ControlFileError;

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It does not decompress.
    #[error("it cannot be unpacked")]
    Unpack(#[source] io::Error),
    /// It is no sound tar.
    #[error(transparent)]
    Tar(#[from] BackupTarError),
    /// Two members of one path.
    #[error("{0} is in it twice")]
    Duplicate(EntryPath),
    /// A base of `WAL_V1` ends in its manifest.
    #[error("it has no backup_manifest at its end")]
    NoManifest,
    /// The control file says nothing.
    #[error("it has no sound global/pg_control")]
    Control(#[from] ControlFileError),
    /// It is of another cluster than its manifest or the plan says.
    #[error("its global/pg_control is of cluster {found}, and it should be of {expected}")]
    OtherCluster {
        /// By the control file.
        found: u64,
        /// By the manifest, or by the plan.
        expected: u64,
    },
    /// It is of another release than its sidecar says.
    #[error("its PG_VERSION is {:?}, and it should be {expected}", printable(.found))]
    OtherRelease {
        /// By the file.
        found: String,
        /// By the plan, or any number.
        expected: String,
    },
}
