//! What somebody who can write to the bucket, and has no signing key, can bring about: findings,
//! and nothing else. Escrows that were not touched open as before.

use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::time::{Clock, UtcTime};
use databasus_escrow::model::allowed_signers::{AllowedSigners, Window};
use databasus_escrow::model::layout::Layout;
use databasus_escrow::model::manifest::{Manifest, Payload};
use databasus_escrow::model::mark::Mark;
use databasus_escrow::model::namespace::Namespace;
use databasus_escrow::model::trust::Trust;
use databasus_escrow::ops::history::{History, Request};
use databasus_escrow::ops::open;
use databasus_escrow::ops::select::{SelectError, Selection, select};
use databasus_escrow::ops::snapshot::Completeness;
use databasus_escrow::sealing::entry_path::EntryPath;
use databasus_escrow::sealing::parts::VerifiedStream;
use databasus_escrow::sealing::sshsig::SigningKey;
use databasus_escrow::sealing::unpack::{self, EntryVisitor, UnpackError};
use databasus_escrow::store::{
    Object, ObjectMeta, Store, StoreError, StoreErrorKind, Upload, UploadTicket, list_all,
};

use crate::support::instance::{Bed, Host, ids};

/// Three nights of one instance, as the custodian remembers them.
struct Scene {
    bed: Bed,
    host: Host,
    layout: Layout,
    manifests: Vec<Manifest>,
    mark: Mark,
}

impl Scene {
    fn new() -> Self {
        Self::in_stores(&["a"])
    }

    fn in_stores(names: &[&str]) -> Self {
        let mut bed = Bed::with_stores(names);
        let retired = Window::new(None, Some(UtcTime::from_unix(1_700_000_000))).unwrap();
        bed.admit("retired", SigningKey::generate().unwrap(), retired);
        let host = bed.host("host-1");
        let nights = [(); 3].map(|()| bed.snapshot(&host).unwrap().manifest);
        let mark = host.state.mark(&bed.slug).unwrap().unwrap();
        Self {
            layout: Layout::new(&bed.slug),
            manifests: nights.into(),
            mark,
            host,
            bed,
        }
    }

    fn store(&self) -> &dyn Store {
        self.bed.stores[0].as_ref()
    }

    fn get(&self, key: &str) -> Vec<u8> {
        self.store().get(key, 64 << 20).unwrap().bytes
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        self.store().delete(key).unwrap();
        self.store().put_if_absent(key, bytes).unwrap();
    }

    fn delete(&self, key: &str) {
        self.store().delete(key).unwrap();
    }

    fn manifest_key(&self, seq: u64) -> String {
        self.layout.manifest(seq)
    }

    fn manifest_bytes(&self, seq: u64) -> Vec<u8> {
        self.get(&self.manifest_key(seq))
    }

    fn payload_key(&self, seq: usize) -> String {
        self.layout.payload(&self.manifests[seq - 1].escrow_id)
    }

    fn signature_key(&self, seq: u64, signer: &str) -> String {
        let digest = Digest::of(&self.manifest_bytes(seq));
        self.layout.signature(&digest, &signer.parse().unwrap())
    }

    /// A copy of the newest manifest, edited.
    fn forged(&self, edit: impl FnOnce(&mut Manifest)) -> Vec<u8> {
        let mut manifest = self.manifests[2].clone();
        edit(&mut manifest);
        manifest.to_bytes().unwrap()
    }

    /// A manifest that would come next.
    fn next(&self, edit: impl FnOnce(&mut Manifest)) -> Vec<u8> {
        self.forged(|manifest| {
            manifest.seq = 4;
            manifest.prev_sha256 = Some(self.mark.manifest_sha256);
            manifest.created_at = self.bed.clock.now();
            edit(manifest);
        })
    }

    fn sign(&self, bytes: &[u8], key: &SigningKey, signer: &str, namespace: Namespace) {
        let digest = Digest::of(bytes);
        let name = self.layout.signature(&digest, &signer.parse().unwrap());
        let signature = key.sign(namespace, bytes).unwrap();
        self.put(&name, signature.as_bytes());
    }

