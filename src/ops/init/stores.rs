//! What the stores of a new instance can do, and whether the instance is new to them.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;

use super::InitError;
use crate::base::error_chain::error_chain;
use crate::base::names::{Slug, StoreName};
use crate::model::layout::Layout;
use crate::ops::noncurrent;
use crate::store::probe::{Outcome, ProbeReport, probe};
use crate::store::{Store, StoreErrorKind};

/// What one store was found to be like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreProbe {
    /// The store.
    pub store: StoreName,
    /// What it can do.
    pub report: ProbeReport,
    /// Whether it holds manifests of the instance.
    pub chain: ChainPresence,
}

/// Whether a store holds manifests of an instance, verified or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChainPresence {
    /// Not one.
    Absent,
    /// At least one object has the name of one.
    Present,
    /// It could not be listed, and why.
    Unknown(String),
}

/// Tries every store out at the same time, below the instance's own prefix. The order of the
/// results is that of the stores.
pub fn probe_all(stores: &[Arc<dyn Store>], slug: &Slug) -> Vec<StoreProbe> {
    std::thread::scope(|scope| {
        let running: Vec<_> = stores
            .iter()
            .map(|store| (store, scope.spawn(|| StoreProbe::of(store.as_ref(), slug))))
            .collect();
        running
            .into_iter()
            .map(|(store, run)| run.join().unwrap_or_else(|_| broken_off(store.name())))
            .collect()
    })
}

/// Fails if the instance is not a new one: its chain is continued with the key that signs it, or
/// by joining it with a new one.
pub fn refuse_chains(slug: &Slug, probes: &[StoreProbe]) -> Result<(), InitError> {
    let holding = probes
        .iter()
        .filter(|probe| probe.chain == ChainPresence::Present);
    let stores: Vec<StoreName> = holding.map(|probe| probe.store.clone()).collect();
    if stores.is_empty() {
        return Ok(());
    }
    Err(InitError::ChainExists {
        slug: slug.clone(),
        stores,
    })
}

/// Fails if there is a store that snapshots could not rely on, or that cannot say whether the
/// instance is new to it.
pub fn refuse_unusable(probes: &[StoreProbe]) -> Result<(), InitError> {
    let unusable: Vec<String> = probes.iter().filter_map(StoreProbe::complaint).collect();
    if unusable.is_empty() {
        return Ok(());
    }
    Err(InitError::Unusable(unusable))
}

impl StoreProbe {
    fn of(store: &dyn Store, slug: &Slug) -> Self {
        Self {
            store: store.name().clone(),
            chain: ChainPresence::of(store, slug),
            report: probe(store, slug.as_str()),
        }
    }

    fn complaint(&self) -> Option<String> {
        if let ChainPresence::Unknown(why) = &self.chain {
            return Some(format!("store {}: {why}", self.store));
        }
        if self.report.usable() {
            return None;
        }
        let lacking = self.report.checks.iter();
        let lacking = lacking.filter(|check| check.outcome != Outcome::Yes);
        let told: Vec<String> = lacking
            .map(|check| format!("{} ({})", check.name, check.detail))
            .collect();
        Some(format!("store {}: {}", self.store, told.join(", ")))
    }
}

impl ChainPresence {
    fn of(store: &dyn Store, slug: &Slug) -> Self {
        let layout = Layout::new(slug);
        let mut found = Self::Absent;
        let listed = store.list(&layout.manifests(), None, &mut |meta| {
            if layout.parse_manifest(&meta.key).is_none() {
                return ControlFlow::Continue(());
            }
            found = Self::Present;
            ControlFlow::Break(())
        });
        match listed {
            Err(error) if error.kind != StoreErrorKind::NotFound => {
                Self::Unknown(error_chain(&error))
            }
            _ if found == Self::Absent && hides_manifests(store, &layout) => Self::Present,
            _ => found,
        }
    }
}

/// Whether manifests lie behind delete markers: whoever deleted them must not bring it about that
/// a chain begins anew.
fn hides_manifests(store: &dyn Store, layout: &Layout) -> bool {
    let mut is_manifest = |key: &str| layout.parse_manifest(key).is_some();
    let sight = noncurrent::look(store, &layout.manifests(), None, &mut is_manifest);
    sight.is_ok_and(|sight| !sight.keys.is_empty())
}

fn broken_off(store: &StoreName) -> StoreProbe {
    StoreProbe {
        store: store.clone(),
        report: ProbeReport::default(),
        chain: ChainPresence::Unknown("the probe broke off".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    fn stores() -> Vec<Arc<dyn Store>> {
        let store = |name: &str| Arc::new(MemoryStore::new(name.parse().unwrap()));
        vec![store("r2"), store("usb")]
    }

    #[test]
    fn stores_are_told_in_their_order_and_left_as_they_were() {
        let (stores, slug) = (stores(), "demo".parse().unwrap());
        let probes = probe_all(&stores, &slug);
        let names: Vec<&str> = probes.iter().map(|probe| probe.store.as_str()).collect();
        assert_eq!(names, ["r2", "usb"]);
        assert!(refuse_unusable(&probes).is_ok() && refuse_chains(&slug, &probes).is_ok());
        for store in &stores {
            let left = crate::store::list_all(store.as_ref(), "", None).unwrap();
            assert!(left.is_empty(), "{left:?}");
        }
    }

    #[test]
    fn a_store_that_holds_the_instance_is_named() {
        let (stores, slug) = (stores(), "demo".parse().unwrap());
        let key = Layout::new(&slug).manifest(3);
        stores[1].put_if_absent(&key, b"{}").unwrap();
        let probes = probe_all(&stores, &slug);
        let refused = refuse_chains(&slug, &probes).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "instance demo exists already in store usb"
        );
        let other = "demo-2".parse().unwrap();
        assert!(refuse_chains(&other, &probe_all(&stores, &other)).is_ok());
    }

    #[test]
    fn a_store_whose_manifests_were_deleted_behind_markers_holds_the_instance() {
        let clock = Arc::new(crate::base::time::SystemClock);
        let store = MemoryStore::versioned("lat".parse().unwrap(), clock);
        let slug = "demo".parse().unwrap();
        let key = Layout::new(&slug).manifest(3);
        store.put_if_absent(&key, b"{}").unwrap();
        store.delete(&key).unwrap();
        assert_eq!(ChainPresence::of(&store, &slug), ChainPresence::Present);
    }

    #[test]
    fn what_was_not_found_out_is_not_relied_on() {
        let probe = broken_off(&"r2".parse().unwrap());
        let refused = refuse_unusable(&[probe]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cannot rely on store r2: the probe broke off"
        );
    }
}
