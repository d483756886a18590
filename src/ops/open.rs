//! Opening one escrow: fetch, verify, decrypt, unpack; the part that `verify` and `rehydrate`
//! share.

use std::sync::Arc;

use crate::base::cancel::Cancel;
use crate::base::names::EscrowId;
use crate::model::finding::Finding;
use crate::model::index::Index;
use crate::model::layout::Layout;
use crate::model::manifest::{Manifest, StoreState};
use crate::sealing::identities::Identities;
use crate::sealing::parts::VerifiedStream;
use crate::sealing::unpack::{self, EntryVisitor, UnpackError};
use crate::store::Store;

use super::custody::unlock;
use super::fetch::{CopySource, Fetcher};

/// Told the size of each part that arrived, in bytes.
pub type OnBytes = Box<dyn Fn(u64) + Send + Sync>;

/// What opening an escrow gave.
pub struct Opened {
    /// The payload's index; every entry was found as it says.
    pub index: Index,
    /// What was wrong with stores on the way.
    pub findings: Vec<Finding>,
}

/// Opens the escrow of a verified manifest from whichever stores have it whole. Where it takes
/// several custodians, their identities open it together, or the escrow's own does.
pub fn open(
    manifest: &Manifest,
    stores: &[Arc<dyn Store>],
    identities: &Identities,
    visitor: &mut dyn EntryVisitor,
    cancel: &Cancel,
    on_bytes: OnBytes,
) -> Result<Opened, UnpackError> {
    with_identities(manifest, stores, identities, |own| {
        open_with(manifest, stores, own, visitor, cancel, on_bytes)
    })
}

/// Opens something with the identities that open the escrow itself: where it takes several
/// custodians, the escrow's own.
pub(super) fn with_identities<T>(
    manifest: &Manifest,
    stores: &[Arc<dyn Store>],
    identities: &Identities,
    open: impl FnOnce(&Identities) -> Result<T, UnpackError>,
) -> Result<T, UnpackError> {
    let unlocked = unlock::escrow_identity(manifest, stores, identities)
        .map(|own| own.map(|own| own.into_identities("the escrow's own")));
    let own = match &unlocked {
        Ok(Some(own)) => own,
        // Where nothing was unlocked, one of them may be the escrow's own.
        Ok(None) | Err(_) => identities,
    };
    match (open(own), unlocked) {
        (Err(UnpackError::NoIdentity), Err(why)) => Err(why.into()),
        (opened, _) => opened,
    }
}

fn open_with(
    manifest: &Manifest,
    stores: &[Arc<dyn Store>],
    identities: &Identities,
    visitor: &mut dyn EntryVisitor,
    cancel: &Cancel,
    on_bytes: OnBytes,
) -> Result<Opened, UnpackError> {
    let fetcher = fetcher(manifest, stores, cancel, on_bytes);
    let parts = fetcher.parts().map_err(UnpackError::Read)?;
    let stream = VerifiedStream::new(&manifest.payload, parts);
    let identities: Vec<_> = identities.iter().collect();
    let escrow_id: &EscrowId = &manifest.escrow_id;
    let index = unpack::open(stream, &identities, escrow_id, visitor)?;
    Ok(Opened {
        index,
        findings: fetcher.findings(),
    })
}

/// Reads the parts of a manifest's payload, from the stores that recorded a copy first.
pub fn fetcher(
    manifest: &Manifest,
    stores: &[Arc<dyn Store>],
    cancel: &Cancel,
    on_bytes: OnBytes,
) -> Fetcher {
    let recorded = |store: &Arc<dyn Store>| {
        // The newest of a store's copies counts.
        let mut records = manifest.stores.iter().rev();
        records.find(|record| record.name == *store.name() && record.state == StoreState::Stored)
    };
    let mut ordered = stores.to_vec();
    // The sort is stable: within each group the configuration's order stands.
    ordered.sort_by_key(|store| recorded(store).is_none());
    let copies = ordered.into_iter().map(|store| CopySource {
        version_id: recorded(&store).and_then(|record| record.version_id.clone()),
        store,
    });
    Fetcher::new(
        copies.collect(),
        Layout::new(&manifest.instance.slug).payload(manifest.sealed()),
        manifest.payload.clone(),
        cancel.clone(),
        on_bytes,
    )
}
