//! What is remembered of probes: what came of them, and what they may have left behind.

use std::collections::BTreeMap;

use crate::base::error_chain::error_chain;
use crate::base::names::{Slug, StoreName};
use crate::model::lock::{LockState, LockVerdict, ProbeRecord};
use crate::ops::destination::Destination;
use crate::ops::state::{LockProbe, ProbedFolder, State, StateError};
use crate::store::versions::{Bypass, Versions, list_all_versions};
use crate::store::{Store, StoreError, StoreErrorKind};

use super::{LockReport, ProbedVersion, Request, folder, probe};

/// Tries to break a lock in a store, on record.
pub fn run(request: &Request<'_>, state: &State) -> Result<LockReport, StateError> {
    let Request { slug, store, .. } = *request;
    announce(slug, store, request.random, state)?;
    let report = probe(request);
    keep(slug, store, &report, state)?;
    Ok(report)
}

/// Remembers where a probe is about to write: whatever kills the process, the next one clears that
/// folder, as this one does with those before.
pub fn announce(
    slug: &Slug,
    store: &dyn Store,
    random: [u8; 8],
    state: &State,
) -> Result<(), StateError> {
    sweep(slug, store, state)?;
    if store.versions().is_none() {
        return Ok(());
    }
    let mut probes = state.lock_probes(slug)?;
    let known = probes.entry(store.name().clone()).or_default();
    known.folders.push(ProbedFolder {
        place: store.location(),
        folder: folder(slug, random),
    });
    state.set_lock_probes(slug, &probes)
}

/// Remembers what came of an announced probe, for the next manifest.
fn keep(
    slug: &Slug,
    store: &dyn Store,
    report: &LockReport,
    state: &State,
) -> Result<(), StateError> {
    let mut probes = state.lock_probes(slug)?;
    let known = probes.entry(store.name().clone()).or_default();
    known.last = Some(report.to_keep(store.location()));
    state.set_lock_probes(slug, &probes)?;
    forget_cleared(slug, store, report, state)
}

/// The same; but what nobody could find out does not take the place of what was found out.
pub fn keep_if_known(
    slug: &Slug,
    store: &dyn Store,
    report: &LockReport,
    state: &State,
) -> Result<(), StateError> {
    let probes = state.lock_probes(slug)?;
    let known = probes.get(store.name()).and_then(|one| one.last.as_ref());
    match known {
        Some(_) if report.verdict == LockVerdict::Unknown => {
            forget_cleared(slug, store, report, state)
        }
        _ => keep(slug, store, report, state),
    }
}

/// A folder is forgotten once nothing is there.
fn forget_cleared(
    slug: &Slug,
    store: &dyn Store,
    report: &LockReport,
    state: &State,
) -> Result<(), StateError> {
    match report.left.is_empty() {
        true => sweep(slug, store, state).map(drop),
        false => Ok(()),
    }
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
    let mut found = list_all_versions(versions, folder)?;
    found.retain(|one| {
        let deleted = versions.delete_version(&one.key, &one.id, Bypass::No);
        deleted.is_err()
    });
    let stays = found.into_iter();
    Ok(stays.map(|one| left(versions, one.key, one.id)).collect())
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
