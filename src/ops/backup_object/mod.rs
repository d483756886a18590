//! One stored backup, whichever way it lies in a storage: as one object or in parts
//! (DATABASUS.md §3.4).

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::base::digest::Digest;
use crate::base::text::printable;
use crate::databasus::objects::group::{Layout, StoredStream};
use crate::databasus::objects::name::Piece;
use crate::databasus::objects::parts::{MAX_PART_LIST_BYTES, PartList, PartListError};
use crate::store::{Store, StoreError, StoreErrorKind};

mod reader;

pub use reader::ObjectReader;

/// A stored stream: a backup or a manifest. Cheap to clone.
#[derive(Clone)]
pub struct BackupObject {
    store: Arc<dyn Store>,
    name: Arc<str>,
    extents: Arc<[Extent]>,
    size: u64,
}

/// The bytes of a stream that one object holds.
#[derive(Clone, Debug)]
struct Extent {
    key: String,
    /// Where in the stream they begin.
    start: u64,
    size: u64,
    /// As the store told it, to notice a change.
    etag: Option<Box<str>>,
    /// Of a part.
    sha256: Option<Digest>,
}

/// Whether the parts of a chunked backup are compared with the digests in their list, which
/// takes reading all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartDigests {
    /// On the way; a part that is not what the list says is an error at its end.
    Check,
    /// Not: what is read authenticates itself.
    Ignore,
}

/// A stored backup cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BackupObjectError {
    /// Neither an object of that name nor a list of parts.
    #[error("there is no object {}", printable(.0))]
    NotFound(String),
    /// The list of parts is not one.
    #[error("{}.parts is not usable", printable(.name))]
    List {
        /// The stream.
        name: String,
        /// What is wrong with its list.
        #[source]
        source: PartListError,
    },
    /// A part that the list names is gone.
    #[error("{} of the list is missing", printable(.0))]
    PartMissing(String),
    /// An object has another length than its list or an earlier look said.
    #[error("{} has {found} bytes and not {expected}", printable(.key))]
    Size {
        /// The object.
        key: String,
        /// By the list, or by the first look.
        expected: u64,
        /// Now.
        found: u64,
    },
    /// The object was replaced while it was read.
    #[error("{} was replaced while it was read", printable(.0))]
    Changed(String),
    /// The bytes of a part are not those that Databasus wrote.
    #[error("{} does not have the SHA-256 that its list names", printable(.0))]
    PartDigest(String),
    /// The store failed.
    #[error("cannot read from the storage")]
    Store(#[source] StoreError),
}

impl BackupObject {
    /// Finds a stream by its name, as Databasus does: the list of parts first, and where there
    /// is none, the object itself.
    pub fn find(store: &Arc<dyn Store>, name: &str) -> Result<Self, BackupObjectError> {
        match store.get(&list_key(name), MAX_PART_LIST_BYTES) {
            Ok(list) => Self::chunked(store, name, &list.bytes),
            Err(error) if error.kind == StoreErrorKind::NotFound => Self::head(store, name),
            Err(error) => Err(BackupObjectError::Store(error)),
        }
    }

    /// Takes a stream as a listing described it: a single object costs no request.
    pub fn listed(
        store: &Arc<dyn Store>,
        name: &str,
        stream: &StoredStream,
    ) -> Result<Self, BackupObjectError> {
        match (stream.layout(), &stream.whole) {
            (Layout::Single { size }, Some(whole)) => {
                Ok(Self::single(store, name, size, whole.etag.clone()))
            }
            _ => Self::find(store, name),
        }
    }

