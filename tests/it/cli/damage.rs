//! Stores that hold something else than what was signed.

use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;

use crate::support::sandbox::{Host, SECRET_KEY, Sandbox, files, flip, json, replace, the_file};

/// What can happen to a payload.
type Damage = fn(&Path);

fn cut(path: &Path, by: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - by).unwrap();
}

fn length(path: &Path) -> usize {
    std::fs::metadata(path).unwrap().len() as usize
}

const DAMAGES: [(&str, Damage); 8] = [
    ("cut by 1", |path| cut(path, 1)),
    ("cut by 16", |path| cut(path, 16)),
    ("cut by 17", |path| cut(path, 17)),
    ("first byte", |path| flip(path, 0)),
    ("header", |path| flip(path, 90)),
    ("middle", |path| flip(path, length(path) / 2)),
    ("last byte", |path| flip(path, length(path) - 1)),
    ("longer", |path| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes.insert(length(path) / 2, 0);
        std::fs::write(path, bytes).unwrap();
    }),
];

fn payload(sandbox: &Sandbox, store: &str) -> PathBuf {
    the_file(&sandbox.path(store), "payload.tar.zst.age")
}

fn manifest(sandbox: &Sandbox, store: &str, seq: u64) -> PathBuf {
    sandbox
        .path(store)
        .join(format!("demo/manifest/{seq:010}.json"))
}

/// A rehydrate of files on a box that has the card and alice's identity.
fn rehydrate(sandbox: &Sandbox, host: &Host<'_>, more: &str) -> assert_cmd::assert::Assert {
    let target = sandbox.path("target");
    let _ = std::fs::remove_dir_all(&target);
    sandbox.run(&format!(
        "rehydrate --files-only {} --identity ../alice.key --target {} {more}",
        host.reading(),
        target.display()
    ))
}

fn assert_rehydrated(sandbox: &Sandbox) {
    let key = std::fs::read_to_string(sandbox.path("target/secret.key")).unwrap();
    assert_eq!(key, SECRET_KEY);
}

fn assert_no_target(sandbox: &Sandbox) {
    let left: Vec<_> = std::fs::read_dir(sandbox.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("target"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn one_damaged_copy_is_named_and_the_other_one_serves() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    host.snapshot();
    let path = payload(&sandbox, "usb");
    let good = std::fs::read(&path).unwrap();
    for (name, damage) in DAMAGES {
        damage(&path);
        let verified = json(&host.run("verify --json").code(13));
        let states: Vec<_> = verified["escrows"][0]["copies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|copy| format!("{} {}", copy["store"], copy["state"]))
            .collect();
        assert_eq!(
            states,
            ["\"usb\" \"damaged\"", "\"nas\" \"verified\""],
            "{name}"
        );
        host.run("verify --quiet")
            .code(13)
            .stdout("")
            .stderr(contains("store usb"));
        rehydrate(&sandbox, &host, "")
            .code(3)
            .stdout(contains("copy-damaged"));
        assert_rehydrated(&sandbox);
        std::fs::write(&path, &good).unwrap();
    }
    host.run("verify").success();
}

#[test]
fn damage_in_every_copy_leaves_no_target() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    let path = payload(&sandbox, "usb");
    let good = std::fs::read(&path).unwrap();
    for (name, damage) in DAMAGES {
        damage(&path);
        let ran = rehydrate(&sandbox, &host, "");
        assert_eq!(ran.get_output().status.code(), Some(13), "{name}: {ran}");
        assert_no_target(&sandbox);
        std::fs::write(&path, &good).unwrap();
    }
}

#[test]
fn swapped_parts_are_noticed() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let noise: Vec<u8> = std::iter::repeat_with(rand::random::<[u8; 4096]>)
        .take((17 << 20) / 4096)
        .flatten()
        .collect();
    sandbox.file("databasus-data/noise", noise);
    host.snapshot();
    let path = payload(&sandbox, "usb");
    let mut bytes = std::fs::read(&path).unwrap();
    let (first, rest) = bytes.split_at_mut(8 << 20);
    first.swap_with_slice(&mut rest[..8 << 20]);
    std::fs::write(&path, bytes).unwrap();
    host.run("verify").code(13).stdout(contains("DAMAGED"));
    rehydrate(&sandbox, &host, "").code(13);
    assert_no_target(&sandbox);
}

#[test]
fn a_copy_that_was_deleted_is_missing_and_no_violation() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    host.snapshot();
    std::fs::remove_file(payload(&sandbox, "usb")).unwrap();
    let ran = host.run("verify").code(3);
    insta::assert_snapshot!(sandbox.redacted(&ran.get_output().stdout), @r"
    ESCROW  STORE  COPY
    ESCROW-ID  usb  MISSING
    ESCROW-ID  nas  every part is as signed

    Manifests with good signatures: 1.

    Findings:
    warning  copy-missing  escrow ESCROW-ID it was stored in usb, and is gone
    ");
    rehydrate(&sandbox, &host, "").code(3);
    assert_rehydrated(&sandbox);
}

#[test]
fn an_escrow_of_which_no_copy_is_left_is_lost() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    host.snapshot();
    for store in ["usb", "nas"] {
        std::fs::remove_file(payload(&sandbox, store)).unwrap();
    }
    host.run("verify").code(13).stdout(contains("escrow-lost"));
    rehydrate(&sandbox, &host, "")
        .code(1)
        .stderr(contains("no store has part 1"));
    assert_no_target(&sandbox);
}

