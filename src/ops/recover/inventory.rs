//! What can be recovered from a storage: one row for each backup.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use crate::base::cancel::Cancel;
use crate::databasus::objects::group::BackupGroup;
use crate::ops::backup_object::BackupObjectError;
use crate::ops::bucket::probe::{Probe, Prober, Subject, is_worth_probing};
use crate::ops::bucket::{self, FoundSidecar};
use crate::store::{Store, StoreError, StoreErrorKind};

use super::keys::KeyRing;

mod row;

pub use row::{Kind, Row, State};

/// All backups of a storage.
#[derive(Debug, Serialize)]
pub struct Inventory {
    /// In the order of their names: by database and then by time.
    pub backups: Vec<Row>,
    /// How many objects belong to somebody else.
    pub foreign_objects: u64,
    /// The first of their names.
    pub foreign_names: Vec<String>,
}

/// How far an inventory is.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// So many objects were listed.
    Listed(u64),
    /// So many backups are to be looked at: once for their sidecars, and once into them.
    Backups(u64),
    /// One was looked at.
    Looked,
}

/// Whether backups are looked into, which fetches a MiB of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Names, sizes and sidecars alone.
    Sidecars,
    /// The beginning of each.
    Beginnings,
}

/// Takes stock of a storage.
pub fn take(
    store: &Arc<dyn Store>,
    keys: &KeyRing,
    depth: Depth,
    cancel: &Cancel,
    on_step: &mut dyn FnMut(Step),
) -> Result<Inventory, StoreError> {
    let listed = bucket::list(store.as_ref(), cancel, &mut |seen| {
        on_step(Step::Listed(seen))
    })?;
    let groups = listed.backups;
    on_step(Step::Backups(groups.len() as u64));
    let mut sidecars: Vec<FoundSidecar> = groups.iter().map(|_| FoundSidecar::Absent).collect();
    bucket::read_sidecars(store.as_ref(), &groups, |index, found| {
        if let Some(place) = sidecars.get_mut(index) {
            *place = found;
        }
        on_step(Step::Looked);
        until(cancel)
    });
    let mut probes: BTreeMap<usize, Result<Probe, BackupObjectError>> = BTreeMap::new();
    if depth == Depth::Beginnings {
        probes = probe(store, keys, &groups, &sidecars, cancel, on_step);
    }
    if let Err(interrupted) = cancel.check() {
        let kind = StoreErrorKind::Interrupted;
        return Err(StoreError::new(store.name(), kind, "read", "").caused_by(interrupted));
    }
    let labels = labels(&groups, &sidecars);
    let rows = groups.iter().zip(&sidecars).enumerate();
    let rows = rows.map(|(place, (group, sidecar))| {
        let mut row = Row::of(group, sidecar, &labels);
        match probes.remove(&place) {
            Some(Ok(probe)) => row.look(&probe, keys, group, sidecar),
            Some(Err(error)) => row.unread(&error),
            None => {}
        }
        row.check_size(sidecar);
        row
    });
    Ok(Inventory {
        backups: rows.collect(),
        foreign_objects: listed.foreign.count,
        foreign_names: listed.foreign.names,
    })
}

fn until(cancel: &Cancel) -> ControlFlow<()> {
    match cancel.check() {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

fn probe(
    store: &Arc<dyn Store>,
    keys: &KeyRing,
    groups: &[BackupGroup],
    sidecars: &[FoundSidecar],
    cancel: &Cancel,
    on_step: &mut dyn FnMut(Step),
) -> BTreeMap<usize, Result<Probe, BackupObjectError>> {
    let all = groups.iter().zip(sidecars).enumerate();
    let worth = all.filter(|(_, (group, _))| is_worth_probing(&group.content));
    let (places, subjects): (Vec<usize>, Vec<Subject<'_>>) = worth
        .map(|(place, (group, found))| {
            let sidecar = found.get();
            (place, Subject { group, sidecar })
        })
        .unzip();
    on_step(Step::Backups(subjects.len() as u64));
    let mut probes = BTreeMap::new();
    Prober::new(keys.keys()).probe_all(store, &subjects, |index, probe| {
        if let Some(place) = places.get(index) {
            probes.insert(*place, probe);
        }
        on_step(Step::Looked);
        until(cancel)
    });
    probes
}

/// What the base backups of each cluster are named after: its WAL names the id alone.
fn labels(groups: &[BackupGroup], sidecars: &[FoundSidecar]) -> BTreeMap<Uuid, String> {
    let both = groups.iter().zip(sidecars);
    let named = both.filter_map(|(group, sidecar)| {
        let (label, _) = group.name.label_without_kind()?;
        Some((sidecar.get()?.database()?, label.to_owned()))
    });
    named.collect()
}
