//! What the archives with several custodians show beyond what every archive does.

use std::fs;

use databasus_escrow::base::digest::Digest;
use databasus_escrow::model::amend::{Amend, Change};
use databasus_escrow::model::checkin::{Checkin, STATEMENT};
use databasus_escrow::model::document::Document;
use databasus_escrow::model::manifest::{Custody, CustodyMode};
use databasus_escrow::model::namespace::Namespace;
use databasus_escrow::model::recipients::Recipients;
use databasus_escrow::model::strict_json;
use databasus_escrow::ops::custody::status::{Request, Status};
use databasus_escrow::sealing::sshsig::SigningKey;
use databasus_escrow::sealing::unpack::UnpackError;

use super::archive::{escrow, history_of, open_with, store_at};
use super::specification::{assert_values, block};
use super::{REKEYED, TWO_OF_THREE, layout};

/// Bob's answer, and his signature, which names its digest.
fn bobs_answer() -> (Vec<u8>, Vec<u8>) {
    let store = TWO_OF_THREE.path("store");
    let bob = "bob".parse().unwrap();
    let answer = layout().checkin(&bob, "2026-06-12T09:00:00Z".parse().unwrap());
    let answer = fs::read(store.join(answer)).unwrap();
    let signature = layout().signature(&Digest::of(&answer), &"bob".parse().unwrap());
    (answer, fs::read(store.join(signature)).unwrap())
}

fn changes() -> Vec<Change> {
    Document::parse(&REKEYED.manifest_bytes(2)).unwrap().changes
}

#[test]
fn one_of_them_alone_opens_nothing() {
    for who in ["keys/alice.age", "keys/bob", "keys/carol.age"] {
        let opened = open_with(&TWO_OF_THREE, 1, &[who]);
        assert!(matches!(opened, Err(UnpackError::Locked(_))), "{who}");
    }
}

#[test]
fn the_manifest_of_a_quorum_is_read_as_it_was_written() {
    let manifest = escrow(&TWO_OF_THREE, 1);
    let two = Custody {
        mode: CustodyMode::KOfN,
        k: Some(2),
    };
    assert_eq!(manifest.custody, two);
    let store = TWO_OF_THREE.path("store");
    for unlock in &manifest.unlock {
        let file = fs::read(store.join(&unlock.key)).unwrap();
        assert_eq!(Digest::of(&file), unlock.sha256);
        assert_eq!(file.len() as u64, unlock.size);
        assert_eq!(
            unlock.key,
            layout().unlock(&manifest.escrow_id, &unlock.custodians)
        );
    }
    assert_eq!(manifest.to_bytes().unwrap(), TWO_OF_THREE.manifest_bytes(1));
}

#[test]
fn who_checked_in_is_proven_and_nobody_else() {
    let history = history_of(&TWO_OF_THREE);
    let recipients = Recipients::parse(&TWO_OF_THREE.text("trust/recipients.toml")).unwrap();
    let status = Status::gather(&Request {
        recipients: &recipients,
        quorum: None,
        history: &history,
        stores: &[store_at(&TWO_OF_THREE.path("store"))],
        now: "2026-06-13T12:00:00Z".parse().unwrap(),
    });
    let custodians = status.custodians.iter();
    let proven = custodians.filter(|one| one.proven_at.is_some());
    let proven: Vec<&str> = proven.map(|one| one.name.as_str()).collect();
    assert_eq!(proven, ["bob"]);
}

#[test]
fn a_check_in_is_read_and_signed_as_it_was() {
    let (answer, signature) = bobs_answer();
    let checkin = Checkin::parse(&answer).unwrap();
    let manifest = escrow(&TWO_OF_THREE, 1);
    assert_eq!(checkin.custodian.as_str(), "bob");
    assert_eq!(checkin.escrow_id, manifest.escrow_id);
    assert_eq!(
        checkin.manifest_sha256,
        Digest::of(&TWO_OF_THREE.manifest_bytes(1))
    );
    assert_eq!(checkin.nonce.sha256(), manifest.canaries[1].nonce_sha256);
    assert_eq!(checkin.statement, STATEMENT);
    assert_eq!(strict_json::to_vec(&checkin).unwrap(), answer);
    let bob = SigningKey::from_openssh_pem(&TWO_OF_THREE.text("keys/bob")).unwrap();
    let again = bob.sign(Namespace::Checkin, &answer).unwrap();
    assert_eq!(again.as_bytes(), signature);
}

#[test]
fn the_worked_check_in_is_the_archives() {
    let (answer, signature) = bobs_answer();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert_eq!(format!("{}\n", block("worked-checkin")), text(answer));
    assert_eq!(
        format!("{}\n", block("worked-checkin-signature")),
        text(signature)
    );
}

#[test]
fn the_worked_unlock_files_are_the_archives() {
    let manifest = escrow(&TWO_OF_THREE, 1);
    let values = manifest.unlock.iter().enumerate().flat_map(|(at, unlock)| {
        [
            (format!("unlock[{at}].key"), unlock.key.clone()),
            (format!("unlock[{at}].sha256"), unlock.sha256.to_string()),
            (
                format!("unlock[{at}].inner_sha256[0]"),
                unlock.inner_sha256[0].to_string(),
            ),
        ]
    });
    let values: Vec<(String, String)> = values.collect();
    let values: Vec<(&str, String)> = values.iter().map(|(n, v)| (&**n, v.clone())).collect();
    assert_values("worked-unlock", &values);
}

#[test]
fn the_worked_sealing_is_the_archives() {
    let [Change::Rekeyed(rekeyed)] = &changes()[..] else {
        panic!("manifest 2 reports one change");
    };
    assert_values(
        "worked-rekeyed",
        &[
            ("manifest_key", layout().manifest(2)),
            ("escrow_id", rekeyed.escrow_id.to_string()),
            ("rekey_id", rekeyed.rekey_id.to_string()),
            ("replaces", rekeyed.replaces.clone()),
            ("payload_key", layout().payload(rekeyed.sealed())),
        ],
    );
}

#[test]
fn who_left_opens_nothing_that_was_sealed_again() {
    let opened = open_with(&REKEYED, 1, &["keys/bob"]);
    assert!(matches!(opened, Err(UnpackError::NoIdentity)));
}

#[test]
fn the_amend_is_read_as_it_was_written_and_tells_of_the_new_payload() {
    let bytes = REKEYED.manifest_bytes(2);
    let amend: Amend = strict_json::from_slice(&bytes).unwrap();
    assert_eq!(amend.to_bytes().unwrap(), bytes);
    let document = Document::parse(&bytes).unwrap();
    let [Change::Rekeyed(rekeyed)] = &document.changes[..] else {
        panic!("manifest 2 reports one change");
    };
    let signed = REKEYED.manifest(1);
    assert_eq!(rekeyed.replaces, layout().payload(&signed.escrow_id));
    let payload = layout().payload(rekeyed.sealed());
    let file = fs::read(REKEYED.path("store").join(payload)).unwrap();
    assert_eq!(Digest::of(&file), rekeyed.payload.sha256);
    assert!(!REKEYED.path("store").join(&rekeyed.replaces).exists());
    assert_eq!(document.head.next_due, signed.next_due);
}
