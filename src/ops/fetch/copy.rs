//! One store's copy of a payload: the version that was recorded when it was signed, else the
//! current one, else whatever version beneath proves to be it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::base::error_chain::error_chain;
use crate::base::names::StoreName;
use crate::model::finding::Finding;
use crate::model::manifest::Payload;
use crate::ops::noncurrent;
use crate::sealing::parts::VerifiedPart;
use crate::store::versions::Versions;
use crate::store::{Store, StoreError, StoreErrorKind};

use super::FetchError;

/// Where a copy may be.
pub struct CopySource {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its version, where the manifest names one.
    pub version_id: Option<String>,
}

/// One store's copy.
pub(super) struct Copy {
    source: CopySource,
    /// What is read first.
    first: OnceLock<First>,
    /// What lies beneath; looked for once the first way has failed.
    beneath: OnceLock<Vec<Way>>,
    /// The way that led to the last good part: 0 is the first, others are those beneath.
    best: AtomicUsize,
    /// It is asked last, for parts that no other store has whole.
    has_failed: AtomicBool,
}

/// What is read first.
struct First {
    way: Way,
    /// Whether a plain read would read the same.
    is_current: bool,
    /// What is wrong with it being where it is.
    finding: Option<Finding>,
}

/// Which version is read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    Current,
    Version(String),
}

impl Copy {
    pub(super) fn new(source: CopySource) -> Self {
        Self {
            source,
            first: OnceLock::new(),
            beneath: OnceLock::new(),
            best: AtomicUsize::new(0),
            has_failed: AtomicBool::new(false),
        }
    }

    pub(super) fn store(&self) -> &dyn Store {
        self.source.store.as_ref()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::SeqCst)
    }

    pub(super) fn fail(&self) {
        self.has_failed.store(true, Ordering::SeqCst);
    }

    /// Reads a part and verifies it. What is wrong beside the part goes to `report`.
    pub(super) fn fetch(
        &self,
        key: &str,
        payload: &Payload,
        index: usize,
        report: &dyn Fn(Finding),
    ) -> Result<VerifiedPart, FetchError> {
        let first = self.first.get_or_init(|| self.look(key));
        let best = self.best.load(Ordering::SeqCst);
        if best > 0
            && let Some(way) = self.beneath(first, key, payload).get(best - 1)
            && let Ok(part) = self.read(way, key, payload, index)
        {
            return Ok(part);
        }
        let error = match self.read(&first.way, key, payload, index) {
            Ok(part) => {
                first.finding.iter().cloned().for_each(report);
                return Ok(part);
            }
            Err(error) => error,
        };
        if !error.may_lie_beneath() {
            return Err(error);
        }
        for (place, way) in self.beneath(first, key, payload).iter().enumerate() {
            if let Ok(part) = self.read(way, key, payload, index) {
                self.best.store(place + 1, Ordering::SeqCst);
                report(self.found_beneath(key, &error));
                return Ok(part);
            }
        }
        Err(error)
    }

    /// The version that was recorded, where the store still has it.
    fn look(&self, key: &str) -> First {
        let current = First {
            way: Way::Current,
            is_current: true,
            finding: None,
        };
        let (Some(id), Some(versions)) = (&self.source.version_id, self.store().versions()) else {
            return current;
        };
        if versions.head_version(key, id).is_err() {
            return current;
        }
        let finding = match self.store().head(key) {
            Ok(meta) if meta.version_id.as_ref().is_some_and(|now| now != id) => {
                Some(self.overwritten(key))
            }
            Err(error) if !error.kind.is_passing() => Some(self.out_of_sight(key, &error)),
            Ok(_) | Err(_) => None,
        };
        First {
            way: Way::Version(id.clone()),
            is_current: finding.is_none(),
            finding,
        }
    }

    /// What else may be the copy: the current version, and those beneath that are as long.
    fn beneath(&self, first: &First, key: &str, payload: &Payload) -> &[Way] {
        self.beneath.get_or_init(|| {
            let sight = noncurrent::look_at(self.store(), key);
            let noncurrent = sight.map(|sight| sight.noncurrent).unwrap_or_default();
            let fitting = noncurrent.versions().filter(|one| one.size == payload.size);
            let versions = fitting.map(|one| Way::Version(one.id.clone()));
            let current = (!first.is_current).then_some(Way::Current);
            let ways = current.into_iter().chain(versions);
            ways.filter(|way| *way != first.way).collect()
        })
    }

    fn found_beneath(&self, key: &str, error: &FetchError) -> Finding {
        match error {
            FetchError::Store(error) => self.out_of_sight(key, error),
            _ => self.overwritten(key),
        }
    }

    /// Deleted, or written over with something that nobody else can read.
    fn out_of_sight(&self, key: &str, error: &StoreError) -> Finding {
        if error.kind == StoreErrorKind::NotFound {
            return self.hidden(key);
        }
        let message = format!(
            "{}; what is current there cannot be read, and it was read beneath",
            error_chain(error)
        );
        Finding::violation("payload-overwritten", message)
    }

    fn hidden(&self, key: &str) -> Finding {
        hidden(self.store().name(), key)
    }

    fn overwritten(&self, key: &str) -> Finding {
        overwritten(self.store().name(), key)
    }

    fn read(
        &self,
        way: &Way,
        key: &str,
        payload: &Payload,
        index: usize,
    ) -> Result<VerifiedPart, FetchError> {
        let bytes = self
            .bytes(way, key, payload, index)
            .map_err(|error| self.explain(way, key, payload.size, error))?;
        Ok(VerifiedPart::check(payload, index, bytes)?)
    }

    fn bytes(
        &self,
        way: &Way,
        key: &str,
        payload: &Payload,
        index: usize,
    ) -> Result<Bytes, StoreError> {
        let range = payload.part_range(index);
        match way {
            Way::Current => self.store().get_range(key, range),
            Way::Version(id) => self.versions(key)?.get_version_range(key, id, range),
        }
    }

    /// A range that cannot be read may lie beyond the end of a copy that was cut.
    fn explain(&self, way: &Way, key: &str, signed: u64, error: StoreError) -> FetchError {
        if error.kind != StoreErrorKind::Unexpected {
            return FetchError::Store(error);
        }
        let head = match way {
            Way::Current => self.store().head(key),
            Way::Version(id) => self
                .versions(key)
                .and_then(|versions| versions.head_version(key, id))
                .map(|head| head.meta),
        };
        match head {
            Ok(meta) if meta.size != signed => FetchError::Size {
                actual: meta.size,
                signed,
            },
            _ => FetchError::Store(error),
        }
    }

    fn versions(&self, key: &str) -> Result<&dyn Versions, StoreError> {
        let store = self.store();
        let unsupported = || {
            let kind = StoreErrorKind::Unsupported;
            StoreError::new(store.name(), kind, "get version of", key)
        };
        store.versions().ok_or_else(unsupported)
    }
}

/// A payload that a delete marker hides.
pub fn hidden(store: &StoreName, key: &str) -> Finding {
    let message =
        format!("store {store}: somebody has deleted {key}; what was signed lies beneath");
    Finding::violation("payload-hidden", message)
}

/// A payload that lies beneath something else.
pub fn overwritten(store: &StoreName, key: &str) -> Finding {
    let message =
        format!("store {store}: somebody has written over {key}; what was signed lies beneath");
    Finding::violation("payload-overwritten", message)
}
