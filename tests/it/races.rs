//! Several hosts, several stores, and nights on which not all of them are there: the chain stays
//! one, and what cannot be helped is told as what it is.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Barrier, Mutex};

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::model::layout::Layout;
use databasus_escrow::model::mark::Mark;
use databasus_escrow::ops::commit::{CommitError, Completeness};
use databasus_escrow::ops::select::{SelectError, Selection, select};
use databasus_escrow::ops::snapshot::{Report, SecretKeyProblem, SnapshotError};
use databasus_escrow::ops::state::StateError;
use databasus_escrow::store::Store;

use crate::support::fault_store::{Fault, FaultStore, OpenUploads, Plan, Process};
use crate::support::instance::{Bed, Host, ids};

type Stores = Vec<Arc<dyn Store>>;

fn faulty(store: &Arc<dyn Store>, plan: Plan) -> FaultStore {
    let process = Process::default();
    FaultStore::new(store.clone(), OpenUploads::default(), process, Some(plan))
}

/// The bed's stores, with a fault in one of them.
fn with_fault(bed: &Bed, at: usize, plan: Plan) -> (Stores, FaultStore) {
    let fault = faulty(&bed.stores[at], plan);
    let mut stores = bed.stores.clone();
    stores[at] = Arc::new(fault.clone());
    (stores, fault)
}

fn night(bed: &Bed, host: &Host, stores: &[Arc<dyn Store>]) -> Report {
    bed.snapshot_into(host, stores, &Cancel::new()).unwrap()
}

fn mark_of(bed: &Bed, host: &Host) -> Option<Mark> {
    host.state.mark(&bed.slug).unwrap()
}

/// What a reader finds in one store alone.
fn alone(bed: &Bed, at: usize, mark: Option<Mark>) -> Vec<String> {
    ids(&bed.read_from(&bed.stores[at..=at], mark).findings)
}

/// Every store holds every manifest from 1 to `length`, one for each place.
fn assert_dense(bed: &Bed, length: u64) {
    for store in 0..bed.stores.len() {
        let history = bed.read_from(&bed.stores[store..=store], None);
        assert_eq!(ids(&history.findings), [""; 0], "store {store}");
        let seqs: Vec<u64> = history.entries.iter().map(|entry| entry.link.seq).collect();
        assert_eq!(seqs, (1..=length).collect::<Vec<_>>(), "store {store}");
    }
}

fn delete_manifest(bed: &Bed, at: usize, seq: u64) {
    let key = Layout::new(&bed.slug).manifest(seq);
    bed.stores[at].delete(&key).unwrap();
}

fn manifest_bytes(bed: &Bed, at: usize, seq: u64) -> Vec<u8> {
    let key = Layout::new(&bed.slug).manifest(seq);
    bed.stores[at].get(&key, 4 << 20).unwrap().bytes
}

type Check<'a> = &'a dyn Fn(&Bed, Result<Report, SnapshotError>, Report);

/// Lets host 2 make a whole snapshot before each call that host 1's snapshot makes to `store`,
/// one call after the other.
fn interleave(prepare: fn(&Bed), check: Check<'_>) {
    for store in [0, 1] {
        for call in 0.. {
            let bed = Arc::new(Bed::new());
            let (first, second) = (bed.host("host-1"), bed.host("host-2"));
            bed.snapshot(&first).unwrap();
            prepare(&bed);
            let told = Arc::new(Mutex::new(None));
            let (inner_bed, inner_told) = (bed.clone(), told.clone());
            let plan = Plan::new(call, Fault::Hook).with(move || {
                let report = inner_bed.snapshot(&second).unwrap();
                *inner_told.lock().unwrap() = Some(report);
            });
            let (stores, fault) = with_fault(&bed, store, plan);
            let outcome = bed.snapshot_into(&first, &stores, &Cancel::new());
            if !fault.was_hit() {
                assert!(call > 15);
                break;
            }
            let second = told.lock().unwrap().take().unwrap();
            check(&bed, outcome, second);
        }
    }
}

#[test]
fn whenever_another_host_commits_both_have_their_place() {
    interleave(|_| {}, &|bed, first, second| {
        let first = first.unwrap();
        assert_eq!(first.completeness(), Completeness::Whole);
        assert_eq!(second.completeness(), Completeness::Whole);
        assert_dense(bed, 3);
    });
}

