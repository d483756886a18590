//! Deleting what was let go: every object of an escrow, version by version where a store keeps
//! versions, so that nothing is merely hidden. What a lock holds stays, and counts as kept.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::error_chain::error_chain;
use crate::base::names::{EscrowId, StoreName};
use crate::base::parallel;
use crate::base::time::UtcTime;
use crate::model::layout::{Layout, PAYLOAD};
use crate::model::lock::LockState;
use crate::ops::destination::Destination;
use crate::store::versions::{Bypass, Versions};
use crate::store::{Store, StoreError, StoreErrorKind};

/// Deletions that are under way at once.
const CONCURRENCY: usize = 8;

/// Objects and versions of one escrow that one run deletes in one store at most, so that nobody
/// who writes thousands keeps the others from being deleted; the next run goes on.
const OF_ONE: usize = 2_000;

/// What became of an escrow in one store.
#[derive(Debug, Serialize)]
pub struct Deleted {
    /// The store.
    pub store: StoreName,
    /// The escrow; none where the store could not be asked.
    pub escrow: Option<EscrowId>,
    /// What became of it.
    #[serde(flatten)]
    pub state: State,
}

/// See [`Deleted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// Nothing of it is left.
    Gone,
    /// A lock holds it.
    Locked {
        /// Until when.
        until: UtcTime,
    },
    /// It could not be deleted.
    Failed {
        /// Why.
        why: String,
    },
}

/// Something to delete.
struct Doomed {
    escrow: EscrowId,
    key: String,
    /// None in a store without versions.
    version: Option<String>,
    is_marker: bool,
}

/// Whose object is to be deleted; none where it stays.
type Wanted<'a> = &'a dyn Fn(&str) -> Option<EscrowId>;

/// Deletes everything of these escrows in all stores. Those of which nothing was left are not
/// told.
pub(super) fn delete(
    destinations: &[Destination],
    layout: &Layout,
    escrows: &BTreeSet<EscrowId>,
    cancel: &Cancel,
) -> Vec<Deleted> {
    if escrows.is_empty() {
        return Vec::new();
    }
    let wanted = |key: &str| layout.parse_escrow(key).filter(|id| escrows.contains(id));
    delete_objects(destinations, layout, &wanted, cancel)
}

/// Deletes the objects of escrows that are wanted, in all stores.
pub(in crate::ops) fn delete_objects(
    destinations: &[Destination],
    layout: &Layout,
    wanted: Wanted<'_>,
    cancel: &Cancel,
) -> Vec<Deleted> {
    let stores = destinations.iter().map(|to| to.store.as_ref());
    stores
        .flat_map(|store| in_store(store, layout, wanted, cancel))
        .collect()
}

fn in_store(
    store: &dyn Store,
    layout: &Layout,
    wanted: Wanted<'_>,
    cancel: &Cancel,
) -> Vec<Deleted> {
    let doomed = match find(store, layout, wanted) {
        Ok(doomed) => doomed,
        Err(error) => {
            let why = error_chain(&error);
            return vec![Deleted {
                store: store.name().clone(),
                escrow: None,
                state: State::Failed { why },
            }];
        }
    };
    let cut = doomed.cut;
    let doomed = doomed.objects;
    // A marker goes last: it hides what a lock keeps, and readers of stock tools with it.
    let (markers, content): (Vec<_>, Vec<_>) = doomed.into_iter().partition(|one| one.is_marker);
    let mut states: BTreeMap<EscrowId, State> = BTreeMap::new();
    delete_all(store, &content, &mut states, cancel);
    let bare = |one: &Doomed| {
        states
            .get(&one.escrow)
            .is_none_or(|state| *state == State::Gone)
    };
    let markers: Vec<Doomed> = markers.into_iter().filter(bare).collect();
    delete_all(store, &markers, &mut states, cancel);
    for escrow in cut {
        let why = format!("it has more than {OF_ONE} versions here; the next run goes on");
        states.insert(escrow, State::Failed { why });
    }
    let told = states.into_iter().map(|(escrow, state)| Deleted {
        store: store.name().clone(),
        escrow: Some(escrow),
        state,
    });
    told.collect()
}

