//! What a drill works with once the escrow is back.

use std::path::Path;

use crate::base::cancel::Cancel;
use crate::base::time::UtcTime;
use crate::ops::recover::keys::KeyRing;

use super::FindPrograms;
use super::catalogue::Catalogue;
use super::opened::Opened;

/// What the rehydrated instance gives to those that follow.
pub(super) struct Work<'a> {
    pub(super) place: &'a Path,
    pub(super) began: UtcTime,
    pub(super) keys: KeyRing,
    pub(super) catalogue: Catalogue,
    pub(super) opened: &'a Opened<'a>,
    pub(super) programs: &'a dyn FindPrograms,
    pub(super) threads: usize,
    pub(super) cancel: &'a Cancel,
}
