use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::base::names::CustodianName;
use crate::model::document::Document;
use crate::model::lock::{LockMode, LockRecord};
use crate::model::manifest::{CustodyMode, StoreState};

const ID: &str = "20260612T020000Z-0123456789abcdef";

fn time(seconds: i64) -> UtcTime {
    UtcTime::from_unix(1_781_229_600 + seconds)
}

fn amend(changes: Vec<Change>) -> Amend {
    let instance = Instance {
        slug: "heatwave-prod".parse().unwrap(),
        id: None,
    };
    let mut amend = Amend::new(instance, time(93_600), changes);
    amend.put_at(Place {
        seq: 7,
        prev_sha256: Some(Digest::of(b"manifest 6")),
        created_at: time(0),
    });
    amend
}

fn read(amend: &Amend) -> Result<Document, ManifestError> {
    Document::parse(&amend.to_bytes().unwrap())
}

/// The same after its changes were edited as JSON.
fn edited(changes: Vec<Change>, edit: impl FnOnce(&mut Value)) -> Result<Document, ManifestError> {
    let mut value = serde_json::to_value(amend(changes)).unwrap();
    edit(&mut value["changes"]);
    Document::parse(&serde_json::to_vec(&value).unwrap())
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 4]>().prop_map(|seed| Digest::of(&seed))
}

fn escrow_id() -> impl Strategy<Value = EscrowId> {
    (0..100_000_000_i64, any::<[u8; 8]>()).prop_map(|(at, random)| EscrowId::new(time(at), random))
}

fn rekey_id() -> impl Strategy<Value = RekeyId> {
    (0..100_000_000_i64, any::<[u8; 8]>()).prop_map(|(at, random)| RekeyId::new(time(at), random))
}

fn custodian() -> impl Strategy<Value = CustodianName> {
    "[a-z0-9][a-z0-9@_-]{0,10}".prop_map(|name| name.parse().unwrap())
}

fn lock() -> impl Strategy<Value = LockRecord> {
    let mode = prop_oneof![Just(LockMode::Governance), Just(LockMode::Compliance)];
    (proptest::option::of(mode), any::<bool>()).prop_map(|(mode, is_told)| LockRecord {
        mode,
        retain_until: mode.map(|_| time(86_400)),
        read_back_at: is_told.then(|| time(5)),
        probe: None,
    })
}

fn store() -> impl Strategy<Value = StoreRecord> {
    let state = prop_oneof![Just(StoreState::Stored), Just(StoreState::Failed)];
    let text = || proptest::option::of(".{0,12}");
    (
        "[a-z]{1,8}",
        text(),
        text(),
        text(),
        state,
        proptest::option::of(lock()),
    )
        .prop_map(
            |(name, bucket, version_id, etag, state, lock)| StoreRecord {
                name: name.parse().unwrap(),
                provider: "s3".to_owned(),
                bucket,
                key: format!("heatwave-prod/escrow/{ID}/payload.tar.zst.age"),
                version_id,
                etag,
                state,
                lock,
            },
        )
}

/// One whose parts fit its size.
fn payload() -> impl Strategy<Value = Payload> {
    let parts = proptest::collection::vec(digest(), 1..5);
    (parts, digest(), 1..(1_u64 << 40), any::<u64>()).prop_map(|(parts, sha256, part_size, cut)| {
        let last = 1 + cut % part_size;
        Payload {
            size: (parts.len() as u64 - 1) * part_size.min(5 << 30) + last.min(5 << 30),
            sha256,
            part_size: part_size.min(5 << 30),
            md5_etag: format!("{}-{}", "0".repeat(32), parts.len()),
            age_header_sha256: sha256,
            parts,
        }
    })
}

/// Of each, or of k of them with one unlock file.
fn custody() -> impl Strategy<Value = (Custody, Vec<Unlock>)> {
    let any = Just((
        Custody {
            mode: CustodyMode::Any,
            k: None,
        },
        Vec::new(),
    ));
    let people = proptest::collection::vec((custodian(), digest()), 2..6);
    let together = (people, digest(), 1..4096_u64).prop_map(|(people, sha256, size)| {
        let (custodians, digests): (Vec<_>, Vec<_>) = people.into_iter().unzip();
        let custody = Custody {
            mode: CustodyMode::KOfN,
            k: u32::try_from(custodians.len()).ok(),
        };
        let unlock = Unlock {
            key: "unlock".to_owned(),
            size,
            sha256,
            inner_sha256: digests[1..].to_vec(),
            custodians,
        };
        (custody, vec![unlock])
    });
    prop_oneof![any, together]
}

fn rekeyed() -> impl Strategy<Value = Rekeyed> {
    let people = proptest::collection::vec((custodian(), ".{0,20}", digest()), 0..4);
    let stores = proptest::collection::vec(store(), 0..3);
    let ids = (escrow_id(), rekey_id());
    (ids, payload(), custody(), people, stores, digest()).prop_map(
        |((escrow_id, rekey_id), payload, (custody, unlock), people, stores, policy_sha256)| {
            let recipient = |(custodian, text, _): &(CustodianName, String, Digest)| Recipient {
                custodian: custodian.clone(),
                kind: "x25519".to_owned(),
                recipient: text.clone(),
                fingerprint: text.clone(),
            };
            let canary = |(custodian, text, digest): &(CustodianName, String, Digest)| Canary {
                custodian: custodian.clone(),
                key: text.clone(),
                sha256: *digest,
                nonce_sha256: *digest,
            };
            Rekeyed {
                replaces: format!("heatwave-prod/escrow/{escrow_id}/payload.tar.zst.age"),
                escrow_id,
                rekey_id,
                payload,
                recipients: people.iter().map(recipient).collect(),
                custody,
                unlock,
                canaries: people.iter().map(canary).collect(),
                policy_sha256,
                stores,
            }
        },
    )
}

