//! Whether a store's credentials fit what they are for, found out by trying: what a writer, an
//! auditor or a pruner needs must work, and what would make them dangerous must be refused.
//!
//! Everything is tried on objects of its own, below the instance's `probe/`. What is there
//! already is at most read.

mod auditor;
mod report;
mod writer;

use std::ops::ControlFlow;

use serde::Serialize;

use crate::base::error_chain::error_chain;
use crate::base::names::Slug;
use crate::base::time::Clock;
use crate::model::layout::Layout;
use crate::model::lock::LockMode;
use crate::ops::lock_probe::Outcome;
use crate::store::{Rights, Store, StoreError, StoreErrorKind};

pub use report::{AccessReport, Fit, Try};

use report::Must;

/// What credentials are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes snapshots and copies them, and deletes nothing: on the source's host.
    Writer,
    /// Reads, and changes nothing: where escrows are verified and rehydrated.
    Auditor,
    /// Deletes what may go, and nothing that a lock holds.
    Pruner,
}

impl Role {
    /// What it needs.
    pub fn rights(self) -> Rights {
        match self {
            Self::Writer => Rights::Write,
            Self::Auditor => Rights::Read,
            Self::Pruner => Rights::Delete,
        }
    }
}

/// A store's credentials are tried.
pub struct Request<'a> {
    /// Whose: what is written goes below its prefix.
    pub slug: &'a Slug,
    /// Where.
    pub store: &'a dyn Store,
    /// What for.
    pub role: Role,
    /// Whether it is a directory: no service tells writing from deleting there.
    pub is_directory: bool,
    /// How firm the store's locks should be; none where it is not to have any.
    pub lock: Option<LockMode>,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Makes the objects' names their own.
    pub random: [u8; 8],
    /// Asked after each answer that the credentials are unknown, with how many there were: waits
    /// and says whether to try again. R2 needs half a minute to know a new token.
    pub try_again: &'a dyn Fn(u32) -> bool,
}

/// Tries a store's credentials.
pub fn check(request: &Request<'_>) -> AccessReport {
    let mut report = AccessReport {
        store: request.store.name().clone(),
        location: request.store.location(),
        role: request.role,
        at: request.clock.now(),
        tries: Vec::new(),
        fit: Fit::Unknown,
        failure: None,
        lock: None,
    };
    let reached = reach(request);
    let answered = reached.as_ref().map(drop);
    report.tries.push(reach_try(answered));
    if let Err(error) = &reached
        && is_hopeless(error.kind)
    {
        report.failure = Some(error.kind);
        return report.conclude();
    }
    let sample = reached.ok().flatten();
    match request.role {
        Role::Writer | Role::Pruner => writer::try_all(request, &mut report),
        Role::Auditor => auditor::try_all(request, sample.as_deref(), &mut report),
    }
    report.conclude()
}

/// Lists the instance's folder, and gives the key of an object in it that holds something.
fn reach(request: &Request<'_>) -> Result<Option<String>, StoreError> {
    let mut unknown = 0;
    loop {
        match first_object(request) {
            Err(error) if error.kind == StoreErrorKind::UnknownCredentials => {
                unknown += 1;
                if !(request.try_again)(unknown) {
                    return Err(error);
                }
            }
            // A folder that is not there yet.
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(None),
            other => return other,
        }
    }
}

fn first_object(request: &Request<'_>) -> Result<Option<String>, StoreError> {
    let layout = Layout::new(request.slug);
    let probes = probes(request);
    let mut found = None;
    request.store.list(layout.root(), None, &mut |meta| {
        if meta.size == 0 || meta.key.starts_with(&probes) {
            return ControlFlow::Continue(());
        }
        found = Some(meta.key);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// Where every probe of this instance writes.
fn probes(request: &Request<'_>) -> String {
    format!("{}probe/", Layout::new(request.slug).root())
}

fn reach_try(answered: Result<(), &StoreError>) -> Try {
    let (answer, detail) = match answered {
        Ok(()) => (Outcome::Allowed, String::new()),
        Err(error) if is_wrong(error.kind) || error.kind == StoreErrorKind::Denied => {
            (Outcome::Refused, error_chain(error))
        }
        Err(error) => (Outcome::Unknown, error_chain(error)),
    };
    Try::new("reach", Must::Work, answer, detail)
}

/// What will be wrong with every other request too.
fn is_wrong(kind: StoreErrorKind) -> bool {
    use StoreErrorKind::{ClockSkew, Misdirected, NoSuchStore, UnknownCredentials};
    matches!(
        kind,
        UnknownCredentials | NoSuchStore | Misdirected | ClockSkew
    )
}

/// Nothing more is worth trying.
fn is_hopeless(kind: StoreErrorKind) -> bool {
    use StoreErrorKind::{Interrupted, Transient};
    is_wrong(kind) || matches!(kind, Transient | Interrupted)
}

#[cfg(test)]
mod tests;