#[test]
fn whoever_takes_over_a_squatted_slot_has_it_alone() {
    let squat = |bed: &Bed| {
        let key = Layout::new(&bed.slug).manifest(2);
        bed.stores[0].put_if_absent(&key, b"mine").unwrap();
    };
    interleave(squat, &|bed, first, second| {
        let told = [first.unwrap(), second].map(|report| ids(&report.findings));
        assert!(told.iter().flatten().any(|id| id == "slot-squatted"));
        assert_dense(bed, 3);
    });
}

#[test]
fn a_take_over_that_another_host_wins_is_lost_in_every_store() {
    let bed = Arc::new(Bed::new());
    let (first, second) = (bed.host("host-1"), bed.host("host-2"));
    night(&bed, &first, &bed.stores);
    let slot = Layout::new(&bed.slug).manifest(2);
    bed.stores[0].put_if_absent(&slot, b"mine").unwrap();
    let inner = bed.clone();
    let race = Plan::at("replace", &slot, Fault::Hook).with(move || {
        // The other host gets no further than the first store.
        night(&inner, &second, &inner.stores_without(1));
    });
    let (stores, fault) = with_fault(&bed, 0, race);
    let report = night(&bed, &first, &stores);
    assert!(fault.was_hit());
    assert_eq!(report.manifest.seq, 3);
    let history = bed.read(None);
    assert_eq!(ids(&history.findings), ["manifest-missing (warning)"]);
    assert_eq!(history.entries[1].signer.as_str(), "host-2");
}

#[test]
fn hosts_that_run_at_the_same_time_make_one_chain() {
    let bed = Bed::new();
    let hosts = [bed.host("host-1"), bed.host("host-2")];
    let mut committed = 0;
    for _ in 0..20 {
        let start = Barrier::new(2);
        let run = |host| {
            start.wait();
            bed.snapshot(host)
        };
        let outcomes = std::thread::scope(|scope| {
            let running = hosts.each_ref().map(|host| scope.spawn(move || run(host)));
            running.map(|one| one.join().unwrap())
        });
        for outcome in outcomes {
            match outcome {
                Ok(report) => {
                    assert_eq!(report.completeness(), Completeness::Whole);
                    committed += 1;
                }
                Err(SnapshotError::Commit(CommitError::LostRace(_))) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(committed >= 20, "each round has a winner");
    assert_dense(&bed, committed);
}

#[test]
fn a_second_run_on_the_same_host_is_kept_out() {
    let bed = Arc::new(Bed::new());
    let host = bed.host("host-1");
    let outcome = Arc::new(Mutex::new(None));
    let (inner_bed, inner_outcome) = (bed.clone(), outcome.clone());
    let plan = Plan::new(3, Fault::Hook).with(move || {
        let again = inner_bed.snapshot(&inner_bed.host("host-1"));
        *inner_outcome.lock().unwrap() = Some(again.err());
    });
    night(&bed, &host, &with_fault(&bed, 0, plan).0);
    let refused = outcome.lock().unwrap().take().flatten();
    assert!(matches!(
        refused,
        Some(SnapshotError::Commit(CommitError::State(StateError::Busy(
            _
        ))))
    ));
}

#[test]
fn a_key_that_is_replaced_while_the_snapshot_runs_is_not_committed() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    let key = bed.folder.path().join("data/secret.key");
    let another = "44444444-4444-4444-8444-44444444444455555555-5555-4555-8555-555555555555";
    let replaced = key.clone();
    let plan = Plan::at("start upload", "payload", Fault::Hook)
        .with(move || std::fs::write(&replaced, another).unwrap());
    let stores = with_fault(&bed, 0, plan).0;
    let refused = bed.snapshot_into(&host, &stores, &Cancel::new()).err();
    assert!(matches!(
        refused,
        Some(SnapshotError::SecretKey(SecretKeyProblem::Changed(path))) if path == key
    ));
    assert!(bed.read(None).entries.is_empty());
}

#[test]
fn a_valid_manifest_whose_signature_cannot_be_read_is_not_overwritten() {
    let bed = Arc::new(Bed::new());
    let (first, second) = (bed.host("host-1"), bed.host("host-2"));
    night(&bed, &first, &bed.stores);
    let inner = bed.clone();
    let rival = Plan::at("put", "/manifest/", Fault::Hook).with(move || {
        night(&inner, &second, &inner.stores);
    });
    let unread = Plan::every("get", "host-2.sig");
    let unreadable = faulty(&bed.stores[0], unread);
    let shared: Arc<dyn Store> = Arc::new(unreadable.clone());
    let stores: Stores = vec![Arc::new(faulty(&shared, rival)), bed.stores[1].clone()];
    let report = night(&bed, &first, &stores);
    assert!(unreadable.was_hit());
    assert_eq!(report.manifest.seq, 3);
    assert_dense(&bed, 3);
}

#[test]
fn a_manifest_that_a_silent_store_may_hold_gets_no_rival() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    night(&bed, &host, &bed.stores);
    // The first store takes it and falls silent; the second is not there at all.
    let (mut stores, fault) =
        with_fault(&bed, 0, Plan::at("put", "/manifest/", Fault::AfterForever));
    let payload_only = Plan::at("put", "/sig/", Fault::Forever);
    stores[1] = Arc::new(faulty(&bed.stores[1], payload_only));
    let refused = bed.snapshot_into(&host, &stores, &Cancel::new());
    assert!(matches!(
        refused,
        Err(SnapshotError::Commit(CommitError::NoStore { .. }))
    ));
    assert!(fault.was_hit());

    // On the next night the second fails at that manifest alone.
    let mut stores = bed.stores_without(0);
    let once = Plan::at("put", "/manifest/", Fault::Before);
    stores[1] = Arc::new(faulty(&bed.stores[1], once));
    let refused = bed.snapshot_into(&host, &stores, &Cancel::new());
    assert!(matches!(
        refused,
        Err(SnapshotError::Commit(CommitError::NoStore { .. }))
    ));

    assert_eq!(
        night(&bed, &host, &bed.stores).completeness(),
        Completeness::Whole
    );
    assert_dense(&bed, 3);
}

#[test]
fn stores_that_are_down_on_alternating_nights_never_fork() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    for number in 0..8 {
        let report = night(&bed, &host, &bed.stores_without(number % 2));
        assert_eq!(report.completeness(), Completeness::Partial);
        assert_eq!(report.manifest.seq, number as u64 + 1);
        let findings = bed.read(mark_of(&bed, &host)).findings;
        assert_eq!(ids(&findings), ["manifest-missing (warning)"]);
    }
    assert_eq!(night(&bed, &host, &bed.stores).manifest.seq, 9);
    // Each manifest went into the store that had missed it, one night later; the last one says
    // which payloads were copied.
    assert_dense(&bed, 10);
}

