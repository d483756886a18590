//! A store's copy of a payload, held against what was signed.

use std::ops::Range;

use bytes::Bytes;

use crate::base::error_chain::error_chain;
use crate::base::names::StoreName;
use crate::model::manifest::{Manifest, Payload};
use crate::sealing::parts::VerifiedPart;
use crate::store::{ObjectMeta, Store, StoreError, StoreErrorKind};

/// A copy that is not what was signed, or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Nothing is known.
    #[error("{}", error_chain(.0))]
    Unread(StoreError),
    /// It is something else.
    #[error("{0}")]
    Differs(String),
}

/// Reads a copy back: size and entity tag, and the bytes wherever the tag cannot vouch for all of
/// them.
pub fn compare(store: &dyn Store, key: &str, payload: &Payload) -> Result<ObjectMeta, CopyError> {
    let meta = head(store, key, payload)?;
    // The ETag of a multipart object is the MD5 of its parts' MD5s: the store's own word that
    // all of them arrived. The last part is read all the same, as a proof that reading works.
    let vouched = meta.etag.as_deref() == Some(payload.md5_etag.as_str());
    let last = payload.parts.len() - 1;
    read_from(if vouched { last } else { 0 }, store, key, payload)?;
    Ok(meta)
}

/// Reads all of a copy.
pub fn compare_whole(store: &dyn Store, key: &str, payload: &Payload) -> Result<(), CopyError> {
    head(store, key, payload)?;
    read_from(0, store, key, payload)
}

/// Reads all of one version of a copy.
pub fn compare_version(
    store: &dyn Store,
    key: &str,
    id: &str,
    payload: &Payload,
) -> Result<(), CopyError> {
    let unsupported = || StoreError::new(store.name(), StoreErrorKind::Unsupported, "read", key);
    let versions = store.versions().ok_or_else(unsupported);
    let versions = versions.map_err(CopyError::Unread)?;
    read_parts(0, store, payload, &|range| {
        versions.get_version_range(key, id, range)
    })
}

/// Whether the entity tag is the one that the manifest recorded, or that of these parts. A store
/// without tags has nothing to compare.
pub fn is_recorded(etag: Option<&String>, store: &StoreName, manifest: &Manifest) -> bool {
    let Some(etag) = etag else {
        return true;
    };
    let records = manifest.stores.iter();
    let mut recorded = records.filter(|record| record.name == *store);
    *etag == manifest.payload.md5_etag || recorded.any(|record| record.etag.as_ref() == Some(etag))
}

fn head(store: &dyn Store, key: &str, payload: &Payload) -> Result<ObjectMeta, CopyError> {
    let meta = store.head(key).map_err(CopyError::Unread)?;
    match meta.size == payload.size {
        true => Ok(meta),
        false => Err(CopyError::Differs(format!(
            "store {}: the copy has {} bytes instead of {}",
            store.name(),
            meta.size,
            payload.size
        ))),
    }
}

fn read_from(
    first: usize,
    store: &dyn Store,
    key: &str,
    payload: &Payload,
) -> Result<(), CopyError> {
    read_parts(first, store, payload, &|range| store.get_range(key, range))
}

fn read_parts(
    first: usize,
    store: &dyn Store,
    payload: &Payload,
    read: &dyn Fn(Range<u64>) -> Result<Bytes, StoreError>,
) -> Result<(), CopyError> {
    for index in first..payload.parts.len() {
        let bytes = read(payload.part_range(index)).map_err(CopyError::Unread)?;
        VerifiedPart::check(payload, index, bytes)
            .map_err(|error| CopyError::Differs(format!("store {}: {error}", store.name())))?;
    }
    Ok(())
}
