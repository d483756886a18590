//! Probes of stores in memory that keep to their locks, and of some that do not.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::report::*;
use super::*;
use crate::base::names::StoreName;
use crate::base::time::{FixedClock, UtcTime};
use crate::model::lock::LockPolicy;
use crate::ops::destination::Destination;
use crate::ops::state::{LockProbe, ProbedFolder, State};
use crate::store::memory::MemoryStore;
use crate::store::versions::{BucketRules, Version, VersionHead};
use crate::store::{Object, ObjectMeta, Upload, UploadTicket};

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
fn store_without_versions_is_unknown() {
    let store = MemoryStore::new("usb".parse().unwrap());
    let report = probed(&store, LockMode::Compliance);
    assert_eq!(report.verdict, LockVerdict::Unknown);
    assert_eq!(report.steps, []);
}

/// What a store does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Versions are deleted in spite of locks.
    Deletes,
    /// It is told that locks are shortened, and they are.
    Shortens,
    /// Nobody may delete any version.
    NoDeletes,
    /// Deletes are not answered.
    Silent,
    /// The lock is not told.
    Blind,
    /// Nobody may set any lock.
    NoLocking,
    /// It does not know the call that sets one.
    NoSuchCall,
    /// It says that locks are set, and they are not.
    FeignsLocks,
    /// Everything is locked, asked or not.
    LocksAll,
    /// The process dies at the first write.
    Dead,
}

/// A clock that is put on by hand.
struct Mutable(AtomicI64);

impl Clock for Mutable {
    fn now(&self) -> UtcTime {
        UtcTime::from_unix(self.0.load(Ordering::SeqCst))
    }
}

struct Faulty {
    inner: MemoryStore,
    fault: Fault,
    /// Versions that count as deleted.
    deleted: Mutex<Vec<String>>,
    /// The lock that counts as set.
    lock: Mutex<Option<Lock>>,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self {
            inner: memory(),
            fault,
            deleted: Mutex::default(),
            lock: Mutex::default(),
        }
    }

    /// As a bucket with a default retention of a day locks.
    fn by_itself(&self) -> Arc<dyn Store> {
        let lock = Lock {
            mode: LockMode::Governance,
            until: UtcTime::from_unix(NOW + 86_400),
        };
        self.inner.locking(lock).unwrap()
    }

    fn error(&self, kind: StoreErrorKind) -> StoreError {
        StoreError::new(self.inner.name(), kind, "delete version of", "key")
    }
}

impl Store for Faulty {
    fn name(&self) -> &StoreName {
        self.inner.name()
    }
    fn location(&self) -> String {
        self.inner.location()
    }
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<ObjectMeta, StoreError> {
        match self.fault {
            Fault::Dead => panic!("died"),
            Fault::LocksAll => self.by_itself().put_if_absent(key, bytes),
            _ => self.inner.put_if_absent(key, bytes),
        }
    }
    fn replace(&self, key: &str, bytes: &[u8], etag: &str) -> Result<ObjectMeta, StoreError> {
        self.inner.replace(key, bytes, etag)
    }
    fn get(&self, key: &str, max_bytes: u64) -> Result<Object, StoreError> {
        self.inner.get(key, max_bytes)
    }
    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.get_range(key, range)
    }
    fn head(&self, key: &str) -> Result<ObjectMeta, StoreError> {
        self.inner.head(key)
    }
    fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(ObjectMeta) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.inner.list(prefix, start_after, visit)
    }
    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.inner.delete(key)
    }
    fn start_upload(&self, key: &str, part_size: u64) -> Result<Box<dyn Upload>, StoreError> {
        self.inner.start_upload(key, part_size)
    }
    fn abort_upload(&self, ticket: &UploadTicket) -> Result<(), StoreError> {
        self.inner.abort_upload(ticket)
    }
    fn locking(&self, lock: Lock) -> Option<Arc<dyn Store>> {
        self.inner.locking(lock)
    }
    fn versions(&self) -> Option<&dyn Versions> {
        Some(self)
    }
}

impl Versions for Faulty {
    fn list_versions(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(Version) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.inner.list_versions(prefix, start_after, visit)
    }
    fn get_version(&self, key: &str, id: &str, max_bytes: u64) -> Result<Object, StoreError> {
        self.inner.get_version(key, id, max_bytes)
    }
    fn get_version_range(
        &self,
        key: &str,
        id: &str,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        self.inner.get_version_range(key, id, range)
    }
    fn head_version(&self, key: &str, id: &str) -> Result<VersionHead, StoreError> {
        if self.deleted.lock().unwrap().contains(&id.to_owned()) {
            return Err(self.error(StoreErrorKind::NotFound));
        }
        let head = self.inner.head_version(key, id)?;
        let set = self.lock.lock().unwrap().map(LockState::Locked);
        let lock = match self.fault {
            Fault::Blind => LockState::Unknown,
            _ => set.unwrap_or(head.lock),
        };
        Ok(VersionHead { lock, ..head })
    }
    fn delete_version(&self, key: &str, id: &str, bypass: Bypass) -> Result<(), StoreError> {
        match self.fault {
            Fault::NoDeletes => Err(self.error(StoreErrorKind::Denied)),
            Fault::Silent if key.ends_with("locked") => Err(self.error(StoreErrorKind::Transient)),
            Fault::Deletes => {
                self.deleted.lock().unwrap().push(id.to_owned());
                Ok(())
            }
            _ => self.inner.delete_version(key, id, bypass),
        }
    }
    fn set_lock(&self, key: &str, id: &str, lock: Lock, bypass: Bypass) -> Result<(), StoreError> {
        match self.fault {
            Fault::Shortens => {
                *self.lock.lock().unwrap() = Some(lock);
                Ok(())
            }
            Fault::NoLocking => Err(self.error(StoreErrorKind::Denied)),
            Fault::NoSuchCall => Err(self.error(StoreErrorKind::Unsupported)),
            Fault::FeignsLocks => Ok(()),
            _ => self.inner.set_lock(key, id, lock, bypass),
        }
    }
    fn bucket_rules(&self) -> Result<BucketRules, StoreError> {
        self.inner.bucket_rules()
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