#[test]
fn hosts_that_see_different_stores_fork_and_are_told() {
    let bed = Bed::new();
    let (first, second) = (bed.host("host-1"), bed.host("host-2"));
    night(&bed, &first, &bed.stores_without(0));
    night(&bed, &second, &bed.stores_without(1));
    let history = bed.read(None);
    assert_eq!(
        ids(&history.findings),
        [
            "chain-fork",
            "manifest-missing (warning)",
            "manifest-missing (warning)"
        ]
    );
    let refused = select(&history, &Selection::Newest);
    assert!(matches!(refused, Err(SelectError::Doubtful { .. })));

    let after = night(&bed, &first, &bed.stores);
    assert_eq!(after.completeness(), Completeness::Alarm);
    let history = bed.read(mark_of(&bed, &first));
    let newest = select(&history, &Selection::Newest).unwrap();
    assert_eq!(newest.0.link.digest, after.digest, "the fork lies behind");
}

#[test]
fn a_store_that_missed_one_night_gets_its_manifest_on_the_next() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    night(&bed, &host, &bed.stores);
    night(&bed, &host, &bed.stores_without(1));
    assert_eq!(
        night(&bed, &host, &bed.stores).completeness(),
        Completeness::Whole
    );
    assert_dense(&bed, 4);
    assert_eq!(manifest_bytes(&bed, 0, 2), manifest_bytes(&bed, 1, 2));
}

#[test]
fn a_store_that_missed_two_nights_gets_both() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    night(&bed, &host, &bed.stores);
    night(&bed, &host, &bed.stores_without(1));
    night(&bed, &host, &bed.stores_without(1));
    let report = night(&bed, &host, &bed.stores);
    assert_eq!(report.completeness(), Completeness::Whole);
    assert_eq!(alone(&bed, 1, mark_of(&bed, &host)), [""; 0]);
    assert_dense(&bed, 5);
}