    fn head(store: &Arc<dyn Store>, name: &str) -> Result<Self, BackupObjectError> {
        let meta = match store.head(name) {
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                return Err(BackupObjectError::NotFound(name.to_owned()));
            }
            other => other.map_err(BackupObjectError::Store)?,
        };
        let etag = meta.etag.map(String::into_boxed_str);
        Ok(Self::single(store, name, meta.size, etag))
    }

    fn single(store: &Arc<dyn Store>, name: &str, size: u64, etag: Option<Box<str>>) -> Self {
        let extent = Extent {
            key: name.to_owned(),
            start: 0,
            size,
            etag,
            sha256: None,
        };
        Self::of(store, name, vec![extent], size)
    }

    fn chunked(store: &Arc<dyn Store>, name: &str, list: &[u8]) -> Result<Self, BackupObjectError> {
        // Names of the store are paths; the parts' keys hold the last name only.
        let stream = name.rsplit('/').next().unwrap_or(name);
        let list = PartList::parse(list, stream).map_err(|source| BackupObjectError::List {
            name: name.to_owned(),
            source,
        })?;
        let mut extents = Vec::with_capacity(list.parts().len());
        let mut start = 0;
        for (number, part) in (1..).zip(list.parts()) {
            let extent = Extent {
                key: format!("{name}{}", Piece::Part(number)),
                start,
                size: part.size,
                etag: None,
                sha256: Some(part.sha256),
            };
            start += part.size;
            extents.push(extent.found_in(store.as_ref())?);
        }
        Ok(Self::of(store, name, extents, list.total()))
    }

    fn of(store: &Arc<dyn Store>, name: &str, extents: Vec<Extent>, size: u64) -> Self {
        Self {
            store: Arc::clone(store),
            name: name.into(),
            extents: extents.into(),
            size,
        }
    }

    /// Its name in the storage, without what marks a part.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its stored length in bytes, all parts together.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many objects hold it.
    pub fn objects(&self) -> usize {
        self.extents.len()
    }

    /// Its first bytes, at most `length`.
    pub fn beginning(&self, length: u64) -> Result<Bytes, BackupObjectError> {
        self.range(0..length.min(self.size))
    }

    /// Bytes of it, across the bounds of parts. The range must lie inside.
    pub fn range(&self, range: Range<u64>) -> Result<Bytes, BackupObjectError> {
        let mut pieces = Vec::new();
        for extent in self.extents.iter() {
            let start = range.start.max(extent.start);
            let end = range.end.min(extent.start + extent.size);
            if start < end {
                let within = start - extent.start..end - extent.start;
                pieces.push(self.get(extent, within)?);
            }
        }
        match pieces.as_slice() {
            [whole] => Ok(whole.clone()),
            pieces => Ok(pieces.iter().fold(BytesMut::new(), join).freeze()),
        }
    }

    fn get(&self, extent: &Extent, within: Range<u64>) -> Result<Bytes, BackupObjectError> {
        self.store
            .get_range(&extent.key, within)
            .map_err(|error| match error.kind {
                StoreErrorKind::NotFound => BackupObjectError::NotFound(extent.key.clone()),
                // A range that lies outside now lay inside at the first look.
                _ => self
                    .unchanged(extent)
                    .err()
                    .unwrap_or(BackupObjectError::Store(error)),
            })
    }

    /// Looks once more whether the objects are those that the first look saw.
    fn check_unchanged(&self) -> Result<(), BackupObjectError> {
        self.extents
            .iter()
            .try_for_each(|extent| self.unchanged(extent))
    }

    fn unchanged(&self, extent: &Extent) -> Result<(), BackupObjectError> {
        let now = extent.clone().found_in(self.store.as_ref())?;
        match (&extent.etag, &now.etag) {
            (Some(then), Some(now)) if then != now => {
                Err(BackupObjectError::Changed(extent.key.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Reads all of it from the beginning, fetched ahead by a few threads.
    pub fn reader(&self, digests: PartDigests) -> std::io::Result<ObjectReader> {
        ObjectReader::new(self.clone(), digests)
    }
}

impl Extent {
    /// The extent with what the store says of its object now, if the length is as expected.
    fn found_in(mut self, store: &dyn Store) -> Result<Self, BackupObjectError> {
        let meta = match store.head(&self.key) {
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                return Err(match self.sha256 {
                    Some(_) => BackupObjectError::PartMissing(self.key),
                    None => BackupObjectError::NotFound(self.key),
                });
            }
            other => other.map_err(BackupObjectError::Store)?,
        };
        if meta.size != self.size {
            return Err(BackupObjectError::Size {
                key: self.key,
                expected: self.size,
                found: meta.size,
            });
        }
        self.etag = meta.etag.map(String::into_boxed_str);
        Ok(self)
    }
}

fn list_key(name: &str) -> String {
    format!("{name}{}", Piece::List)
}

fn join(mut all: BytesMut, piece: &Bytes) -> BytesMut {
    all.extend_from_slice(piece);
    all
}

#[cfg(test)]
mod tests;
