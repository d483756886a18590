//! Everything that lies in a storage of Databasus, looked at without Databasus: the listing
//! grouped into backups, and their sidecars.
//!
//! A storage can hold a hundred thousand objects. The listing keeps one small record per backup;
//! everything beyond that is asked for concerning chosen backups only, several at once, and given to
//! the caller as it arrives.

use std::ops::ControlFlow;

use crate::base::cancel::Cancel;
use crate::base::parallel;
use crate::databasus::objects::group::{BackupGroup, Grouped, Grouping};
use crate::databasus::objects::name::{BackupName, Role};
use crate::databasus::objects::sidecar::{MAX_SIDECAR_BYTES, Sidecar, SidecarError};
use crate::store::{Store, StoreError, StoreErrorKind};

pub mod probe;

/// Small requests at once: they wait for the network and for nothing else.
const REQUESTS: usize = 16;

/// How often the caller hears of a listing's progress, in objects. S3 lists a thousand at a time.
const TELL_EVERY: u64 = 1000;

/// What there is of a sidecar.
#[derive(Debug)]
pub enum FoundSidecar {
    /// The listing names none.
    Absent,
    /// It makes sense and belongs to its backup.
    Read(Box<Sidecar>),
    /// It does not; it commits nothing.
    Unusable(SidecarError),
    /// It could not be read: what it says is unknown.
    Unread(StoreError),
}

impl FoundSidecar {
    /// What it says, where it is good.
    pub fn get(&self) -> Option<&Sidecar> {
        match self {
            Self::Read(sidecar) => Some(sidecar),
            Self::Absent | Self::Unusable(_) | Self::Unread(_) => None,
        }
    }
}

/// Lists a storage and puts together what belongs together. `on_objects` is told now and then
/// how many objects have been seen.
///
/// An error means that the listing is not whole; what is missing from half of one proves nothing.
pub fn list(
    store: &dyn Store,
    cancel: &Cancel,
    on_objects: &mut dyn FnMut(u64),
) -> Result<Grouped, StoreError> {
    let mut grouping = Grouping::new();
    let mut seen = 0;
    store.list("", None, &mut |meta| {
        grouping.add(&meta.key, meta.size, meta.etag.as_deref());
        seen += 1;
        if seen % TELL_EVERY == 0 {
            on_objects(seen);
        }
        match cancel.check() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    if let Err(interrupted) = cancel.check() {
        let error = StoreError::new(store.name(), StoreErrorKind::Interrupted, "list", "");
        return Err(error.caused_by(interrupted));
    }
    on_objects(seen);
    Ok(grouping.finish())
}

/// Reads the sidecars of some backups, several at once, and gives each to `take` with the place
/// of its backup in `groups`. Breaking ends it.
pub fn read_sidecars(
    store: &dyn Store,
    groups: &[BackupGroup],
    mut take: impl FnMut(usize, FoundSidecar) -> ControlFlow<()>,
) {
    let job = |index: usize| groups.get(index).map(|group| read_sidecar(store, group));
    parallel::for_each(groups.len(), REQUESTS, job, |index, found| match found {
        Some(found) => take(index, found),
        None => ControlFlow::Continue(()),
    });
}

/// Reads the sidecar of one backup that a listing named.
pub fn read_sidecar(store: &dyn Store, group: &BackupGroup) -> FoundSidecar {
    match group.sidecar {
        Some(_) => sidecar_of(store, &group.name),
        None => FoundSidecar::Absent,
    }
}

/// Looks for the sidecar of one backup by its name.
pub fn sidecar_of(store: &dyn Store, name: &BackupName) -> FoundSidecar {
    match store.get(&name.object(Role::Sidecar), MAX_SIDECAR_BYTES) {
        Ok(object) => match Sidecar::parse(&object.bytes, name) {
            Ok(sidecar) => FoundSidecar::Read(Box::new(sidecar)),
            Err(error) => FoundSidecar::Unusable(error),
        },
        Err(error) => match error.kind {
            StoreErrorKind::NotFound => FoundSidecar::Absent,
            StoreErrorKind::TooLarge => FoundSidecar::Unusable(SidecarError::TooLarge),
            _ => FoundSidecar::Unread(error),
        },
    }
}

#[cfg(test)]
mod tests;
