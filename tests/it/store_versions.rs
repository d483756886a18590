//! What every store with versions and locks promises, held against each; then what only a bucket
//! can show.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use databasus_escrow::base::time::{Clock as _, SystemClock, UtcTime};
use databasus_escrow::model::lock::{Lock, LockMode, LockState};
use databasus_escrow::store::memory::MemoryStore;
use databasus_escrow::store::versions::{Bypass, ObjectLock, Version, Versioning, Versions};
use databasus_escrow::store::{Part, Store, StoreError, StoreErrorKind as Kind};
use md5::{Digest as _, Md5};

#[cfg(feature = "s3")]
mod s3;

fn memory() -> Option<Arc<dyn Store>> {
    let name = "memory".parse().unwrap();
    Some(Arc::new(MemoryStore::versioned(
        name,
        Arc::new(SystemClock),
    )))
}

#[cfg(feature = "s3")]
fn seaweed() -> Option<Arc<dyn Store>> {
    let server = crate::support::seaweed::Seaweed::start()?;
    server.create_bucket("versions", true);
    let prefix = format!("a/{}", hex::encode(rand::random::<[u8; 8]>()));
    Some(Arc::new(server.store("versions", &prefix)))
}

macro_rules! contract {
    ($($behaviour:ident,)*) => {
        contract!(@ memory: $($behaviour)*);
        #[cfg(feature = "s3")]
        contract!(@ seaweed: $($behaviour)*);
    };
    (@ $store:ident: $($behaviour:ident)*) => {
        mod $store {
            $(#[test]
            fn $behaviour() {
                if let Some(store) = super::$store() {
                    super::$behaviour(&*store);
                }
            })*
        }
    };
}

contract! {
    overwritten_version_is_read_by_its_id,
    delete_hides_a_version_and_takes_nothing_from_it,
    versions_are_listed_by_key_and_newest_first,
    listing_of_versions_begins_and_stops_where_it_is_told,
    more_versions_than_a_page_are_listed_once_each,
    version_is_read_whole_in_ranges_and_within_bounds,
    unknown_version_is_not_found,
    unlocked_version_goes_for_good,
    every_kind_of_write_is_locked_as_asked,
    compliance_lock_yields_to_nobody,
    governance_lock_yields_to_a_bypass_alone,
    lock_may_be_extended,
    lock_that_has_ended_is_refused,
    overwrite_and_delete_leave_the_locked_version,
    bucket_says_that_it_keeps_versions_and_knows_locks,
}

fn versions(store: &dyn Store) -> &dyn Versions {
    store.versions().unwrap()
}

fn in_an_hour(mode: LockMode) -> Lock {
    let until = SystemClock.now().plus(3600);
    Lock { mode, until }
}

fn put(store: &dyn Store, key: &str, bytes: &[u8]) -> String {
    let put = store.put_if_absent(key, bytes).unwrap();
    put.version_id.unwrap()
}

/// Writes a version over the current one.
fn overwrite(store: &dyn Store, key: &str, bytes: &[u8]) -> String {
    let etag = store.get(key, 1 << 20).unwrap().etag;
    let replaced = store.replace(key, bytes, &etag).unwrap();
    replaced.version_id.unwrap()
}

fn listed(store: &dyn Store, prefix: &str, after: Option<&str>) -> Vec<Version> {
    let mut found = Vec::new();
    let listed = versions(store).list_versions(prefix, after, &mut |version| {
        found.push(version);
        ControlFlow::Continue(())
    });
    listed.unwrap();
    found
}

fn ids(listed: &[Version]) -> Vec<&str> {
    listed.iter().map(|version| version.id.as_str()).collect()
}

fn read(store: &dyn Store, key: &str, id: &str) -> Vec<u8> {
    versions(store).get_version(key, id, 100).unwrap().bytes
}

fn lock_of(store: &dyn Store, key: &str, id: &str) -> LockState {
    versions(store).head_version(key, id).unwrap().lock
}

/// Refused for good: trying again would change nothing.
fn assert_refused(result: Result<(), StoreError>) {
    let kind = result.unwrap_err().kind;
    assert!(matches!(kind, Kind::Denied | Kind::Unexpected), "{kind:?}");
}

fn overwritten_version_is_read_by_its_id(store: &dyn Store) {
    let first = put(store, "a", b"first");
    let second = overwrite(store, "a", b"second");
    assert_ne!(first, second);
    assert_eq!(read(store, "a", &first), b"first");
    assert_eq!(read(store, "a", &second), b"second");
    assert_eq!(store.get("a", 100).unwrap().version_id, Some(second));
}

fn delete_hides_a_version_and_takes_nothing_from_it(store: &dyn Store) {
    let first = put(store, "a", b"first");
    store.delete("a").unwrap();
    assert_eq!(store.get("a", 100).unwrap_err().kind, Kind::NotFound);
    assert_eq!(read(store, "a", &first), b"first");
    let all = listed(store, "a", None);
    assert_eq!(all.len(), 2);
    assert!(all[0].is_delete_marker() && all[0].is_latest);
    assert!(!all[1].is_delete_marker() && !all[1].is_latest);
    assert_eq!(all[1].id, first);
}

