//! A host that lost its signing key continues the chain.

use predicates::prelude::*;
use predicates::str::contains;

use crate::support::sandbox::{Sandbox, fingerprint, json};

#[test]
fn a_lost_host_joins_with_the_card_and_everybody_reads_on() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    host.snapshot();
    let old = host.snapshot();
    let (old_card, reading) = (host.fingerprint.clone(), host.reading());
    std::fs::remove_dir_all(sandbox.path("host")).unwrap();

    // With the card's fingerprint the host is set up anew; the chain goes on.
    let line = |trust: &str| {
        format!(
            "init --join --json --dir {} --data-dir {} {} {trust}",
            sandbox.path("host").display(),
            sandbox.path("databasus-data").display(),
            reading.split("--trust").next().unwrap()
        )
    };
    let joined = json(&sandbox.run(&line(&format!("--trust {old_card}"))).success());
    assert_eq!(joined["continued"]["head_seq"], 2);
    assert_eq!(
        joined["continued"]["retired"],
        serde_json::json!([old_card])
    );
    // Nothing is signed with the new key yet: its card comes after the next snapshot.
    assert_eq!(joined["card"], serde_json::Value::Null);
    host.set_method("frozen");
    let new = host.snapshot();
    assert_eq!(new["seq"], 3);
    let new_card = fingerprint(&json(&host.run("card --json").success()));
    assert_ne!(new_card, old_card);

    let stores = reading.split("--trust").next().unwrap();
    let read_with = |trust: &str| sandbox.run(&format!("list --json {stores} --trust {trust}"));
    let numbers = |document: &serde_json::Value| -> Vec<u64> {
        let rows = document["escrows"].as_array().unwrap().iter();
        rows.map(|row| row["seq"].as_u64().unwrap()).collect()
    };
    // The old card still reads what the lost key signed, and says that there is more.
    let with_old = read_with(&old_card);
    assert_eq!(numbers(&json(&with_old))[..2], [1, 2]);
    // The new card reads all of it.
    let with_new = json(&read_with(&new_card).success());
    assert_eq!(numbers(&with_new), [1, 2, 3]);
    assert_eq!(with_new["findings"], serde_json::json!([]));
    // The escrows of both times open.
    for snapshot in [&old, &new] {
        let id = snapshot["escrow_id"].as_str().unwrap();
        let line = format!("verify {id} {stores} --trust {new_card} --identity ../alice.key");
        sandbox.run(&line).success();
    }
}

#[test]
fn join_needs_to_know_whom_to_trust() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    let reading = host.reading();
    let (stores, _) = reading.split_once("--trust").unwrap();
    let dir = sandbox.path("other");
    let join = |more: &str| {
        sandbox.run(&format!(
            "init --join --dir {} {stores} {more}",
            dir.display()
        ))
    };
    join("").code(2).stderr(contains("--trust SHA256:…"));
    let stranger = format!("--trust SHA256:{}", "A".repeat(43));
    join(&stranger).code(13).stderr(contains("error"));
    let nothing = stores.replace("--instance demo", "--instance other");
    sandbox
        .run(&format!(
            "init --join --dir {} {nothing} --trust {}",
            dir.display(),
            host.fingerprint
        ))
        .code(10)
        .stderr(contains("hint").and(contains("--instance")));
    assert!(!dir.exists());
}

#[test]
fn join_options_make_no_sense_without_join() {
    let sandbox = Sandbox::new();
    sandbox
        .run(&format!(
            "init --instance demo --store dir:/tmp --trust SHA256:{}",
            "A".repeat(43)
        ))
        .code(2)
        .stderr(contains("--join"));
}