fn delete_all(
    store: &dyn Store,
    doomed: &[Doomed],
    states: &mut BTreeMap<EscrowId, State>,
    cancel: &Cancel,
) {
    let delete = |index: usize| delete_one(store, &doomed[index]);
    parallel::for_each(doomed.len(), CONCURRENCY, delete, |index, state| {
        let held = states.entry(doomed[index].escrow.clone());
        let held = held.or_insert(State::Gone);
        // The worst counts.
        if rank(&state) > rank(held) {
            *held = state;
        }
        match cancel.check() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
}

fn rank(state: &State) -> u8 {
    match state {
        State::Gone => 0,
        State::Locked { .. } => 1,
        State::Failed { .. } => 2,
    }
}

fn delete_one(store: &dyn Store, doomed: &Doomed) -> State {
    let versions = store.versions().zip(doomed.version.as_deref());
    let deleted = match versions {
        Some((versions, id)) => versions.delete_version(&doomed.key, id, Bypass::No),
        None => store.delete(&doomed.key),
    };
    let Err(error) = deleted else {
        return State::Gone;
    };
    let locked = versions.and_then(|(versions, id)| lock_of(versions, &doomed.key, id));
    match locked {
        Some(until) => State::Locked { until },
        // A bucket's own lock rules are not seen through S3, and not every caller sees locks.
        None if error.kind == StoreErrorKind::Denied => State::Failed {
            why: format!("{}; perhaps a lock that is not shown", error_chain(&error)),
        },
        None => State::Failed {
            why: error_chain(&error),
        },
    }
}

fn lock_of(versions: &dyn Versions, key: &str, id: &str) -> Option<UtcTime> {
    match versions.head_version(key, id).ok()?.lock {
        LockState::Locked(lock) => Some(lock.until),
        LockState::Unknown | LockState::Unlocked => None,
    }
}

/// What there is to delete in a store.
#[derive(Default)]
struct Found {
    objects: Vec<Doomed>,
    counts: BTreeMap<(EscrowId, bool), usize>,
    /// Escrows of which there is more.
    cut: BTreeSet<EscrowId>,
}

impl Found {
    fn add(&mut self, doomed: Doomed) {
        // Names that somebody planted in front of it must not keep a payload from its turn.
        let is_payload = doomed.key.ends_with(PAYLOAD);
        let count = self.counts.entry((doomed.escrow.clone(), is_payload));
        let count = count.or_default();
        *count += 1;
        match *count > OF_ONE {
            true => drop(self.cut.insert(doomed.escrow)),
            false => self.objects.push(doomed),
        }
    }
}

/// Everything in a store that is wanted.
fn find(store: &dyn Store, layout: &Layout, wanted: Wanted<'_>) -> Result<Found, StoreError> {
    if let Some(versions) = store.versions() {
        match find_versions(versions, layout, wanted) {
            Err(error) if error.kind == StoreErrorKind::Unsupported => {}
            other => return other,
        }
    }
    let mut found = Found::default();
    let listed = store.list(&layout.escrows(), None, &mut |meta| {
        if let Some(escrow) = wanted(&meta.key) {
            found.add(Doomed {
                escrow,
                key: meta.key,
                version: None,
                is_marker: false,
            });
        }
        ControlFlow::Continue(())
    });
    match listed {
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(found),
        other => other.map(|()| found),
    }
}

fn find_versions(
    versions: &dyn Versions,
    layout: &Layout,
    wanted: Wanted<'_>,
) -> Result<Found, StoreError> {
    let mut found = Found::default();
    versions.list_versions(&layout.escrows(), None, &mut |version| {
        if let Some(escrow) = wanted(&version.key) {
            found.add(Doomed {
                escrow,
                is_marker: version.is_delete_marker(),
                key: version.key,
                version: Some(version.id),
            });
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}
