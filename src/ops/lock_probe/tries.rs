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
const SHORTER: i64 = 60;

/// The version, and how to get at it.
pub(super) struct Tries<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) versions: &'a dyn Versions,
    pub(super) key: &'a str,
    pub(super) id: &'a str,
    pub(super) lock: Lock,
}

/// A name, and what is tried under it.
pub(super) type Try<'a> = (&'static str, fn(&Tries<'a>) -> Result<(), StoreError>);

impl<'a> Tries<'a> {
    /// A governance lock cannot be downgraded.
    pub(super) fn all(&self) -> Vec<Try<'a>> {
        let downgrades: &[Try<'a>] = match self.lock.mode {
            LockMode::Governance => &[],
            LockMode::Compliance => &[
                (DOWNGRADE, |tries| tries.downgrade(Bypass::No)),
                (DOWNGRADE_BYPASSING, |tries| {
                    tries.downgrade(Bypass::Governance)
                }),
            ],
        };
        let milder: &[Try<'a>] = &[
            (OVERWRITE, Self::overwrite),
            (HIDE, |tries| tries.request.store.delete(tries.key)),
            (SHORTEN, |tries| tries.shorten(Bypass::No)),
            (SHORTEN_BYPASSING, |tries| tries.shorten(Bypass::Governance)),
        ];
        let deletes: &[Try<'a>] = &[
            (DELETE, |tries| tries.delete(Bypass::No)),
            (DELETE_BYPASSING, |tries| tries.delete(Bypass::Governance)),
        ];
        [milder, downgrades, deletes].concat()
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
