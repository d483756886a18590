//! One fault at every call that a rekeying makes.

use std::sync::Arc;

use databasus_escrow::model::layout::Layout;
use databasus_escrow::ops::commit::Completeness;
use databasus_escrow::store::Store;

use super::{Person, custodians, identities, keys, manifests, opens, payloads, rekey_in, snapshot};
use crate::support::fault_store::{Fault, FaultStore, OpenUploads, Plan, Process};
use crate::support::instance::Bed;

#[test]
fn whatever_fails_everything_stays_openable_and_the_next_run_ends_it() {
    let faults = [
        Fault::Before,
        Fault::After,
        Fault::Forever,
        Fault::AfterForever,
        Fault::Crash,
        Fault::CrashAfter,
    ];
    std::thread::scope(|scope| {
        for fault in faults {
            scope.spawn(move || {
                for store in [0, 1] {
                    sweep(store, fault);
                }
            });
        }
    });
}

/// The bed's stores through one process, the one at `at` with a fault.
fn stores(bed: &Bed, at: usize, uploads: &OpenUploads, plan: Plan) -> Vec<FaultStore> {
    let process = Process::default();
    let wrap = |(index, store): (usize, &Arc<dyn Store>)| {
        let plan = (index == at).then(|| plan.clone());
        FaultStore::new(store.clone(), uploads.clone(), process.clone(), plan)
    };
    bed.stores.iter().enumerate().map(wrap).collect()
}

fn shared(stores: &[FaultStore]) -> Vec<Arc<dyn Store>> {
    let shared = |store: &FaultStore| -> Arc<dyn Store> { Arc::new(store.clone()) };
    stores.iter().map(shared).collect()
}

/// By the old custodian or by the new ones, from either store alone.
fn assert_openable(bed: &Bed, people: &[&Person], place: &str) {
    for store in &bed.stores {
        let alone = std::slice::from_ref(store);
        let history = bed.read_from(alone, None);
        for (entry, _) in history.escrows() {
            let manifest = history.load(entry).unwrap();
            let opened = bed.open_as(&identities(people), &manifest, alone);
            assert!(opened.is_ok(), "{place}: {} {opened:?}", store.name());
        }
    }
}

fn sweep(store: usize, fault: Fault) {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(Person::new);
    for call in 0.. {
        let bed = Bed::new();
        snapshot(&bed, &custodians(&[&alice], None));
        let to = custodians(&[&bob, &carol], Some(2));
        let uploads = OpenUploads::default();
        let everybody = [&alice, &bob, &carol];
        let faulty = stores(&bed, store, &uploads, Plan::new(call, fault));
        // It may well fail: what counts is what is left.
        let _ = rekey_in(&bed, &shared(&faulty), &to, &identities(&everybody), &[]);
        if !faulty[store].was_hit() {
            assert!(call > 20, "rekeying makes more than {call} calls");
            return;
        }
        let place = format!("{fault:?} at call {call} of store {store}");
        assert_openable(&bed, &everybody, &place);
        let whole = stores(&bed, store, &uploads, Plan::never());
        let report = rekey_in(&bed, &shared(&whole), &to, &identities(&everybody), &[]).unwrap();
        assert_eq!(
            report.completeness(),
            Completeness::Whole,
            "{place}: {report:?}"
        );
        let manifest = &manifests(&bed)[0];
        assert!(opens(&bed, &[&bob, &carol], manifest), "{place}");
        assert!(!opens(&bed, &[&alice], manifest), "{place}");
        let layout = Layout::new(&bed.slug);
        let key = layout.payload(manifest.sealed());
        for store in &bed.stores {
            assert_eq!(payloads(store), [key.clone()].into(), "{place}");
            let own = keys(store).into_iter();
            let mut own = own.filter(|key| layout.parse_escrow(key).is_some());
            assert!(
                own.all(|key| layout.parse_rekey(&key) == manifest.rekeyed),
                "{place}"
            );
        }
        assert_eq!(uploads.keys(), [""; 0], "{place}");
    }
}
