//! Attacks on a store with locks: what cannot be deleted can still be hidden.

use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::time::{Clock as _, SystemClock};
use databasus_escrow::model::lock::{Lock, LockMode, LockPolicy, LockState};
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::model::proof::Level;
use databasus_escrow::ops::commit::{self, Completeness};
use databasus_escrow::ops::replicate::{self, Looking};
use databasus_escrow::ops::verify::{CopyState, EscrowReport, Ports, ProofPorts, verify};
use databasus_escrow::store::versions::Bypass;
use databasus_escrow::store::{Store, StoreErrorKind};
use proptest::prelude::*;

use super::Scene;
use crate::support::escrowing::NoStorages;
use crate::support::fault_store::{FaultStore, OpenUploads, Plan, Process};
use crate::support::instance::{Bed, LOCK, ids, versioned};

fn memory() -> Option<Arc<dyn Store>> {
    Some(versioned("a"))
}

#[cfg(feature = "s3")]
fn seaweed() -> Option<Arc<dyn Store>> {
    let server = crate::support::seaweed::Seaweed::start()?;
    server.create_bucket("attacked", true);
    let prefix = hex::encode(rand::random::<[u8; 8]>());
    Some(Arc::new(server.store("attacked", &prefix)))
}

/// Three nights in a store that keeps versions, locked.
fn locked(store: Arc<dyn Store>) -> Scene {
    Scene::of(Bed::locked(vec![store]))
}

fn overwrite(scene: &Scene, key: &str, bytes: &[u8]) {
    let etag = scene.store().get(key, 64 << 20).unwrap().etag;
    scene.store().replace(key, bytes, &etag).unwrap();
}

/// What was done, what a reader finds, and what whoever opens the second night finds.
struct Attack {
    name: &'static str,
    act: fn(&Scene),
    chain: &'static [&'static str],
    payload: &'static [&'static str],
}

const ATTACKS: &[Attack] = &[
    Attack {
        name: "nothing at all",
        act: |_| {},
        chain: &[],
        payload: &[],
    },
    Attack {
        name: "the newest manifest deleted",
        act: |scene| scene.delete(&scene.manifest_key(3)),
        chain: &["manifest-hidden"],
        payload: &[],
    },
    Attack {
        name: "every manifest deleted",
        act: |scene| (1..=3).for_each(|seq| scene.delete(&scene.manifest_key(seq))),
        chain: &["manifest-hidden"],
        payload: &[],
    },
    Attack {
        name: "the newest manifest written over",
        act: |scene| overwrite(scene, &scene.manifest_key(3), b"mine"),
        chain: &["manifest-overwritten", "unverified-manifest"],
        payload: &[],
    },
    Attack {
        name: "a manifest deleted and put anew",
        act: |scene| scene.put(&scene.manifest_key(2), b"mine"),
        chain: &["manifest-overwritten", "unverified-manifest"],
        payload: &[],
    },
    Attack {
        name: "a manifest under a flood",
        act: |scene| {
            for number in 0..40_u32 {
                let flood = number.to_string();
                overwrite(scene, &scene.manifest_key(2), flood.as_bytes());
            }
        },
        chain: &[
            "manifest-overwritten",
            "unverified-manifest",
            "versions-left-out (warning)",
        ],
        payload: &[],
    },
    Attack {
        name: "a signature deleted",
        act: |scene| scene.delete(&scene.signature_key(3, "host-1")),
        chain: &["signature-hidden", "signature-missing (warning)"],
        payload: &[],
    },
    Attack {
        name: "a signature written over",
        act: |scene| overwrite(scene, &scene.signature_key(2, "host-1"), b"mine"),
        chain: &["signature-hidden"],
        payload: &[],
    },
    Attack {
        name: "the policy deleted",
        act: |scene| {
            let policy = scene.manifests[0].policy_sha256;
            scene.delete(&scene.layout.policy(&policy));
        },
        chain: &["policy-hidden"],
        payload: &[],
    },
    Attack {
        name: "the payload deleted",
        act: |scene| scene.delete(&scene.payload_key(2)),
        chain: &[],
        payload: &["payload-hidden"],
    },
    Attack {
        name: "the payload written over",
        act: |scene| overwrite(scene, &scene.payload_key(2), b"mine"),
        chain: &[],
        payload: &["payload-overwritten"],
    },
    Attack {
        name: "the payload deleted and put anew at its length",
        act: |scene| {
            let mut bytes = scene.get(&scene.payload_key(2));
            bytes[500] ^= 1;
            scene.put(&scene.payload_key(2), &bytes);
        },
        chain: &[],
        payload: &["payload-overwritten"],
    },
];

