//! Floor 3: places that hold escrows. One small blocking trait; `async` stays inside `s3`.
//!
//! # Contract
//! Every implementation, and every wrapper, passes the suite in `tests/it/store_contract.rs`:
//! - Keys are relative, `/`-separated, made of `[A-Za-z0-9._@+-]` segments; the store adds its
//!   own prefix. No key reaches outside of it. Reading and listing also know the names that
//!   other programs chose (Databasus puts database names into its objects' names), as long as
//!   they stay inside; what no key can name is left out of listings.
//! - A write is all or nothing: no reader ever sees a part of an object, and an object whose
//!   write returned `Ok` survives a crash of the host.
//! - [`Store::put_if_absent`] and [`Upload::complete`] never change an existing object: they
//!   fail with [`StoreErrorKind::AlreadyExists`]. A write that was retried after its answer got
//!   lost may fail so over its own object: callers compare the bytes before they give up.
//! - A read after a successful write sees it; a listing after it names it.
//! - Errors carry a kind; only [`StoreErrorKind::Transient`] is worth trying again later, and
//!   implementations have already retried it themselves before they say so.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;

use crate::base::names::StoreName;
use crate::base::text::printable;
use crate::base::time::UtcTime;
use crate::model::lock::Lock;

pub mod absent;
pub mod dir;
mod key;
pub mod memory;
mod parts;
pub mod probe;
mod rights;
#[cfg(feature = "s3")]
pub mod s3;
pub mod versions;

pub use rights::Rights;

use versions::Versions;

/// The action of [`Store::unfinished_uploads`] in errors.
const LIST_UPLOADS: &str = "list uploads under";

/// What went wrong with a store, by what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The key is taken: somebody was faster, or a slot is squatted.
    AlreadyExists,
    /// These credentials may not do this.
    Denied,
    /// The store does not know these credentials: the key id, the secret or the session token is
    /// wrong, has expired, or is too new. R2 knows a fresh token after up to half a minute only.
    UnknownCredentials,
    /// The run was told to stop.
    Interrupted,
    /// The bucket, or the directory, does not exist.
    NoSuchStore,
    /// The bucket is in another region, or behind another endpoint.
    Misdirected,
    /// No such object.
    NotFound,
    /// The object is larger than the caller allows.
    TooLarge,
    /// No room left in the store.
    OutOfSpace,
    /// This host's clock and the store's are too far apart for signed requests.
    ClockSkew,
    /// The store was not reachable, or answered with a passing failure, several times over.
    Transient,
    /// The service does not know how: versions and locks, above all.
    Unsupported,
    /// Anything else.
    Unexpected,
}

/// A store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("store {store}: {action} {}: {}", printable(key), kind.words())]
pub struct StoreError {
    /// What the caller can do about it.
    pub kind: StoreErrorKind,
    /// The store's name in the configuration.
    pub store: StoreName,
    /// What was tried: `put`, `get`, `list`, …
    pub action: &'static str,
    /// The key or prefix it was tried on, relative to the store.
    pub key: String,
    /// What the system below said.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// An error without a source.
    pub fn new(store: &StoreName, kind: StoreErrorKind, action: &'static str, key: &str) -> Self {
        Self {
            kind,
            store: store.clone(),
            action,
            key: key.to_owned(),
            source: None,
        }
    }

    /// The same error with what the system below said.
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl StoreErrorKind {
    /// Whether a store that failed like this may well answer tomorrow. What a bucket's writer can
    /// bring about, an object that nobody can read for one, is not among these: it must not make
    /// anything else look harmless.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::ClockSkew | Self::Interrupted | Self::Transient)
    }

    fn words(self) -> &'static str {
        match self {
            Self::AlreadyExists => "already exists",
            Self::Denied => "access denied",
            Self::UnknownCredentials => "access denied: the store does not know these credentials",
            Self::Interrupted => "interrupted",
            Self::NoSuchStore => "the bucket or directory does not exist",
            Self::Misdirected => "the bucket is in another region, or behind another endpoint",
            Self::NotFound => "not found",
            Self::TooLarge => "larger than allowed",
            Self::OutOfSpace => "no space left",
            Self::ClockSkew => "this host's clock differs too much from the store's",
            Self::Transient => "not reachable, or failing for the moment",
            Self::Unsupported => "not supported by this store",
            Self::Unexpected => "failed",
        }
    }
}

/// What a store says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Relative to the store.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// The store's entity tag without quotes, where it keeps one: a way to compare, no proof.
    pub etag: Option<String>,
    /// The store's version id, where it keeps versions.
    pub version_id: Option<String>,
}

/// An object read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its content.
    pub bytes: Vec<u8>,
    /// What [`Store::replace`] must be given to replace exactly this content.
    pub etag: String,
    /// The store's version id, where it keeps versions.
    pub version_id: Option<String>,
}

