//! What `snapshot` says and leaves, with directory stores.

use predicates::prelude::*;
use predicates::str::contains;

use crate::support::disk::SmallDisk;
use crate::support::sandbox::{Sandbox, files, json, objects, stderr};

#[test]
fn a_snapshot_tells_what_was_committed_where() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    let ran = host.run("snapshot").success();
    let text = sandbox.redacted(&ran.get_output().stdout);
    let (first, rest) = text.split_once('\n').unwrap();
    assert!(
        first.starts_with("Escrow ESCROW-ID is committed as number 1: "),
        "{first}"
    );
    insta::assert_snapshot!(rest, @r"
    usb  stored and read back
    nas  stored and read back
    Of key and backups level 0 is proven; level 2 was wanted.
    ");
}

#[test]
fn a_proof_that_is_required_and_not_reached_refuses() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.run("snapshot --require-proof 1")
        .code(14)
        .stdout("")
        .stderr(contains("proof level 1 is required and not reached"))
        .stderr(contains("hint: nothing was committed"));
    host.run("snapshot --require-proof 0").success();
    host.run("snapshot --proof 4").code(2);
}

#[test]
fn a_snapshot_as_json_has_everything_that_a_script_needs() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let document = host.snapshot();
    let keys: Vec<&str> = document
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    insta::assert_snapshot!(keys.join(" "), @"escrow_id exit findings manifest_sha256 next_due proof replicated seconds seq size snapshot_at stores");
    assert_eq!(document["exit"], 0);
    assert_eq!(document["seq"], 1);
    let stored = serde_json::json!([{ "name": "usb", "required": true, "failure": null }]);
    assert_eq!(document["stores"], stored);
}

#[test]
fn a_quiet_snapshot_that_went_well_says_nothing() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.run("snapshot --quiet").success().stdout("").stderr("");
}

#[test]
fn without_a_terminal_nothing_moves_on_it() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    for ran in [
        host.run("snapshot"),
        host.run_elsewhere("verify --identity ../alice.key"),
    ] {
        let ran = ran.success();
        let output = ran.get_output();
        for stream in [&output.stdout, &output.stderr] {
            assert!(
                !stream.iter().any(|byte| matches!(byte, b'\r' | 0x1b)),
                "{ran}"
            );
        }
    }
}

#[test]
fn a_store_that_is_not_there_makes_the_run_partial_and_is_named_under_quiet_too() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    std::fs::remove_dir_all(sandbox.path("usb")).unwrap();
    let ran = host.run("snapshot --quiet").code(3).stdout("");
    assert!(stderr(&ran).contains("store usb is incomplete"), "{ran}");
    // The other one has it all the same.
    host.run("verify --json").code(3);
    let line = format!(
        "verify {} --json",
        host.reading()
            .replace("--store usb=dir:", "--store gone=dir:")
    );
    let verified = json(&sandbox.run(&line).code(3));
    assert_eq!(verified["escrows"][0]["copies"][1]["state"], "verified");
    // Once it is back, the next run brings up the manifests.
    sandbox.folder("usb");
    assert_eq!(host.snapshot()["seq"], 2);
}

#[test]
fn a_store_that_is_not_required_does_not_make_the_run_partial() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    host.edit("# required = true", "required = false");
    std::fs::remove_dir_all(sandbox.path("usb")).unwrap();
    let document = json(&host.run("snapshot --json").code(0));
    assert_eq!(document["stores"][0]["required"], false);
    assert!(document["stores"][0]["failure"].is_string());
    assert_eq!(document["stores"][1]["failure"], serde_json::Value::Null);
}

#[test]
fn without_any_store_nothing_is_committed() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    for name in ["usb", "nas"] {
        std::fs::remove_dir_all(sandbox.path(name)).unwrap();
    }
    host.run("snapshot")
        .code(1)
        .stdout("")
        .stderr(contains("no store could be read").and(contains("hint: ")));
    for name in ["usb", "nas"] {
        sandbox.folder(name);
    }
    assert_eq!(host.snapshot()["seq"], 1);
}

#[test]
fn a_second_run_is_kept_out_while_the_first_is_at_work() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let (begun, go) = (sandbox.path("begun"), sandbox.path("go"));
    let wait = format!(
        "touch {}; while [ ! -e {} ]; do sleep 0.02; done",
        begun.display(),
        go.display()
    );
    host.set_commands(&["sh", "-c", &wait], &["true"]);
    let mut first = host.start("snapshot --json");
    first.wait_until("the first is at work", || begun.exists());
    host.run("snapshot")
        .code(11)
        .stdout("")
        .stderr(contains("another run is at work").and(contains("hint: ")));
    // Readers are not kept out.
    host.run("list").code(10);
    sandbox.file("go", "");
    assert_eq!(json(&first.end().success())["seq"], 1);
}

#[test]
fn a_freezing_command_that_fails_is_told_and_let_go() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let released = sandbox.path("released");
    let release = format!("touch {}", released.display());
    host.set_commands(
        &["sh", "-c", "echo no such pool >&2; exit 3"],
        &["sh", "-c", &release],
    );
    host.run("snapshot")
        .code(1)
        .stderr(contains("no such pool").and(contains("hint: ")));
    assert!(released.exists());
    assert!(objects(&sandbox.path("usb")).is_empty());
}

#[test]
fn a_full_disk_is_named_and_leaves_the_other_store_whole() {
    let sandbox = Sandbox::new();
    let Some(data) = sandbox.tiny_instance() else {
        return;
    };
    let noise: Vec<u8> = (0..1 << 20).map(|_| rand::random()).collect();
    sandbox.file("databasus-data/noise", noise);
    let usb = sandbox.folder("usb");
    let stores =
        ["usb", "nas"].map(|name| format!("{name}=dir:{}", sandbox.folder(name).display()));
    let host = sandbox.host_with(&data, &stores, "");
    host.set_method("frozen");
    let Some(_disk) = SmallDisk::mount(&usb, "256k") else {
        return;
    };
    host.run("snapshot")
        .code(3)
        .stdout(contains("no space left"));
    let left = files(&usb);
    assert!(
        left.iter()
            .all(|(path, _)| !path.to_string_lossy().contains("payload")),
        "{left:?}"
    );
    let nas = format!(
        "verify --instance demo --store {} --trust {}",
        stores[1], host.fingerprint
    );
    sandbox.run(&nas).success();
    host.edit(
        &sandbox.path("nas").display().to_string(),
        &sandbox.path("nowhere").display().to_string(),
    );
    host.run("snapshot")
        .code(1)
        .stderr(contains("no space left").and(contains("make room in the store")));
}
