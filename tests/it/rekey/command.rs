//! The command, over a directory, and stock `age` on what it made.

use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;

use crate::custody::bed::{bash, host_of_three, object, without_source};
use crate::support::sandbox::{SECRET_KEY, Sandbox, json, objects};

fn rekey(sandbox: &Sandbox, config: &std::path::Path, more: &str) -> Assert {
    sandbox.run(&format!("--config {} rekey {more}", config.display()))
}

/// `secret.key` out of the one payload in the store, by stock tools.
fn opened(sandbox: &Sandbox, identity: &str) -> Result<String, String> {
    let payload = object(sandbox, "payload.tar.zst.age");
    let script = format!(
        "set -euo pipefail
         age -d -i {identity} {} | zstd -d | tar -x -O databasus-data/secret.key",
        payload.display()
    );
    bash(&sandbox.path(""), &script)
}

#[test]
fn stock_age_opens_it_for_who_is_left_and_for_nobody_else() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, None) else {
        return;
    };
    host.snapshot();
    host.run("custody remove bob --unproven").success();
    let config = without_source(&host, None);
    let planned = rekey(&sandbox, &config, "--dry-run").success();
    planned.stdout(contains("alice, bob, carol").and(contains("would be sealed again")));
    assert_eq!(opened(&sandbox, "bob.key").as_deref(), Ok(SECRET_KEY));

    let done = rekey(&sandbox, &config, "--identity ../alice.key --json").success();
    let document = json(&done);
    assert_eq!(document["escrows"][0]["state"], "rekeyed");
    assert_eq!(document["deleted"][0]["state"], "gone");
    assert_eq!(opened(&sandbox, "carol.key").as_deref(), Ok(SECRET_KEY));
    assert!(opened(&sandbox, "bob.key").is_err());

    let reading = host.reading();
    let verify = |who: &str| sandbox.run(&format!("verify {reading} --identity ../{who}.key"));
    verify("carol").success().stdout(contains("all as indexed"));
    verify("bob").code(12);
    host.run("verify --all").success();
    host.snapshot();
}

#[test]
fn two_together_open_it_with_stock_age_where_one_did_before() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, None) else {
        return;
    };
    host.snapshot();
    let config = without_source(&host, Some(2));
    rekey(&sandbox, &config, "--identity ../alice.key")
        .code(14)
        .stderr(contains("and only alice can be seen to hold an identity"));
    let both = "--identity ../alice.key --identity ../bob.key";
    rekey(&sandbox, &config, both).success();
    let unlock = object(&sandbox, "unlock/bob+carol.age");
    let both = format!(
        "<(age -d -i bob.key {} | age -d -i carol.key)",
        unlock.display()
    );
    assert_eq!(opened(&sandbox, &both).as_deref(), Ok(SECRET_KEY));
    assert!(opened(&sandbox, "alice.key").is_err());
}

#[test]
fn a_wrong_identity_and_the_sources_own_box_are_refused() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, None) else {
        return;
    };
    host.snapshot();
    sandbox.identity("mallory");
    host.run("custody remove bob --unproven").success();
    let config = without_source(&host, None);
    let before = objects(&sandbox.path("usb"));
    rekey(&sandbox, &config, "--identity ../mallory.key")
        .code(12)
        .stderr(contains("none of the identities given opens this escrow"));
    host.run("rekey --identity ../alice.key").code(14);
    rekey(&sandbox, &config, "").code(2);
    assert!(objects(&sandbox.path("usb")) == before);
}
