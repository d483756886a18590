//! Whether a store keeps to its locks, found out by trying to break one. That a store takes a lock
//! and tells it again proves nothing: there are services that then delete the version all the same.
//!
//! A small object is written with a lock of some minutes; then everything is tried that must not
//! work, the mildest first, and after each try the version and its lock must stand as before.
//! Refusals count only where the same credentials can delete what is not locked.

mod kept;
mod report;
mod tries;

use crate::base::error_chain::error_chain;
use crate::base::names::Slug;
use crate::base::time::Clock;
use crate::model::layout::Layout;
use crate::model::lock::{Lock, LockMode, LockState, LockVerdict};
use crate::store::versions::{Bypass, Versions, list_all_versions};
use crate::store::{Store, StoreError, StoreErrorKind};

use super::state::ProbedVersion;

pub use kept::{keep, keep_if_known, sweep_earlier};
pub use report::{CONTROL, LockReport, Outcome, READ_BACK, Step, WRITE};
use tries::Tries;

/// Locks that are tried, in seconds, until the store takes one. The shortest leaves time to ask
/// for a shorter one that still lies ahead.
const LENGTHS: [i64; 3] = [120, 3_600, 86_400];

/// What the object holds.
const CONTENT: &[u8] = b"databasus-escrow tries out whether this can be deleted\n";

/// A store is tried out.
pub struct Request<'a> {
    /// Whose: the object goes below its prefix.
    pub slug: &'a Slug,
    /// Where.
    pub store: &'a dyn Store,
    /// How firm the lock is.
    pub mode: LockMode,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Makes the object's name one of its own.
    pub random: [u8; 8],
}

/// Tries to break a lock in a store.
pub fn probe(request: &Request<'_>) -> LockReport {
    let mut report = LockReport {
        store: request.store.name().clone(),
        mode: request.mode,
        at: request.clock.now(),
        bucket: None,
        steps: Vec::new(),
        verdict: LockVerdict::Unknown,
        why: String::new(),
        left: Vec::new(),
    };
    match request.store.versions() {
        None => report.why = "this kind of store knows neither versions nor locks".to_owned(),
        Some(versions) => {
            report.bucket = versions.bucket_rules().ok();
            match Probe::begin(request, versions, &mut report.steps) {
                Ok(probe) => probe.run(&mut report),
                Err(error) => report.why = not_begun(&error),
            }
        }
    }
    report
}

fn not_begun(error: &StoreError) -> String {
    match error.kind {
        StoreErrorKind::Unsupported => {
            "this service knows no Object Lock. Cloudflare R2 has bucket lock rules instead: they \
             are not seen through S3, and any admin of the account can remove them"
                .to_owned()
        }
        _ => format!("no locked object could be written: {}", error_chain(error)),
    }
}

/// A locked version that is tried to be got rid of.
struct Probe<'a> {
    request: &'a Request<'a>,
    versions: &'a dyn Versions,
    folder: String,
    key: String,
    id: String,
    lock: Lock,
}

impl<'a> Probe<'a> {
    fn begin(
        request: &'a Request<'a>,
        versions: &'a dyn Versions,
        steps: &mut Vec<Step>,
    ) -> Result<Self, StoreError> {
        let root = Layout::new(request.slug).root().to_owned();
        let folder = format!("{root}probe/{}/", hex::encode(request.random));
        let key = format!("{folder}locked");
        let written = write(request, &key);
        steps.push(Step {
            name: WRITE,
            outcome: answer(&written),
            stands: None,
            detail: written.as_ref().err().map(told).unwrap_or_default(),
        });
        let (id, lock) = written?;
        Ok(Self {
            request,
            versions,
            folder,
            key,
            id,
            lock,
        })
    }

    fn run(&self, report: &mut LockReport) {
        let control = self.control();
        let may_delete = control.outcome == Outcome::Allowed;
        report.steps.push(control);
        report.steps.push(self.read_back());
        let begun_with = report.steps.len();
        self.try_all(&mut report.steps);
        let tried = report.steps.get(begun_with..).unwrap_or_default();
        (report.verdict, report.why) = self.judge(tried, may_delete);
        report.left = self.clean_up();
    }

    /// An unlocked version, written and deleted with the same credentials.
    fn control(&self) -> Step {
        let key = format!("{}control", self.folder);
        let put = self.request.store.put_if_absent(&key, CONTENT);
        let deleted = put.and_then(|meta| match meta.version_id {
            Some(id) => self.versions.delete_version(&key, &id, Bypass::No),
            None => Err(StoreError::new(
                self.request.store.name(),
                StoreErrorKind::Unsupported,
                "put a version of",
                &key,
            )),
        });
        Step {
            name: CONTROL,
            outcome: answer(&deleted),
            stands: None,
            detail: deleted.as_ref().err().map(told).unwrap_or_default(),
        }
    }

    fn read_back(&self) -> Step {
        let (stands, detail) = self.stands();
        Step {
            name: READ_BACK,
            outcome: match stands {
                Some(true) => Outcome::Allowed,
                _ => Outcome::Unknown,
            },
            stands,
            detail,
        }
    }

