//! The command, on a host that came back from an image.

use std::fs;
use std::process::Command;

use predicates::prelude::*;
use predicates::str::contains;

use crate::support::sandbox::{Host, Sandbox, json};

/// The host takes one night into the first store, and an image of it, from before, the same night
/// into the second.
fn fork(sandbox: &Sandbox, host: &Host<'_>) {
    host.snapshot();
    let state = host.config.with_file_name("state");
    let (image, after) = (sandbox.path("image"), sandbox.path("after"));
    copy(&state, &image);
    let (one, two) = (sandbox.path("one"), sandbox.path("two"));
    let away = sandbox.path("away");
    for hidden in [&two, &one] {
        fs::rename(hidden, &away).unwrap();
        fs::write(hidden, "no folder").unwrap();
        host.run("snapshot").code(predicate::ne(0));
        fs::remove_file(hidden).unwrap();
        fs::rename(&away, hidden).unwrap();
        if hidden == &two {
            fs::rename(&state, &after).unwrap();
            copy(&image, &state);
        }
    }
    fs::remove_dir_all(&state).unwrap();
    fs::rename(&after, &state).unwrap();
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

#[test]
fn a_fork_is_shown_confirmed_and_closed() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["one", "two"]) else {
        return;
    };
    fork(&sandbox, &host);
    host.run("list").code(13).stdout(contains("chain-fork"));
    let shown = host.run("close-fork --dry-run").success();
    shown.stdout(contains("the chain goes on from it").and(contains("beside the chain")));
    host.run("close-fork")
        .code(14)
        .stderr(contains("if you mean it: --confirm demo"));
    host.run("close-fork 7 --confirm demo")
        .code(10)
        .stderr(contains("no open fork is at sequence 7"));
    let closed = json(&host.run("close-fork 2 --json --confirm demo").success());
    assert_eq!(closed["forks"][0]["seq"], 2);
    assert_eq!(closed["closed_by"]["seq"], 3);
    let list = host.run("list").success();
    list.stdout(contains("chain-fork-closed").and(contains("chain-fork ").not()));
    host.run("close-fork")
        .success()
        .stdout(contains("No fork is open"));
}
