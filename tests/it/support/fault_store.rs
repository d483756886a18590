//! A store in front of another one that fails at a chosen call.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use databasus_escrow::base::names::StoreName;
use databasus_escrow::model::lock::Lock;
use databasus_escrow::store::versions::{BucketRules, Bypass, Version, VersionHead, Versions};
use databasus_escrow::store::{
    Object, ObjectMeta, Part, Store, StoreError, StoreErrorKind, UnfinishedUpload, Upload,
    UploadTicket,
};

/// What happens at the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and changes nothing.
    Before,
    /// It takes effect, and its answer is lost.
    After,
    /// It fails, and so does every later call of this store.
    Forever,
    /// It takes effect, its answer is lost, and every later call of this store fails.
    AfterForever,
    /// It fails, and from now on nothing works in any store: the network is gone.
    Outage,
    /// It fails, and the process was killed before it. The hook keeps what must not change any
    /// more: code that runs on after its own death proves nothing.
    Crash,
    /// It takes effect, and then the process is killed.
    CrashAfter,
    /// It works, and the hook runs first.
    Hook,
    /// It fails for good, with this, and changes nothing.
    Refusal(StoreErrorKind),
}

/// A fault at one call of a store.
#[derive(Clone)]
pub struct Plan {
    when: When,
    pub fault: Fault,
    hook: Arc<dyn Fn() + Send + Sync>,
}

#[derive(Clone)]
enum When {
    Call(usize),
    First { action: String, key_part: String },
    Every { action: String, key_part: String },
    Each(String),
}

impl Plan {
    /// A fault at this call, counted from 0.
    pub fn new(call: usize, fault: Fault) -> Self {
        Self::when(When::Call(call), fault)
    }

    /// A fault at the first call that does `action` (`put`, `get`, …) to a key with this in it.
    pub fn at(action: &str, key_part: &str, fault: Fault) -> Self {
        let first = When::First {
            action: format!("{action} "),
            key_part: key_part.to_owned(),
        };
        Self::when(first, fault)
    }

    /// Every call that does `action` to a key with this in it fails and changes nothing.
    pub fn every(action: &str, key_part: &str) -> Self {
        let every = When::Every {
            action: format!("{action} "),
            key_part: key_part.to_owned(),
        };
        Self::when(every, Fault::Before)
    }

    /// Every call that does `action` to this very key is refused for good.
    pub fn refuse(action: &str, key: &str, kind: StoreErrorKind) -> Self {
        Self::when(When::Each(format!("{action} {key}")), Fault::Refusal(kind))
    }

    /// No fault: for a store whose calls are counted.
    pub fn never() -> Self {
        Self::new(usize::MAX, Fault::Before)
    }

    fn when(when: When, fault: Fault) -> Self {
        Self {
            when,
            fault,
            hook: Arc::new(|| {}),
        }
    }

    pub fn with(self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            hook: Arc::new(hook),
            ..self
        }
    }
}

/// Uploads that were begun and neither completed nor aborted, by their id. One whose begin was
/// never answered is not among them: nobody can know it.
#[derive(Clone, Default)]
pub struct OpenUploads(Arc<Mutex<BTreeMap<String, String>>>);

impl OpenUploads {
    pub fn keys(&self) -> Vec<String> {
        self.0.lock().unwrap().values().cloned().collect()
    }

    fn add(&self, ticket: &UploadTicket) {
        let (id, key) = (ticket.upload_id.clone(), ticket.key.clone());
        self.0.lock().unwrap().insert(id, key);
    }

    fn remove(&self, ticket: &UploadTicket) {
        self.0.lock().unwrap().remove(&ticket.upload_id);
    }
}

/// The process that uses the stores.
#[derive(Clone, Default)]
pub struct Process {
    is_cut_off: Arc<AtomicBool>,
    is_dead: Arc<AtomicBool>,
}

impl Process {
    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    fn cut_off(&self) {
        self.is_cut_off.store(true, Ordering::SeqCst);
    }

    fn kill(&self, plan: &Plan) {
        self.cut_off();
        (plan.hook)();
        self.is_dead.store(true, Ordering::SeqCst);
    }
}

/// See the module.
#[derive(Clone)]
pub struct FaultStore {
    inner: Arc<dyn Store>,
    shared: Arc<Shared>,
}