    fn try_all(&self, steps: &mut Vec<Step>) {
        let tries = Tries {
            request: self.request,
            versions: self.versions,
            key: &self.key,
            id: &self.id,
            lock: self.lock,
        };
        for (name, attempt) in tries.all() {
            let attempted = attempt(&tries);
            let (stands, seen) = self.stands();
            let said = attempted.as_ref().err().map(told).unwrap_or_default();
            let words: Vec<String> = [said, seen].into_iter().filter(|w| !w.is_empty()).collect();
            steps.push(Step {
                name,
                outcome: answer(&attempted),
                stands,
                detail: words.join("; "),
            });
            if stands == Some(false) {
                return;
            }
        }
    }

    /// Whether version and lock are as they were written, and if not, what they are.
    fn stands(&self) -> (Option<bool>, String) {
        let head = match self.versions.head_version(&self.key, &self.id) {
            Ok(head) => head,
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                return (Some(false), "the version is gone".to_owned());
            }
            Err(error) => return (None, told(&error)),
        };
        match head.lock {
            LockState::Locked(lock) if lock.is_at_least(&self.lock) => self.still_reads(),
            LockState::Locked(lock) => (Some(false), format!("its lock is now {lock}")),
            LockState::Unlocked => (Some(false), "it is not locked".to_owned()),
            LockState::Unknown => (None, "the store does not tell its lock".to_owned()),
        }
    }

    fn still_reads(&self) -> (Option<bool>, String) {
        let limit = CONTENT.len() as u64;
        match self.versions.get_version(&self.key, &self.id, limit) {
            Ok(object) if object.bytes == CONTENT => (Some(true), String::new()),
            Ok(_) => (Some(false), "it has another content now".to_owned()),
            Err(error) => (None, told(&error)),
        }
    }

    fn judge(&self, tried: &[Step], may_delete: bool) -> (LockVerdict, String) {
        let ended = self.request.clock.now() >= self.lock.until;
        let unknown = |why: &str| (LockVerdict::Unknown, why.to_owned());
        if ended {
            return unknown("the lock ended while it was tried: the store is slow");
        }
        if let Some(broken) = tried.iter().find(|step| step.stands == Some(false)) {
            let why = format!(
                "{} worked on a locked version: {}",
                broken.name, broken.detail
            );
            return (LockVerdict::NotEnforced, why);
        }
        let seen = |step: &Step| step.stands == Some(true) && step.outcome != Outcome::Unknown;
        if !tried.iter().all(seen) {
            return unknown("not every try was answered");
        }
        if !may_delete {
            return unknown(
                "these credentials may not delete versions at all, so that refusals say nothing \
                 of locks; probe once with credentials that may",
            );
        }
        let why = "every try was refused, or left the locked version as it was";
        (LockVerdict::Enforced, why.to_owned())
    }

    /// Removes what is not locked; what stays is told.
    fn clean_up(&self) -> Vec<ProbedVersion> {
        let mut sight = all_versions(self.versions, &self.folder);
        let own = (self.key.clone(), self.id.clone());
        if !sight.contains(&own) {
            sight.push(own);
        }
        let stays = sight.into_iter().filter(|(key, id)| {
            let deleted =
                *id != self.id && self.versions.delete_version(key, id, Bypass::No).is_ok();
            !deleted
        });
        stays
            .map(|(key, version_id)| ProbedVersion {
                key,
                version_id,
                until: self.lock.until,
            })
            .collect()
    }
}

/// With the shortest lock that the store takes.
fn write(request: &Request<'_>, key: &str) -> Result<(String, Lock), StoreError> {
    let failed = |kind| StoreError::new(request.store.name(), kind, "put", key);
    let mut last = failed(StoreErrorKind::Unsupported);
    for seconds in LENGTHS {
        let lock = Lock {
            mode: request.mode,
            until: request.clock.now().plus(seconds),
        };
        let Some(store) = request.store.locking(lock) else {
            return Err(last);
        };
        match store.put_if_absent(key, CONTENT) {
            Ok(meta) => {
                let id = meta.version_id.ok_or(last)?;
                return Ok((id, lock));
            }
            // It may be too short for this store.
            Err(error) if error.kind == StoreErrorKind::Unexpected => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// A final no is an answer, whatever its words: services invent codes for locks.
fn answer<T>(attempted: &Result<T, StoreError>) -> Outcome {
    use StoreErrorKind::{AlreadyExists, Denied, Unexpected, Unsupported};
    match attempted {
        Ok(_) => Outcome::Allowed,
        Err(error) => match error.kind {
            AlreadyExists | Denied | Unexpected | Unsupported => Outcome::Refused,
            _ => Outcome::Unknown,
        },
    }
}

fn told(error: &StoreError) -> String {
    error_chain(error)
}

/// Keys and ids of everything below a folder, markers too.
fn all_versions(versions: &dyn Versions, folder: &str) -> Vec<(String, String)> {
    let listed = list_all_versions(versions, folder).unwrap_or_else(|error| {
        tracing::warn!(error = %error_chain(&error), "a probe's versions are left behind");
        Vec::new()
    });
    let found = listed.into_iter();
    found.map(|version| (version.key, version.id)).collect()
}

#[cfg(test)]
mod tests;
