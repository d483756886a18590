//! Stores that lack something get it, and nothing is ever overwritten.

mod beneath;
mod command;
mod sweep;

use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::model::layout::Layout;
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::ops::commit::{CommitError, Completeness, Ports};
use databasus_escrow::ops::replicate::{self, Looking, Report};
use databasus_escrow::store::{Store, list_all};

use crate::support::instance::{Bed, Host, ids};

type Stores = Vec<Arc<dyn Store>>;

fn replicate(bed: &Bed, host: &Host, stores: &[Arc<dyn Store>]) -> Result<Report, CommitError> {
    look(bed, host, stores, Looking::Listed)
}

fn look(
    bed: &Bed,
    host: &Host,
    stores: &[Arc<dyn Store>],
    looking: Looking,
) -> Result<Report, CommitError> {
    let author = bed.author(host);
    let ports = Ports {
        destinations: &Bed::destinations(stores),
        state: &host.state,
        clock: &bed.clock,
        cancel: &Cancel::new(),
    };
    replicate::run(author, ports, looking, Arc::new(|_| {}))
}

/// What a store holds, by name and content.
fn content(store: &Arc<dyn Store>) -> Vec<(String, Vec<u8>)> {
    let listed = list_all(store.as_ref(), "", None).unwrap();
    let read = |key: String| {
        let bytes = store.get(&key, u64::MAX).unwrap().bytes;
        (key, bytes)
    };
    listed.into_iter().map(|meta| read(meta.key)).collect()
}

fn payload_key(manifest: &Manifest) -> String {
    Layout::new(&manifest.instance.slug).payload(&manifest.escrow_id)
}

/// Every escrow opens from each store alone, and each store has the whole chain.
fn assert_all_hold_everything(bed: &Bed) {
    let first = content(&bed.stores[0]);
    for store in &bed.stores {
        let alone = std::slice::from_ref(store);
        let history = bed.read_from(alone, None);
        assert_eq!(ids(&history.findings), [""; 0], "in {}", store.name());
        for (entry, _) in history.escrows() {
            bed.open(&history.load(entry).unwrap(), alone).unwrap();
        }
        assert!(content(store) == first, "{} differs", store.name());
    }
}

#[test]
fn a_new_store_gets_everything() {
    let bed = Bed::with_stores(&["a", "b", "c"]);
    let host = bed.host("host-1");
    for _ in 0..4 {
        bed.snapshot_into(&host, &bed.stores[..2], &Cancel::new())
            .unwrap();
    }
    let report = replicate(&bed, &host, &bed.stores).unwrap();
    assert_eq!(report.completeness(), Completeness::Whole);
    assert_eq!(report.copied.len(), 4);
    assert!(
        report
            .copied
            .iter()
            .all(|copied| copied.store.as_str() == "c")
    );
    assert_all_hold_everything(&bed);
}

#[test]
fn what_was_copied_is_signed_into_the_chain() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    bed.snapshot_into(&host, &bed.stores_without(1), &Cancel::new())
        .unwrap();
    let before = bed.read(None);
    let stored = |history: &databasus_escrow::ops::history::History| {
        let (_, escrow) = history.escrows().next().unwrap();
        escrow
            .stored_in
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(stored(&before), ["a"]);
    let report = replicate(&bed, &host, &bed.stores).unwrap();
    assert_eq!(report.amend.map(|mark| mark.seq), Some(2));
    let after = bed.read(None);
    assert_eq!(stored(&after), ["a", "b"]);
    assert_eq!(
        after.head().unwrap().next_due,
        before.head().unwrap().next_due
    );
}

#[test]
fn where_nothing_is_missing_nothing_is_written() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    bed.snapshot(&host).unwrap();
    let before = content(&bed.stores[0]);
    let report = look(&bed, &host, &bed.stores, Looking::Whole).unwrap();
    assert_eq!(report.completeness(), Completeness::Whole);
    assert!(report.copied.is_empty() && report.amend.is_none() && report.documents == 0);
    assert!(content(&bed.stores[0]) == before);
}

#[test]
fn the_next_night_replicates_by_itself() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    for _ in 0..3 {
        bed.snapshot_into(&host, &bed.stores_without(1), &Cancel::new())
            .unwrap();
    }
    let report = bed.snapshot(&host).unwrap();
    assert_eq!(report.replicated.unwrap().copied.len(), 3);
    assert_all_hold_everything(&bed);
    // And then never again.
    assert!(bed.snapshot(&host).unwrap().replicated.is_none());
}

