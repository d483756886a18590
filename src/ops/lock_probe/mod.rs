//! Whether a store keeps to its locks, found out by trying to break one. That a store takes a lock
//! and tells it again proves nothing: there are services that then delete the version all the same.
//!
//! A small object is written with a lock of some minutes; then everything is tried that must not
//! work, the mildest first, and after each try the version and its lock must stand as before.
//! Refusals count only where the same credentials can do the like to what is not protected: delete
//! what is not locked, and put a lock's date off.

mod control;
mod kept;
mod report;
mod tries;

use crate::base::error_chain::error_chain;
use crate::base::names::Slug;
use crate::base::time::Clock;
use crate::model::layout::Layout;
use crate::model::lock::{Lock, LockMode, LockState, LockVerdict};
use crate::store::versions::{Bypass, Versions};
use crate::store::{Store, StoreError, StoreErrorKind};

pub use kept::{announce, keep_if_known, recorded, run, sweep};
pub use report::{CONTROL, LockReport, Outcome, ProbedVersion, READ_BACK, Step, WRITE};

use control::Control;
use report::EXTEND;
use tries::{SHORTER, Tries};

/// Locks that are tried, in seconds, until the store takes one. The shortest leaves time to try
/// everything while also a shortened one lies ahead.
const LENGTHS: [i64; 3] = [600, 3_600, 86_400];

/// How much later a lock ends once it is put off, in seconds.
const LONGER: i64 = 60;

/// How far two clocks may be apart, in seconds, without a service refusing what is signed: as S3
/// has it. Where a store does not tell its time, locks are longer than that.
const SKEW: i64 = 900;

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

impl Request<'_> {
    fn folder(&self) -> String {
        folder(self.slug, self.random)
    }
}

/// Prefix of all that a probe writes.
fn folder(slug: &Slug, random: [u8; 8]) -> String {
    let layout = Layout::new(slug);
    format!("{}probe/{}/", layout.root(), hex::encode(random))
}

/// Tries to break a lock in a store. Nothing is remembered: see [`announce`] and [`run`].
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
    let Some(versions) = request.store.versions() else {
        report.why = "this kind of store knows neither versions nor locks".to_owned();
        return report;
    };
    report.bucket = versions.bucket_rules().ok();
    let control = Control::run(request, versions);
    report.steps.push(control.step());
    let begun = Probe::begin(request, versions, &control, &mut report.steps);
    let own = match begun {
        Ok(probe) => {
            let own = (probe.key.clone(), probe.id.clone());
            probe.run(&control, &mut report);
            Some(own)
        }
        Err(error) => {
            report.why = not_begun(&error);
            None
        }
    };
    report.left = clean_up(request, versions, own);
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

/// Removes what is not locked; what stays is told.
fn clean_up(
    request: &Request<'_>,
    versions: &dyn Versions,
    own: Option<(String, String)>,
) -> Vec<ProbedVersion> {
    kept::clear(versions, &request.folder()).unwrap_or_else(|error| {
        if own.is_some() {
            tracing::warn!(error = %error_chain(&error), "a probe's versions are left behind");
        }
        let own = own.into_iter();
        own.map(|(key, id)| kept::left(versions, key, id)).collect()
    })
}

/// A locked version that is tried to be got rid of.
struct Probe<'a> {
    request: &'a Request<'a>,
    versions: &'a dyn Versions,
    key: String,
    id: String,
    lock: Lock,
}