fn assert_that_nothing_is_lost(store: fn() -> Option<Arc<dyn Store>>) {
    for attack in ATTACKS {
        let Some(store) = store() else { return };
        let scene = locked(store);
        (attack.act)(&scene);
        let history = scene.read();
        assert_eq!(ids(&history.findings), attack.chain, "{}", attack.name);
        assert_eq!(scene.newest(&history), Ok(3), "{}", attack.name);
        assert_eq!(scene.opening(), [1, 2, 3], "{}", attack.name);
        let second = scene.bed.open(&scene.manifests[1], &scene.bed.stores);
        assert_eq!(ids(&second.unwrap()), attack.payload, "{}", attack.name);
        let entry = history.head().unwrap();
        assert!(history.load(entry).is_ok(), "{}", attack.name);
    }
}

#[test]
fn nothing_that_is_locked_is_lost_in_memory() {
    assert_that_nothing_is_lost(memory);
}

#[cfg(feature = "s3")]
#[test]
fn nothing_that_is_locked_is_lost_in_a_bucket() {
    assert_that_nothing_is_lost(seaweed);
}

#[test]
fn payload_is_found_beneath_even_where_its_version_is_not_on_record() {
    let scene = locked(memory().unwrap());
    let mut manifest = scene.manifests[1].clone();
    manifest.stores[0].version_id = None;
    overwrite(&scene, &scene.payload_key(2), b"mine");
    let found = scene.bed.open(&manifest, &scene.bed.stores).unwrap();
    assert_eq!(ids(&found), ["payload-overwritten"]);
    scene.delete(&scene.payload_key(2));
    let found = scene.bed.open(&manifest, &scene.bed.stores).unwrap();
    assert_eq!(ids(&found), ["payload-hidden"]);
}

#[test]
fn the_chain_goes_on_where_manifests_were_hidden() {
    let scene = locked(memory().unwrap());
    scene.delete(&scene.manifest_key(3));
    let report = scene.bed.snapshot(&scene.host).unwrap();
    assert_eq!(report.manifest.seq, 4);
    assert_eq!(ids(&report.findings), ["manifest-hidden"]);
    assert_eq!(report.completeness(), Completeness::Alarm);
    let other = scene.bed.snapshot(&scene.bed.host("host-2")).unwrap();
    assert_eq!(other.manifest.seq, 5);
}

fn assert_locked_as_asked(store: Arc<dyn Store>) {
    let scene = locked(store);
    let report = scene.bed.snapshot(&scene.host).unwrap();
    assert_eq!(ids(&report.findings), [""; 0]);
    let record = &report.manifest.stores[0];
    let lock = record.lock.as_ref().unwrap();
    assert_lasts_until(lock.state(), LOCK.for_payload(report.manifest.snapshot_at));
    assert_eq!(lock.probe, None);
    let versions = scene.store().versions().unwrap();
    let id = record.version_id.as_ref().unwrap();
    let head = versions.head_version(&record.key, id).unwrap();
    assert_eq!(head.lock, lock.state());
    let documents = [
        scene.manifest_key(4),
        scene.signature_key(4, "host-1"),
        scene.layout.policy(&report.manifest.policy_sha256),
        scene.layout.restore_md(&report.manifest.restore_md_sha256),
    ];
    for key in documents {
        let id = scene.store().head(&key).unwrap().version_id.unwrap();
        let lock = versions.head_version(&key, &id).unwrap().lock;
        assert_lasts_until(lock, LOCK.for_documents(report.manifest.snapshot_at));
    }
}

/// An hour more or less: a run takes its time.
fn assert_lasts_until(found: LockState, asked: Lock) {
    let LockState::Locked(lock) = found else {
        panic!("{found:?}");
    };
    assert_eq!(lock.mode, asked.mode);
    let earlier = asked.until.unix() - lock.until.unix();
    assert!(earlier.abs() < 3_600, "{lock} instead of {asked}");
}

#[test]
fn everything_is_locked_as_asked_in_memory() {
    assert_locked_as_asked(memory().unwrap());
}

#[cfg(feature = "s3")]
#[test]
fn everything_is_locked_as_asked_in_a_bucket() {
    let Some(store) = seaweed() else { return };
    assert_locked_as_asked(store);
}

