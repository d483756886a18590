//! What was deleted or written over in a store that keeps versions is not lost: it fills the others,
//! and is not written again as long as its lock holds.

use std::ops::ControlFlow;
use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::ops::commit::{Completeness, Ports};
use databasus_escrow::ops::replicate::{self, Looking, Report};
use databasus_escrow::store::{Store, list_all};

use super::payload_key;
use crate::support::instance::{Bed, Host, LOCK, ids, versioned};

/// Two nights in a store like R2 and in one that locks.
fn bed() -> (Bed, Host) {
    let mut bed = Bed::with_stores(&["r2"]);
    bed.stores.push(versioned("lat"));
    let host = bed.host("host-1");
    bed.lock = Some(LOCK);
    for _ in 0..2 {
        bed.snapshot(&host).unwrap();
    }
    (bed, host)
}

fn replicate(bed: &Bed, host: &Host, looking: Looking) -> Report {
    let mut destinations = Bed::destinations(&bed.stores);
    destinations[1].lock = Some(LOCK);
    let ports = Ports {
        destinations: &destinations,
        state: &host.state,
        clock: &bed.clock,
        cancel: &Cancel::new(),
    };
    replicate::run(bed.author(host), ports, looking, Arc::new(|_| {})).unwrap()
}

fn delete_everything(store: &dyn Store) {
    for object in list_all(store, "", None).unwrap() {
        store.delete(&object.key).unwrap();
    }
    assert!(list_all(store, "", None).unwrap().is_empty());
}

/// Versions of payloads, markers aside.
fn payload_versions(store: &dyn Store) -> usize {
    let mut count = 0;
    let versions = store.versions().unwrap();
    let listed = versions.list_versions("", None, &mut |version| {
        count += usize::from(version.key.contains("payload") && !version.is_delete_marker());
        ControlFlow::Continue(())
    });
    listed.unwrap();
    count
}

#[test]
fn emptied_store_is_filled_from_a_locked_one_that_was_emptied_too() {
    for looking in [Looking::Listed, Looking::Whole] {
        let (bed, host) = bed();
        for store in &bed.stores {
            delete_everything(store.as_ref());
        }
        let report = replicate(&bed, &host, looking);
        let copied: Vec<&str> = report.copied.iter().map(|one| one.store.as_str()).collect();
        assert_eq!(copied, ["r2", "r2"]);
        assert_eq!(report.missing.len(), 0, "{:?}", report.missing);
        assert_eq!(report.completeness(), Completeness::Alarm);
        assert!(ids(&report.findings).contains(&"payload-hidden".to_owned()));
        let alone = &bed.stores[..1];
        let history = bed.read_from(alone, None);
        assert_eq!(ids(&history.findings), [""; 0]);
        for (entry, _) in history.escrows() {
            bed.open(&history.load(entry).unwrap(), alone).unwrap();
        }
    }
}

#[test]
fn deletes_cost_no_further_locked_copies() {
    let (bed, host) = bed();
    let store = bed.stores[1].as_ref();
    let before = payload_versions(store);
    for _ in 0..3 {
        delete_everything(store);
        let report = replicate(&bed, &host, Looking::Listed);
        assert!(report.copied.is_empty());
        assert!(ids(&report.findings).contains(&"payload-hidden".to_owned()));
    }
    assert_eq!(payload_versions(store), before);
}

#[test]
fn hidden_copy_that_no_lock_keeps_is_made_anew() {
    let mut bed = Bed::with_stores(&["r2"]);
    bed.stores.push(versioned("lat"));
    let host = bed.host("host-1");
    let manifest = bed.snapshot(&host).unwrap().manifest;
    bed.stores[1].delete(&payload_key(&manifest)).unwrap();
    let report = super::replicate(&bed, &host, &bed.stores).unwrap();
    assert_eq!(ids(&report.findings), ["payload-hidden"]);
    assert_eq!(report.copied.len(), 1);
    bed.open(&manifest, &bed.stores[1..]).unwrap();
    let again = super::replicate(&bed, &host, &bed.stores).unwrap();
    assert_eq!(again.completeness(), Completeness::Whole);
}

#[test]
fn copy_that_was_written_over_fills_the_others_all_the_same() {
    let (bed, host) = bed();
    let manifest = bed.read(None);
    let (entry, _) = manifest.escrows().next().unwrap();
    let key = payload_key(&manifest.load(entry).unwrap());
    bed.stores[0].delete(&key).unwrap();
    let etag = bed.stores[1].get(&key, u64::MAX).unwrap().etag;
    bed.stores[1].replace(&key, b"mine", &etag).unwrap();
    let report = replicate(&bed, &host, Looking::Listed);
    assert_eq!(
        ids(&report.findings),
        ["copy-missing (warning)", "payload-overwritten"]
    );
    assert_eq!(report.copied.len(), 1);
    assert!(report.missing.is_empty());
}
