//! Small objects that are known by what they hold, wherever in a store they lie.

use crate::base::digest::Digest;
use crate::store::{Store, StoreError, StoreErrorKind};

use super::look_at;

/// A document that was found by its digest.
pub struct Document {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Whether it lay behind a delete marker or beneath an overwrite.
    pub is_beneath: bool,
}

/// Reads a small object that must have this digest: as it is, or else a version of it that has.
/// None if the store has it in neither way.
pub fn get_document(
    store: &dyn Store,
    key: &str,
    digest: &Digest,
    max_bytes: u64,
) -> Result<Option<Document>, StoreError> {
    get_where(store, key, max_bytes, &|bytes| Digest::of(bytes) == *digest)
}

/// The same for an object that is known by something else.
///
/// Whatever keeps the current version from being read for good may have been put there for that:
/// an overwrite with a key that only its writer has, or into an archive. So all but a passing
/// failure leads to a look beneath; it is told only where nothing is found there.
pub fn get_where(
    store: &dyn Store,
    key: &str,
    max_bytes: u64,
    is_it: &dyn Fn(&[u8]) -> bool,
) -> Result<Option<Document>, StoreError> {
    let failed = match store.get(key, max_bytes) {
        Ok(object) if is_it(&object.bytes) => {
            return Ok(Some(Document {
                bytes: object.bytes,
                is_beneath: false,
            }));
        }
        Ok(_) => None,
        Err(error) if error.kind.is_passing() => return Err(error),
        Err(error) => Some(error).filter(|error| !is_absence(error.kind)),
    };
    match get_beneath(store, key, max_bytes, is_it)? {
        None => failed.map_or(Ok(None), Err),
        found => Ok(found),
    }
}

/// What a store has under a key, the newest first: what is current, and what deletes and overwrites
/// hide. For small objects whose content is known by a signature alone.
pub fn contents<'s>(
    store: &'s dyn Store,
    key: &str,
    max_bytes: u64,
) -> impl Iterator<Item = Vec<u8>> + use<'s> {
    let current = store.get(key, max_bytes).ok().map(|object| object.bytes);
    let key = key.to_owned();
    // Nobody asks for versions where the current one is good.
    let beneath = std::iter::once_with(move || beneath(store, &key, max_bytes));
    current.into_iter().chain(beneath.flatten())
}

fn beneath(store: &dyn Store, key: &str, max_bytes: u64) -> Vec<Vec<u8>> {
    let Some((versions, sight)) = store.versions().zip(look_at(store, key).ok()) else {
        return Vec::new();
    };
    let found = sight.noncurrent.versions();
    let found = found.filter(|version| version.size <= max_bytes);
    let read = found.filter_map(|version| versions.get_version(key, &version.id, max_bytes).ok());
    read.map(|object| object.bytes).collect()
}

/// Looks through the versions beneath. One that could not be read may have been the one: that is
/// told rather than that there is none.
fn get_beneath(
    store: &dyn Store,
    key: &str,
    max_bytes: u64,
    is_it: &dyn Fn(&[u8]) -> bool,
) -> Result<Option<Document>, StoreError> {
    let Some(versions) = store.versions() else {
        return Ok(None);
    };
    let sight = look_at(store, key)?;
    let fitting = sight
        .noncurrent
        .versions()
        .filter(|one| one.size <= max_bytes);
    let mut unread = None;
    for version in fitting {
        match versions.get_version(key, &version.id, max_bytes) {
            Ok(object) if is_it(&object.bytes) => {
                return Ok(Some(Document {
                    bytes: object.bytes,
                    is_beneath: true,
                }));
            }
            Err(error) if error.kind.is_passing() => unread = Some(error),
            Ok(_) | Err(_) => {}
        }
    }
    unread.map_or(Ok(None), Err)
}

/// Whether the store said that what is current cannot be what is looked for.
fn is_absence(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::NotFound | StoreErrorKind::TooLarge)
}
