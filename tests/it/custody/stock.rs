//! What is sealed to several custodians opens with stock `age`, and what stock `age` wraps opens
//! here.

use std::fs;
use std::path::Path;

use databasus_escrow::base::digest::Digest;
use databasus_escrow::model::quorum::Quorum;
use databasus_escrow::model::recipients::Recipients;
use databasus_escrow::sealing::custody::{EscrowIdentity, open_layer, seal_armored, seal_layers};
use databasus_escrow::sealing::identities::Identities;

use super::bed::{bash, has_stock_tools};

/// A folder for stock tools; none where they are missing.
fn bench() -> Option<tempfile::TempDir> {
    has_stock_tools().then(|| tempfile::tempdir().unwrap())
}

fn strictly(folder: &Path, script: &str) -> Result<String, String> {
    bash(folder, &format!("set -euo pipefail\n{script}"))
}

/// Three custodians of different kinds, and their recipients.
fn recipients(folder: &Path) -> Recipients {
    let make = "for who in alice bob; do age-keygen -o $who.key 2>/dev/null; done
        ssh-keygen -q -t ed25519 -N '' -C '' -f carol.key
        age-keygen -y alice.key; age-keygen -y bob.key; cat carol.key.pub";
    let made = strictly(folder, make).unwrap();
    let names = ["alice", "bob", "carol"].into_iter();
    let arguments: Vec<String> = names
        .zip(made.lines())
        .map(|(name, recipient)| format!("{name}={recipient}"))
        .collect();
    Recipients::from_arguments(&arguments).unwrap()
}

fn identities(folder: &Path, name: &str) -> Identities {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    Identities::parse(name, text.into()).unwrap()
}

#[test]
fn any_two_custodians_open_a_payload_with_two_stock_ages_in_a_pipe() {
    let Some(folder) = bench() else { return };
    let folder = folder.path();
    let quorum = Quorum::new(2, &recipients(folder)).unwrap();
    let identity = EscrowIdentity::generate();
    let payload = seal_armored(b"the payload\n", &[identity.recipient()]).unwrap();
    fs::write(folder.join("payload"), payload).unwrap();
    for set in quorum.sets() {
        let layered = seal_layers(identity.text().as_bytes(), set).unwrap();
        fs::write(folder.join("unlock"), &layered.bytes).unwrap();
        let [outer, inner] = [&set[0].custodian, &set[1].custodian];
        let opened = strictly(
            folder,
            &format!("age -d -i <(age -d -i {outer}.key unlock | age -d -i {inner}.key) payload"),
        );
        assert_eq!(opened.as_deref(), Ok("the payload\n"), "{outer}+{inner}");
        let alone = format!("age -d -i <(age -d -i {outer}.key unlock) payload");
        assert!(strictly(folder, &alone).is_err());
    }
}

/// An ssh-rsa recipient is an exception that the README documents.
#[test]
fn custodians_with_ssh_keys_of_both_kinds_open_together_in_either_order() {
    let Some(folder) = bench() else { return };
    let folder = folder.path();
    let make = "ssh-keygen -q -t rsa -b 2048 -N '' -C '' -f rsa.key
        ssh-keygen -q -t ed25519 -N '' -C '' -f ed25519.key
        cat rsa.key.pub ed25519.key.pub";
    let made = strictly(folder, make).unwrap();
    let recipient = |kind: &str| {
        let mut lines = made.lines();
        let line = lines.find(|line| line.starts_with(&format!("ssh-{kind} ")));
        format!("{kind}={}", line.unwrap())
    };
    for [outer, inner] in [["rsa", "ed25519"], ["ed25519", "rsa"]] {
        let recipients = Recipients::from_arguments(&[recipient(outer), recipient(inner)]);
        let quorum = Quorum::new(2, &recipients.unwrap()).unwrap();
        let layered = seal_layers(b"secret\n", &quorum.sets()[0]).unwrap();
        let once = open_layer(&layered.bytes, &identities(folder, &format!("{outer}.key")));
        let twice = open_layer(&once.unwrap(), &identities(folder, &format!("{inner}.key")));
        assert_eq!(**twice.unwrap(), *b"secret\n");
        fs::write(folder.join("unlock"), &layered.bytes).unwrap();
        let stock = format!("age -d -i {outer}.key unlock | age -d -i {inner}.key");
        assert_eq!(strictly(folder, &stock).as_deref(), Ok("secret\n"));
    }
}

#[test]
fn three_custodians_open_one_after_the_other() {
    let Some(folder) = bench() else { return };
    let folder = folder.path();
    let quorum = Quorum::new(3, &recipients(folder)).unwrap();
    let layered = seal_layers(b"secret\n", &quorum.sets()[0]).unwrap();
    fs::write(folder.join("unlock"), &layered.bytes).unwrap();
    let digests = strictly(
        folder,
        "age -d -i alice.key -o one unlock; age -d -i bob.key -o two one
         sha256sum one two | cut -c 1-64; age -d -i carol.key two",
    )
    .unwrap();
    let signed: Vec<String> = layered.inner.iter().map(Digest::to_string).collect();
    assert_eq!(digests, format!("{}\nsecret\n", signed.join("\n")));
}

#[test]
fn what_stock_age_wraps_opens_here() {
    let Some(folder) = bench() else { return };
    let folder = folder.path();
    recipients(folder);
    strictly(
        folder,
        "age-keygen 2>/dev/null | tail -n 1 > e
         age -R carol.key.pub e | age -r $(age-keygen -y alice.key) -o unlock",
    )
    .unwrap();
    let unlock = fs::read(folder.join("unlock")).unwrap();
    let inner = open_layer(&unlock, &identities(folder, "alice.key")).unwrap();
    let text = open_layer(&inner, &identities(folder, "carol.key")).unwrap();
    assert!(EscrowIdentity::parse(&text).is_ok());
}
