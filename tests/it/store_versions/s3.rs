//! Versions and locks as services of different makes answer, or refuse to.

use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::model::lock::{LockMode, LockState};
use databasus_escrow::store::s3::{Patience, S3Settings, S3Store};
use databasus_escrow::store::versions::{ObjectLock, Versioning, Versions as _};
use databasus_escrow::store::{Store as _, StoreErrorKind as Kind};

use crate::support::faults::{self, Fault, Plan};
use crate::support::seaweed::Seaweed;

use super::{in_an_hour, lock_of, put};

fn server() -> Option<Arc<Seaweed>> {
    let server = Seaweed::start()?;
    server.create_bucket("versions", true);
    server.create_bucket("no-versions", false);
    Some(server)
}

fn prefix() -> String {
    hex::encode(rand::random::<[u8; 8]>())
}

fn brief(settings: S3Settings) -> S3Store {
    let name = "seaweed".parse().unwrap();
    S3Store::open_with(name, settings, Patience::brief(), Cancel::new()).unwrap()
}

/// A store behind a line that answers by itself what `suits`.
fn answering(
    server: &Seaweed,
    prefix: &str,
    (status, code): (u16, &'static str),
    suits: fn(&str) -> bool,
) -> S3Store {
    let plan = Plan {
        fault: Fault::Answer(status, code),
        times: u32::MAX,
        suits,
    };
    brief(S3Settings {
        endpoint: Some(faults::endpoint(server.port(), plan)),
        ..server.settings("versions", prefix, server.credentials())
    })
}

fn asks_for_versions(head: &str) -> bool {
    let request = head.lines().next().unwrap_or_default();
    [
        "?versions",
        "&versions",
        "versionId=",
        "?versioning",
        "object-lock",
    ]
    .iter()
    .any(|word| request.contains(word))
}

#[test]
fn service_without_versions_is_unsupported() {
    let Some(server) = server() else { return };
    for answer in [(501, "NotImplemented"), (405, "MethodNotAllowed")] {
        let store = answering(&server, &prefix(), answer, asks_for_versions);
        store.put_if_absent("a", b"x").unwrap();
        let listed = store.list_versions("", None, &mut |_| panic!("a version"));
        assert_eq!(listed.unwrap_err().kind, Kind::Unsupported);
        let read = store.get_version("a", "1", 10);
        assert_eq!(read.unwrap_err().kind, Kind::Unsupported);
        let rules = store.bucket_rules().unwrap();
        assert_eq!(rules.versioning, Versioning::Unknown);
        assert_eq!(rules.object_lock, ObjectLock::Unknown);
        assert_eq!(store.get("a", 10).unwrap().bytes, b"x");
    }
}

#[test]
fn service_without_locks_refuses_a_locked_write_as_unsupported() {
    let Some(server) = server() else { return };
    let answer = (501, "NotImplemented");
    let store = answering(&server, &prefix(), answer, |head| {
        head.to_ascii_lowercase().contains("x-amz-object-lock-mode")
    });
    let locking = store.locking(in_an_hour(LockMode::Compliance)).unwrap();
    let refused = locking.put_if_absent("a", b"x").unwrap_err();
    assert_eq!(refused.kind, Kind::Unsupported);
    assert!(locking.start_upload("b", 5 << 20).is_err());
    assert!(store.put_if_absent("a", b"x").is_ok());
}

#[test]
fn lock_that_may_not_be_seen_is_unknown() {
    let Some(server) = server() else { return };
    let prefix = prefix();
    let id = put(&server.store("versions", &prefix), "a", b"x");
    let blind = answering(&server, &prefix, (403, "AccessDenied"), |head| {
        head.lines()
            .next()
            .unwrap_or_default()
            .contains("retention")
    });
    assert_eq!(lock_of(&blind, "a", &id), LockState::Unknown);
    let silent = answering(&server, &prefix, (503, "SlowDown"), |head| {
        head.lines()
            .next()
            .unwrap_or_default()
            .contains("retention")
    });
    assert_eq!(lock_of(&silent, "a", &id), LockState::Unknown);
}

#[test]
fn bucket_that_may_not_be_asked_says_nothing() {
    let Some(server) = server() else { return };
    let blind = answering(&server, &prefix(), (403, "AccessDenied"), asks_for_versions);
    let rules = blind.bucket_rules().unwrap();
    assert_eq!(rules.versioning, Versioning::Unknown);
    assert_eq!(rules.object_lock, ObjectLock::Unknown);
    let down = answering(&server, &prefix(), (503, "SlowDown"), asks_for_versions);
    assert_eq!(down.bucket_rules().unwrap_err().kind, Kind::Transient);
}

#[test]
fn plain_bucket_lists_each_object_as_its_only_version() {
    let Some(server) = server() else { return };
    let store = server.store("no-versions", &prefix());
    store.put_if_absent("a", b"first").unwrap();
    let listed = super::listed(&store, "", None);
    assert_eq!(listed.len(), 1);
    assert!(listed[0].is_latest && listed[0].id == "null");
    let rules = store.bucket_rules().unwrap();
    assert_eq!(rules.versioning, Versioning::Never);
    assert_eq!(rules.object_lock, ObjectLock::Disabled);
}
