//! An auditor: who reads, and must not be able to change anything.

use crate::base::error_chain::error_chain;
use crate::model::lock::LockState;
use crate::ops::lock_probe::Outcome;
use crate::store::versions::{Bypass, Versions, list_all_versions};
use crate::store::{Store, StoreError, StoreErrorKind};

use super::report::{AccessReport, Fit, Must, Try};
use super::{Request, probes};

/// What the object holds that an auditor should not be able to write.
const CONTENT: &[u8] = b"databasus-escrow tried out whether an auditor can write; delete this\n";

const NEVER: Must = Must::BeRefused(Fit::TooWide);

/// `sample` is an object that is there to be read.
pub(super) fn try_all(request: &Request<'_>, sample: Option<&str>, report: &mut AccessReport) {
    report.tries.push(read(request.store, sample));
    if let (Some(_), Some(versions)) = (request.lock, request.store.versions()) {
        report.tries.extend(see_locks(request, versions, sample));
    }
    let folder = format!("{}{}/", probes(request), hex::encode(request.random));
    let forbidden = Forbidden {
        store: request.store,
        key: format!("{folder}auditor-must-not-write"),
        folder,
    };
    report.tries.extend(forbidden.try_all());
}

fn read(store: &dyn Store, sample: Option<&str>) -> Try {
    match sample {
        Some(key) => Try::of("read", Must::Work, &store.get_range(key, 0..1)),
        None => Try::new(
            "read",
            Must::Work,
            Outcome::Unknown,
            "there is no object to read yet",
        ),
    }
}

/// What deletes and overwrites hide in a bucket with locks, and how long it is held.
fn see_locks(request: &Request<'_>, versions: &dyn Versions, sample: Option<&str>) -> Vec<Try> {
    let listed = list_all_versions(versions, &probes(request));
    let mut tries = vec![Try::of("list-versions", Must::Work, &listed)];
    if let Some(key) = sample {
        tries.push(see_lock(request.store, versions, key));
    }
    tries
}

fn see_lock(store: &dyn Store, versions: &dyn Versions, key: &str) -> Try {
    const NAME: &str = "read-lock";
    let head = store.head(key).and_then(|meta| {
        let id = meta.version_id.as_deref().unwrap_or("null");
        versions.head_version(key, id)
    });
    match &head {
        Ok(head) if head.lock == LockState::Unknown => Try::new(
            NAME,
            Must::Work,
            Outcome::Unknown,
            format!(
                "the store does not tell whether {key} is locked; perhaps not to these credentials"
            ),
        ),
        answered => Try::of(NAME, Must::Work, answered),
    }
}

/// What must be refused, on an object of its own.
struct Forbidden<'a> {
    store: &'a dyn Store,
    key: String,
    folder: String,
}

impl Forbidden<'_> {
    fn try_all(&self) -> Vec<Try> {
        let put = self.store.put_if_absent(&self.key, CONTENT);
        let id = put.as_ref().ok().and_then(|meta| meta.version_id.clone());
        let mut tries = vec![
            Try::of("write", NEVER, &put),
            // What is not there can be deleted by whoever may delete, and by nobody else.
            Try::of("delete", NEVER, &self.store.delete(&self.key)),
        ];
        tries.extend(self.delete_version(id.as_deref().unwrap_or("null")));
        let changed = tries.iter().any(|one| one.answer != Outcome::Refused);
        if changed && let (Some(left), Some(write)) = (self.clean_up(), tries.first_mut()) {
            write.detail = left;
        }
        tries
    }

    fn delete_version(&self, id: &str) -> Option<Try> {
        let versions = self.store.versions()?;
        let deleted = versions.delete_version(&self.key, id, Bypass::No);
        match &deleted {
            Err(error) if error.kind == StoreErrorKind::Unsupported => None,
            answered => Some(Try::of("delete-versions", NEVER, answered)),
        }
    }

    /// Says what stays, if anything does.
    fn clean_up(&self) -> Option<String> {
        let left = match self.store.versions() {
            Some(versions) => self.delete_all(versions),
            None => Ok(0),
        };
        match (left, self.store.head(&self.key)) {
            (Ok(0), Err(_)) => None,
            (Err(error), Err(_)) if error.kind == StoreErrorKind::Unsupported => None,
            (Err(error), Err(_)) => Some(format!(
                "versions may be left below {}: {}",
                self.folder,
                error_chain(&error)
            )),
            (_, Ok(_)) => Some(format!("what it wrote stays: {}", self.key)),
            (Ok(count), Err(_)) => Some(format!("{count} versions stay below {}", self.folder)),
        }
    }

    /// How many versions could not be deleted.
    fn delete_all(&self, versions: &dyn Versions) -> Result<usize, StoreError> {
        let listed = list_all_versions(versions, &self.folder)?;
        let stays = listed.iter().filter(|one| {
            let deleted = versions.delete_version(&one.key, &one.id, Bypass::No);
            deleted.is_err()
        });
        Ok(stays.count())
    }
}