#[test]
fn copies_that_cannot_be_read_are_no_pass() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    host.snapshot();
    // The manifests are still there, and where the payload was nothing can be looked up.
    for store in ["usb", "nas"] {
        let path = payload(&sandbox, store);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
    }
    let code = host.run("verify").get_output().status.code();
    assert!(matches!(code, Some(1 | 13)), "{code:?}");
}

#[test]
fn an_edited_manifest_counts_for_nothing() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let first = host.snapshot();
    host.snapshot();
    let path = manifest(&sandbox, "usb", 2);
    replace(&path, "\"pg_version\": \"17\"", "\"pg_version\": \"18\"");
    let ran = host.run("list").code(13);
    assert!(
        ran.get_output()
            .stdout
            .windows(19)
            .any(|w| w == b"unverified-manifest"),
        "{ran}"
    );
    // This host has seen number 2, so number 1 is not taken for the newest.
    host.run("verify").code(13);
    host.run("show")
        .code(13)
        .stderr(contains("in doubt").and(contains("--escrow")));
    // A box that has only the card cannot know; it goes on with what verifies, and says so.
    rehydrate(&sandbox, &host, "")
        .code(3)
        .stdout(contains("unverified-manifest"));
    assert_rehydrated(&sandbox);
    let id = first["escrow_id"].as_str().unwrap();
    rehydrate(&sandbox, &host, &format!("--escrow {id}")).code(3);
    assert_rehydrated(&sandbox);
}

#[test]
fn a_manifest_that_a_stranger_signed_counts_for_nothing() {
    let (ours, theirs) = (Sandbox::new(), Sandbox::new());
    let (Some(host), Some(stranger)) = (ours.frozen_host(&["usb"]), theirs.frozen_host(&["usb"]))
    else {
        return;
    };
    let id = host.snapshot()["escrow_id"].clone();
    stranger.snapshot();
    stranger.snapshot();
    for (path, bytes) in files(&theirs.path("usb/demo")) {
        let to = ours
            .path("usb/demo")
            .join(path.strip_prefix(theirs.path("usb/demo")).unwrap());
        if !to.exists() {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, bytes).unwrap();
        }
    }
    let listed = json(&host.run("list --json").code(13));
    assert_eq!(listed["escrows"].as_array().unwrap().len(), 1);
    rehydrate(&ours, &host, &format!("--escrow {}", id.as_str().unwrap())).code(3);
    assert_rehydrated(&ours);
    // Whoever trusts the stranger's card does not take ours for theirs either.
    let reading = host
        .reading()
        .replace(&host.fingerprint, &stranger.fingerprint);
    ours.run(&format!("list {reading}")).code(13);
}

