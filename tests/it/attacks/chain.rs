//! Attacks on manifests, signatures and the policy.

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::time::{Clock, UtcTime};
use databasus_escrow::model::allowed_signers::AllowedSigners;
use databasus_escrow::model::namespace::Namespace;
use databasus_escrow::model::trust::Trust;
use databasus_escrow::ops::history::{History, Request};
use databasus_escrow::sealing::sshsig::SigningKey;
use databasus_escrow::store::list_all;

use super::Scene;
use crate::support::instance::ids;

type Attack = fn(&Scene);

/// What a reader makes of an attack.
struct Outcome {
    findings: &'static [&'static str],
    newest: Result<u64, &'static str>,
}

/// Attacks on the chain: every escrow opens after each of them.
const ON_THE_CHAIN: &[(&str, Attack, Outcome)] = &[
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
            newest: Err("doubtful"),
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
        let valid_next = ["future-manifest", "chain-fork", "time-runs-back"];
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
            up_to: None,
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
    assert_eq!(ids(&findings), ["copy-damaged"]);
}