#[test]
fn a_manifest_that_reached_one_store_before_a_crash_reaches_the_other_unchanged() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    night(&bed, &host, &bed.stores);
    let dying = Plan::at("put", "/manifest/", Fault::Forever);
    let lost = with_fault(&bed, 1, dying).0;
    let partial = night(&bed, &host, &lost);
    assert_eq!(partial.manifest.seq, 2);
    let taken = manifest_bytes(&bed, 0, 2);
    assert_eq!(alone(&bed, 1, None), [""; 0]);
    night(&bed, &host, &bed.stores);
    assert_eq!(manifest_bytes(&bed, 1, 2), taken);
    assert_dense(&bed, 3);
}

#[test]
fn a_pending_manifest_of_stores_that_are_gone_leaves_no_trace() {
    let bed = Bed::with_stores(&["a", "b", "c"]);
    let host = bed.host("host-1");
    night(&bed, &host, &bed.stores[..2]);
    let process = Process::default();
    let dying = |at: usize, plan| -> Arc<dyn Store> {
        let (uploads, process) = (OpenUploads::default(), process.clone());
        let inner = bed.stores[at].clone();
        Arc::new(FaultStore::new(inner, uploads, process, plan))
    };
    let outage = Plan::at("put", "/manifest/", Fault::Outage);
    let stores = [dying(0, Some(outage)), dying(1, None)];
    let refused = bed.snapshot_into(&host, &stores, &Cancel::new());
    assert!(matches!(
        refused,
        Err(SnapshotError::Commit(CommitError::NoStore { .. }))
    ));
    assert!(host.state.pending(&bed.slug).unwrap().is_some());

    let report = night(&bed, &host, &bed.stores[2..]);
    assert_eq!(report.manifest.seq, 2, "nothing holds the pending one");
    assert_eq!(mark_of(&bed, &host).map(|mark| mark.seq), Some(2));
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap().path();
        std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

fn assert_alarm_and_then_peace(bed: &Bed, host: &Host, seq: u64) {
    let report = night(bed, host, &bed.stores);
    assert_eq!(ids(&report.findings), ["unknown-manifest-of-ours"]);
    assert_eq!(report.completeness(), Completeness::Alarm);
    assert_eq!(report.manifest.seq, seq);
    // It stays one until the key is replaced.
    let report = night(bed, host, &bed.stores);
    assert_eq!(report.completeness(), Completeness::Alarm);
    host.state.key_was_replaced(&bed.slug).unwrap();
    let report = night(bed, host, &bed.stores);
    assert_eq!(report.completeness(), Completeness::Whole);
    assert_dense(bed, seq + 2);
}

#[test]
fn a_lost_state_is_an_alarm_and_the_chain_goes_on() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    night(&bed, &host, &bed.stores);
    night(&bed, &host, &bed.stores);
    std::fs::remove_dir_all(&host.state_dir).unwrap();
    assert_alarm_and_then_peace(&bed, &host, 3);
}

#[test]
fn a_state_that_was_set_back_is_an_alarm_and_the_chain_goes_on() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    night(&bed, &host, &bed.stores);
    let kept = bed.folder.path().join("kept");
    copy_folder(&host.state_dir, &kept);
    night(&bed, &host, &bed.stores);
    std::fs::remove_dir_all(&host.state_dir).unwrap();
    copy_folder(&kept, &host.state_dir);
    assert_alarm_and_then_peace(&bed, &host, 3);
}

#[test]
fn manifests_of_another_host_above_the_mark_are_no_alarm() {
    let bed = Bed::new();
    let (first, second) = (bed.host("host-1"), bed.host("host-2"));
    night(&bed, &first, &bed.stores);
    night(&bed, &second, &bed.stores);
    night(&bed, &second, &bed.stores);
    let report = night(&bed, &first, &bed.stores);
    assert_eq!(report.completeness(), Completeness::Whole);
    assert_dense(&bed, 4);
}

/// Three nights, of which the last is deleted from these stores.
fn rolled_back(stores: &[usize]) -> (Bed, Host) {
    let bed = Bed::new();
    let host = bed.host("host-1");
    for _ in 0..3 {
        night(&bed, &host, &bed.stores);
    }
    for store in stores {
        delete_manifest(&bed, *store, 3);
    }
    (bed, host)
}

