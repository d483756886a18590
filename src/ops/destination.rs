//! A store as jobs that write to it use it.

use std::sync::Arc;

use crate::base::time::UtcTime;
use crate::model::lock::{Lock, LockPolicy};
use crate::store::Store;

/// A store that escrows are written to.
#[derive(Clone)]
pub struct Destination {
    /// The store.
    pub store: Arc<dyn Store>,
    /// For the manifest: `r2`, `dir`, …
    pub provider: String,
    /// For the manifest: the bucket; none for a directory.
    pub bucket: Option<String>,
    /// How that bucket is reached, to tell whether Databasus reaches it in the same way.
    pub access: Option<BucketAccess>,
    /// Whether a run is partial without it.
    pub required: bool,
    /// How what is written there is locked; none where it is not.
    pub lock: Option<LockPolicy>,
}

impl Destination {
    /// The store, locking what it writes as a payload is locked that is written now.
    pub fn for_payload(&self, now: UtcTime) -> Arc<dyn Store> {
        self.for_small(Lasting::Payload, now)
    }

    /// The store, locking what it writes as documents are locked that are written now.
    pub fn for_documents(&self, now: UtcTime) -> Arc<dyn Store> {
        self.for_small(Lasting::Manifest, now)
    }

    /// The store, locking what it writes as a small object is locked that is written now.
    pub fn for_small(&self, lasting: Lasting, now: UtcTime) -> Arc<dyn Store> {
        self.locking(self.lock_of(lasting, now))
    }

    /// The lock of what is written now; none where nothing is locked.
    pub fn lock_of(&self, lasting: Lasting, now: UtcTime) -> Option<Lock> {
        let policy = self.lock?;
        Some(match lasting {
            Lasting::Payload => policy.for_payload(now),
            Lasting::Manifest => policy.for_documents(now),
        })
    }

    /// A store that knows no locks is written to all the same: what is read back tells.
    fn locking(&self, lock: Option<Lock>) -> Arc<dyn Store> {
        let locking = lock.and_then(|lock| self.store.locking(lock));
        locking.unwrap_or_else(|| self.store.clone())
    }
}

/// How long a small object is of use, which is how long it stays locked where a store locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// As long as the payload that it belongs to.
    Payload,
    /// As long as manifests.
    Manifest,
}

/// A bucket, and who asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketAccess {
    /// With its scheme; none means AWS.
    pub endpoint: Option<String>,
    /// The bucket.
    pub bucket: String,
    /// The public half of the credentials.
    pub access_key_id: String,
}

/// The stores alone.
pub fn stores(destinations: &[Destination]) -> Vec<Arc<dyn Store>> {
    destinations.iter().map(|to| to.store.clone()).collect()
}
