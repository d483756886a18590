//! `rehydrate`: what it refuses, what it plans, and what it leaves.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use assert_cmd::assert::Assert;
use databasus_escrow::base::time::{Clock, SystemClock};
use predicates::prelude::*;
use predicates::str::contains;

use crate::support::disk::SmallDisk;
use crate::support::sandbox::{Host, SECRET_KEY, Sandbox, files, json};

/// A rehydrate into `target` on a box that has nothing but the card.
fn rehydrate(sandbox: &Sandbox, host: &Host<'_>, target: &Path, more: &str) -> Assert {
    let target = target.display();
    sandbox.run(&format!(
        "rehydrate {} --target {target} {more}",
        host.reading()
    ))
}

/// Names beside the target, hidden ones too.
fn beside(sandbox: &Sandbox) -> Vec<String> {
    let entries = std::fs::read_dir(sandbox.path("srv")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

const ALICE: &str = "--identity ../alice.key";

#[test]
fn a_dry_run_needs_no_identity_says_what_it_would_do_and_does_nothing() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    host.snapshot();
    let target = sandbox.folder("srv").join("data");
    let ran = rehydrate(&sandbox, &host, &target, "--dry-run --files-only").success();
    let text = sandbox.redacted(&ran.get_output().stdout);
    insta::assert_snapshot!(text, @r"
    Would rehydrate escrow ESCROW-ID (number 1), taken TIME (AGE s ago):
    1. fetch SIZE KiB in 1 parts from usb, else nas, each compared with the signed manifest before it is decrypted
    2. decrypt, decompress and unpack beside the target; compare every file with the index
    3. set modes, and as root owners (pgdata 999:999, the rest 65532:65532)
    4. start nothing (--files-only)
    5. sync, and rename the result to HOME/srv/data
    Nothing was done (--dry-run).
    ");
    assert!(beside(&sandbox).is_empty());
    let planned =
        json(&rehydrate(&sandbox, &host, &target, "--dry-run --files-only --json").success());
    assert_eq!(planned["dry_run"], true);
    assert!(beside(&sandbox).is_empty());
}

#[test]
fn the_files_come_back_byte_for_byte() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    sandbox.file("databasus-data/instance.json", "{\"instanceID\":\"x\"}");
    host.snapshot();
    let target = sandbox.folder("srv").join("data");
    let more = format!("{ALICE} --files-only --json");
    let document = json(&rehydrate(&sandbox, &host, &target, &more).success());
    assert_eq!(document["exit"], 0);
    assert_eq!(document["fenced"], false);
    for name in [
        "secret.key",
        "instance.json",
        "pgdata/PG_VERSION",
        "pgdata/global/pg_control",
    ] {
        let read = |root: &Path| std::fs::read(root.join(name)).unwrap();
        assert!(
            read(&target) == read(&sandbox.path("databasus-data")),
            "{name}"
        );
    }
    let mode = |name: &str| {
        std::fs::metadata(target.join(name))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("secret.key") & 0o777, 0o600);
    assert_eq!(mode("pgdata") & 0o777, 0o700);
    assert_eq!(beside(&sandbox), ["data"]);
}

#[test]
fn an_identity_can_come_on_standard_input() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    let target = sandbox.folder("srv").join("data");
    let line = format!(
        "rehydrate {} --target {} --files-only --identity -",
        host.reading(),
        target.display()
    );
    let identity = std::fs::read_to_string(sandbox.identity("alice")).unwrap();
    sandbox
        .run_with_input(&line, "")
        .code(2)
        .stderr(contains("hint: "));
    assert!(!target.exists());
    sandbox.run_with_input(&line, &identity).success();
    assert_eq!(
        std::fs::read_to_string(target.join("secret.key")).unwrap(),
        SECRET_KEY
    );
}

#[test]
fn what_cannot_be_begun_leaves_nothing() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    sandbox.identity("mallory");
    let target = sandbox.folder("srv").join("data");
    let unknown = "--escrow 20200101T000000Z-0123456789abcdef";
    let older = sandbox.folder("pg16");
    let says = sandbox.file(
        "pg16/postgres",
        "#!/bin/sh\necho 'postgres (PostgreSQL) 16.4'\n",
    );
    std::fs::set_permissions(says, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (more, code, told) in [
        (
            format!("{ALICE} --pg-bin {}", older.display()),
            1,
            "no PostgreSQL 17 found",
        ),
        (
            "--files-only --identity ../mallory.key".to_owned(),
            12,
            "none of the identities",
        ),
        ("--files-only".to_owned(), 2, "no identity is given"),
        (
            format!("{ALICE} --files-only {unknown}"),
            10,
            "no verified escrow 2020",
        ),
        (
            format!("{ALICE} --files-only --at 2020-01-01T00:00:00Z"),
            10,
            "from 2020-01-01T00:00:00Z or before",
        ),
        (
            format!("{ALICE} --files-only --escrow yesterday"),
            2,
            "must look like",
        ),
        (
            format!("{ALICE} --files-only --from-logical"),
            2,
            "cannot be used with",
        ),
        (
            format!("{ALICE} --pg-bin /no/such/folder"),
            1,
            "no PostgreSQL 17 found",
        ),
    ] {
        rehydrate(&sandbox, &host, &target, &more)
            .code(code)
            .stdout("")
            .stderr(contains(told));
        assert!(
            beside(&sandbox).is_empty(),
            "{more}: {:?}",
            beside(&sandbox)
        );
    }
}

