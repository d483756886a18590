//! The command, over a directory and a bucket that locks.

use predicates::prelude::*;
use predicates::str::contains;

use crate::support::sandbox::{Sandbox, json};

#[test]
fn a_table_says_why_each_stays_or_goes() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["disk"]) else {
        return;
    };
    for _ in 0..4 {
        host.snapshot();
    }
    host.edit(
        "[retention]",
        "[retention]\ndaily = 1\nweekly = 0\nmonthly = 0\nfloor = 2",
    );
    let planned = host.run("prune --dry-run").success();
    planned.stdout(
        contains("would go")
            .and(contains("too few would be left"))
            .and(contains("newest"))
            .and(contains("Nothing was written or deleted")),
    );
    let document = json(&host.run("prune --json").success());
    assert_eq!(document["escrows"].as_array().unwrap().len(), 4);
    assert_eq!(document["deleted"].as_array().unwrap().len(), 2);
    assert_eq!(document["deleted"][0]["state"], "gone");
    host.run("verify --all").success();
    host.run("list").success();
}

#[test]
fn a_floor_of_nothing_is_refused() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["disk"]) else {
        return;
    };
    host.edit("[retention]", "[retention]\nfloor = 0");
    host.run("prune")
        .code(2)
        .stderr(contains("floor must be 1 to 9999"));
}
