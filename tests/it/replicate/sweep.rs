//! One fault at every call that a replication makes.

use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::store::Store;

use super::{Stores, assert_all_hold_everything, replicate};
use crate::support::fault_store::{Fault, FaultStore, OpenUploads, Plan, Process};
use crate::support::instance::Bed;

/// Two escrows in one store, and another store that has nothing.
fn bed() -> Bed {
    let bed = Bed::new();
    let host = bed.host("host-1");
    for _ in 0..2 {
        bed.snapshot_into(&host, &bed.stores[..1], &Cancel::new())
            .unwrap();
    }
    bed
}

#[test]
fn whatever_fails_the_next_run_puts_everything_right() {
    let faults = [
        Fault::Before,
        Fault::After,
        Fault::Forever,
        Fault::AfterForever,
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

fn sweep(store: usize, fault: Fault) {
    for call in 0.. {
        let bed = bed();
        let host = bed.host("host-1");
        let uploads = OpenUploads::default();
        let faulty = FaultStore::new(
            bed.stores[store].clone(),
            uploads.clone(),
            Process::default(),
            Some(Plan::new(call, fault)),
        );
        let mut stores: Stores = bed.stores.clone();
        stores[store] = Arc::new(faulty.clone());
        // It may well fail: what counts is what is left.
        let _ = replicate(&bed, &host, &stores);
        if !faulty.was_hit() {
            assert!(call > 5, "a replication makes more than {call} calls");
            return;
        }
        let again: Arc<dyn Store> = Arc::new(FaultStore::new(
            bed.stores[store].clone(),
            uploads.clone(),
            Process::default(),
            None,
        ));
        let mut stores = bed.stores.clone();
        stores[store] = again;
        let report = replicate(&bed, &host, &stores).unwrap();
        let place = format!("{fault:?} at call {call} of store {store}");
        assert!(report.missing.is_empty(), "{place}: {:?}", report.missing);
        assert_all_hold_everything(&bed);
        assert_eq!(uploads.keys(), [""; 0], "{place}");
        let (_, newest) = {
            let history = bed.read(None);
            let escrows: Vec<_> = history
                .escrows()
                .map(|(_, one)| one.stored_in.len())
                .collect();
            (history.entries.len(), escrows)
        };
        assert_eq!(newest, [2, 2], "{place}");
    }
}
