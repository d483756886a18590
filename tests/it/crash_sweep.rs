//! One fault at every call that a snapshot makes: nothing that looks committed is ever broken,
//! and the next run puts everything right.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::model::finding::Severity;
use databasus_escrow::ops::snapshot::{Completeness, Report, SnapshotError};
use databasus_escrow::ops::state::StateError;
use databasus_escrow::store::Store;

use crate::support::fault_store::{Fault, FaultStore, OpenUploads, Plan, Process};
use crate::support::instance::{Bed, Host, ids};

const STORES: [usize; 2] = [0, 1];

/// Two stores and a process that is about to make a snapshot: the second one of a small
/// instance, or the very first of a large one.
struct Scene {
    bed: Bed,
    host: Host,
    uploads: Vec<OpenUploads>,
    stores: Vec<FaultStore>,
    process: Process,
}

impl Scene {
    fn new(store: usize, plan: Plan, bulk: usize) -> Self {
        let mut bed = Bed::new();
        let host = bed.host("host-1");
        match bulk {
            0 => drop(bed.snapshot(&host).unwrap()),
            bulk => bed.add_bulk(bulk),
        }
        let uploads: Vec<OpenUploads> = STORES.map(|_| OpenUploads::default()).into();
        let process = Process::default();
        let stores = faulty(&bed, &uploads, &process, Some((store, plan)));
        Self {
            bed,
            host,
            uploads,
            stores,
            process,
        }
    }

    /// The run with the fault. None if the process died on the way, whatever it returned.
    fn run(&self) -> Option<Result<Report, SnapshotError>> {
        let result = self
            .bed
            .snapshot_into(&self.host, &shared(&self.stores), &Cancel::new());
        (!self.process.is_dead()).then_some(result)
    }

    /// The next night: a new process over the same state and the same stores.
    fn run_again(&self) -> Report {
        let stores = faulty(&self.bed, &self.uploads, &Process::default(), None);
        let again = self
            .bed
            .snapshot_into(&self.host, &shared(&stores), &Cancel::new());
        again.unwrap()
    }

    /// Whatever any store shows as committed opens, completely, from the stores.
    fn assert_nothing_is_broken(&self) {
        let history = self.bed.read(None);
        let worst = history.findings.iter().map(|finding| finding.severity);
        assert_ne!(
            worst.max(),
            Some(Severity::Violation),
            "{:?}",
            history.findings
        );
        for (entry, _) in history.escrows() {
            let manifest = history.load(entry).unwrap();
            self.bed.open(&manifest, &self.bed.stores).unwrap();
        }
    }

    /// A store that is said to hold everything does, without any other store.
    fn assert_the_report_is_true(&self, report: &Report) {
        for (told, store) in report.stores.iter().zip(&self.bed.stores) {
            if told.failure.is_some() {
                assert_ne!(report.completeness(), Completeness::Whole);
                continue;
            }
            let alone = [store.clone()];
            let history = self.bed.read_from(&alone, None);
            let head = history.head().expect("the store holds no manifest");
            assert_eq!(head.link.digest, report.digest, "another head");
            let findings = self.bed.open(&history.load(head).unwrap(), &alone);
            assert_eq!(ids(&findings.unwrap()), [""; 0]);
        }
    }

    /// Nothing of the fault is left: no finding in any store, no upload, nothing pending.
    fn assert_all_is_well(&self, report: &Report) {
        assert_eq!(ids(&report.findings), [""; 0]);
        assert_eq!(report.completeness(), Completeness::Whole);
        let state = &self.host.state;
        let mark = state.mark(&self.bed.slug).unwrap();
        assert_eq!(mark.map(|mark| mark.manifest_sha256), Some(report.digest));
        assert_eq!(state.pending(&self.bed.slug).unwrap(), None);
        assert_eq!(state.open_uploads(&self.bed.slug).unwrap(), []);
        for (store, uploads) in self.bed.stores.iter().zip(&self.uploads) {
            assert_eq!(uploads.keys(), [""; 0], "unfinished in {}", store.name());
            let history = self.bed.read_from(std::slice::from_ref(store), mark);
            assert_eq!(ids(&history.findings), [""; 0], "in {}", store.name());
            assert_eq!(history.mark(), mark, "in {}", store.name());
        }
    }
}

fn faulty(
    bed: &Bed,
    uploads: &[OpenUploads],
    process: &Process,
    plan: Option<(usize, Plan)>,
) -> Vec<FaultStore> {
    let stores = bed.stores.iter().zip(uploads).enumerate();
    stores
        .map(|(index, (store, uploads))| {
            let plan = plan.clone().filter(|(at, _)| *at == index);
            let plan = plan.map(|(_, plan)| plan);
            FaultStore::new(store.clone(), uploads.clone(), process.clone(), plan)
        })
        .collect()
}

fn shared(stores: &[FaultStore]) -> Vec<Arc<dyn Store>> {
    let shared = |store: &FaultStore| -> Arc<dyn Store> { Arc::new(store.clone()) };
    stores.iter().map(shared).collect()
}

/// Runs a case for every call of `store` until the plan lies beyond the last one. Returns what
/// went wrong, case by case.
fn sweep(
    store: usize,
    name: &str,
    case: &dyn Fn(usize) -> (Scene, Result<(), String>),
) -> Vec<String> {
    let mut failures = Vec::new();
    for call in 0.. {
        let (scene, outcome) = case(call);
        if !scene.stores[store].was_hit() {
            assert!(call > 15, "a snapshot makes more than {call} calls");
            break;
        }
        if let Err(why) = outcome {
            let log = scene.stores[store].log();
            let at = &log[call];
            failures.push(format!(
                "{name} at call {call} of store {store} ({at}): {why}"
            ));
        }
    }
    failures
}

/// What a check says when it fails.
fn told(check: impl FnOnce()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(check)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default()
            .replace('\n', " ")
    })
}

/// The whole sweep for these faults, each store and fault on a thread of its own.
fn assert_every_case_holds(faults: &[Fault], bulk: usize) {
    let failures: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = faults
            .iter()
            .flat_map(|fault| STORES.map(|store| (*fault, store)))
            .map(|(fault, store)| {
                scope.spawn(move || {
                    sweep(store, &format!("{fault:?}"), &|call| {
                        let scene = Scene::new(store, Plan::new(call, fault), bulk);
                        let outcome = told(|| night_and_morning(&scene));
                        (scene, outcome)
                    })
                })
            })
            .collect();
        let done = running.into_iter().flat_map(|run| run.join().unwrap());
        done.collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn night_and_morning(scene: &Scene) {
    let outcome = scene.run();
    scene.assert_nothing_is_broken();
    if let Some(Ok(report)) = &outcome {
        scene.assert_the_report_is_true(report);
    }
    let report = scene.run_again();
    scene.assert_all_is_well(&report);
    scene.assert_the_report_is_true(&report);
    scene.assert_nothing_is_broken();
}

#[test]
fn a_call_that_fails_once_leaves_nothing_broken() {
    assert_every_case_holds(&[Fault::Before, Fault::After], 0);
}

#[test]
fn a_store_that_is_lost_half_way_leaves_nothing_broken() {
    assert_every_case_holds(&[Fault::Forever, Fault::AfterForever], 0);
}

#[test]
fn a_process_that_is_killed_leaves_nothing_broken() {
    assert_every_case_holds(&[Fault::Crash, Fault::CrashAfter], 0);
}

#[test]
fn payloads_of_several_parts_survive_the_same() {
    assert_every_case_holds(&[Fault::Before, Fault::Crash], (8 << 20) + 1);
}