#[test]
fn a_head_below_the_mark_is_a_rollback() {
    let (bed, host) = rolled_back(&[0, 1]);
    let mark = mark_of(&bed, &host);
    let history = bed.read(mark);
    assert_eq!(ids(&history.findings), ["rollback"]);
    let refused = select(&history, &Selection::Newest);
    assert!(matches!(refused, Err(SelectError::Doubtful { .. })));
    let known = history.entries[1].escrow.as_ref().unwrap().id.clone();
    assert!(select(&history, &Selection::Id(known)).is_ok());

    let report = night(&bed, &host, &bed.stores);
    assert_eq!(report.completeness(), Completeness::Alarm);
    assert_eq!(report.manifest.seq, 4, "it follows what this host has seen");
    assert_eq!(
        report.manifest.prev_sha256,
        mark.map(|mark| mark.manifest_sha256)
    );
}

#[test]
fn a_lower_head_is_no_rollback_while_a_store_does_not_answer() {
    let (bed, host) = rolled_back(&[0]);
    let mark = mark_of(&bed, &host);
    assert_eq!(
        ids(&bed.read(mark).findings),
        ["manifest-missing (warning)"]
    );
    let history = bed.read_from(&bed.stores_without(1), mark);
    assert_eq!(
        ids(&history.findings),
        ["rollback (warning)", "store-unreachable (warning)"]
    );
    assert!(!history.complete);
    let newest = select(&history, &Selection::Newest).unwrap();
    assert_eq!(newest.0.link.seq, 2, "one store must do in a disaster");
    let report = night(&bed, &host, &bed.stores_without(1));
    assert_eq!(report.completeness(), Completeness::Partial);
}

#[test]
fn a_gap_is_none_while_a_store_does_not_answer() {
    let (bed, host) = rolled_back(&[]);
    delete_manifest(&bed, 0, 2);
    let history = bed.read_from(&bed.stores_without(1), mark_of(&bed, &host));
    assert_eq!(
        ids(&history.findings),
        ["chain-gap (warning)", "store-unreachable (warning)"]
    );
}

#[test]
fn a_store_that_fails_at_one_manifest_proves_nothing_either() {
    let (bed, host) = rolled_back(&[]);
    let mark = mark_of(&bed, &host);
    let (stores, unharmed) = with_fault(&bed, 0, Plan::never());
    bed.try_read(&stores[..1], mark).unwrap();
    let mut seen = BTreeSet::new();
    for call in unharmed.log() {
        // By what is asked, not by its number: calls overlap, and none is always the nth.
        let (action, key) = call.rsplit_once(' ').unwrap();
        let (stores, _) = with_fault(&bed, 0, Plan::every(action, key));
        match bed.try_read(&stores[..1], mark) {
            Ok(history) => seen.extend(ids(&history.findings)),
            Err(error) => assert_eq!(error.to_string(), "no store could be read"),
        }
    }
    let seen: Vec<String> = seen.into_iter().collect();
    assert_eq!(
        seen,
        [
            "chain-gap (warning)",
            "manifest-unreadable (warning)",
            "policy-missing (warning)",
            "rollback (warning)",
            // Its signatures were not listed.
            "store-unreachable (warning)",
        ]
    );
}

#[test]
fn a_planted_signature_does_not_stand_in_for_one_that_was_not_read() {
    let bed = Bed::with_stores(&["a"]);
    let report = night(&bed, &bed.host("host-1"), &bed.stores);
    let layout = Layout::new(&bed.slug);
    let planted = layout.signature(&report.digest, &"zoe".parse().unwrap());
    bed.stores[0].put_if_absent(&planted, b"none").unwrap();
    let unread = Plan::every("get", "host-1.sig");
    let history = bed.read_from(&with_fault(&bed, 0, unread).0, None);
    assert_eq!(ids(&history.findings), ["manifest-unreadable (warning)"]);
}

#[test]
fn another_manifest_in_the_place_of_the_mark_is_proof_whatever_answers() {
    let bed = Bed::new();
    let (first, second) = (bed.host("host-1"), bed.host("host-2"));
    night(&bed, &first, &bed.stores_without(1));
    night(&bed, &second, &bed.stores_without(0));
    let history = bed.read_from(&bed.stores_without(0), mark_of(&bed, &first));
    assert_eq!(
        ids(&history.findings),
        ["history-rewritten", "store-unreachable (warning)"]
    );
}
