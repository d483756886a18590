//! A store as jobs that write to it use it.

use std::sync::Arc;

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
