//! Which payloads each store holds: one listing of a store, and one of what deletes and
//! overwrites hide there.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::base::error_chain::error_chain;
use crate::base::names::StoreName;
use crate::model::audit::facts::{CopiesSeen, CopySeen, Seen};
use crate::model::finding::Finding;
use crate::model::layout::Layout;
use crate::ops::history::EscrowSummary;
use crate::ops::noncurrent;
use crate::store::{ObjectMeta, Store, StoreError, StoreErrorKind};

use super::{Kept, Request, in_every_store};

/// Payloads that have to be there, by their keys.
type ByKey<'h> = HashMap<String, &'h EscrowSummary>;

pub(super) fn look(
    request: &Request<'_>,
    retained: &[Kept<'_>],
) -> BTreeMap<StoreName, Seen<CopiesSeen>> {
    let layout = request.history.layout();
    let keyed = retained
        .iter()
        .map(|(_, escrow)| (layout.payload(escrow.sealed()), *escrow));
    let wanted: ByKey<'_> = keyed.collect();
    let looked = in_every_store(request.stores, |store| look_into(store, layout, &wanted));
    let seen = looked.into_iter().map(|(name, seen)| {
        let seen = seen.map_or_else(|error| Seen::unknown(error_chain(&error)), Seen::Known);
        (name, seen)
    });
    seen.collect()
}

fn look_into(
    store: &Arc<dyn Store>,
    layout: &Layout,
    wanted: &ByKey<'_>,
) -> Result<CopiesSeen, StoreError> {
    let missing = wanted
        .values()
        .map(|escrow| (escrow.id.clone(), CopySeen::Missing));
    let mut by_escrow: BTreeMap<_, _> = missing.collect();
    let prefix = layout.escrows();
    let listed = store.list(&prefix, None, &mut |meta| {
        if let Some(escrow) = wanted.get(&meta.key) {
            by_escrow.insert(escrow.id.clone(), compare(escrow, &meta, store.name()));
        }
        ControlFlow::Continue(())
    });
    match listed {
        Err(error) if error.kind != StoreErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let hidden = hidden(store.as_ref(), &prefix, wanted)?;
    Ok(CopiesSeen { by_escrow, hidden })
}

/// The tag is compared with the one that the store gave after the upload, and with what S3 gives
/// an upload of the signed parts. Where the store told none, there is nothing to compare.
fn compare(escrow: &EscrowSummary, meta: &ObjectMeta, store: &StoreName) -> CopySeen {
    if meta.size != escrow.size {
        return CopySeen::OtherSize;
    }
    let recorded = escrow
        .record_in(store)
        .and_then(|record| record.etag.as_ref());
    match (&meta.etag, recorded) {
        (Some(now), Some(then)) if now != then && *now != escrow.md5_etag => CopySeen::OtherTag,
        _ => CopySeen::AsSigned,
    }
}

fn hidden(store: &dyn Store, prefix: &str, wanted: &ByKey<'_>) -> Result<Vec<Finding>, StoreError> {
    let sight = noncurrent::look(store, prefix, None, &mut |key| wanted.contains_key(key))?;
    let beneath = sight.keys.iter().filter_map(|(key, noncurrent)| {
        let id = &wanted.get(key)?.id;
        let name = store.name();
        let finding = match noncurrent.is_hidden {
            true => {
                let message = format!("store {name}: somebody has deleted {id}'s payload");
                Finding::violation("payload-hidden", message)
            }
            false => {
                let message = format!("store {name}: somebody has written over {id}'s payload");
                Finding::violation("payload-overwritten", message)
            }
        };
        Some(finding.about(name))
    });
    Ok(beneath.chain(sight.finding).collect())
}