/// Every kind that this version knows.
fn change() -> impl Strategy<Value = Change> {
    let copied = (escrow_id(), store());
    let expired = proptest::collection::vec(escrow_id(), 0..4);
    let others = proptest::collection::vec(digest(), 0..3);
    let fork = (1..1_000_000_u64, digest(), others);
    prop_oneof![
        copied.prop_map(|(escrow_id, store)| Change::Copied { escrow_id, store }),
        expired.prop_map(|escrow_ids| Change::Expired { escrow_ids }),
        rekeyed().prop_map(|rekeyed| Change::Rekeyed(Box::new(rekeyed))),
        fork.prop_map(|(seq, followed, others)| Change::ForkClosed {
            seq,
            followed,
            others
        }),
    ]
}

#[test]
fn a_change_of_another_kind_is_kept_and_says_nothing() {
    for later in [
        json!({"change": "moved", "to": "the moon"}),
        json!({"escrow_ids": [ID]}),
        json!({"change": {"expired": 1}, "escrow_ids": [ID]}),
    ] {
        let document = edited(Vec::new(), |changes| *changes = json!([later])).unwrap();
        assert_eq!(document.changes, [Change::Unknown(later)]);
    }
}

#[test]
fn every_kind_that_is_read_is_known_by_its_name() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let change = change().new_tree(&mut runner).unwrap().current();
        let value = serde_json::to_value(change).unwrap();
        assert!(is_known(&value), "{value}");
        seen.insert(value["change"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen, KNOWN.map(str::to_owned).into());
}

#[test]
fn a_sealing_whose_fields_contradict_each_other_is_refused() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let sound = rekeyed().new_tree(&mut runner).unwrap().current();
    let refused = |edit: fn(&mut Value)| {
        let change = vec![Change::Rekeyed(Box::new(sound.clone()))];
        edited(change, |changes| edit(&mut changes[0])).is_err()
    };
    assert!(!refused(|_| {}));
    assert!(refused(|change| change["payload"]["size"] = 0.into()));
    assert!(refused(|change| change["payload"]["parts"] = json!([])));
    assert!(refused(
        |change| change["custody"] = json!({"mode": "k-of-n", "k": 1})
    ));
    assert!(refused(|change| change["rekey_id"] = "../x".into()));
    assert!(refused(|change| change["policy_sha256"] = "ABC".into()));
}

proptest! {
    #[test]
    fn what_an_amend_reports_is_what_is_read(changes in proptest::collection::vec(change(), 0..4)) {
        let amend = amend(changes);
        let document = read(&amend).unwrap();
        prop_assert_eq!(document.head.seq, amend.seq);
        prop_assert_eq!(document.head.next_due, amend.next_due);
        prop_assert_eq!(document.escrow, None);
        prop_assert_eq!(document.changes, amend.changes);
    }

    #[test]
    fn fields_of_later_versions_change_nothing(change in change()) {
        let document = edited(vec![change.clone()], |changes| {
            changes[0]["later"] = json!({"x": [1, 2]});
        });
        prop_assert_eq!(document.unwrap().changes, [change]);
    }

    /// Were it passed over, a reader would go on with what the change has ended.
    #[test]
    fn a_known_change_that_lacks_a_field_is_refused(change in change(), which: proptest::sample::Index) {
        let mut value = serde_json::to_value(&change).unwrap();
        let fields = value.as_object_mut().unwrap();
        let names: Vec<String> = fields.keys().filter(|name| *name != "change").cloned().collect();
        fields.remove(which.get(&names));
        let lacking = edited(Vec::new(), |changes| *changes = json!([value]));
        prop_assert!(lacking.is_err());
    }

    #[test]
    fn a_damaged_amend_never_panics(change in change(), at: proptest::sample::Index, byte: u8) {
        let mut bytes = amend(vec![change]).to_bytes().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Document::parse(&bytes);
    }

    #[test]
    fn a_sealing_takes_the_place_of_the_manifests_own(rekeyed in rekeyed()) {
        let signed = crate::model::manifest::tests::example();
        let mut manifest = signed.clone();
        rekeyed.apply_to(&mut manifest);
        prop_assert_eq!(manifest.rekeyed.as_ref(), Some(&rekeyed.rekey_id));
        prop_assert_eq!(&manifest.payload, &rekeyed.payload);
        prop_assert_eq!(&manifest.unlock, &rekeyed.unlock);
        prop_assert_eq!(manifest.snapshot_at, signed.snapshot_at);
        prop_assert_eq!(manifest.secret_key_id, signed.secret_key_id);
        prop_assert_eq!(manifest.restore_md_sha256, signed.restore_md_sha256);
    }
}
