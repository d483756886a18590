//! Attacks on the slot of the next manifest.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use databasus_escrow::base::names::StoreName;
use databasus_escrow::ops::commit::Completeness;
use databasus_escrow::store::{
    Object, ObjectMeta, Store, StoreError, StoreErrorKind, Upload, UploadTicket, list_all,
};

use super::Scene;
use crate::support::instance::{Bed, ids, versioned};

#[test]
fn a_squatted_slot_is_taken_over_and_reported() {
    let scene = Scene::new();
    scene.put(&scene.manifest_key(4), b"mine");
    let report = scene.bed.snapshot(&scene.host).unwrap();
    assert_eq!(
        ids(&report.findings),
        ["slot-squatted", "unverified-manifest"]
    );
    assert_eq!(report.completeness(), Completeness::Alarm);
    assert!(report.stores.iter().all(|store| store.failure.is_none()));
    let history = scene.read();
    assert_eq!(ids(&history.findings), [""; 0]);
    assert_eq!(scene.newest(&history), Ok(4));
}

/// A store with a lock on its manifests: what is there can neither be replaced nor deleted.
struct Locked(Arc<dyn Store>);

impl Store for Locked {
    fn name(&self) -> &StoreName {
        self.0.name()
    }
    fn location(&self) -> String {
        self.0.location()
    }
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<ObjectMeta, StoreError> {
        self.0.put_if_absent(key, bytes)
    }
    fn replace(&self, key: &str, _bytes: &[u8], _etag: &str) -> Result<ObjectMeta, StoreError> {
        let kind = StoreErrorKind::Denied;
        Err(StoreError::new(self.name(), kind, "replace", key))
    }
    fn get(&self, key: &str, max_bytes: u64) -> Result<Object, StoreError> {
        self.0.get(key, max_bytes)
    }
    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.0.get_range(key, range)
    }
    fn head(&self, key: &str) -> Result<ObjectMeta, StoreError> {
        self.0.head(key)
    }
    fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(ObjectMeta) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.0.list(prefix, start_after, visit)
    }
    fn delete(&self, key: &str) -> Result<(), StoreError> {
        let kind = StoreErrorKind::Denied;
        Err(StoreError::new(self.name(), kind, "delete", key))
    }
    fn start_upload(&self, key: &str, part_size: u64) -> Result<Box<dyn Upload>, StoreError> {
        self.0.start_upload(key, part_size)
    }
    fn abort_upload(&self, ticket: &UploadTicket) -> Result<(), StoreError> {
        self.0.abort_upload(ticket)
    }
}

fn assert_written_beside(mut scene: Scene, lock: bool) {
    if lock {
        scene.bed.stores[0] = Arc::new(Locked(scene.bed.stores[0].clone()));
    }
    let report = scene.bed.snapshot(&scene.host).unwrap();
    assert!(ids(&report.findings).contains(&"slot-squatted".to_owned()));
    assert!(report.stores.iter().all(|store| store.failure.is_none()));
    let beside = scene.layout.manifest_beside(4, &report.digest);
    assert!(scene.store().head(&beside).is_ok());
    let history = scene.read();
    assert_eq!(ids(&history.findings), ["unverified-manifest"]);
    assert_eq!(scene.newest(&history), Ok(4));
    let manifest = history.load(history.head().unwrap()).unwrap();
    assert!(scene.bed.open(&manifest, &scene.bed.stores).is_ok());

    let report = scene.bed.snapshot(&scene.host).unwrap();
    assert_eq!(report.manifest.seq, 5);
    let second = scene.bed.snapshot(&scene.bed.host("host-2")).unwrap();
    assert_eq!(second.manifest.seq, 6);
    assert_eq!(ids(&scene.read().findings), ["unverified-manifest"]);
}

#[test]
fn a_squatter_that_cannot_be_replaced_is_written_beside() {
    let scene = Scene::new();
    scene.put(&scene.manifest_key(4), b"mine");
    assert_written_beside(scene, true);
}

#[test]
fn a_squatter_too_large_to_read_is_written_beside() {
    let scene = Scene::new();
    scene.put(&scene.manifest_key(4), &vec![b' '; 5 << 20]);
    assert_written_beside(scene, false);
}

/// More versions than readers look at from either end.
const FLOOD: u32 = 20;

fn plant(scene: &Scene, key: &str) {
    for number in 0..FLOOD {
        let bytes = format!("planted {number}");
        match scene.store().get(key, 1 << 20) {
            Ok(there) => scene.store().replace(key, bytes.as_bytes(), &there.etag),
            Err(_) => scene.store().put_if_absent(key, bytes.as_bytes()),
        }
        .unwrap();
    }
}

fn assert_not_buried(store: Arc<dyn Store>, hide: bool) {
    let scene = Scene::of(Bed::locked(vec![store]));
    let slot = scene.manifest_key(4);
    plant(&scene, &slot);
    if hide {
        scene.delete(&slot);
    }
    let report = scene.bed.snapshot(&scene.host).unwrap();
    assert!(ids(&report.findings).contains(&"slot-squatted".to_owned()));
    assert!(report.stores.iter().all(|store| store.failure.is_none()));
    plant(&scene, &slot);
    let history = scene.read();
    assert_eq!(scene.newest(&history), Ok(4));
    let entry = history.head().unwrap();
    assert_eq!(history.load(entry).unwrap().seq, 4);
    // And the next night stands on it.
    assert_eq!(scene.bed.snapshot(&scene.host).unwrap().manifest.seq, 5);
}

#[test]
fn a_manifest_between_two_floods_of_its_own_key_is_read() {
    assert_not_buried(versioned("a"), false);
    assert_not_buried(versioned("a"), true);
}

#[cfg(feature = "s3")]
#[test]
fn a_manifest_between_two_floods_of_its_own_key_is_read_in_a_bucket() {
    for hide in [false, true] {
        let Some(server) = crate::support::seaweed::Seaweed::start() else {
            return;
        };
        server.create_bucket("flooded", true);
        let prefix = hex::encode(rand::random::<[u8; 8]>());
        assert_not_buried(Arc::new(server.store("flooded", &prefix)), hide);
    }
}

#[test]
fn a_slot_that_nobody_wrote_to_before_needs_no_long_key() {
    let scene = Scene::of(Bed::locked(vec![versioned("a")]));
    let keys = list_all(scene.store(), &scene.layout.manifests(), None).unwrap();
    assert_eq!(keys.len(), 3);
}
