//! Probes of stores in memory that keep to their locks, and of some that do not.

mod faulty;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::report::*;
use super::*;
use crate::base::time::{FixedClock, UtcTime};
use crate::model::lock::LockPolicy;
use crate::ops::destination::Destination;
use crate::ops::state::{LockProbe, ProbedFolder, State};
use crate::store::memory::MemoryStore;

use faulty::{Fault, Faulty};

const NOW: i64 = 1_780_000_000;

fn clock() -> FixedClock {
    FixedClock(UtcTime::from_unix(NOW))
}

fn memory() -> MemoryStore {
    MemoryStore::versioned("lat".parse().unwrap(), Arc::new(clock()))
}

fn probed(store: &dyn Store, mode: LockMode) -> LockReport {
    probe(&Request {
        slug: &"demo".parse().unwrap(),
        store,
        mode,
        clock: &clock(),
        random: [7; 8],
    })
}

fn outcomes(report: &LockReport) -> Vec<(&str, Outcome, Option<bool>)> {
    let steps = report.steps.iter();
    steps
        .map(|step| (step.name, step.outcome, step.stands))
        .collect()
}

#[test]
fn compliance_lock_withstands_everything() {
    use Outcome::{Allowed, Refused};
    let report = probed(&memory(), LockMode::Compliance);
    assert_eq!(report.verdict, LockVerdict::Enforced, "{report:#?}");
    let stands = Some(true);
    assert_eq!(
        outcomes(&report),
        [
            (CONTROL, Allowed, None),
            (WRITE, Allowed, None),
            (READ_BACK, Allowed, stands),
            (EXTEND, Allowed, stands),
            (OVERWRITE, Allowed, stands),
            (HIDE, Allowed, stands),
            (SHORTEN, Refused, stands),
            (SHORTEN_BYPASSING, Refused, stands),
            (DOWNGRADE, Refused, stands),
            (DOWNGRADE_BYPASSING, Refused, stands),
            (DELETE, Refused, stands),
            (DELETE_BYPASSING, Refused, stands),
        ]
    );
}

#[test]
fn governance_lock_that_these_credentials_may_lift_is_not_enforced() {
    let report = probed(&memory(), LockMode::Governance);
    assert_eq!(report.verdict, LockVerdict::NotEnforced, "{report:#?}");
    assert!(report.why.starts_with(SHORTEN_BYPASSING), "{}", report.why);
}

fn all_versions(store: &dyn Store) -> Vec<String> {
    let mut found = Vec::new();
    let listed = store
        .versions()
        .unwrap()
        .list_versions("", None, &mut |version| {
            found.push(version.id);
            ControlFlow::Continue(())
        });
    listed.unwrap();
    found
}

/// A state directory of its own.
fn state() -> (tempfile::TempDir, State) {
    let dir = tempfile::TempDir::new().unwrap();
    let state = State::new(dir.path().to_owned());
    (dir, state)
}

fn run_at(store: &dyn Store, at: i64, random: u8, state: &State) -> LockReport {
    let request = Request {
        slug: &"demo".parse().unwrap(),
        store,
        mode: LockMode::Compliance,
        clock: &FixedClock(UtcTime::from_unix(at)),
        random: [random; 8],
    };
    run(&request, state).unwrap()
}

#[test]
fn only_the_locked_version_stays_is_told_and_goes_with_the_next_probe() {
    let (_dir, state) = state();
    let clock = Arc::new(Mutable(AtomicI64::new(NOW)));
    let store = MemoryStore::versioned("lat".parse().unwrap(), clock.clone());
    let first = run_at(&store, NOW, 1, &state);
    let ids: Vec<&String> = first.left.iter().map(|one| &one.version_id).collect();
    assert_eq!(all_versions(&store), [ids[0].clone()]);
    assert_eq!(first.left[0].until, Some(UtcTime::from_unix(NOW + 660)));
    assert!(first.leftover().unwrap().contains("1 version stays until"));

    clock.0.fetch_add(300, Ordering::SeqCst);
    let slug = "demo".parse().unwrap();
    assert_eq!(sweep(&slug, &store, &state).unwrap(), first.left);
    clock.0.fetch_add(400, Ordering::SeqCst);
    let second = run_at(&store, NOW + 700, 2, &state);
    let id = second.left[0].version_id.clone();
    assert_eq!(all_versions(&store), [id]);
    clock.0.fetch_add(700, Ordering::SeqCst);
    assert_eq!(sweep(&slug, &store, &state).unwrap(), []);
    assert_eq!(all_versions(&store), [""; 0]);
    assert_eq!(state.lock_probes(&slug).unwrap()[store.name()].folders, []);
}

#[test]
fn probe_that_died_is_swept_by_the_next() {
    let (_dir, state) = state();
    let store = memory();
    let slug: Slug = "demo".parse().unwrap();
    // It had come as far as this.
    let folder = ProbedFolder {
        place: store.location(),
        folder: "demo/probe/0101010101010101/".to_owned(),
    };
    let died = LockProbe {
        last: None,
        folders: vec![folder],
    };
    let probes = BTreeMap::from([(store.name().clone(), died)]);
    state.set_lock_probes(&slug, &probes).unwrap();
    let key = "demo/probe/0101010101010101/control";
    store.put_if_absent(key, CONTENT).unwrap();
    store.delete(key).unwrap();
    assert_eq!(sweep(&slug, &store, &state).unwrap(), []);
    assert_eq!(all_versions(&store), [""; 0]);
}

