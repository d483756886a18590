//! Reading parts ahead, from whichever store still has them whole.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::error_chain::error_chain;
use databasus_escrow::model::manifest::Payload;
use databasus_escrow::ops::fetch::{CopySource, Fetcher, Parts};
use databasus_escrow::sealing::parts::VerifiedStream;
use databasus_escrow::store::Store;
use databasus_escrow::store::memory::MemoryStore;

use crate::support::fault_store::{Fault, FaultStore, OpenUploads, Plan, Process};
use crate::support::instance::{ids, noise};

const PART_SIZE: usize = 1000;
const PARTS: usize = 12;
/// What the fetcher holds at most beside the part in use.
const AHEAD: u64 = 3;
const KEY: &str = "payload";

fn content() -> Bytes {
    noise(PART_SIZE * PARTS - 300)
}

fn payload() -> Payload {
    let content = content();
    Payload {
        size: content.len() as u64,
        sha256: Digest::of(&content),
        part_size: PART_SIZE as u64,
        parts: content.chunks(PART_SIZE).map(Digest::of).collect(),
        md5_etag: String::new(),
        age_header_sha256: Digest::of(b""),
    }
}

fn store(name: &str, content: &[u8]) -> Arc<dyn Store> {
    let store = MemoryStore::new(name.parse().unwrap());
    store.put_if_absent(KEY, content).unwrap();
    Arc::new(store)
}

fn whole(name: &str) -> Arc<dyn Store> {
    store(name, &content())
}

/// A copy with a flipped bit in each of these parts.
fn damaged(name: &str, parts: &[usize]) -> Arc<dyn Store> {
    let mut bytes = content().to_vec();
    for part in parts {
        bytes[part * PART_SIZE + 7] ^= 1;
    }
    store(name, &bytes)
}

fn failing(inner: Arc<dyn Store>, plan: Plan) -> FaultStore {
    let process = Process::default();
    FaultStore::new(inner, OpenUploads::default(), process, Some(plan))
}

fn fetcher(stores: &[Arc<dyn Store>]) -> Fetcher {
    fetcher_with(stores, Cancel::new(), Box::new(|_| {}))
}

fn fetcher_with(
    stores: &[Arc<dyn Store>],
    cancel: Cancel,
    on_bytes: Box<dyn Fn(u64) + Send + Sync>,
) -> Fetcher {
    let copies = stores.iter().map(|store| CopySource {
        store: store.clone(),
        version_id: None,
    });
    Fetcher::new(
        copies.collect(),
        KEY.to_owned(),
        payload(),
        cancel,
        on_bytes,
    )
}

fn read(parts: Parts) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut VerifiedStream::new(&payload(), parts), &mut bytes)?;
    Ok(bytes)
}

