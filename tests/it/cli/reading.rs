//! `list`, `show` and `verify` on a chain that is whole.

use predicates::prelude::*;
use predicates::str::contains;

use crate::support::sandbox::{Sandbox, json, objects};

#[test]
fn list_shows_every_escrow_the_next_one_and_the_mark() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    host.snapshot();
    host.snapshot();
    let ran = host.run("list").success().stderr("");
    insta::assert_snapshot!(sandbox.redacted(&ran.get_output().stdout), @r"
    SEQ  ESCROW  TAKEN  AGE  SIZE  METHOD  DATABASUS  SIGNER  STORED IN
    1  ESCROW-ID  TIME  AGE s ago  SIZE KiB  frozen  -  escrow-host  usb, nas
    2  ESCROW-ID  TIME  AGE s ago  SIZE KiB  frozen  -  escrow-host  usb, nas

    Next escrow due TIME (in SOME h).
    Mark: MARK
    ");
}

#[test]
fn list_as_json_has_what_scripts_choose_by() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let snapshot = host.snapshot();
    let document = json(&host.run("list --json").success());
    assert_eq!(document["escrows"][0]["id"], snapshot["escrow_id"]);
    assert_eq!(
        document["escrows"][0]["stored_in"],
        serde_json::json!(["usb"])
    );
    assert_eq!(
        document["head"]["manifest_sha256"],
        snapshot["manifest_sha256"]
    );
    assert_eq!(document["overdue"], false);
    assert_eq!(document["findings"], serde_json::json!([]));
}

#[test]
fn an_instance_that_was_never_escrowed_is_not_found() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.run("list")
        .code(10)
        .stdout(contains("No verified escrow of demo."));
    for line in ["show", "verify", "verify --all"] {
        host.run(line)
            .code(10)
            .stdout("")
            .stderr(contains("hint: "));
    }
}

#[test]
fn show_tells_what_the_manifest_says() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.edit("# image = ", "image = \"databasus/databasus:v3.42.0\" #");
    host.edit("# version = ", "version = \"3.42.0\" #");
    host.snapshot();
    let ran = host.run("show").success().stderr("");
    insta::assert_snapshot!(sandbox.redacted(&ran.get_output().stdout), @r"
    escrow  ESCROW-ID
    sequence  1
    taken  TIME (AGE s ago), frozen
    next due  TIME
    payload  SIZE KiB in 1 parts, sha256 DIGEST
    databasus  3.42.0
    image  databasus/databasus:v3.42.0
    schema  -
    postgresql  17, system identifier SYSTEM timeline 1
    log  LSN to LSN
    secret key id  KEY-ID
    proof  level 0 of 2
    signed by  escrow-host FINGERPRINT
    manifest  sha256 DIGEST
    custodian  alice x25519 FINGERPRINT
    store  usb stored, a directory
    ");
}

#[test]
fn show_as_json_is_the_manifest_and_who_signed_it() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let snapshot = host.snapshot();
    let id = snapshot["escrow_id"].as_str().unwrap();
    let document = json(&host.run(&format!("show {id} --json")).success());
    assert_eq!(document["signer_fingerprint"], host.fingerprint);
    let manifest = document.get("manifest").unwrap_or(&document);
    assert_eq!(manifest["escrow_id"], id);
    assert_eq!(manifest["recipients"][0]["custodian"], "alice");
}

#[test]
fn verify_compares_every_copy_and_with_an_identity_the_content() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    let report = host.snapshot();
    let mark = format!("--mark 1:{}", report["manifest_sha256"].as_str().unwrap());
    let ran = host
        .run_elsewhere(&format!("verify --identity ../alice.key {mark}"))
        .success()
        .stderr("");
    insta::assert_snapshot!(sandbox.redacted(&ran.get_output().stdout), @r"
    ESCROW  STORE  COPY
    ESCROW-ID  usb  every part is as signed
    ESCROW-ID  nas  every part is as signed
    ESCROW-ID  content  8 entries, SIZE KiB, all as indexed
    ESCROW-ID  key  level 0 of 0

    Manifests with good signatures: 1.
    ");
    // A copy of a frozen tree brings no logical one.
    let ran = host
        .run_elsewhere("verify --identity ../alice.key --proof 2")
        .success();
    let told = sandbox.redacted(&ran.get_output().stdout);
    assert!(told.contains("ESCROW-ID  key  level 0 of 2"), "{told}");
    assert!(told.contains("proof-unknown"), "{told}");
    host.run("verify --proof 1")
        .code(2)
        .stderr(contains("--proof needs an identity"));
}

#[test]
fn verify_all_goes_over_every_escrow() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let ids = [host.snapshot(), host.snapshot()].map(|report| report["escrow_id"].clone());
    let document = json(&host.run("verify --all --json").success());
    let verified = document["escrows"].as_array().unwrap().iter();
    assert_eq!(
        verified.map(|one| one["id"].clone()).collect::<Vec<_>>(),
        ids
    );
    assert_eq!(document["exit"], 0);
}

#[test]
fn an_identity_that_opens_nothing_has_a_code_of_its_own() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    sandbox.identity("mallory");
    host.run_elsewhere("verify --identity ../mallory.key")
        .code(12)
        .stdout("")
        .stderr(contains("none of the identities").and(contains("hint: ")));
    // One that fits is enough.
    host.run_elsewhere("verify --identity ../mallory.key --identity ../alice.key")
        .success();
}

#[test]
fn what_is_no_identity_is_refused_without_showing_it() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    sandbox.identity("alice");
    for file in ["alice.pub", "host/escrow.toml", "nosuch.key", "host"] {
        host.run_elsewhere(&format!("verify --identity ../{file}"))
            .code(2)
            .stdout("")
            .stderr(contains("hint: --identity names a file"));
    }
}

#[test]
fn reading_without_a_configuration_says_that_nothing_protects_from_a_rollback() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let report = host.snapshot();
    let reading = host.reading();
    let told = contains("first contact");
    sandbox
        .run(&format!("list {reading}"))
        .success()
        .stderr(told.clone());
    let mark = format!("--mark 1:{}", report["manifest_sha256"].as_str().unwrap());
    sandbox
        .run(&format!("list {reading} {mark}"))
        .success()
        .stderr(told.clone().not());
    sandbox
        .run(&format!("list {reading} --quiet"))
        .success()
        .stdout("")
        .stderr("");
}

#[test]
fn reading_leaves_stores_as_they_are() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    let before = objects(&sandbox.path("usb"));
    for line in ["list", "show", "verify", "card"] {
        host.run(line).success();
    }
    host.run_elsewhere("verify --identity ../alice.key")
        .success();
    assert!(objects(&sandbox.path("usb")) == before);
}