struct Shared {
    name: StoreName,
    plan: Option<Plan>,
    process: Process,
    uploads: OpenUploads,
    down: AtomicBool,
    is_hit: AtomicBool,
    log: Mutex<Vec<String>>,
    /// Names and versions that listings told.
    listed: AtomicUsize,
}

struct FaultUpload {
    inner: Box<dyn Upload>,
    shared: Arc<Shared>,
}

impl FaultStore {
    pub fn new(
        inner: Arc<dyn Store>,
        uploads: OpenUploads,
        process: Process,
        plan: Option<Plan>,
    ) -> Self {
        let shared = Shared {
            name: inner.name().clone(),
            plan,
            process,
            uploads,
            down: AtomicBool::new(false),
            is_hit: AtomicBool::new(false),
            log: Mutex::default(),
            listed: AtomicUsize::new(0),
        };
        Self {
            inner,
            shared: Arc::new(shared),
        }
    }

    /// Whether the planned call was reached.
    pub fn was_hit(&self) -> bool {
        self.shared.is_hit.load(Ordering::SeqCst)
    }

    /// How many names and versions its listings told so far.
    pub fn listed(&self) -> usize {
        self.shared.listed.load(Ordering::SeqCst)
    }

    /// Every call so far, in order.
    pub fn log(&self) -> Vec<String> {
        self.shared.log.lock().unwrap().clone()
    }
}

fn suits(call: &str, action: &str, key_part: &str) -> bool {
    let key = call.strip_prefix(action);
    key.is_some_and(|key| key.contains(key_part))
}

impl Shared {
    /// Notes the call, and tells whether it is the chosen one.
    fn is_planned(&self, call: String) -> bool {
        let mut log = self.log.lock().unwrap();
        let number = log.len();
        log.push(call);
        let chosen = match self.plan.as_ref().map(|plan| &plan.when) {
            None => false,
            Some(When::Call(chosen)) => *chosen == number,
            Some(When::First { action, key_part }) => {
                suits(&log[number], action, key_part) && !self.is_hit.load(Ordering::SeqCst)
            }
            Some(When::Every { action, key_part }) => suits(&log[number], action, key_part),
            Some(When::Each(call)) => *call == log[number],
        };
        self.is_hit.fetch_or(chosen, Ordering::SeqCst);
        chosen
    }

    fn call<T>(
        &self,
        action: &'static str,
        key: &str,
        act: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let planned = self.is_planned(format!("{action} {key}"));
        let failed = |kind| Err(StoreError::new(&self.name, kind, action, key));
        let lost = || failed(StoreErrorKind::Transient);
        let is_cut_off = self.process.is_cut_off.load(Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) || is_cut_off {
            return lost();
        }
        let Some(plan) = self.plan.as_ref().filter(|_| planned) else {
            return act();
        };
        match plan.fault {
            Fault::Before => {}
            Fault::After => drop(act()),
            Fault::Forever => self.down.store(true, Ordering::SeqCst),
            Fault::AfterForever => {
                drop(act());
                self.down.store(true, Ordering::SeqCst);
            }
            Fault::Outage => self.process.cut_off(),
            Fault::Crash => self.process.kill(plan),
            Fault::CrashAfter => {
                drop(act());
                self.process.kill(plan);
            }
            Fault::Hook => {
                (plan.hook)();
                return act();
            }
            Fault::Refusal(kind) => return failed(kind),
        }
        lost()
    }
}

impl Store for FaultStore {
    fn name(&self) -> &StoreName {
        self.inner.name()
    }

    fn location(&self) -> String {
        self.inner.location()
    }

    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<ObjectMeta, StoreError> {
        self.shared
            .call("put", key, || self.inner.put_if_absent(key, bytes))
    }

    fn replace(&self, key: &str, bytes: &[u8], etag: &str) -> Result<ObjectMeta, StoreError> {
        self.shared
            .call("replace", key, || self.inner.replace(key, bytes, etag))
    }

