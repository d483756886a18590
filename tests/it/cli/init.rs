//! `init` and `card`.

use std::os::unix::fs::PermissionsExt;

use predicates::prelude::*;
use predicates::str::contains;

use crate::support::sandbox::{Host, Sandbox, files, json, objects, replace, stdout};

/// A new instance in a sandbox, as one command line.
fn line(sandbox: &Sandbox, more: &str) -> String {
    format!(
        "init --dir {} --instance demo --data-dir {} {more}",
        sandbox.path("host").display(),
        sandbox.path("databasus-data").display()
    )
}

fn alice(sandbox: &Sandbox) -> String {
    format!("--recipient alice={}", sandbox.recipient("alice"))
}

fn usb(sandbox: &Sandbox) -> String {
    format!("--store usb=dir:{}", sandbox.folder("usb").display())
}

#[test]
fn init_writes_key_policies_and_configuration_and_prints_the_trust_card() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&line(
        &sandbox,
        &format!("{} {}", alice(&sandbox), usb(&sandbox)),
    ));
    let text = stdout(&ran.success().stderr(""));
    for told in [
        "TRUST CARD",
        "usb  write            yes",
        "signing.key",
        "escrow.toml snapshot",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let mode = |name: &str| {
        let meta = std::fs::metadata(sandbox.path("host").join(name)).unwrap();
        meta.permissions().mode() & 0o777
    };
    assert_eq!(mode("signing.key"), 0o600);
    assert_eq!(mode("policies/allowed_signers") & 0o644, 0o644);
    assert!(
        objects(&sandbox.path("usb")).is_empty(),
        "the probe left something"
    );
}

#[test]
fn init_as_json_names_files_probes_and_card() {
    let sandbox = Sandbox::new();
    let more = format!("--json {} {}", alice(&sandbox), usb(&sandbox));
    let document = json(&sandbox.run(&line(&sandbox, &more)).success());
    assert_eq!(document["written"].as_array().unwrap().len(), 4);
    assert_eq!(document["probes"][0]["store"], "usb");
    assert_eq!(document["probes"][0]["chain"], "absent");
    assert_eq!(document["card"]["instance"], "demo");
    assert_eq!(document["card"]["custodians"][0]["name"], "alice");
    assert_eq!(document["continued"], serde_json::Value::Null);
}

#[test]
fn init_never_overwrites() {
    let sandbox = Sandbox::new();
    let line = line(&sandbox, &format!("{} {}", alice(&sandbox), usb(&sandbox)));
    sandbox.run(&line).success();
    let before = files(&sandbox.path("host"));
    sandbox
        .run(&line)
        .code(14)
        .stdout("")
        .stderr(contains("refused to overwrite").and(contains("signing.key")));
    assert_eq!(files(&sandbox.path("host")), before);
}

#[test]
fn init_refuses_an_instance_that_a_store_knows() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    let more = format!("--dir {}", sandbox.path("other").display());
    let line = format!(
        "init --instance demo {} {} {more}",
        alice(&sandbox),
        usb(&sandbox)
    );
    sandbox
        .run(&line)
        .code(14)
        .stderr(contains("instance demo exists already in store usb").and(contains("--join")));
    assert!(!sandbox.path("other").exists());
}

#[test]
fn what_is_no_recipient_is_refused_and_nothing_written() {
    let sandbox = Sandbox::new();
    let alice = sandbox.recipient("alice");
    let store = usb(&sandbox);
    for (recipients, told) in [
        (String::new(), "--recipient is missing"),
        (
            format!("--recipient {alice}"),
            "must read custodian=recipient",
        ),
        (
            "--recipient alice=age1foo".to_owned(),
            "recipient of alice: damaged",
        ),
        (
            format!("--recipient alice={alice}x"),
            "recipient of alice: damaged",
        ),
        ("--recipient alice=bob".to_owned(), "recipient of alice"),
        (
            format!("--recipient a={alice} --recipient b={alice}"),
            "have the same recipient",
        ),
        (
            format!("--recipient a={alice} --recipient a={alice}"),
            "stands twice",
        ),
    ] {
        sandbox
            .run(&line(&sandbox, &format!("{recipients} {store}")))
            .code(2)
            .stdout("")
            .stderr(contains(told).and(contains("databasus-escrow: hint: ")));
        assert!(
            !sandbox.path("host").exists(),
            "{recipients} left something"
        );
    }
    assert!(objects(&sandbox.path("usb")).is_empty());
}

