//! What the same credentials can do to a version that is not locked, and the store's clock.

use std::ops::ControlFlow;

use crate::base::time::{Clock, UtcTime};
use crate::model::lock::{Lock, LockState};
use crate::store::versions::{Bypass, Versions};
use crate::store::{StoreError, StoreErrorKind};

use super::report::{CONTROL, Step};
use super::{CONTENT, Request, answer, told};

/// What came of writing and deleting a version that was not to be locked.
pub(super) struct Control {
    deleted: Result<(), StoreError>,
    /// The lock that the bucket put on it all the same.
    locked: Option<Lock>,
    /// How many seconds the store's clock is ahead of this host's; none where it does not tell.
    pub(super) ahead: Option<i64>,
}

impl Control {
    /// Writes and deletes a version with the same credentials, and reads the store's clock off it.
    pub(super) fn run(request: &Request<'_>, versions: &dyn Versions) -> Self {
        let key = format!("{}control", request.folder());
        let mut control = Self {
            deleted: Ok(()),
            locked: None,
            ahead: None,
        };
        let put = request.store.put_if_absent(&key, CONTENT);
        let now = request.clock.now();
        control.deleted = put.and_then(|meta| match meta.version_id {
            Some(id) => {
                let at = written_at(versions, &key, &id);
                control.ahead = at.map(|at| at.unix() - now.unix());
                let deleted = versions.delete_version(&key, &id, Bypass::No);
                if deleted.is_err() {
                    control.locked = lock_on(versions, &key, &id);
                }
                deleted
            }
            None => {
                // There are no versions, so that this leaves nothing behind.
                request.store.delete(&key)?;
                let (name, kind) = (request.store.name(), StoreErrorKind::Unsupported);
                Err(StoreError::new(name, kind, "put a version of", &key))
            }
        });
        control
    }

    pub(super) fn step(&self) -> Step {
        Step {
            name: CONTROL,
            outcome: answer(&self.deleted),
            stands: None,
            detail: self.deleted.as_ref().err().map(told).unwrap_or_default(),
        }
    }

    /// The store's time, as far as it is known.
    pub(super) fn now(&self, clock: &dyn Clock) -> UtcTime {
        clock.now().plus(self.ahead.unwrap_or(0))
    }

    /// Why refusals to delete say nothing of locks; none where they do.
    pub(super) fn why_not(&self) -> Option<String> {
        if self.deleted.is_ok() {
            return None;
        }
        let why = match self.locked {
            Some(lock) => format!(
                "the bucket locks by itself whatever is written ({lock}), so that it was not seen \
                 whether these credentials may delete what is not locked"
            ),
            None => "these credentials may not delete versions at all, so that refusals say \
                     nothing of locks; probe once with credentials that may"
                .to_owned(),
        };
        Some(why)
    }
}

fn written_at(versions: &dyn Versions, key: &str, id: &str) -> Option<UtcTime> {
    let mut at = None;
    let listed = versions.list_versions(key, None, &mut |version| {
        if version.key == key && version.id == id {
            at = Some(version.modified);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    listed.ok().and(at)
}

fn lock_on(versions: &dyn Versions, key: &str, id: &str) -> Option<Lock> {
    match versions.head_version(key, id).map(|head| head.lock) {
        Ok(LockState::Locked(lock)) => Some(lock),
        Ok(LockState::Unlocked | LockState::Unknown) | Err(_) => None,
    }
}
