//! One fault at every call that a snapshot makes: nothing that looks committed is ever broken,
//! and the next run puts everything right.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::model::finding::{Severity, worst};
use databasus_escrow::ops::commit::{CommitError, Completeness};
use databasus_escrow::ops::snapshot::{Report, SnapshotError};
use databasus_escrow::ops::state::StateError;
use databasus_escrow::store::{Store, list_all};

use crate::support::fault_store::{Fault, FaultStore, OpenUploads, Plan, Process};
use crate::support::instance::{Bed, Host, ids, versioned};
use proptest::prelude::*;

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
        Self::of(Bed::new(), store, plan, bulk)
    }

    fn of(mut bed: Bed, store: usize, plan: Plan, bulk: usize) -> Self {
        let host = bed.host("host-1");
        match bulk {
            0 => drop(bed.snapshot(&host).unwrap()),
            bulk => bed.add_bulk(bulk),
        }
        let mut scene = Self {
            bed,
            host,
            uploads: STORES.map(|_| OpenUploads::default()).into(),
            stores: Vec::new(),
            process: Process::default(),
        };
        scene.begin(store, plan);
        scene
    }

    /// A new process, with a fault ahead of it.
    fn begin(&mut self, store: usize, plan: Plan) {
        let memory = self.host.state_dir.clone();
        let plan = match plan.fault {
            Fault::Crash | Fault::CrashAfter => plan.with(move || keep(&memory)),
            _ => plan,
        };
        self.process = Process::default();
        self.stores = faulty(&self.bed, &self.uploads, &self.process, Some((store, plan)));
    }

    /// The run with the fault. None if the process died on the way, whatever it returned.
    fn run(&self) -> Option<Result<Report, SnapshotError>> {
        let result = self
            .bed
            .snapshot_into(&self.host, &shared(&self.stores), &Cancel::new());
        if self.process.is_dead() {
            bring_back(&self.host.state_dir);
            return None;
        }
        Some(result)
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
        let found = &history.findings;
        assert_ne!(worst(found), Some(Severity::Violation), "{found:?}");
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
            let mut entries = history.entries.iter();
            let entry = entries.find(|entry| entry.link.digest == report.digest);
            let entry = entry.expect("the store does not hold the manifest");
            let findings = self.bed.open(&history.load(entry).unwrap(), &alone);
            assert_eq!(ids(&findings.unwrap()), [""; 0]);
        }
    }

    /// Nothing of the fault is left: no finding in any store, no upload, nothing pending.
    fn assert_all_is_well(&self, report: &Report) {
        assert_eq!(ids(&report.findings), [""; 0]);
        assert_eq!(report.completeness(), Completeness::Whole);
        let state = &self.host.state;
        let mark = state.mark(&self.bed.slug).unwrap();
        let amend = report.replicated.as_ref().and_then(|report| report.amend);
        let newest = amend.map_or(report.digest, |amend| amend.manifest_sha256);
        assert_eq!(mark.map(|mark| mark.manifest_sha256), Some(newest));
        assert!(state.lacking(&self.bed.slug).unwrap().is_empty());
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

/// Copies a state directory as it is at the moment of a crash.
fn keep(state_dir: &Path) {
    let kept = state_dir.with_extension("kept");
    std::fs::create_dir(&kept).unwrap();
    for file in std::fs::read_dir(state_dir).unwrap() {
        let file = file.unwrap().path();
        std::fs::copy(&file, kept.join(file.file_name().unwrap())).unwrap();
    }
}

fn bring_back(state_dir: &Path) {
    std::fs::remove_dir_all(state_dir).unwrap();
    std::fs::rename(state_dir.with_extension("kept"), state_dir).unwrap();
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
            assert!(call > 10, "a snapshot makes more than {call} calls");
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
    assert_all(faults, &|store, call, fault| {
        let scene = Scene::new(store, Plan::new(call, fault), bulk);
        let outcome = told(|| night_and_morning(&scene));
        (scene, outcome)
    });
}

type Case<'a> = &'a (dyn Fn(usize, usize, Fault) -> (Scene, Result<(), String>) + Sync);

fn assert_all(faults: &[Fault], case: Case<'_>) {
    let failures: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = faults
            .iter()
            .flat_map(|fault| STORES.map(|store| (*fault, store)))
            .map(|(fault, store)| {
                let name = format!("{fault:?}");
                scope.spawn(move || sweep(store, &name, &|call| case(store, call, fault)))
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
fn a_network_that_goes_away_leaves_nothing_broken() {
    assert_every_case_holds(&[Fault::Outage], 0);
}

#[test]
fn a_process_that_is_killed_leaves_nothing_broken() {
    assert_every_case_holds(&[Fault::Crash, Fault::CrashAfter], 0);
}

#[test]
fn payloads_of_several_parts_survive_the_same() {
    assert_every_case_holds(&[Fault::Crash], (8 << 20) + 1);
}

#[test]
fn stores_with_versions_and_locks_survive_the_same() {
    let faults = [Fault::Before, Fault::After, Fault::Forever, Fault::Crash];
    assert_all(&faults, &|store, call, fault| {
        let bed = Bed::locked(vec![versioned("a"), versioned("b")]);
        let scene = Scene::of(bed, store, Plan::new(call, fault), 0);
        let outcome = told(|| night_and_morning(&scene));
        (scene, outcome)
    });
}

#[test]
fn a_signal_stops_the_run_and_leaves_no_upload() {
    assert_all(&[Fault::Hook], &|store, call, fault| {
        let cancel = Cancel::new();
        let signal = cancel.clone();
        let plan = Plan::new(call, fault).with(move || signal.raise(15));
        let scene = Scene::new(store, plan, 0);
        let outcome = told(|| {
            let stores = shared(&scene.stores);
            match scene.bed.snapshot_into(&scene.host, &stores, &cancel) {
                Ok(report) => scene.assert_the_report_is_true(&report),
                Err(SnapshotError::Commit(CommitError::Interrupted(_))) => {}
                Err(other) => panic!("told as {other}"),
            }
            for uploads in &scene.uploads {
                assert_eq!(uploads.keys(), [""; 0]);
            }
            scene.assert_nothing_is_broken();
            let report = scene.run_again();
            scene.assert_all_is_well(&report);
        });
        (scene, outcome)
    });
}

#[test]
fn a_state_directory_that_is_lost_half_way_leaves_nothing_broken() {
    assert_all(&[Fault::Hook], &|store, call, fault| {
        let dir = Arc::new(OnceLock::<PathBuf>::new());
        let lost = dir.clone();
        // A file in its place: nobody can write there, root included.
        let plan = Plan::new(call, fault).with(move || {
            let dir = lost.get().unwrap();
            std::fs::rename(dir, dir.with_extension("kept")).unwrap();
            std::fs::write(dir, "").unwrap();
        });
        let scene = Scene::new(store, plan, 0);
        dir.set(scene.host.state_dir.clone()).unwrap();
        let outcome = told(|| {
            if let Some(Ok(report)) = scene.run() {
                scene.assert_the_report_is_true(&report);
            }
            if scene.host.state_dir.is_file() {
                std::fs::remove_file(&scene.host.state_dir).unwrap();
                let kept = scene.host.state_dir.with_extension("kept");
                std::fs::rename(kept, &scene.host.state_dir).unwrap();
            }
            scene.assert_nothing_is_broken();
            let report = scene.run_again();
            scene.assert_all_is_well(&report);
        });
        (scene, outcome)
    });
}

#[test]
fn without_a_state_directory_nothing_is_put_anywhere() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    std::fs::write(&host.state_dir, "a file").unwrap();
    let refused = bed.snapshot(&host).err().unwrap();
    assert!(
        matches!(
            refused,
            SnapshotError::Commit(CommitError::State(StateError::Io(_)))
        ),
        "{refused}"
    );
    for store in &bed.stores {
        assert_eq!(list_all(store.as_ref(), "", None).unwrap(), []);
    }
}

#[test]
fn an_upload_that_could_not_be_removed_stays_on_record() {
    let mut scene = Scene::new(0, Plan::at("put part", "", Fault::Forever), 0);
    assert!(scene.run().is_some());
    scene.begin(0, Plan::at("abort upload", "", Fault::Before));
    assert!(scene.run().is_some());
    assert_eq!(scene.uploads[0].keys().len(), 1);
    let report = scene.run_again();
    assert_eq!(report.completeness(), Completeness::Whole);
    assert_eq!(scene.uploads[0].keys(), [""; 0]);
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop::sample::select(vec![
        Fault::Before,
        Fault::After,
        Fault::Forever,
        Fault::AfterForever,
        Fault::Outage,
        Fault::Crash,
        Fault::CrashAfter,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn bad_nights_in_a_row_never_fork_the_chain(
        nights in prop::collection::vec((0..2usize, 0..20usize, any_fault()), 1..6),
    ) {
        let mut scene = Scene::new(0, Plan::never(), 0);
        for (store, call, fault) in nights {
            let plan = Plan::new(call, fault);
            scene.begin(store, plan);
            let outcome = scene.run();
            scene.assert_nothing_is_broken();
            if let Some(Ok(report)) = &outcome {
                prop_assert_ne!(report.completeness(), Completeness::Alarm);
                scene.assert_the_report_is_true(report);
            }
        }
        let report = scene.run_again();
        prop_assert_eq!(report.completeness(), Completeness::Whole);
        scene.assert_the_report_is_true(&report);
        scene.assert_nothing_is_broken();
        for uploads in &scene.uploads {
            prop_assert_eq!(uploads.keys(), Vec::<String>::new());
        }
    }
}