    fn get(&self, key: &str, max_bytes: u64) -> Result<Object, StoreError> {
        self.shared
            .call("get", key, || self.inner.get(key, max_bytes))
    }

    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.shared
            .call("get range", key, || self.inner.get_range(key, range))
    }

    fn head(&self, key: &str) -> Result<ObjectMeta, StoreError> {
        self.shared.call("head", key, || self.inner.head(key))
    }

    fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(ObjectMeta) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.shared.call("list", prefix, || {
            self.inner.list(prefix, start_after, &mut |meta| {
                self.shared.listed.fetch_add(1, Ordering::SeqCst);
                visit(meta)
            })
        })
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.shared.call("delete", key, || self.inner.delete(key))
    }

    fn start_upload(&self, key: &str, part_size: u64) -> Result<Box<dyn Upload>, StoreError> {
        let inner = self.shared.call("start upload", key, || {
            self.inner.start_upload(key, part_size)
        })?;
        self.shared.uploads.add(&inner.ticket());
        Ok(Box::new(FaultUpload {
            inner,
            shared: self.shared.clone(),
        }))
    }

    fn abort_upload(&self, ticket: &UploadTicket) -> Result<(), StoreError> {
        self.shared.call("abort upload", &ticket.key, || {
            self.inner.abort_upload(ticket)?;
            self.shared.uploads.remove(ticket);
            Ok(())
        })
    }

    fn unfinished_uploads(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(UnfinishedUpload) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.shared.call("list uploads", prefix, || {
            self.inner.unfinished_uploads(prefix, visit)
        })
    }

    fn locking(&self, lock: Lock) -> Option<Arc<dyn Store>> {
        Some(Arc::new(Self {
            inner: self.inner.locking(lock)?,
            shared: self.shared.clone(),
        }))
    }

    fn versions(&self) -> Option<&dyn Versions> {
        self.inner.versions().map(|_| self as &dyn Versions)
    }
}

impl FaultStore {
    fn inner_versions(&self) -> Result<&dyn Versions, StoreError> {
        let none = || StoreError::new(self.name(), StoreErrorKind::Unsupported, "find", "versions");
        self.inner.versions().ok_or_else(none)
    }
}

impl Versions for FaultStore {
    fn list_versions(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(Version) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let inner = self.inner_versions()?;
        self.shared.call("list versions", prefix, || {
            inner.list_versions(prefix, start_after, &mut |version| {
                self.shared.listed.fetch_add(1, Ordering::SeqCst);
                visit(version)
            })
        })
    }

    fn get_version(&self, key: &str, id: &str, max_bytes: u64) -> Result<Object, StoreError> {
        let inner = self.inner_versions()?;
        self.shared
            .call("get version", key, || inner.get_version(key, id, max_bytes))
    }

    fn get_version_range(
        &self,
        key: &str,
        id: &str,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        let inner = self.inner_versions()?;
        self.shared.call("get version range", key, || {
            inner.get_version_range(key, id, range)
        })
    }

    fn head_version(&self, key: &str, id: &str) -> Result<VersionHead, StoreError> {
        let inner = self.inner_versions()?;
        self.shared
            .call("head version", key, || inner.head_version(key, id))
    }

    fn delete_version(&self, key: &str, id: &str, bypass: Bypass) -> Result<(), StoreError> {
        let inner = self.inner_versions()?;
        self.shared.call("delete version", key, || {
            inner.delete_version(key, id, bypass)
        })
    }

    fn set_lock(&self, key: &str, id: &str, lock: Lock, bypass: Bypass) -> Result<(), StoreError> {
        let inner = self.inner_versions()?;
        self.shared
            .call("set lock", key, || inner.set_lock(key, id, lock, bypass))
    }

    fn bucket_rules(&self) -> Result<BucketRules, StoreError> {
        let inner = self.inner_versions()?;
        self.shared
            .call("bucket rules", "", || inner.bucket_rules())
    }
}

impl Upload for FaultUpload {
    fn ticket(&self) -> UploadTicket {
        self.inner.ticket()
    }

    fn put_part(&self, part: &Part) -> Result<(), StoreError> {
        self.shared
            .call("put part", &self.ticket().key, || self.inner.put_part(part))
    }

    fn complete(self: Box<Self>) -> Result<ObjectMeta, StoreError> {
        let Self { inner, shared } = *self;
        let ticket = inner.ticket();
        shared.call("complete", &ticket.key, || {
            let completed = inner.complete();
            shared.uploads.remove(&ticket);
            completed
        })
    }

    fn abort(self: Box<Self>) -> Result<(), StoreError> {
        let Self { inner, shared } = *self;
        let ticket = inner.ticket();
        shared.call("abort", &ticket.key, || {
            let aborted = inner.abort();
            shared.uploads.remove(&ticket);
            aborted
        })
    }
}