#[test]
fn store_that_knows_no_locks_is_told() {
    let mut bed = Bed::with_stores(&["a"]);
    bed.lock = Some(LOCK);
    let report = bed.snapshot(&bed.host("host-1")).unwrap();
    // Of the payload, of the manifest, and once of all other documents.
    assert_eq!(ids(&report.findings), ["lock-unknown (warning)"; 3]);
    assert_eq!(report.completeness(), Completeness::Partial);
    let lock = report.manifest.stores[0].lock.as_ref().unwrap();
    assert_eq!(lock.state(), LockState::Unknown);
}

/// Ids of what `verify` finds of the second night, whose copy must be whole.
fn verified(scene: &Scene) -> Vec<String> {
    let report = verify_in(&scene.bed, &scene.manifests[1]);
    assert_eq!(report.copies[0].state, CopyState::Verified);
    ids(&report.findings())
}

fn verify_in(bed: &Bed, manifest: &Manifest) -> EscrowReport {
    let ports = Ports {
        stores: &bed.stores,
        identities: None,
        proof: ProofPorts {
            wanted: Level::KeyId,
            storages: &NoStorages,
            restore_tool: None,
        },
        now: SystemClock.now(),
        cancel: &Cancel::new(),
    };
    verify(manifest, &ports, &|| Box::new(|_| {})).unwrap()
}

#[test]
fn lock_that_was_lifted_before_its_date_is_a_violation() {
    let mut bed = Bed::locked(vec![versioned("a")]);
    bed.lock = Some(LockPolicy {
        mode: LockMode::Governance,
        ..LOCK
    });
    let scene = Scene::of(bed);
    assert_eq!(verified(&scene), [""; 0]);
    let record = &scene.manifests[1].stores[0];
    let shorter = Lock {
        mode: LockMode::Governance,
        until: SystemClock.now().plus(60),
    };
    let id = record.version_id.as_ref().unwrap();
    let versions = scene.store().versions().unwrap();
    versions
        .set_lock(&record.key, id, shorter, Bypass::Governance)
        .unwrap();
    assert_eq!(verified(&scene), ["lock-weakened"]);
}

#[test]
fn lock_of_a_copy_that_was_made_later_is_held_to_as_well() {
    let governed = LockPolicy {
        mode: LockMode::Governance,
        ..LOCK
    };
    let mut bed = Bed::new();
    bed.stores[1] = versioned("b");
    let host = bed.host("host-1");
    let stores = bed.stores_without(1);
    bed.snapshot_into(&host, &stores, &Cancel::new()).unwrap();
    let mut destinations = Bed::destinations(&bed.stores);
    destinations[1].lock = Some(governed);
    let ports = commit::Ports {
        destinations: &destinations,
        state: &host.state,
        clock: &bed.clock,
        cancel: &Cancel::new(),
    };
    replicate::run(bed.author(&host), ports, Looking::Listed, Arc::new(|_| {})).unwrap();
    let history = bed.read(None);
    let manifest = history.load(history.escrows().next().unwrap().0).unwrap();
    let found = || ids(&verify_in(&bed, &manifest).copies[1].told);
    assert_eq!(found(), [""; 0]);
    let record = manifest.stores.last().unwrap();
    let shorter = Lock {
        mode: LockMode::Governance,
        until: SystemClock.now().plus(60),
    };
    let (id, versions) = (record.version_id.as_ref(), bed.stores[1].versions());
    let lifted = versions.unwrap();
    let lifted = lifted.set_lock(&record.key, id.unwrap(), shorter, Bypass::Governance);
    lifted.unwrap();
    assert_eq!(found(), ["lock-weakened"]);
}

#[test]
fn verify_tells_a_hidden_copy_from_a_missing_one() {
    let scene = locked(versioned("a"));
    scene.delete(&scene.payload_key(2));
    assert_eq!(verified(&scene), ["payload-hidden"]);
    scene.put(&scene.payload_key(2), &[0; 1 << 20]);
    assert_eq!(verified(&scene), ["payload-overwritten"]);
}

/// What somebody with every permission but one may do to any object, again and again.
#[derive(Clone, Copy, Debug)]
enum Act {
    Delete,
    Overwrite,
    DeleteVersion,
}

fn acts() -> impl Strategy<Value = Vec<(usize, Act)>> {
    let act = prop::sample::select(vec![Act::Delete, Act::Overwrite, Act::DeleteVersion]);
    prop::collection::vec((0..8_usize, act), 1..60)
}

