//! Locks, as stores tell of them now.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::base::parallel::for_each;
use crate::model::audit::facts::Seen;
use crate::model::finding::Finding;
use crate::model::lock::{LockRecord, LockState};
use crate::model::manifest::StoreRecord;
use crate::ops::verify;
use crate::store::Store;

use super::{CONCURRENCY, Kept, Request};

/// What became of every lock on a payload that a manifest records and that should hold yet.
pub(super) fn weakened(request: &Request<'_>, retained: &[Kept<'_>]) -> Seen<Vec<Finding>> {
    let recorded: Vec<(&Arc<dyn Store>, &StoreRecord)> = retained
        .iter()
        .flat_map(|(_, escrow)| escrow.first_copies.iter().chain(&escrow.late_copies))
        .filter(|record| {
            record
                .lock
                .as_ref()
                .is_some_and(|lock| should_hold(lock, request))
        })
        .filter_map(|record| {
            let mut stores = request.stores.iter();
            Some((stores.find(|store| *store.name() == record.name)?, record))
        })
        .collect();
    let mut found: Vec<(usize, Vec<Finding>)> = Vec::new();
    let look = |at: usize| {
        let mut told = Vec::new();
        if let Some((store, record)) = recorded.get(at) {
            verify::lock_of(record, store.as_ref(), request.now, &mut told);
        }
        told
    };
    for_each(recorded.len(), CONCURRENCY, look, |at, told| {
        found.push((at, told));
        match request.cancel.check() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    if found.len() < recorded.len() {
        return Seen::unknown("the audit was interrupted");
    }
    found.sort_by_key(|(at, _)| *at);
    Seen::Known(found.into_iter().flat_map(|(_, told)| told).collect())
}

fn should_hold(lock: &LockRecord, request: &Request<'_>) -> bool {
    matches!(lock.state(), LockState::Locked(lock) if lock.until > request.now)
}