#[test]
fn folder_is_on_record_before_anything_is_written() {
    let (_dir, state) = state();
    let store = Faulty::new(Fault::Dead);
    let request = Request {
        slug: &"demo".parse().unwrap(),
        store: &store,
        mode: LockMode::Compliance,
        clock: &clock(),
        random: [7; 8],
    };
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&request, &state)));
    assert!(died.is_err());
    let known = state.lock_probes(request.slug).unwrap();
    assert_eq!(known[store.name()].folders[0].folder, request.folder());
    assert_eq!(known[store.name()].last, None);
}

#[test]
fn record_counts_for_the_same_place_and_mode_only() {
    let (_dir, state) = state();
    let store = memory();
    run_at(&store, NOW, 1, &state);
    let mut probes = state.lock_probes(&"demo".parse().unwrap()).unwrap();
    let destination = |mode| Destination {
        store: Arc::new(store.clone()),
        provider: "memory".to_owned(),
        bucket: None,
        access: None,
        required: true,
        lock: Some(LockPolicy {
            mode,
            days: 1,
            manifest_days: 2,
        }),
    };
    let found = recorded(&probes, &destination(LockMode::Compliance));
    assert_eq!(found.unwrap().result, LockVerdict::Enforced);
    assert_eq!(recorded(&probes, &destination(LockMode::Governance)), None);
    let last = probes.get_mut(store.name()).unwrap().last.as_mut();
    last.unwrap().place = "s3://another/bucket".to_owned();
    assert_eq!(recorded(&probes, &destination(LockMode::Compliance)), None);
}

#[test]
fn host_whose_clock_is_behind_finds_what_the_others_find() {
    for ahead in [-600, -120, 120, 600] {
        let clock = Arc::new(FixedClock(UtcTime::from_unix(NOW + ahead)));
        let store = MemoryStore::versioned("lat".parse().unwrap(), clock);
        let report = probed(&store, LockMode::Compliance);
        assert_eq!(report.verdict, LockVerdict::Enforced, "{report:#?}");
        let until = UtcTime::from_unix(NOW + ahead + 660);
        assert_eq!(report.left[0].until, Some(until));
    }
}

#[test]
fn bucket_that_locks_by_itself_is_named_as_the_reason() {
    let report = probed(&Faulty::new(Fault::LocksAll), LockMode::Compliance);
    assert_eq!(report.verdict, LockVerdict::Unknown);
    assert!(report.why.contains("locks by itself"), "{}", report.why);
    // Everything that was written stays, and is told.
    let mut keys: Vec<&str> = report.left.iter().map(|one| one.key.as_str()).collect();
    keys.dedup();
    assert_eq!(keys.len(), 2, "{keys:?}");
}

#[test]
fn refusals_by_whoever_may_not_set_locks_at_all_say_nothing() {
    for fault in [Fault::NoLocking, Fault::NoSuchCall, Fault::FeignsLocks] {
        let report = probed(&Faulty::new(fault), LockMode::Compliance);
        assert_eq!(report.verdict, LockVerdict::Unknown, "{report:#?}");
        assert!(report.why.contains("put the date"), "{}", report.why);
    }
}

#[test]
fn what_a_writer_could_not_find_out_does_not_replace_what_a_probe_did() {
    let (_dir, state) = state();
    let (store, slug) = (memory(), "demo".parse().unwrap());
    let verdict = |state: &State| {
        let probes = state.lock_probes(&slug).unwrap();
        let last = probes[store.name()].last.as_ref();
        last.map(|last| last.record.result)
    };
    let unknown = probed(&Faulty::new(Fault::NoDeletes), LockMode::Compliance);
    keep_if_known(&slug, &store, &unknown, &state).unwrap();
    assert_eq!(verdict(&state), Some(LockVerdict::Unknown));
    run_at(&store, NOW, 1, &state);
    keep_if_known(&slug, &store, &unknown, &state).unwrap();
    assert_eq!(verdict(&state), Some(LockVerdict::Enforced));
}

#[test]
fn store_without_versions_is_unknown() {
    let store = MemoryStore::new("usb".parse().unwrap());
    let report = probed(&store, LockMode::Compliance);
    assert_eq!(report.verdict, LockVerdict::Unknown);
    assert_eq!(report.steps, []);
}

/// A clock that is put on by hand.
struct Mutable(AtomicI64);

impl Clock for Mutable {
    fn now(&self) -> UtcTime {
        UtcTime::from_unix(self.0.load(Ordering::SeqCst))
    }
}

#[test]
fn store_that_breaks_its_locks_is_found_out() {
    for (fault, name) in [(Fault::Deletes, DELETE), (Fault::Shortens, SHORTEN)] {
        let report = probed(&Faulty::new(fault), LockMode::Compliance);
        assert_eq!(report.verdict, LockVerdict::NotEnforced, "{report:#?}");
        let last = report.steps.last().unwrap();
        assert_eq!((last.name, last.stands), (name, Some(false)));
    }
}

#[test]
fn what_could_not_be_tried_is_unknown() {
    for fault in [Fault::NoDeletes, Fault::Silent, Fault::Blind] {
        let report = probed(&Faulty::new(fault), LockMode::Compliance);
        assert_eq!(report.verdict, LockVerdict::Unknown, "{report:#?}");
    }
}