#[test]
fn what_is_no_store_is_refused_without_repeating_secrets() {
    let sandbox = Sandbox::new();
    for (store, told) in [
        ("tape=/dev/st0", "must be dir:/path or s3://bucket/prefix"),
        (
            "a=s3://b/p?endpoint=http://127.0.0.1:1&secret_access_key=CANARY",
            "in clear",
        ),
        (
            "a=s3://KEY:CANARY@b/p?endpoint=http://127.0.0.1:1",
            "do not belong into an address",
        ),
        (
            "a=s3://b/p?endpoint=http://127.0.0.1:1&regio=auto",
            "region",
        ),
        (
            "a=s3://b/p?endpoint=http://127.0.0.1:1&region=auto",
            "ESCROW_A_ACCESS_KEY_ID",
        ),
        (
            "a=s3://b/p?account_id=x&token_id=y&provider=r2",
            "ESCROW_A_TOKEN_VALUE",
        ),
        ("a=dir:/tmp --store a=dir:/var", "two stores are named a"),
    ] {
        sandbox
            .run(&line(
                &sandbox,
                &format!("{} --store {store}", alice(&sandbox)),
            ))
            .code(2)
            .stdout("")
            .stderr(contains(told).and(contains("CANARY").not()));
        assert!(!sandbox.path("host").exists());
    }
}

#[test]
fn a_store_that_cannot_be_relied_on_stops_init_unless_it_is_told_to_go_on() {
    let sandbox = Sandbox::new();
    let nowhere = sandbox.path("nowhere");
    let line = line(
        &sandbox,
        &format!("{} --store usb=dir:{}", alice(&sandbox), nowhere.display()),
    );
    sandbox
        .run(&line)
        .code(1)
        .stderr(contains("cannot rely on store usb").and(contains("does not exist")));
    assert!(!sandbox.path("host").exists());
    sandbox.run(&format!("{line} --skip-probe")).success();
    assert!(sandbox.path("host/escrow.toml").exists() && !nowhere.exists());
}

#[test]
fn card_shows_the_newest_manifest_once_there_is_one() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.run("card").success().stdout(contains("none is known"));
    let snapshot = host.snapshot();
    let card = json(&host.run("card --json").success());
    assert_eq!(card["head"]["seq"], 1);
    assert_eq!(card["head"]["digest"], snapshot["manifest_sha256"]);
    let digest = snapshot["manifest_sha256"].as_str().unwrap();
    host.run("card").success().stdout(contains(digest));
    host.run("card --offline")
        .success()
        .stdout(contains("none is known"));
}

#[test]
fn card_without_a_store_that_answers_still_comes_offline() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    std::fs::remove_dir_all(sandbox.path("usb")).unwrap();
    host.run("card")
        .code(1)
        .stderr(contains("no store could be read"));
    host.run("card --offline")
        .success()
        .stdout(contains(&*host.fingerprint));
}

#[test]
fn what_the_card_prints_to_begin_with_works_as_it_stands() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    let card = stdout(&host.run("card").success());
    let lines = card.replace("\\\n", " ");
    let list = lines
        .lines()
        .find(|line| line.contains("databasus-escrow list"));
    let list = list
        .unwrap()
        .trim()
        .replace("databasus-escrow ", "")
        .replace('\'', "");
    sandbox.run(&list).success().stdout(contains("Mark: 1:"));
}

#[test]
fn a_configuration_that_somebody_edited_still_gives_the_card_of_its_files() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let policy = |host: &Host<'_>| {
        json(&host.run("card --json --offline").success())["policy_sha256"].clone()
    };
    let before = policy(&host);
    let recipients = sandbox.path("host/policies/recipients.toml");
    replace(
        &recipients,
        "custodian = \"alice\"",
        "custodian = \"carol\"",
    );
    assert_ne!(policy(&host), before);
}