fn act(scene: &Scene, key: &str, act: Act) {
    match act {
        Act::Delete => scene.delete(key),
        Act::Overwrite if scene.store().head(key).is_ok() => overwrite(scene, key, b"mine"),
        Act::Overwrite => scene.put(key, b"mine"),
        Act::DeleteVersion => {
            let versions = scene.store().versions().unwrap();
            let mut found = Vec::new();
            let listed = versions.list_versions(key, None, &mut |version| {
                found.push(version);
                std::ops::ControlFlow::Continue(())
            });
            listed.unwrap();
            for version in found {
                let _ = versions.delete_version(&version.key, &version.id, Bypass::Governance);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_deletes_and_overwrites_lose_what_is_locked(acts in acts()) {
        let scene = locked(versioned("a"));
        let keys: Vec<String> = (1..=3)
            .flat_map(|seq| {
                let payload = scene.payload_key(seq as usize);
                [scene.manifest_key(seq), scene.signature_key(seq, "host-1"), payload]
            })
            .collect();
        for (key, what) in acts {
            act(&scene, &keys[key], what);
        }
        let history = scene.read();
        prop_assert_eq!(scene.newest(&history), Ok(3));
        prop_assert_eq!(history.entries.len(), 3);
        prop_assert_eq!(scene.opening(), [1, 2, 3]);
    }
}

/// The stores with one that refuses to read what is current under such keys: somebody has written
/// over it with a key of their own, or into an archive.
fn unreadable(scene: &Scene, key: &str, kind: StoreErrorKind) -> Vec<Arc<dyn Store>> {
    let mut store = scene.bed.stores[0].clone();
    for action in ["get", "get range", "head"] {
        let plan = Plan::refuse(action, key, kind);
        let (uploads, process) = (OpenUploads::default(), Process::default());
        store = Arc::new(FaultStore::new(store, uploads, process, Some(plan)));
    }
    vec![store]
}

const FOR_GOOD: [StoreErrorKind; 3] = [
    StoreErrorKind::Unexpected,
    StoreErrorKind::Denied,
    StoreErrorKind::Unsupported,
];

#[test]
fn payload_beneath_one_that_nobody_can_read_is_read() {
    for kind in FOR_GOOD {
        let scene = locked(memory().unwrap());
        let key = scene.payload_key(2);
        overwrite(&scene, &key, b"mine");
        let stores = unreadable(&scene, &key, kind);
        let found = scene.bed.open(&scene.manifests[1], &stores).unwrap();
        assert_eq!(ids(&found), ["payload-overwritten"], "{kind:?}");
        let mut manifest = scene.manifests[1].clone();
        manifest.stores[0].version_id = None;
        let found = scene.bed.open(&manifest, &stores).unwrap();
        assert_eq!(ids(&found), ["payload-overwritten"], "{kind:?}");
    }
}

/// Which object, and what is told of it.
type Unreadable = (fn(&Scene) -> String, &'static [&'static str]);

const UNREADABLE: [Unreadable; 3] = [
    (
        |scene| scene.manifest_key(3),
        &["manifest-overwritten", "manifest-unreadable"],
    ),
    (
        |scene| scene.signature_key(3, "host-1"),
        &["signature-hidden"],
    ),
    (
        |scene| scene.layout.policy(&scene.manifests[0].policy_sha256),
        &["policy-hidden"],
    ),
];

#[test]
fn documents_beneath_ones_that_nobody_can_read_are_read() {
    for (which, told) in UNREADABLE {
        for kind in FOR_GOOD {
            let scene = locked(memory().unwrap());
            let key = which(&scene);
            overwrite(&scene, &key, b"mine");
            let stores = unreadable(&scene, &key, kind);
            let history = scene.bed.read_from(&stores, Some(scene.mark));
            assert_eq!(ids(&history.findings), told, "{key}: {kind:?}");
            assert_eq!(scene.newest(&history), Ok(3), "{key}: {kind:?}");
            assert!(history.load(history.head().unwrap()).is_ok(), "{key}");
        }
    }
}

#[test]
fn store_that_fails_for_the_moment_is_not_said_to_be_written_over() {
    let scene = locked(memory().unwrap());
    let key = scene.payload_key(2);
    let stores = unreadable(&scene, &key, StoreErrorKind::Transient);
    let found = scene.bed.open(&scene.manifests[1], &stores).unwrap();
    assert_eq!(ids(&found), [""; 0]);
}
