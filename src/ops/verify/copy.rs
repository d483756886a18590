//! One store's copy: every part, what hides it, and the lock on it.

use std::sync::Arc;

use crate::base::error_chain::error_chain;
use crate::base::time::UtcTime;
use crate::model::finding::{Finding, Severity};
use crate::model::layout::Layout;
use crate::model::lock::{LockRecord, LockState};
use crate::model::manifest::{Manifest, StoreRecord, StoreState};
use crate::ops::locks;
use crate::ops::open::{self, OnBytes};
use crate::store::{Store, StoreErrorKind};

use super::{CopyReport, CopyState, Ports};

/// Reads every part of a copy, and asks for its lock.
pub(super) fn verify(
    manifest: &Manifest,
    store: &Arc<dyn Store>,
    ports: &Ports<'_>,
    on_bytes: OnBytes,
) -> CopyReport {
    let alone = std::slice::from_ref(store);
    let fetcher = open::fetcher(manifest, alone, ports.cancel, on_bytes);
    let read = fetcher
        .parts()
        .and_then(|mut parts| parts.try_for_each(|part| part.map(drop)));
    let records = manifest.stores.iter();
    let records = || {
        records
            .clone()
            .filter(|record| record.name == *store.name())
    };
    let (mut told, wrong): (Vec<Finding>, Vec<Finding>) =
        fetcher.findings().into_iter().partition(is_hidden);
    let (state, why) = match read {
        // The version that was read has the signed length.
        Ok(()) if !told.is_empty() => (CopyState::Verified, None),
        Ok(()) => whole(Seen::of(manifest, store)),
        Err(error) => {
            let why = wrong.last().map(|finding| finding.message.clone());
            let why = why.unwrap_or_else(|| error_chain(&error));
            let recorded = records().next_back().map(|record| record.state);
            broken(&wrong, Seen::of(manifest, store), recorded, why)
        }
    };
    // Each copy's lock is to hold, also that of one that was made anew since.
    let locks = records().map(|record| lock_of(record, store.as_ref(), ports.now, &mut told));
    let lock = locks.flatten().last();
    CopyReport {
        store: store.name().clone(),
        state,
        why,
        lock,
        told,
    }
}

/// Whether it tells that a copy lay behind a delete or beneath an overwrite.
fn is_hidden(finding: &Finding) -> bool {
    matches!(finding.id, "payload-hidden" | "payload-overwritten")
}

/// Stock tools would read what follows the last part.
fn whole(seen: Seen) -> (CopyState, Option<String>) {
    match seen {
        Seen::WrongSize(why) => (CopyState::Damaged, Some(why)),
        Seen::Nothing | Seen::Unclear => (CopyState::Verified, None),
    }
}

fn broken(
    wrong: &[Finding],
    seen: Seen,
    recorded: Option<StoreState>,
    why: String,
) -> (CopyState, Option<String>) {
    let damaged = wrong
        .iter()
        .any(|finding| finding.severity == Severity::Violation);
    match (seen, recorded) {
        _ if damaged => (CopyState::Damaged, Some(why)),
        (Seen::WrongSize(why), _) => (CopyState::Damaged, Some(why)),
        (_, Some(StoreState::Failed)) => (CopyState::NeverStored, Some(why)),
        (Seen::Nothing, Some(StoreState::Stored)) => (CopyState::Missing, Some(why)),
        // The manifest does not know this store, by this name at least.
        (Seen::Nothing, None) => (CopyState::NeverStored, Some(why)),
        (Seen::Unclear, _) => (CopyState::Unknown, Some(why)),
    }
}

/// A copy's lock as its store tells it now, where its manifest records one.
fn lock_of(
    record: &StoreRecord,
    store: &dyn Store,
    now: UtcTime,
    told: &mut Vec<Finding>,
) -> Option<LockRecord> {
    let recorded = record.lock.as_ref()?;
    let found = locks::read_back(store, &record.key, record.version_id.as_deref());
    told.extend(match locks::is_gone(store, record) {
        true => gone(store, recorded, now),
        false => locks::weakened(store.name(), recorded, found, now),
    });
    Some(LockRecord {
        probe: recorded.probe,
        ..LockRecord::read_back(found, now)
    })
}

fn gone(store: &dyn Store, recorded: &LockRecord, now: UtcTime) -> Option<Finding> {
    let LockState::Locked(lock) = recorded.state() else {
        return None;
    };
    (lock.until > now).then(|| {
        let name = store.name();
        let message = format!("store {name}: the copy was locked {lock}, and is gone");
        Finding::violation("lock-weakened", message)
    })
}

/// What a store says of a copy that could not be read.
enum Seen {
    /// It answers, and has nothing of that name.
    Nothing,
    /// Cut or grown, and how. Reading beyond the end looks like any other failure.
    WrongSize(String),
    /// Nobody knows.
    Unclear,
}

impl Seen {
    fn of(manifest: &Manifest, store: &Arc<dyn Store>) -> Self {
        let key = Layout::new(&manifest.instance.slug).payload(manifest.sealed());
        let signed = manifest.payload.size;
        match store.head(&key) {
            Err(error) if error.kind == StoreErrorKind::NotFound => Self::Nothing,
            Ok(meta) if meta.size != signed => Self::WrongSize(format!(
                "store {}: the copy has {} bytes instead of {signed}",
                store.name(),
                meta.size
            )),
            _ => Self::Unclear,
        }
    }
}