    /// Signs as a host does.
    fn sign_as(&self, signer: &str, bytes: &[u8]) {
        let key = self.bed.key_of(signer);
        self.sign(bytes, key, signer, Namespace::Manifest);
    }

    fn read(&self) -> History {
        self.bed.read(Some(self.mark))
    }

    /// The sequence number of what would be rehydrated by default, or the refusal.
    fn newest(&self, history: &History) -> Result<u64, &'static str> {
        match select(history, &Selection::Newest) {
            Ok((entry, _)) => Ok(entry.link.seq),
            Err(SelectError::Doubtful { .. }) => Err("doubtful"),
            Err(SelectError::None) => Err("none"),
            Err(other) => panic!("{other}"),
        }
    }

    /// Which of the three escrows open.
    fn opening(&self) -> Vec<usize> {
        let opens = |night: &usize| {
            let opened = self.bed.open(&self.manifests[night - 1], &self.bed.stores);
            opened.is_ok()
        };
        (1..=3).filter(opens).collect()
    }
}

/// What a reader makes of an attack.
struct Outcome {
    findings: &'static [&'static str],
    newest: Result<u64, &'static str>,
}

/// Attacks on the chain: every escrow opens after each of them.
#[allow(clippy::type_complexity, reason = "a table")]
const ON_THE_CHAIN: &[(&str, fn(&Scene), Outcome)] = &[
    (
        "nothing at all",
        |_| {},
        Outcome {
            findings: &[],
            newest: Ok(3),
        },
    ),
    (
        "a payload that no manifest names",
        |scene| {
            let id = "20260612T020000Z-0123456789abcdef".parse().unwrap();
            scene.put(&scene.layout.payload(&id), b"age-encryption.org/v1\n");
        },
        Outcome {
            findings: &[],
            newest: Ok(3),
        },
    ),
    (
        "a changed byte in a manifest",
        |scene| {
            let mut bytes = scene.manifest_bytes(2);
            bytes[40] ^= 1;
            scene.put(&scene.manifest_key(2), &bytes);
        },
        Outcome {
            findings: &["chain-gap", "unverified-manifest"],
            newest: Ok(3),
        },
    ),
    (
        "a changed byte in the newest manifest",
        |scene| {
            let mut bytes = scene.manifest_bytes(3);
            bytes[40] ^= 1;
            scene.put(&scene.manifest_key(3), &bytes);
        },
        Outcome {
            findings: &["rollback", "unverified-manifest"],
            newest: Err("doubtful"),
        },
    ),
    (
        "a space behind a manifest",
        |scene| {
            let mut bytes = scene.manifest_bytes(2);
            bytes.push(b' ');
            scene.put(&scene.manifest_key(2), &bytes);
        },
        Outcome {
            findings: &["chain-gap", "unverified-manifest"],
            newest: Ok(3),
        },
    ),
    (
        "a next manifest, signed by a stranger under two names",
        |scene| {
            let bytes = scene.next(|_| {});
            let stranger = SigningKey::generate().unwrap();
            for name in ["host-1", "stranger"] {
                scene.sign(&bytes, &stranger, name, Namespace::Manifest);
            }
            scene.put(&scene.manifest_key(4), &bytes);
        },
        Outcome {
            findings: &["unverified-manifest"],
            newest: Ok(3),
        },
    ),
    (
        "a next manifest with the signature of the last",
        |scene| {
            let bytes = scene.next(|_| {});
            let signature = scene.get(&scene.signature_key(3, "host-1"));
            let digest = Digest::of(&bytes);
            let name = "host-1".parse().unwrap();
            scene.put(&scene.layout.signature(&digest, &name), &signature);
            scene.put(&scene.manifest_key(4), &bytes);
        },
        Outcome {
            findings: &["unverified-manifest"],
            newest: Ok(3),
        },
    ),
    (
        "a next manifest, signed as a drill report",
        |scene| {
            let bytes = scene.next(|_| {});
            let key = scene.bed.key_of("host-1");
            scene.sign(&bytes, key, "host-1", Namespace::Drill);
            scene.put(&scene.manifest_key(4), &bytes);
        },
        Outcome {
            findings: &["unverified-manifest"],
            newest: Ok(3),
        },
    ),
    (
        "a next manifest, signed by one host in the name of another",
        |scene| {
            let bytes = scene.next(|_| {});
            let key = scene.bed.key_of("host-2");
            scene.sign(&bytes, key, "host-1", Namespace::Manifest);
            scene.put(&scene.manifest_key(4), &bytes);
        },
        Outcome {
            findings: &["unverified-manifest"],
            newest: Ok(3),
        },
    ),
    (
        "a next manifest, signed with a retired key",
        |scene| {
            let bytes = scene.next(|_| {});
            scene.sign_as("retired", &bytes);
            scene.put(&scene.manifest_key(4), &bytes);
        },
        Outcome {
            findings: &["signer-window"],
            newest: Ok(3),
        },
    ),
    (
        "a retired key that dates its manifest back into its time",
        |scene| {
            let bytes = scene.next(|manifest| {
                manifest.created_at = UtcTime::from_unix(1_600_000_000);
            });
            scene.sign_as("retired", &bytes);
            scene.put(&scene.manifest_key(4), &bytes);
        },
        Outcome {
            findings: &["time-runs-back"],
            newest: Ok(4),
        },
    ),
    (
        "the newest manifest deleted",
        |scene| scene.delete(&scene.manifest_key(3)),
        Outcome {
            findings: &["rollback"],
            newest: Err("doubtful"),
        },
    ),
    (
        "a manifest in the middle deleted",
        |scene| scene.delete(&scene.manifest_key(2)),
        Outcome {
            findings: &["chain-gap"],
            newest: Ok(3),
        },
    ),
    (
        "the oldest manifest deleted",
        |scene| scene.delete(&scene.manifest_key(1)),
        Outcome {
            findings: &["chain-gap"],
            newest: Ok(3),
        },
    ),
    (
        "all manifests deleted",
        |scene| (1..=3).for_each(|seq| scene.delete(&scene.manifest_key(seq))),
        Outcome {
            findings: &["rollback"],
            newest: Err("none"),
        },
    ),
    (
        "a second valid manifest in the newest slot",
        |scene| {
            let bytes = scene.forged(|manifest| manifest.next_due = scene.bed.clock.now());
            scene.sign_as("host-2", &bytes);
            let beside = scene.layout.manifest_beside(3, &Digest::of(&bytes));
            scene.put(&beside, &bytes);
        },
        Outcome {
            findings: &["chain-fork"],
            newest: Err("doubtful"),
        },
    ),
    (
        "a valid manifest of another host in place of one seen before",
        |scene| {
            let bytes = scene.forged(|manifest| manifest.next_due = scene.bed.clock.now());
            scene.sign_as("host-2", &bytes);
            scene.put(&scene.manifest_key(3), &bytes);
        },
        Outcome {
            findings: &["history-rewritten"],
            newest: Err("doubtful"),
        },
    ),
    (
        "an old manifest in the next slot",
        |scene| {
            let bytes = scene.manifest_bytes(2);
            scene.put(&scene.manifest_key(4), &bytes);
        },
        Outcome {
            findings: &["misplaced-manifest"],
            newest: Ok(3),
        },
    ),
    (
        "a manifest moved to the next slot",
        |scene| {
            let bytes = scene.manifest_bytes(2);
            scene.put(&scene.manifest_key(4), &bytes);
            scene.delete(&scene.manifest_key(2));
        },
        Outcome {
            findings: &["chain-gap", "misplaced-manifest"],
            newest: Ok(3),
        },
    ),
    (
        "a manifest moved to the name of another digest",
        |scene| {
            let bytes = scene.manifest_bytes(2);
            let name = scene.layout.manifest_beside(2, &Digest::of(b"another"));
            scene.put(&name, &bytes);
            scene.delete(&scene.manifest_key(2));
        },
        Outcome {
            findings: &["chain-gap", "misplaced-manifest"],
            newest: Ok(3),
        },
    ),
    (
        "a manifest under both of its names",
        |scene| {
            let bytes = scene.manifest_bytes(2);
            let name = scene.layout.manifest_beside(2, &Digest::of(&bytes));
            scene.put(&name, &bytes);
        },
        Outcome {
            findings: &[],
            newest: Ok(3),
        },
    ),
    (
        "a manifest of another instance",
        |scene| {
            let bytes = scene.next(|manifest| manifest.instance.slug = "other".parse().unwrap());
            scene.sign_as("host-1", &bytes);
            scene.put(&scene.manifest_key(4), &bytes);
        },
        Outcome {
            findings: &["misplaced-manifest"],
            newest: Ok(3),
        },
    ),
    (
        "a valid manifest of a format that is yet to come",
        |scene| {
            let bytes = scene.next(|manifest| manifest.format.push('9'));
            scene.sign_as("host-1", &bytes);
            scene.put(&scene.manifest_key(4), &bytes);
        },
        Outcome {
            findings: &["manifest-unreadable"],
            newest: Ok(3),
        },
    ),
    (
        "a valid manifest from the future",
        |scene| {
            let bytes = scene.next(|manifest| {
                manifest.created_at = scene.bed.clock.now().plus(86_400);
            });
            scene.sign_as("host-2", &bytes);
            scene.put(&scene.manifest_key(4), &bytes);
        },
        Outcome {
            findings: &["future-manifest"],
            newest: Err("doubtful"),
        },
    ),
    (
        "hundreds of planted objects",
        |scene| {
            for seq in (1000..1300).chain([9999, 9_999_999_999]) {
                scene.put(
                    &scene.manifest_key(seq),
                    format!("{{\"seq\":{seq}}}").as_bytes(),
                );
            }
            scene.put(&scene.manifest_key(5000), &vec![b' '; 5 << 20]);
            for name in ["4.json", "0000000004.JSON", "0000000004-x.json", "latest"] {
                scene.put(&format!("demo/manifest/{name}"), b"{}");
            }
        },
        Outcome {
            findings: &[
                "foreign-object (note)",
                "unverified-manifest",
                "unverified-manifest",
            ],
            newest: Ok(3),
        },
    ),
    (
        "hundreds of signatures that are none",
        |scene| {
            for number in 0..500 {
                let key = scene.signature_key(3, &format!("a{number}"));
                scene.put(&key, b"-----BEGIN SSH SIGNATURE-----\n");
            }
        },
        Outcome {
            findings: &[],
            newest: Ok(3),
        },
    ),
    (
        "a huge object in place of a signature",
        |scene| scene.put(&scene.signature_key(2, "host-1"), &vec![b'a'; 5 << 20]),
        Outcome {
            findings: &["chain-gap", "unverified-manifest"],
            newest: Ok(3),
        },
    ),
    (
        "a signature deleted",
        |scene| scene.delete(&scene.signature_key(3, "host-1")),
        Outcome {
            findings: &["rollback", "unverified-manifest"],
            newest: Err("doubtful"),
        },
    ),
    (
        "the policy replaced",
        |scene| {
            let policy = scene.layout.policy(&scene.manifests[2].policy_sha256);
            scene.put(&policy, b"{}");
        },
        Outcome {
            findings: &["policy-missing (warning)"],
            newest: Ok(3),
        },
    ),
];