fn versions_are_listed_by_key_and_newest_first(store: &dyn Store) {
    let before = SystemClock.now();
    let (b, c) = (put(store, "x/b", b"1"), put(store, "x/c", b"22"));
    let newer = overwrite(store, "x/b", b"333");
    put(store, "y", b"elsewhere");
    let all = listed(store, "x/", None);
    assert_eq!(ids(&all), [newer.as_str(), &b, &c]);
    let latest: Vec<bool> = all.iter().map(|version| version.is_latest).collect();
    assert_eq!(latest, [true, false, true]);
    let age = |version: &Version| (version.modified.unix() - before.unix()).abs();
    assert!(all.iter().all(|version| age(version) < 120), "{all:?}");
}

fn listing_of_versions_begins_and_stops_where_it_is_told(store: &dyn Store) {
    put(store, "x/a", b"1");
    overwrite(store, "x/a", b"2");
    let b = put(store, "x/b", b"3");
    assert_eq!(ids(&listed(store, "x/", Some("x/a"))), [b.as_str()]);
    assert!(listed(store, "x/", Some("x/b")).is_empty());
    assert!(listed(store, "none/", None).is_empty());
    let mut seen = 0;
    let stopped = versions(store).list_versions("", None, &mut |_| {
        seen += 1;
        ControlFlow::Break(())
    });
    stopped.unwrap();
    assert_eq!(seen, 1);
}

fn more_versions_than_a_page_are_listed_once_each(store: &dyn Store) {
    const VERSIONS: usize = 1_100;
    let mut expected: Vec<String> = (0..VERSIONS / 2)
        .flat_map(|_| {
            let id = put(store, "flooded", b"x");
            store.delete("flooded").unwrap();
            [id]
        })
        .collect();
    put(store, "g", b"behind it");
    expected.reverse();
    let all = listed(store, "", None);
    assert_eq!(all.len(), VERSIONS + 1);
    let written: Vec<Version> = all
        .into_iter()
        .filter(|version| !version.is_delete_marker())
        .collect();
    assert_eq!(ids(&written)[..VERSIONS / 2], expected);
    assert_eq!(written.last().unwrap().key, "g");
}

fn version_is_read_whole_in_ranges_and_within_bounds(store: &dyn Store) {
    let first = put(store, "a", b"0123456789");
    overwrite(store, "a", b"other");
    let versions = versions(store);
    let range = |range| versions.get_version_range("a", &first, range);
    assert_eq!(range(2..5).unwrap().as_ref(), b"234");
    assert_eq!(range(10..10).unwrap().as_ref(), b"");
    assert!(range(5..11).is_err());
    assert_eq!(range(11..11).unwrap_err().kind, Kind::Unexpected);
    let too_large = versions.get_version("a", &first, 9).unwrap_err();
    assert_eq!(too_large.kind, Kind::TooLarge);
    assert_eq!(versions.head_version("a", &first).unwrap().meta.size, 10);
}

fn unknown_version_is_not_found(store: &dyn Store) {
    put(store, "a", b"first");
    let other = put(store, "b", b"other");
    let versions = versions(store);
    let kind = versions.get_version("a", &other, 100).unwrap_err().kind;
    assert_eq!(kind, Kind::NotFound);
    let kind = versions.head_version("a", &other).unwrap_err().kind;
    assert_eq!(kind, Kind::NotFound);
}

fn unlocked_version_goes_for_good(store: &dyn Store) {
    let first = put(store, "a", b"first");
    let second = overwrite(store, "a", b"second");
    assert_eq!(lock_of(store, "a", &first), LockState::Unlocked);
    let versions = versions(store);
    versions.delete_version("a", &second, Bypass::No).unwrap();
    assert_eq!(store.get("a", 100).unwrap().bytes, b"first");
    versions.delete_version("a", &first, Bypass::No).unwrap();
    versions.delete_version("a", &first, Bypass::No).unwrap();
    assert!(listed(store, "a", None).is_empty());
}

fn every_kind_of_write_is_locked_as_asked(store: &dyn Store) {
    let lock = in_an_hour(LockMode::Compliance);
    let locking = store.locking(lock).unwrap();
    let put = put(&*locking, "put", b"x");
    let replaced = overwrite(&*locking, "put", b"y");
    let uploaded = upload(&*locking, "uploaded");
    for (key, id) in [("put", put), ("put", replaced), ("uploaded", uploaded)] {
        assert_eq!(lock_of(store, key, &id), LockState::Locked(lock), "{key}");
    }
    let plain = store.put_if_absent("plain", b"x").unwrap();
    let plain = plain.version_id.unwrap();
    assert_eq!(lock_of(store, "plain", &plain), LockState::Unlocked);
}

