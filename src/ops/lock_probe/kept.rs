//! What is remembered of probes: what came of them, and what they may have left behind.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::base::error_chain::error_chain;
use crate::base::names::{Slug, StoreName};
use crate::model::lock::{LockState, ProbeRecord};
use crate::ops::destination::Destination;
use crate::ops::state::{LockProbe, ProbedFolder, State, StateError};
use crate::store::versions::{Bypass, Versions};
use crate::store::{Store, StoreError, StoreErrorKind};

use super::{LockReport, ProbedVersion, Request, probe};

/// Tries to break a lock in a store, on record: whatever kills the process, the folder that is
/// written to is known to the next probe, which clears it, as this one does with those before.
pub fn run(request: &Request<'_>, state: &State) -> Result<LockReport, StateError> {
    let (slug, name) = (request.slug, request.store.name());
    sweep(slug, request.store, state)?;
    let own = ProbedFolder {
        place: request.store.location(),
        folder: request.folder(),
    };
    let mut probes = state.lock_probes(slug)?;
    if request.store.versions().is_some() {
        let known = probes.entry(name.clone()).or_default();
        known.folders.push(own.clone());
        state.set_lock_probes(slug, &probes)?;
    }
    let report = probe(request);
    let known = probes.entry(name.clone()).or_default();
    known.last = Some(report.to_keep(own.place.clone()));
    state.set_lock_probes(slug, &probes)?;
    if report.left.is_empty() {
        // It is forgotten once nothing is there.
        sweep(slug, request.store, state)?;
    }
    Ok(report)
}

/// Deletes what earlier probes left in a store, as far as their locks have ended; what stays is
/// returned, and looked for again.
pub fn sweep(
    slug: &Slug,
    store: &dyn Store,
    state: &State,
) -> Result<Vec<ProbedVersion>, StateError> {
    let mut probes = state.lock_probes(slug)?;
    let mut stays = Vec::new();
    let Some(known) = probes.get_mut(store.name()) else {
        return Ok(stays);
    };
    let place = store.location();
    known.folders.retain(|one| {
        if one.place != place {
            return true;
        }
        let cleared = store.versions().map(|of| clear(of, &one.folder));
        match cleared {
            Some(Ok(left)) => {
                let is_needed = !left.is_empty();
                stays.extend(left);
                is_needed
            }
            // What knows no versions holds nothing back.
            Some(Err(error)) if error.kind == StoreErrorKind::Unsupported => false,
            Some(Err(error)) => {
                let error = error_chain(&error);
                tracing::warn!(%error, "what a probe left cannot be looked for");
                true
            }
            None => true,
        }
    });
    state.set_lock_probes(slug, &probes)?;
    Ok(stays)
}

/// Deletes every version below a folder, markers too; those that stay are returned.
pub(super) fn clear(
    versions: &dyn Versions,
    folder: &str,
) -> Result<Vec<ProbedVersion>, StoreError> {
    let mut found = Vec::new();
    versions.list_versions(folder, None, &mut |version| {
        found.push((version.key, version.id));
        ControlFlow::Continue(())
    })?;
    found.retain(|(key, id)| versions.delete_version(key, id, Bypass::No).is_err());
    let stays = found.into_iter();
    Ok(stays.map(|(key, id)| left(versions, key, id)).collect())
}

/// A version that stays, and until when.
pub(super) fn left(versions: &dyn Versions, key: String, version_id: String) -> ProbedVersion {
    let head = versions.head_version(&key, &version_id);
    let until = match head.map(|head| head.lock) {
        Ok(LockState::Locked(lock)) => Some(lock.until),
        Ok(LockState::Unlocked | LockState::Unknown) | Err(_) => None,
    };
    ProbedVersion {
        key,
        version_id,
        until,
    }
}

/// What manifests say of the last try to break such locks as are asked for in this place. What was
/// found under the same name somewhere else, or of locks that are softer or firmer, says nothing.
pub fn recorded(probes: &BTreeMap<StoreName, LockProbe>, to: &Destination) -> Option<ProbeRecord> {
    let last = probes.get(to.store.name())?.last.as_ref()?;
    let is_this = last.place == to.store.location() && Some(last.mode) == to.lock.map(|l| l.mode);
    is_this.then_some(last.record)
}