#[test]
fn attacks_on_the_chain_are_findings_and_every_escrow_opens() {
    for (name, attack, expected) in ON_THE_CHAIN {
        let scene = Scene::new();
        attack(&scene);
        let history = scene.read();
        assert_eq!(ids(&history.findings), expected.findings, "{name}");
        assert_eq!(scene.newest(&history), expected.newest, "{name}");
        assert_eq!(scene.opening(), [1, 2, 3], "{name}");
        for (entry, _) in history.escrows() {
            history.load(entry).unwrap();
        }
    }
}

#[test]
fn the_next_snapshot_follows_the_mark_whatever_was_done_to_the_chain() {
    for (name, attack, expected) in ON_THE_CHAIN {
        let scene = Scene::new();
        attack(&scene);
        let report = scene.bed.snapshot(&scene.host).unwrap();
        let follows = if expected.newest == Ok(4) { 5 } else { 4 };
        let valid_next = ["future-manifest", "chain-fork"];
        if !expected.findings.iter().any(|id| valid_next.contains(id)) {
            assert_eq!(report.manifest.seq, follows, "{name}");
        }
        let history = scene.bed.read(Some(scene.mark));
        let held = history
            .entries
            .iter()
            .any(|entry| entry.link.digest == report.digest);
        assert!(held, "{name}");
        assert!(
            scene.bed.open(&report.manifest, &scene.bed.stores).is_ok(),
            "{name}"
        );
    }
}