#[test]
fn a_target_that_is_taken_is_refused_and_left_as_it_was() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    let full = sandbox.folder("srv/full");
    sandbox.file("srv/full/mine", "mine");
    sandbox.file("srv/file", "mine");
    std::os::unix::fs::symlink(&full, sandbox.path("srv/link")).unwrap();
    for (target, told) in [
        (full, "is not empty"),
        (sandbox.path("srv/file"), "is not a directory"),
        (sandbox.path("srv/link"), "is not a directory"),
        (Path::new("/proc").to_owned(), "is not empty"),
        (Path::new("/").to_owned(), "does not name a directory"),
    ] {
        let more = format!("{ALICE} --files-only");
        rehydrate(&sandbox, &host, &target, &more)
            .code(14)
            .stdout("")
            .stderr(contains(told).and(contains("hint: ")));
    }
    assert_eq!(
        std::fs::read_to_string(sandbox.path("srv/full/mine")).unwrap(),
        "mine"
    );
    assert_eq!(beside(&sandbox), ["file", "full", "link"]);
}

#[test]
fn a_mount_point_is_refused() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    let disk = sandbox.folder("srv/disk");
    let Some(_mounted) = SmallDisk::mount(&disk, "1m") else {
        return;
    };
    let more = format!("{ALICE} --files-only");
    rehydrate(&sandbox, &host, &disk, &more)
        .code(14)
        .stderr(contains("is a mount point; name a directory below it"));
    rehydrate(&sandbox, &host, &disk.join("data"), &more).success();
}

#[test]
fn a_time_chooses_the_newest_escrow_from_then_or_before() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let now = u64::try_from(SystemClock.now().unix()).unwrap();
    // The source says when it was frozen: whoever froze it an hour ago, an hour ago.
    let age = |hours: u64| {
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(now - hours * 3600);
        for (path, _) in files(&sandbox.path("databasus-data")) {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(at).unwrap();
        }
    };
    age(3);
    let older = host.snapshot();
    age(1);
    let newer = host.snapshot();
    let target = sandbox.folder("srv").join("data");
    for (at, expected) in [(&newer, &newer), (&older, &older)] {
        let at = at["snapshot_at"].as_str().unwrap();
        let more = format!("--dry-run --files-only --json --at {at}");
        let planned = json(&rehydrate(&sandbox, &host, &target, &more).success());
        assert_eq!(planned["escrow_id"], expected["escrow_id"]);
    }
}

#[test]
fn the_sources_own_configuration_never_meets_an_identity() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    let target = sandbox.folder("srv").join("data");
    host.run(&format!(
        "rehydrate {ALICE} --files-only --target {}",
        target.display()
    ))
    .code(14)
    .stderr(contains("it takes snapshots").and(contains("on another box")));
    assert!(beside(&sandbox).is_empty());
}

#[test]
fn a_drill_box_rehydrates_by_its_own_configuration() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    let signers = std::fs::read(sandbox.path("host/policies/allowed_signers")).unwrap();
    sandbox.folder("box/policies");
    sandbox.file("box/policies/allowed_signers", signers);
    let usb = sandbox.path("usb");
    sandbox.file(
        "box/escrow.toml",
        format!(
            "instance = \"demo\"\n[open]\nidentity_file = \"../alice.key\"\n\
         [[store]]\nname = \"usb\"\ntype = \"dir\"\npath = \"{}\"\n",
            usb.display()
        ),
    );
    let target = sandbox.folder("srv").join("data");
    sandbox
        .run(&format!(
            "rehydrate --files-only --target {}",
            target.display()
        ))
        .success();
    // It remembers what it saw, and so notices a rollback.
    std::fs::remove_file(usb.join("demo/manifest/0000000001.json")).unwrap();
    sandbox.run("list").code(13).stdout(contains("rollback"));
    sandbox
        .run("snapshot")
        .code(2)
        .stderr(contains("this box only reads"));
}

#[test]
fn a_store_that_is_not_there_makes_it_partial() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    host.snapshot();
    std::fs::remove_dir_all(sandbox.path("usb")).unwrap();
    let target = sandbox.folder("srv").join("data");
    let more = format!("{ALICE} --files-only --quiet");
    rehydrate(&sandbox, &host, &target, &more)
        .code(3)
        .stdout("")
        .stderr(contains("store usb"));
    assert_eq!(
        std::fs::read_to_string(target.join("secret.key")).unwrap(),
        SECRET_KEY
    );
}
