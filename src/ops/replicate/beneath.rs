//! A copy of a payload that somebody has deleted or written over, in a store that keeps versions.

use crate::model::lock::LockState;
use crate::model::manifest::{Manifest, StoreState};
use crate::ops::noncurrent;
use crate::ops::stored_copy;
use crate::store::Store;
use crate::store::versions::{VersionHead, Versions};

use super::Looking;

/// Looks for a version that is what was signed; what the store says of its lock. One that the
/// signed manifest records is known by its size and entity tag, unless all is to be read; of others
/// all bytes are read.
pub(super) fn find(
    store: &dyn Store,
    key: &str,
    manifest: &Manifest,
    looking: Looking,
) -> Option<LockState> {
    let versions = store.versions()?;
    let recorded = recorded(store, manifest);
    for id in &recorded {
        let Some(head) = fitting(versions, key, id, manifest) else {
            continue;
        };
        let is_known = looking == Looking::Listed
            && stored_copy::is_recorded(head.meta.etag.as_ref(), store.name(), manifest);
        if is_known || is_whole(store, key, id, manifest) {
            return Some(head.lock);
        }
    }
    let sight = noncurrent::look_at(store, key).ok()?;
    let others = sight.noncurrent.versions().map(|version| &version.id);
    let mut others = others.filter(|id| !recorded.contains(id));
    others.find_map(|id| {
        let head = fitting(versions, key, id, manifest)?;
        is_whole(store, key, id, manifest).then_some(head.lock)
    })
}

/// Versions that the manifest records for this store, the newest first.
fn recorded<'m>(store: &dyn Store, manifest: &'m Manifest) -> Vec<&'m String> {
    let records = manifest.stores.iter().rev();
    let here =
        records.filter(|record| record.name == *store.name() && record.state == StoreState::Stored);
    here.filter_map(|record| record.version_id.as_ref())
        .collect()
}

fn fitting(
    versions: &dyn Versions,
    key: &str,
    id: &str,
    manifest: &Manifest,
) -> Option<VersionHead> {
    let head = versions.head_version(key, id).ok()?;
    (head.meta.size == manifest.payload.size).then_some(head)
}

fn is_whole(store: &dyn Store, key: &str, id: &str, manifest: &Manifest) -> bool {
    stored_copy::compare_version(store, key, id, &manifest.payload).is_ok()
}