#[test]
fn many_planted_objects_are_told_in_few_words() {
    let scene = Scene::new();
    for seq in 1000..1300 {
        scene.put(&scene.manifest_key(seq), b"{}");
    }
    let findings = scene.read().findings;
    let told: Vec<&str> = findings.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(
        told,
        ["300 manifests between 1000 and 1299 in store a: no signature"]
    );
}

#[test]
fn a_reader_who_brings_only_the_trust_card_learns_the_other_signers_from_the_policy() {
    let scene = Scene::new();
    let second = scene.bed.host("host-2");
    scene.bed.snapshot(&second).unwrap();
    let read = || {
        let fingerprint = scene.bed.key_of("host-1").fingerprint();
        let read = History::read(Request {
            slug: &scene.bed.slug,
            stores: &scene.bed.stores,
            trust: Trust::new(AllowedSigners::new(), vec![fingerprint]),
            mark: None,
            since_mark: false,
            now: scene.bed.clock.now(),
            cancel: &Cancel::new(),
        });
        read.unwrap()
    };
    assert_eq!(ids(&read().findings), [""; 0]);
    assert_eq!(read().head().unwrap().signer.as_str(), "host-2");

    let policy = scene.layout.policy(&scene.manifests[2].policy_sha256);
    scene.put(&policy, b"{}");
    let history = read();
    assert_eq!(
        ids(&history.findings),
        ["policy-missing (warning)", "unverified-manifest"]
    );
    assert_eq!(history.head().unwrap().link.seq, 3);
}

