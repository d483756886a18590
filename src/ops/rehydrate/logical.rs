//! A new cluster from the logical copy, for another PostgreSQL major or a damaged `pgdata`.

use std::path::Path;

use crate::base::cancel::Cancel;
use crate::model::index::Index;
use crate::postgres::binaries::Launcher;

use super::{Proof, RehydrateError};

/// Builds `pgdata` below `data_dir` from the logical copy.
pub(super) fn rebuild(
    _launcher: &Launcher,
    _data_dir: &Path,
    _index: &Index,
    _cancel: &Cancel,
) -> Result<Vec<Proof>, RehydrateError> {
    Err(RehydrateError::NoLogicalCopy)
}
