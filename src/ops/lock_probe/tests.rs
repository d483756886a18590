//! Probes of stores in memory that keep to their locks, and of some that do not.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::kept::sweep;
use super::report::*;
use super::*;
use crate::base::names::StoreName;
use crate::base::time::{FixedClock, UtcTime};
use crate::ops::state::State;
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
            (WRITE, Allowed, None),
            (CONTROL, Allowed, None),
            (READ_BACK, Allowed, stands),
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

#[test]
fn only_the_locked_version_stays_and_goes_with_the_next_probe() {
    let store = memory();
    let report = probed(&store, LockMode::Compliance);
    assert_eq!(report.left.len(), 1);
    let left = all_versions(&store, "");
    assert_eq!(left[0].1, report.left[0].version_id);
    assert_eq!(left.len(), 1);
    let until = report.left[0].until;
    assert_eq!(sweep(&store, &report.left, until.plus(-1)), report.left);
    // The store's own clock still stands before the date: nothing is forgotten.
    assert_eq!(sweep(&store, &report.left, until), report.left);
}

#[test]
fn what_a_writer_could_not_find_out_does_not_replace_what_a_probe_did() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::new(dir.path().to_owned());
    let slug = "demo".parse().unwrap();
    let known = probed(&memory(), LockMode::Compliance);
    keep_if_known(&known, &slug, &state).unwrap();
    let unknown = probed(&Faulty::new(Fault::NoDeletes), LockMode::Compliance);
    keep_if_known(&unknown, &slug, &state).unwrap();
    let kept = |state: &State| state.lock_probes(&slug).unwrap()[&known.store].clone();
    assert_eq!(kept(&state).record.result, LockVerdict::Enforced);
    let left = known.left.len() + unknown.left.len();
    assert_eq!(kept(&state).left.len(), left);
    keep(&unknown, &slug, &state).unwrap();
    assert_eq!(kept(&state).record.result, LockVerdict::Unknown);
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
        self.inner.put_if_absent(key, bytes)
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
