//! Small objects that a manifest names with their digests, from whichever store has them whole.

use std::io;
use std::sync::Arc;

use crate::base::digest::Digest;
use crate::store::{Store, StoreError};

/// An object that no store gave as it was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignedObjectError {
    /// A store holds something else under its name.
    #[error("{0} is not what the manifest says")]
    Differs(String),
    /// Not one store gave it.
    #[error("cannot read {key}")]
    Unreadable {
        /// Its key.
        key: String,
        /// What the last store said.
        #[source]
        source: Option<StoreError>,
    },
}

/// Reads an object, and gives it to nobody before its digest was compared.
pub(super) fn read(
    stores: &[Arc<dyn Store>],
    key: &str,
    max_bytes: u64,
    sha256: &Digest,
) -> Result<Vec<u8>, SignedObjectError> {
    let mut differs = false;
    let mut last = None;
    for store in stores {
        match store.get(key, max_bytes) {
            Ok(there) if Digest::of(&there.bytes) == *sha256 => return Ok(there.bytes),
            Ok(_) => differs = true,
            Err(error) => last = Some(error),
        }
    }
    Err(match differs {
        true => SignedObjectError::Differs(key.to_owned()),
        false => SignedObjectError::Unreadable {
            key: key.to_owned(),
            source: last,
        },
    })
}

impl From<SignedObjectError> for io::Error {
    fn from(error: SignedObjectError) -> Self {
        Self::other(error)
    }
}