#[test]
fn a_signer_whose_time_was_over_counts_for_nothing() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    let signers = std::fs::read_to_string(sandbox.path("host/policies/allowed_signers")).unwrap();
    let at = signers.find("valid-after=").unwrap();
    let end = signers[at..].find([' ', ',']).unwrap() + at;
    let over = format!(
        "{}valid-before=\"20200101000000Z\"{}",
        &signers[..at],
        &signers[end..]
    );
    let file = sandbox.file("signers", over);
    let (reading, _) = host
        .reading()
        .split_once("--trust")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    sandbox
        .run(&format!(
            "list {reading} --allowed-signers {}",
            file.display()
        ))
        .code(13)
        .stdout(contains("signer-window"));
}

#[test]
fn a_rollback_is_noticed_by_the_mark_that_was_kept_and_by_the_one_on_the_card() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    host.snapshot();
    let newest = host.snapshot();
    for store in ["usb", "nas"] {
        std::fs::remove_file(manifest(&sandbox, store, 2)).unwrap();
    }
    for line in ["list", "verify"] {
        host.run(line).code(13).stdout(contains("rollback"));
    }
    host.run("show").code(13).stderr(contains("in doubt"));
    let mark = format!("--mark 2:{}", newest["manifest_sha256"].as_str().unwrap());
    rehydrate(&sandbox, &host, &mark)
        .code(13)
        .stderr(contains("in doubt"));
    assert_no_target(&sandbox);
    // Without a mark nothing can tell, which is said.
    rehydrate(&sandbox, &host, "")
        .code(0)
        .stderr(contains("first contact"));
    // The mark was not lowered by looking.
    host.run("list").code(13);
}

#[test]
fn a_manifest_missing_in_the_middle_blocks_no_escrow_that_is_named() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    let ids = [host.snapshot(), host.snapshot(), host.snapshot()];
    for store in ["usb", "nas"] {
        std::fs::remove_file(manifest(&sandbox, store, 2)).unwrap();
    }
    host.run("list").code(13).stdout(contains("chain-gap"));
    for id in [&ids[0], &ids[2]] {
        let id = id["escrow_id"].as_str().unwrap();
        rehydrate(&sandbox, &host, &format!("--escrow {id}")).code(3);
        assert_rehydrated(&sandbox);
        host.run(&format!("verify {id}")).code(3);
        host.run(&format!("show {id}"))
            .code(3)
            .stdout(contains("chain-gap"));
    }
}

#[test]
fn a_manifest_missing_in_one_store_is_partial() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    host.snapshot();
    std::fs::remove_file(manifest(&sandbox, "usb", 1)).unwrap();
    host.run("list")
        .success()
        .stdout(contains("manifest-missing"));
    host.run("verify").code(3);
}

#[test]
fn text_that_an_attacker_chose_cannot_move_the_cursor() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    let sig = sandbox.path("usb/demo/sig");
    for name in ["\u{1b}[2J.sig", "demo\u{202e}.sig"] {
        std::fs::write(sig.join(name), "x").unwrap();
        std::fs::write(sandbox.path("usb/demo/manifest").join(name), "x").unwrap();
    }
    std::fs::write(manifest(&sandbox, "usb", 2), "{\"\u{1b}[2J\": 1}").unwrap();
    for line in ["list", "verify", "show", "list --json"] {
        let ran = host.run(line);
        let output = ran.get_output();
        for stream in [&output.stdout, &output.stderr] {
            assert!(!stream.contains(&0x1b), "{ran}");
        }
    }
}