fn upload(store: &dyn Store, key: &str) -> String {
    let bytes = Bytes::from_static(b"payload");
    let upload = store.start_upload(key, 5 << 20).unwrap();
    let part = Part {
        number: 1,
        md5: Md5::digest(&bytes).into(),
        bytes,
    };
    upload.put_part(&part).unwrap();
    upload.complete().unwrap();
    store.head(key).unwrap().version_id.unwrap()
}

fn compliance_lock_yields_to_nobody(store: &dyn Store) {
    let lock = in_an_hour(LockMode::Compliance);
    let id = put(&*store.locking(lock).unwrap(), "a", b"kept");
    let versions = versions(store);
    let shorter = Lock {
        until: lock.until.plus(-1800),
        ..lock
    };
    let softer = Lock {
        mode: LockMode::Governance,
        ..lock
    };
    for bypass in [Bypass::No, Bypass::Governance] {
        assert_refused(versions.delete_version("a", &id, bypass));
        assert_refused(versions.set_lock("a", &id, shorter, bypass));
        assert_refused(versions.set_lock("a", &id, softer, bypass));
    }
    assert_eq!(lock_of(store, "a", &id), LockState::Locked(lock));
    assert_eq!(read(store, "a", &id), b"kept");
}

fn governance_lock_yields_to_a_bypass_alone(store: &dyn Store) {
    let lock = in_an_hour(LockMode::Governance);
    let id = put(&*store.locking(lock).unwrap(), "a", b"kept");
    let versions = versions(store);
    assert_refused(versions.delete_version("a", &id, Bypass::No));
    let shorter = Lock {
        until: lock.until.plus(-1800),
        ..lock
    };
    assert_refused(versions.set_lock("a", &id, shorter, Bypass::No));
    assert_eq!(lock_of(store, "a", &id), LockState::Locked(lock));
    versions
        .delete_version("a", &id, Bypass::Governance)
        .unwrap();
    assert!(listed(store, "a", None).is_empty());
}

fn lock_may_be_extended(store: &dyn Store) {
    let lock = in_an_hour(LockMode::Compliance);
    let id = put(&*store.locking(lock).unwrap(), "a", b"kept");
    let longer = Lock {
        until: lock.until.plus(60),
        ..lock
    };
    versions(store)
        .set_lock("a", &id, longer, Bypass::No)
        .unwrap();
    assert_eq!(lock_of(store, "a", &id), LockState::Locked(longer));
}

fn lock_that_has_ended_is_refused(store: &dyn Store) {
    let ended = Lock {
        mode: LockMode::Compliance,
        until: SystemClock.now().plus(-3600),
    };
    let refused = store.locking(ended).unwrap().put_if_absent("a", b"x");
    assert_eq!(refused.unwrap_err().kind, Kind::Unexpected);
    assert!(listed(store, "a", None).is_empty());
}

fn overwrite_and_delete_leave_the_locked_version(store: &dyn Store) {
    let lock = in_an_hour(LockMode::Compliance);
    let id = put(&*store.locking(lock).unwrap(), "a", b"kept");
    overwrite(store, "a", b"over it");
    store.delete("a").unwrap();
    put(store, "a", b"again");
    assert_eq!(read(store, "a", &id), b"kept");
    assert_eq!(lock_of(store, "a", &id), LockState::Locked(lock));
    assert_eq!(listed(store, "a", None).len(), 4);
}

fn bucket_says_that_it_keeps_versions_and_knows_locks(store: &dyn Store) {
    let rules = versions(store).bucket_rules().unwrap();
    assert_eq!(rules.versioning, Versioning::Enabled);
    assert_eq!(rules.object_lock, ObjectLock::Enabled { default: None });
}

#[test]
fn lock_in_memory_ends_with_its_date() {
    use std::sync::atomic::{AtomicI64, Ordering};
    struct Moving(AtomicI64);
    impl databasus_escrow::base::time::Clock for Moving {
        fn now(&self) -> UtcTime {
            UtcTime::from_unix(self.0.load(Ordering::SeqCst))
        }
    }
    let clock = Arc::new(Moving(AtomicI64::new(1_000)));
    let store = MemoryStore::versioned("memory".parse().unwrap(), clock.clone());
    let lock = Lock {
        mode: LockMode::Compliance,
        until: UtcTime::from_unix(1_100),
    };
    let id = put(&*store.locking(lock).unwrap(), "a", b"kept");
    clock.0.store(1_099, Ordering::SeqCst);
    assert_refused(store.delete_version("a", &id, Bypass::No));
    clock.0.store(1_100, Ordering::SeqCst);
    store.delete_version("a", &id, Bypass::No).unwrap();
}

#[test]
fn stores_that_keep_nothing_have_neither_versions_nor_locks() {
    let store = MemoryStore::new("memory".parse().unwrap());
    assert!(store.versions().is_none());
    assert!(store.locking(in_an_hour(LockMode::Compliance)).is_none());
    assert_eq!(store.put_if_absent("a", b"x").unwrap().version_id, None);
}