/// Reads everything and returns what was found on the way.
fn assert_reads_whole(stores: &[Arc<dyn Store>]) -> Vec<String> {
    let fetcher = fetcher(stores);
    assert_eq!(read(fetcher.parts().unwrap()).unwrap(), content());
    ids(&fetcher.findings())
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn parts_come_in_order_and_a_good_store_has_no_findings() {
    assert_eq!(assert_reads_whole(&[whole("a"), whole("b")]), [""; 0]);
}

#[test]
fn a_store_that_fails_at_any_part_is_replaced_by_the_next() {
    for call in 0..PARTS {
        let lost = failing(whole("a"), Plan::new(call, Fault::Forever));
        let told = assert_reads_whole(&[Arc::new(lost), whole("b")]);
        assert_eq!(told, ["copy-unreadable (warning)"], "call {call}");
    }
}

#[test]
fn a_store_that_has_failed_is_not_asked_again_while_another_does() {
    let lost = failing(whole("a"), Plan::new(0, Fault::Forever));
    assert_reads_whole(&[Arc::new(lost.clone()), whole("b")]);
    let asked = lost.log().len() as u64;
    assert!(asked <= AHEAD, "asked {asked} times");
}

#[test]
fn a_damaged_part_is_one_finding_and_comes_from_the_next_store() {
    for part in 0..PARTS {
        let told = assert_reads_whole(&[damaged("a", &[part]), whole("b")]);
        assert_eq!(told, ["copy-damaged"], "part {part}");
    }
}

#[test]
fn a_copy_damaged_throughout_is_still_one_finding() {
    let everywhere: Vec<usize> = (0..PARTS).collect();
    let told = assert_reads_whole(&[damaged("a", &everywhere), whole("b")]);
    assert_eq!(told, ["copy-damaged"]);
}

#[test]
fn a_truncated_copy_is_completed_from_the_next_store() {
    let content = content();
    for length in [0, 1, PART_SIZE, content.len() - 1] {
        let told = assert_reads_whole(&[store("a", &content[..length]), whole("b")]);
        assert_eq!(told, ["copy-damaged"], "{length} bytes");
    }
}

#[test]
fn copies_damaged_in_different_places_make_a_whole_one() {
    let stores = [damaged("a", &[3, 9]), damaged("b", &[0, 5, 11])];
    assert_eq!(
        assert_reads_whole(&stores),
        ["copy-damaged", "copy-damaged"]
    );
}

#[test]
fn a_part_that_nobody_has_whole_is_named() {
    let stores = [damaged("a", &[6]), damaged("b", &[6])];
    let error = read(fetcher(&stores).parts().unwrap()).unwrap_err();
    let told = error_chain(&error);
    assert!(told.contains("no store has part 7 of 12 whole"), "{told}");
}

#[test]
fn without_any_store_nothing_is_read() {
    let error = read(fetcher(&[]).parts().unwrap()).unwrap_err();
    assert!(error.to_string().contains("no store was named"));
}

#[test]
fn after_an_error_no_part_follows() {
    let stores = [damaged("a", &[2])];
    let mut parts = fetcher(&stores).parts().unwrap();
    let results: Vec<bool> = parts.by_ref().map(|part| part.is_ok()).collect();
    assert_eq!(results, [true, true, false]);
    assert!(parts.next().is_none());
}

#[test]
fn no_more_than_five_parts_are_in_memory() {
    let arrived = Arc::new(AtomicU64::new(0));
    let counter = arrived.clone();
    let count = Box::new(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let counted = failing(whole("a"), Plan::never());
    let stores: Vec<Arc<dyn Store>> = vec![Arc::new(counted.clone())];
    let fetcher = fetcher_with(&stores, Cancel::new(), count);
    let mut parts = fetcher.parts().unwrap();
    for taken in 0..=PARTS as u64 {
        let allowed = (taken + AHEAD).min(PARTS as u64);
        eventually("parts are fetched ahead", || {
            arrived.load(Ordering::SeqCst) == allowed
        });
        let asked = counted.log().len() as u64;
        assert!(asked <= taken + AHEAD, "{asked} asked for, {taken} taken");
        let _in_use = parts.next();
    }
}

#[test]
fn threads_end_when_nobody_reads_on() {
    let store = whole("a");
    let mut parts = fetcher(std::slice::from_ref(&store)).parts().unwrap();
    assert!(parts.next().unwrap().is_ok());
    assert!(Arc::strong_count(&store) > 1);
    drop(parts);
    eventually("the threads let go of the store", || {
        Arc::strong_count(&store) == 1
    });
}

#[test]
fn a_signal_stops_the_fetching() {
    let cancel = Cancel::new();
    let signal = cancel.clone();
    let raise = Plan::new(6, Fault::Hook).with(move || signal.raise(2));
    let stores: Vec<Arc<dyn Store>> = vec![Arc::new(failing(whole("a"), raise))];
    let fetcher = fetcher_with(&stores, cancel, Box::new(|_| {}));
    let error = read(fetcher.parts().unwrap()).unwrap_err();
    assert!(error.to_string().contains("interrupted by signal 2"));
    assert_eq!(ids(&fetcher.findings()), [""; 0]);
}
