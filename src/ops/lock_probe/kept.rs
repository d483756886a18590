//! What this host remembers of its probes: what came of them, and what they had to leave.

use std::collections::BTreeMap;

use crate::base::names::{Slug, StoreName};
use crate::base::time::UtcTime;
use crate::model::lock::LockVerdict;
use crate::ops::state::{LockProbe, ProbedVersion, State, StateError};
use crate::store::Store;
use crate::store::versions::Bypass;

use super::LockReport;

/// Deletes what earlier probes left in a store, as far as their locks have ended.
pub fn sweep_earlier(
    store: &dyn Store,
    slug: &Slug,
    state: &State,
    now: UtcTime,
) -> Result<(), StateError> {
    let mut probes = state.lock_probes(slug)?;
    if let Some(probe) = probes.get_mut(store.name()) {
        probe.left = sweep(store, &probe.left, now);
        state.set_lock_probes(slug, &probes)?;
    }
    Ok(())
}

/// Remembers what came of a probe, for the next manifest, and what it left.
pub fn keep(report: &LockReport, slug: &Slug, state: &State) -> Result<(), StateError> {
    let mut probes = state.lock_probes(slug)?;
    insert(&mut probes, report);
    state.set_lock_probes(slug, &probes)
}

/// The same; but what nobody could find out does not take the place of what was found out.
pub fn keep_if_known(report: &LockReport, slug: &Slug, state: &State) -> Result<(), StateError> {
    let mut probes = state.lock_probes(slug)?;
    match probes.get_mut(&report.store) {
        Some(earlier) if report.verdict == LockVerdict::Unknown => {
            earlier.left.extend(report.left.iter().cloned());
        }
        _ => insert(&mut probes, report),
    }
    state.set_lock_probes(slug, &probes)
}

fn insert(probes: &mut BTreeMap<StoreName, LockProbe>, report: &LockReport) {
    let mut kept = report.to_keep();
    let earlier = probes.remove(&report.store);
    kept.left
        .extend(earlier.into_iter().flat_map(|one| one.left));
    probes.insert(report.store.clone(), kept);
}

/// Deletes what an earlier probe left, as far as its locks have ended; what stays is returned.
pub(super) fn sweep(store: &dyn Store, left: &[ProbedVersion], now: UtcTime) -> Vec<ProbedVersion> {
    let Some(versions) = store.versions() else {
        return left.to_vec();
    };
    let goes = |one: &ProbedVersion| {
        one.until <= now
            && versions
                .delete_version(&one.key, &one.version_id, Bypass::No)
                .is_ok()
    };
    left.iter().filter(|one| !goes(one)).cloned().collect()
}