impl<'a> Probe<'a> {
    fn begin(
        request: &'a Request<'a>,
        versions: &'a dyn Versions,
        control: &Control,
        steps: &mut Vec<Step>,
    ) -> Result<Self, StoreError> {
        let key = format!("{}locked", request.folder());
        let written = write(request, control, &key);
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
            key,
            id,
            lock,
        })
    }

    fn run(mut self, control: &Control, report: &mut LockReport) {
        report.steps.push(self.read_back());
        let extended = self.extend();
        let may_lock = extended.outcome == Outcome::Allowed;
        report.steps.push(extended);
        let begun_with = report.steps.len();
        self.try_all(control, may_lock, &mut report.steps);
        let tried = report.steps.get(begun_with..).unwrap_or_default();
        (report.verdict, report.why) = self.judge(tried, control, may_lock);
    }

    /// Puts the date off, which whoever may set locks can do.
    fn extend(&mut self) -> Step {
        let longer = Lock {
            until: self.lock.until.plus(LONGER),
            ..self.lock
        };
        let set = self
            .versions
            .set_lock(&self.key, &self.id, longer, Bypass::No);
        let (before, said) = (self.lock, set.as_ref().err().map(told).unwrap_or_default());
        self.lock = longer;
        let (stands, seen) = self.stands();
        let is_longer = set.is_ok() && stands == Some(true);
        if !is_longer {
            self.lock = before;
        }
        let outcome = match set {
            Ok(()) if is_longer => Outcome::Allowed,
            Err(error) if error.kind == StoreErrorKind::Denied => Outcome::Refused,
            Ok(()) | Err(_) => Outcome::Unknown,
        };
        let detail = if said.is_empty() { seen } else { said };
        let stands = if is_longer { stands } else { self.stands().0 };
        Step {
            name: EXTEND,
            outcome,
            stands,
            detail,
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

    fn try_all(&self, control: &Control, may_lock: bool, steps: &mut Vec<Step>) {
        let tries = Tries {
            request: self.request,
            versions: self.versions,
            key: &self.key,
            id: &self.id,
            lock: self.lock,
        };
        for one in tries.all() {
            let attempted = (one.act)(&tries);
            let (stands, seen) = self.stands();
            let said = attempted.as_ref().err().map(told).unwrap_or_default();
            let words: Vec<String> = [said, seen].into_iter().filter(|w| !w.is_empty()).collect();
            let is_telling = !one.sets_lock || self.tells(&attempted, control, may_lock);
            steps.push(Step {
                name: one.name,
                outcome: match is_telling {
                    true => answer(&attempted),
                    false => Outcome::Unknown,
                },
                stands,
                detail: words.join("; "),
            });
            if stands == Some(false) {
                return;
            }
        }
    }

    /// Whether an answer to setting the lock says anything of locks. A no does only to whoever
    /// could put the date off a moment ago, and not if the new date is over already, or the
    /// service does not know the request.
    fn tells(&self, attempted: &Result<(), StoreError>, control: &Control, may_lock: bool) -> bool {
        let shortened = self.lock.until.plus(-SHORTER);
        let lies_ahead = control.now(self.request.clock) < shortened;
        let is_known = |error: &StoreError| error.kind != StoreErrorKind::Unsupported;
        let refused = attempted.as_ref().err();
        refused.is_none_or(|error| may_lock && lies_ahead && is_known(error))
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

    fn judge(&self, tried: &[Step], control: &Control, may_lock: bool) -> (LockVerdict, String) {
        let unknown = |why: &str| (LockVerdict::Unknown, why.to_owned());
        if control.now(self.request.clock) >= self.lock.until {
            return unknown("the lock ended while it was tried: the store is slow");
        }
        if let Some(broken) = tried.iter().find(|step| step.stands == Some(false)) {
            let why = format!(
                "{} worked on a locked version: {}",
                broken.name, broken.detail
            );
            return (LockVerdict::NotEnforced, why);
        }
        if let Some(why) = control.why_not() {
            return (LockVerdict::Unknown, why);
        }
        if !may_lock {
            return unknown(
                "these credentials could not put the date of a lock off, so that refusals to \
                 shorten it say nothing; probe once with credentials that may set locks",
            );
        }
        let seen = |step: &Step| step.stands == Some(true) && step.outcome != Outcome::Unknown;
        if !tried.iter().all(seen) {
            return unknown("not every try was answered");
        }
        let why = "every try was refused, or left the locked version as it was";
        (LockVerdict::Enforced, why.to_owned())
    }
}

/// With the shortest lock that the store takes.
fn write(
    request: &Request<'_>,
    control: &Control,
    key: &str,
) -> Result<(String, Lock), StoreError> {
    let failed = |kind| StoreError::new(request.store.name(), kind, "put", key);
    let mut last = failed(StoreErrorKind::Unsupported);
    let lengths = LENGTHS.iter();
    for seconds in lengths.filter(|length| control.ahead.is_some() || **length > SKEW) {
        let lock = Lock {
            mode: request.mode,
            until: control.now(request.clock).plus(*seconds),
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

#[cfg(test)]
mod tests;
