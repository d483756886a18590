//! The copies of one payload: what became of each upload, read back and compared.

use std::sync::Arc;

use crate::base::error_chain::error_chain;
use crate::base::names::StoreName;
use crate::base::time::UtcTime;
use crate::model::finding::Finding;
use crate::model::lock::{Lock, LockRecord, LockState, ProbeRecord};
use crate::model::manifest::{Payload, StoreRecord, StoreState};
use crate::ops::stored_copy;
use crate::ops::upload::StoreOutcome;
use crate::store::{ObjectMeta, Store, StoreError, StoreErrorKind};

use crate::ops::commit::CommitError;
use crate::ops::destination::Destination;
use crate::ops::locks;

/// One store's copy of the payload, or the lack of one.
pub(super) struct Copy {
    pub(super) destination: Destination,
    upload: Result<ObjectMeta, StoreError>,
    differs: Option<String>,
    /// When its upload was begun.
    begun: UtcTime,
    /// The lock that was asked for, and what was read back.
    lock: Option<(Lock, LockState)>,
}

impl Copy {
    /// What became of uploads that were begun at this moment.
    pub(super) fn collect(
        destinations: &[Destination],
        outcomes: Vec<StoreOutcome>,
        begun: UtcTime,
    ) -> Vec<Self> {
        let pairs = destinations.iter().zip(outcomes);
        pairs
            .map(|(destination, outcome)| Self {
                destination: destination.clone(),
                upload: outcome.result,
                differs: None,
                begun,
                lock: None,
            })
            .collect()
    }

    /// Why there is no usable copy; none if there is one.
    pub(super) fn failure(&self) -> Option<String> {
        match &self.upload {
            Err(error) => Some(error_chain(error)),
            Ok(_) => self.differs.clone(),
        }
    }

    /// What the manifest says of it; `probe` is what came of the last try to break a lock.
    pub(super) fn record(
        &self,
        key: &str,
        now: UtcTime,
        probe: Option<ProbeRecord>,
    ) -> StoreRecord {
        let stored = self.stored();
        StoreRecord {
            name: self.destination.store.name().clone(),
            provider: self.destination.provider.clone(),
            bucket: self.destination.bucket.clone(),
            key: key.to_owned(),
            version_id: stored.and_then(|meta| meta.version_id.clone()),
            etag: stored.and_then(|meta| meta.etag.clone()),
            state: match stored {
                Some(_) => StoreState::Stored,
                None => StoreState::Failed,
            },
            lock: self.lock.map(|(_, found)| LockRecord {
                probe,
                ..LockRecord::read_back(found, now)
            }),
        }
    }

    fn stored(&self) -> Option<&ObjectMeta> {
        self.upload.as_ref().ok().filter(|_| self.differs.is_none())
    }

    /// What is to be told of its lock.
    pub(super) fn finding(&self) -> Option<Finding> {
        let (asked, found) = self.lock?;
        locks::shortfall(self.name(), "the payload", asked, found)
    }

    pub(super) fn name(&self) -> &StoreName {
        self.store().name()
    }

    /// Whether the upload ended well, so that nothing unfinished can be left of it.
    pub(super) fn is_uploaded(&self) -> bool {
        self.upload.is_ok()
    }

    fn store(&self) -> &Arc<dyn Store> {
        &self.destination.store
    }

    /// Reads the copy back. A completion whose answer got lost may have failed over its own
    /// object: what is there under a name that nobody can guess is then compared like any other.
    fn verify(&mut self, payload: &Payload) {
        if let Err(error) = &self.upload
            && error.kind == StoreErrorKind::AlreadyExists
            && let Ok(there) = self.store().head(&error.key)
        {
            self.upload = Ok(there);
        }
        if let Ok(uploaded) = &mut self.upload {
            let store = self.destination.store.as_ref();
            match stored_copy::compare(store, &uploaded.key, payload) {
                // Not every store names the version that it has just joined.
                Ok(there) => uploaded.version_id = uploaded.version_id.take().or(there.version_id),
                Err(error) => self.differs = Some(error.to_string()),
            }
        }
        self.read_lock();
    }

    fn read_lock(&mut self) {
        let (Some(policy), Some(meta)) = (self.destination.lock, self.stored()) else {
            return;
        };
        let store = self.store().as_ref();
        let found = locks::read_back(store, &meta.key, meta.version_id.as_deref());
        self.lock = Some((policy.for_payload(self.begun), found));
    }
}

/// Reads every copy back: size and entity tag, and the bytes wherever the tag cannot vouch for
/// all of them; and the lock, where one was asked for.
pub(super) fn verify(copies: &mut [Copy], payload: &Payload) {
    std::thread::scope(|scope| {
        for copy in copies {
            scope.spawn(|| copy.verify(payload));
        }
    });
    // A copy that was complete but is not what was sealed is useless, and harmless without a
    // manifest that names it as stored.
}

/// The error for the case that no store has a usable copy.
pub(super) fn none_left(copies: Vec<Copy>) -> CommitError {
    let told = copies.iter().filter_map(Copy::failure).collect();
    let first = copies.into_iter().find_map(|copy| copy.upload.err());
    CommitError::NoStore { told, first }
}
