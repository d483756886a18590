//! Roles tried on stores in memory, where whoever asks may do everything.

use std::cell::Cell;
use std::sync::Arc;

use super::*;
use crate::base::time::{FixedClock, UtcTime};
use crate::store::absent::AbsentStore;
use crate::store::memory::MemoryStore;
use crate::store::versions::list_all_versions;
use crate::store::{list_all, probe};

fn clock() -> FixedClock {
    FixedClock(UtcTime::from_unix(1_780_000_000))
}

fn versioned() -> MemoryStore {
    MemoryStore::versioned("lat".parse().unwrap(), Arc::new(clock()))
}

fn plain() -> MemoryStore {
    MemoryStore::new("r2".parse().unwrap())
}

fn checked(store: &dyn Store, role: Role, lock: Option<LockMode>) -> AccessReport {
    check(&Request {
        slug: &"demo".parse().unwrap(),
        store,
        role,
        is_directory: false,
        lock,
        clock: &clock(),
        random: [7; 8],
        try_again: &|_| false,
    })
}

fn fit(report: &AccessReport, name: &str) -> Option<Fit> {
    let found = report.tries.iter().find(|one| one.name == name);
    found.map(|one| one.fit)
}

#[test]
fn writer_that_can_delete_is_wider_than_needed() {
    let report = checked(&plain(), Role::Writer, None);
    assert_eq!(report.fit, Fit::Wider, "{report:#?}");
    assert_eq!(report.because(), [probe::DELETE]);
    assert_eq!(fit(&report, probe::CONDITIONAL_PUT), Some(Fit::Right));
}

#[test]
fn nobody_is_blamed_for_a_directory() {
    let report = check(&Request {
        is_directory: true,
        slug: &"demo".parse().unwrap(),
        store: &plain(),
        role: Role::Writer,
        lock: None,
        clock: &clock(),
        random: [7; 8],
        try_again: &|_| false,
    });
    assert_eq!(report.fit, Fit::Right, "{report:#?}");
    assert_eq!(report.because(), [""; 0]);
}

#[test]
fn pruner_deletes_and_breaks_no_lock() {
    let report = checked(&versioned(), Role::Pruner, Some(LockMode::Compliance));
    assert_eq!(report.fit, Fit::Right, "{report:#?}");
    assert_eq!(fit(&report, probe::DELETE_VERSIONS), Some(Fit::Right));
    assert_eq!(fit(&report, "locked-delete-bypassing"), Some(Fit::Right));
    assert!(report.lock.is_some());
}

#[test]
fn writer_and_pruner_that_can_lift_a_lock_are_too_wide() {
    for role in [Role::Writer, Role::Pruner] {
        let report = checked(&versioned(), role, Some(LockMode::Governance));
        assert_eq!(report.fit, Fit::TooWide, "{report:#?}");
        assert_eq!(report.because(), ["locked-shorten-bypassing"]);
    }
}

#[test]
fn lock_that_a_store_does_not_have_is_unknown() {
    let report = checked(&plain(), Role::Pruner, Some(LockMode::Compliance));
    assert_eq!(report.fit, Fit::Unknown, "{report:#?}");
    assert_eq!(report.because(), ["locked-write"]);
}

#[test]
fn auditor_that_can_write_and_delete_is_too_wide_and_leaves_nothing() {
    for store in [plain(), versioned()] {
        store
            .put_if_absent("demo/manifest/0000000001.json", b"{}")
            .unwrap();
        let report = checked(&store, Role::Auditor, None);
        assert_eq!(report.fit, Fit::TooWide, "{report:#?}");
        assert_eq!(&report.because()[..2], ["write", "delete"]);
        assert_eq!(fit(&report, "read"), Some(Fit::Right));
        assert_eq!(list_all(&store, "demo/probe/", None).unwrap(), []);
        if let Some(versions) = store.versions() {
            let left = list_all_versions(versions, "").unwrap();
            assert_eq!(left.len(), 1, "{left:?}");
        }
    }
}

#[test]
fn auditor_with_nothing_to_read_is_not_said_to_read() {
    let report = checked(&plain(), Role::Auditor, None);
    assert_eq!(fit(&report, "read"), Some(Fit::Unknown));
}

/// A store that answers everything so.
fn answering(kind: StoreErrorKind) -> AbsentStore {
    let error = StoreError::new(&"r2".parse().unwrap(), kind, "open", "bucket");
    AbsentStore::new("s3://bucket".to_owned(), &error)
}

#[test]
fn store_that_cannot_be_asked_is_tried_no_further() {
    use StoreErrorKind::*;
    for (kind, fit) in [
        (UnknownCredentials, Fit::Missing),
        (NoSuchStore, Fit::Missing),
        (Misdirected, Fit::Missing),
        (ClockSkew, Fit::Missing),
        (Transient, Fit::Unknown),
        (Interrupted, Fit::Unknown),
    ] {
        let report = checked(&answering(kind), Role::Writer, Some(LockMode::Compliance));
        assert_eq!((report.fit, report.failure), (fit, Some(kind)));
        assert_eq!(report.tries.len(), 1, "{report:#?}");
    }
}

#[test]
fn answers_that_are_none_are_unknown_for_every_role() {
    for role in [Role::Writer, Role::Auditor, Role::Pruner] {
        let report = checked(&answering(StoreErrorKind::Unexpected), role, None);
        assert_eq!(report.fit, Fit::Unknown, "{report:#?}");
        assert!(report.tries.len() > 1);
    }
}

#[test]
fn role_that_is_denied_everything_lacks_it_and_is_not_too_wide() {
    let denied = answering(StoreErrorKind::Denied);
    let report = checked(&denied, Role::Writer, None);
    assert_eq!(report.fit, Fit::Missing, "{report:#?}");
    let report = checked(&denied, Role::Auditor, None);
    assert_eq!(report.because(), ["reach"], "{report:#?}");
    assert_eq!(fit(&report, "write"), Some(Fit::Right));
}

#[test]
fn unknown_credentials_are_tried_again_as_often_as_told() {
    let asked = Cell::new(0);
    let report = check(&Request {
        slug: &"demo".parse().unwrap(),
        store: &answering(StoreErrorKind::UnknownCredentials),
        role: Role::Writer,
        is_directory: false,
        lock: None,
        clock: &clock(),
        random: [7; 8],
        try_again: &|times| {
            asked.set(times);
            times < 3
        },
    });
    assert_eq!(asked.get(), 3);
    assert_eq!(report.failure, Some(StoreErrorKind::UnknownCredentials));
}