/// One part of a payload, with the digests that its upload needs.
#[derive(Clone, Debug)]
pub struct Part {
    /// Counted from 1.
    pub number: u32,
    /// All parts of an upload have the same length, save the last, which may be shorter.
    pub bytes: Bytes,
    /// MD5 of the bytes, for Content-MD5.
    pub md5: [u8; 16],
}

/// What is needed to abort an upload from another process, after a crash.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadTicket {
    /// The object's key, relative to the store.
    pub key: String,
    /// The store's own id of the upload.
    pub upload_id: String,
}

/// An upload that was begun and has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfinishedUpload {
    /// How to abort it. Its key is empty where the store does not remember it.
    pub ticket: UploadTicket,
    /// When it was begun, or last written to, by the store's clock: no part of it is younger
    /// than the later of the two.
    pub since: UtcTime,
}

/// A place that holds escrows.
pub trait Store: Send + Sync {
    /// The name in the configuration.
    fn name(&self) -> &StoreName;

    /// Where it is, for people: `s3://bucket/prefix at https://…` or a path. No secrets.
    fn location(&self) -> String;

    /// Writes a small object that does not exist yet.
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<ObjectMeta, StoreError>;

    /// Replaces a small object if it still has the entity tag that [`Store::get`] reported;
    /// fails with [`StoreErrorKind::AlreadyExists`] if it has changed since, and with that or
    /// [`StoreErrorKind::NotFound`] if it is gone.
    fn replace(&self, key: &str, bytes: &[u8], etag: &str) -> Result<ObjectMeta, StoreError>;

    /// Reads a whole object of at most `max_bytes`.
    fn get(&self, key: &str, max_bytes: u64) -> Result<Object, StoreError>;

    /// Reads `range` (in bytes) of an object. The range must lie inside the object.
    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// What the store says of an object, without reading it.
    fn head(&self, key: &str) -> Result<ObjectMeta, StoreError>;

    /// When the store got what is there, by its own clock; none where it does not say. Who copies
    /// a store gives everything another date.
    fn modified(&self, _key: &str) -> Result<Option<UtcTime>, StoreError> {
        Ok(None)
    }

    /// Visits objects under `prefix` in ascending order of their keys, beginning after
    /// `start_after` (a full key), until the visitor breaks. Each object is visited once.
    ///
    /// SeaweedFS orders names and not keys: there `a/…` comes before `a-b/…` in listings that
    /// are longer than a page and see both.
    fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(ObjectMeta) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Deletes an object; deleting what is not there succeeds.
    fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Begins an object that is written in parts of `part_size` bytes.
    fn start_upload(&self, key: &str, part_size: u64) -> Result<Box<dyn Upload>, StoreError>;

    /// Removes what an earlier process left of an unfinished upload; success if nothing is left.
    fn abort_upload(&self, ticket: &UploadTicket) -> Result<(), StoreError>;

    /// Visits uploads under `prefix` that were begun and have not ended, whoever began them,
    /// until the visitor breaks. Those whose key the store does not remember are visited under
    /// every prefix.
    fn unfinished_uploads(
        &self,
        prefix: &str,
        _: &mut dyn FnMut(UnfinishedUpload) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let kind = StoreErrorKind::Unsupported;
        Err(StoreError::new(self.name(), kind, LIST_UPLOADS, prefix))
    }

    /// The same store, which locks every version that it writes; none where there are no locks.
    /// That a lock was taken proves nothing: read it back, and try it.
    fn locking(&self, _: Lock) -> Option<Arc<dyn Store>> {
        None
    }

    /// Single versions of objects; none where there are never any. A service may still answer
    /// every call with [`StoreErrorKind::Unsupported`].
    fn versions(&self) -> Option<&dyn Versions> {
        None
    }
}

/// An object being written in parts. Parts may be put from several threads in any order.
pub trait Upload: Send + Sync {
    /// How to abort it from another process. Record it before the first part is put.
    fn ticket(&self) -> UploadTicket;

    /// Writes one part.
    fn put_part(&self, part: &Part) -> Result<(), StoreError>;

    /// Makes the object appear, if its key is still free. On failure nothing appears, and
    /// the upload has been aborted where that was possible, also after an interruption.
    fn complete(self: Box<Self>) -> Result<ObjectMeta, StoreError>;

    /// Gives up: nothing of it remains.
    fn abort(self: Box<Self>) -> Result<(), StoreError>;
}

/// Collects a listing. For prefixes whose number of objects is known to be small.
pub fn list_all(
    store: &dyn Store,
    prefix: &str,
    start_after: Option<&str>,
) -> Result<Vec<ObjectMeta>, StoreError> {
    let mut found = Vec::new();
    store.list(prefix, start_after, &mut |meta| {
        found.push(meta);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}