#[test]
fn a_signature_that_one_of_two_stores_lost_is_named_and_missed_by_nobody() {
    let scene = Scene::in_stores(&["a", "b"]);
    scene.delete(&scene.signature_key(3, "host-1"));
    let history = scene.read();
    assert_eq!(ids(&history.findings), ["signature-missing (warning)"]);
    assert_eq!(
        history.findings[0].message,
        "store a lacks the signature of manifest 3"
    );
    assert_eq!(scene.newest(&history), Ok(3));
}

#[test]
fn a_spoilt_store_beside_a_good_one_changes_nothing() {
    let scene = Scene::in_stores(&["a", "b"]);
    for meta in list_all(scene.store(), "", None).unwrap() {
        scene.put(&meta.key, b"spoilt");
    }
    let history = scene.read();
    assert_eq!(
        ids(&history.findings),
        ["manifest-missing (warning)", "unverified-manifest"]
    );
    assert_eq!(scene.newest(&history), Ok(3));
    let manifest = history.load(history.head().unwrap()).unwrap();
    let findings = scene.bed.open(&manifest, &scene.bed.stores).unwrap();
    assert_eq!(ids(&findings), ["copy-unreadable (warning)"]);
}

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
    fn name(&self) -> &databasus_escrow::base::names::StoreName {
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

/// What somebody can do to the payload of the second night.
const ON_THE_PAYLOAD: &[(&str, fn(&Scene))] = &[
    ("deleted", |scene| scene.delete(&scene.payload_key(2))),
    ("emptied", |scene| scene.put(&scene.payload_key(2), b"")),
    ("replaced", |scene| {
        let other = scene.get(&scene.payload_key(3));
        scene.put(&scene.payload_key(2), &other);
    }),
    ("cut by 1 byte", |scene| cut(scene, 1)),
    ("cut by 16 bytes", |scene| cut(scene, 16)),
    ("cut by 17 bytes", |scene| cut(scene, 17)),
    ("grown by a byte inside", |scene| {
        let mut bytes = scene.get(&scene.payload_key(2));
        bytes.insert(500, 0);
        scene.put(&scene.payload_key(2), &bytes);
    }),
    ("flipped in the version line", |scene| flip(scene, |_, _| 3)),
    ("flipped in a stanza", |scene| flip(scene, |_, _| 40)),
    ("flipped in the header's MAC", |scene| {
        flip(scene, |header, _| header - 5);
    }),
    ("flipped in the nonce", |scene| {
        flip(scene, |header, _| header + 3)
    }),
    ("flipped in the first chunk", |scene| {
        flip(scene, |header, _| header + 16 + 100);
    }),
    ("flipped in the last tag", |scene| {
        flip(scene, |_, size| size - 1)
    }),
];

fn cut(scene: &Scene, by: usize) {
    let bytes = scene.get(&scene.payload_key(2));
    scene.put(&scene.payload_key(2), &bytes[..bytes.len() - by]);
}

fn flip(scene: &Scene, at: fn(usize, usize) -> usize) {
    let mut bytes = scene.get(&scene.payload_key(2));
    let header = databasus_escrow::sealing::parts::header_length(&bytes).unwrap();
    let at = at(header, bytes.len());
    bytes[at] ^= 1;
    scene.put(&scene.payload_key(2), &bytes);
}

#[test]
fn a_damaged_payload_is_refused_and_the_others_open() {
    for (name, attack) in ON_THE_PAYLOAD {
        let scene = Scene::new();
        attack(&scene);
        assert_eq!(ids(&scene.read().findings), [""; 0], "{name}");
        assert_eq!(scene.opening(), [1, 3], "{name}");
        assert_age_sees_nothing(&scene, name);
    }
}

#[test]
fn a_damaged_payload_is_read_from_the_next_store() {
    for (name, attack) in ON_THE_PAYLOAD {
        let scene = Scene::in_stores(&["a", "b"]);
        attack(&scene);
        let opened = scene.bed.open(&scene.manifests[1], &scene.bed.stores);
        assert_eq!(opened.unwrap().len(), 1, "{name}");
    }
}

#[test]
fn bytes_behind_the_payload_are_never_read() {
    let scene = Scene::new();
    let mut bytes = scene.get(&scene.payload_key(2));
    bytes.extend(b"more");
    scene.put(&scene.payload_key(2), &bytes);
    assert_eq!(scene.opening(), [1, 2, 3]);
}

#[test]
fn swapped_parts_are_refused() {
    let mut bed = Bed::with_stores(&["a"]);
    bed.add_bulk(16 << 20);
    let manifest = bed.snapshot(&bed.host("host-1")).unwrap().manifest;
    let Payload { part_size, .. } = manifest.payload;
    let key = Layout::new(&bed.slug).payload(&manifest.escrow_id);
    let mut bytes = bed.stores[0].get(&key, 64 << 20).unwrap().bytes;
    let (first, rest) = bytes.split_at_mut(part_size as usize);
    first.swap_with_slice(&mut rest[..part_size as usize]);
    bed.stores[0].delete(&key).unwrap();
    bed.stores[0].put_if_absent(&key, &bytes).unwrap();
    assert!(bed.open(&manifest, &bed.stores).is_err());
}

/// An identity that remembers whether age ever showed it anything.
#[derive(Default)]
struct Witness(AtomicBool);

impl age::Identity for Witness {
    fn unwrap_stanza(
        &self,
        _stanza: &age_core::format::Stanza,
    ) -> Option<Result<age_core::format::FileKey, age::DecryptError>> {
        self.0.store(true, Ordering::SeqCst);
        None
    }
}

struct Nowhere;

impl EntryVisitor for Nowhere {
    fn directory(&mut self, _path: &EntryPath, _mode: u32) -> io::Result<()> {
        Ok(())
    }
    fn file(
        &mut self,
        _path: &EntryPath,
        _mode: u32,
        _size: u64,
        _content: &mut dyn io::Read,
    ) -> io::Result<()> {
        Ok(())
    }
}

fn assert_age_sees_nothing(scene: &Scene, name: &str) {
    let manifest = &scene.manifests[1];
    let cancel = Cancel::new();
    let fetcher = open::fetcher(manifest, &scene.bed.stores, &cancel, Box::new(|_| {}));
    let stream = VerifiedStream::new(&manifest.payload, fetcher.parts().unwrap());
    let witness = Witness::default();
    let opened = unpack::open(stream, &[&witness], &manifest.escrow_id, &mut Nowhere);
    assert!(matches!(opened, Err(UnpackError::Read(_))), "{name}");
    assert!(
        !witness.0.load(Ordering::SeqCst),
        "{name}: age was shown it"
    );
}
