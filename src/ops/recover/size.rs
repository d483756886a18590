//! Whether a backup has the length that its sidecar says: the format itself has no mark of its end.

use crate::databasus::objects::sidecar::Sidecar;

/// A backup that has another length than its sidecar says, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has {found} bytes, and its sidecar says {said}")]
pub(super) struct SizeDiffers {
    /// By the sidecar.
    pub said: u64,
    /// What is there.
    pub found: u64,
}

/// Sidecars of physical backups say how long the backup is before encryption, those of WAL and of
/// history files how long the object is (DATABASUS.md §3.3). Where `plain` is not known, it is not
/// compared.
pub(super) fn check(sidecar: &Sidecar, plain: Option<u64>, stored: u64) -> Result<(), SizeDiffers> {
    let (said, found) = match sidecar {
        Sidecar::Full(backup) => (backup.compressed_size, plain),
        Sidecar::Incremental(incremental) => (incremental.backup.compressed_size, plain),
        Sidecar::Wal(wal) => (wal.stored_size, Some(stored)),
        Sidecar::History(history) => (history.stored_size, Some(stored)),
        Sidecar::Logical(_) => return Ok(()),
    };
    match found {
        Some(found) if found != said => Err(SizeDiffers { said, found }),
        _ => Ok(()),
    }
}