#[test]
fn a_store_that_is_still_down_is_told_and_the_others_get_theirs() {
    let bed = Bed::with_stores(&["a", "b", "c"]);
    let host = bed.host("host-1");
    bed.snapshot_into(&host, &bed.stores[..1], &Cancel::new())
        .unwrap();
    let report = replicate(&bed, &host, &bed.stores_without(2)).unwrap();
    assert_eq!(report.completeness(), Completeness::Partial);
    assert_eq!(report.copied.len(), 1);
    let missing: Vec<&str> = report
        .missing
        .iter()
        .map(|one| one.store.as_str())
        .collect();
    assert_eq!(missing, ["c"]);
    replicate(&bed, &host, &bed.stores).unwrap();
    assert_all_hold_everything(&bed);
}

/// Replaces the payload in a store by something else.
fn spoil(bed: &Bed, at: usize, manifest: &Manifest, spoil: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (store, key) = (&bed.stores[at], payload_key(manifest));
    let mut bytes = store.get(&key, u64::MAX).unwrap().bytes;
    spoil(&mut bytes);
    store.delete(&key).unwrap();
    store.put_if_absent(&key, &bytes).unwrap();
    bytes
}

#[test]
fn a_copy_that_is_not_what_was_signed_is_an_alarm_and_stays_as_it_is() {
    type Spoiler = fn(&mut Vec<u8>);
    let spoilers: [(Spoiler, Looking); 3] = [
        // A store without entity tags has to be read for that.
        (|bytes| bytes[300] ^= 1, Looking::Whole),
        (|bytes| bytes.truncate(500), Looking::Listed),
        (|bytes| bytes.push(0), Looking::Listed),
    ];
    for (spoiler, looking) in spoilers {
        let bed = Bed::new();
        let host = bed.host("host-1");
        let manifest = bed.snapshot(&host).unwrap().manifest;
        let spoilt = spoil(&bed, 1, &manifest, spoiler);
        let report = look(&bed, &host, &bed.stores, looking).unwrap();
        assert_eq!(report.completeness(), Completeness::Alarm);
        assert_eq!(ids(&report.findings), ["copy-damaged"]);
        let there = bed.stores[1]
            .get(&payload_key(&manifest), u64::MAX)
            .unwrap();
        assert!(there.bytes == spoilt);
        assert!(report.copied.is_empty());
    }
}

#[test]
fn a_damaged_copy_is_never_the_one_that_is_copied() {
    let bed = Bed::with_stores(&["a", "b", "c"]);
    let host = bed.host("host-1");
    let snapshot = bed.snapshot_into(&host, &bed.stores[..2], &Cancel::new());
    let manifest = snapshot.unwrap().manifest;
    spoil(&bed, 0, &manifest, |bytes| bytes[300] ^= 1);
    let report = replicate(&bed, &host, &bed.stores).unwrap();
    assert_eq!(report.completeness(), Completeness::Alarm);
    let copied: Vec<&str> = report.copied.iter().map(|one| one.store.as_str()).collect();
    assert_eq!(copied, ["c"]);
    bed.open(&manifest, &bed.stores[2..]).unwrap();
}

#[test]
fn a_payload_that_no_store_has_whole_is_told() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    let manifest = bed.snapshot(&host).unwrap().manifest;
    for store in &bed.stores {
        store.delete(&payload_key(&manifest)).unwrap();
    }
    let report = replicate(&bed, &host, &bed.stores).unwrap();
    assert_eq!(report.completeness(), Completeness::Partial);
    assert_eq!(report.missing.len(), 2);
    assert!(report.amend.is_none());
}

#[test]
fn lost_documents_are_put_again() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    bed.snapshot(&host).unwrap();
    bed.snapshot(&host).unwrap();
    let kept = content(&bed.stores[0]);
    for (key, _) in &kept {
        if !key.contains("/escrow/") {
            bed.stores[1].delete(key).unwrap();
        }
    }
    let report = replicate(&bed, &host, &bed.stores).unwrap();
    assert_eq!(ids(&report.findings), ["store-changed (warning)"]);
    assert_eq!(report.documents, 4);
    assert_all_hold_everything(&bed);
}

#[test]
fn a_fork_is_left_as_it_is() {
    let bed = Bed::new();
    let (first, second) = (bed.host("host-1"), bed.host("host-2"));
    bed.snapshot_into(&first, &bed.stores_without(0), &Cancel::new())
        .unwrap();
    bed.snapshot_into(&second, &bed.stores_without(1), &Cancel::new())
        .unwrap();
    let report = replicate(&bed, &first, &bed.stores).unwrap();
    assert_eq!(report.completeness(), Completeness::Alarm);
    assert!(ids(&report.findings).contains(&"chain-fork".to_owned()));
}
