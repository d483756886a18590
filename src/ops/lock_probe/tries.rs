//! Everything that must not work on a locked version, the mildest first.

use crate::model::lock::{Lock, LockMode};
use crate::store::StoreError;
use crate::store::versions::{Bypass, Versions};

use super::report::{
    DELETE, DELETE_BYPASSING, DOWNGRADE, DOWNGRADE_BYPASSING, HIDE, OVERWRITE, SHORTEN,
    SHORTEN_BYPASSING,
};
use super::{CONTENT, Request};

/// How much a lock is shortened, in seconds.
pub(super) const SHORTER: i64 = 60;

/// The version, and how to get at it.
pub(super) struct Tries<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) versions: &'a dyn Versions,
    pub(super) key: &'a str,
    pub(super) id: &'a str,
    pub(super) lock: Lock,
}

/// Something that is tried.
pub(super) struct Try<'a> {
    pub(super) name: &'static str,
    /// Whether it sets the lock anew.
    pub(super) sets_lock: bool,
    pub(super) act: Act<'a>,
}

impl<'a> Tries<'a> {
    /// A governance lock cannot be downgraded.
    pub(super) fn all(&self) -> Vec<Try<'a>> {
        let mut all = vec![
            other(OVERWRITE, Self::overwrite),
            other(HIDE, |tries| tries.request.store.delete(tries.key)),
            lock(SHORTEN, |tries| tries.shorten(Bypass::No)),
            lock(SHORTEN_BYPASSING, |tries| tries.shorten(Bypass::Governance)),
        ];
        if self.lock.mode == LockMode::Compliance {
            all.extend([
                lock(DOWNGRADE, |tries| tries.downgrade(Bypass::No)),
                lock(DOWNGRADE_BYPASSING, |tries| {
                    tries.downgrade(Bypass::Governance)
                }),
            ]);
        }
        all.extend([
            other(DELETE, |tries| tries.delete(Bypass::No)),
            other(DELETE_BYPASSING, |tries| tries.delete(Bypass::Governance)),
        ]);
        all
    }

    fn overwrite(&self) -> Result<(), StoreError> {
        let store = self.request.store;
        let there = store.get(self.key, CONTENT.len() as u64)?;
        let replaced = store.replace(self.key, b"written over\n", &there.etag);
        replaced.map(drop)
    }

    fn shorten(&self, bypass: Bypass) -> Result<(), StoreError> {
        let shorter = Lock {
            until: self.lock.until.plus(-SHORTER),
            ..self.lock
        };
        self.versions.set_lock(self.key, self.id, shorter, bypass)
    }

    fn downgrade(&self, bypass: Bypass) -> Result<(), StoreError> {
        let softer = Lock {
            mode: LockMode::Governance,
            ..self.lock
        };
        self.versions.set_lock(self.key, self.id, softer, bypass)
    }

    fn delete(&self, bypass: Bypass) -> Result<(), StoreError> {
        self.versions.delete_version(self.key, self.id, bypass)
    }
}

type Act<'a> = fn(&Tries<'a>) -> Result<(), StoreError>;

fn lock<'a>(name: &'static str, act: Act<'a>) -> Try<'a> {
    Try {
        name,
        sets_lock: true,
        act,
    }
}

fn other<'a>(name: &'static str, act: Act<'a>) -> Try<'a> {
    Try {
        name,
        sets_lock: false,
        act,
    }
}
