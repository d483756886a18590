//! `audit --backups`: what an auditor without any key sees of Databasus' own backup chains.

use serde_json::Value;

use crate::support::chains::{Chain, shared};
use crate::support::sandbox::{Host, Sandbox, json};

const POLICY: &str = "
version = 1

[[backups]]
storage = \"prod\"
max_wal_age = \"1d\"
max_base_age = \"1d\"
";

/// A host with an escrow, beside the backups that Databasus made.
struct Bed<'a> {
    sandbox: &'a Sandbox,
    host: Host<'a>,
}

impl<'a> Bed<'a> {
    fn of(sandbox: &'a Sandbox, chain: &Chain) -> Option<Self> {
        let host = sandbox.frozen_host(&["usb"])?;
        host.snapshot();
        chain.write_to(&sandbox.path("bucket"));
        sandbox.file("policy.toml", POLICY);
        Some(Self { sandbox, host })
    }

    fn audit(&self, exit: i32) -> Value {
        let line = format!(
            "audit --policy {} --backups prod=dir:{} --no-cache --json",
            self.sandbox.path("policy.toml").display(),
            self.sandbox.path("bucket").display()
        );
        json(&self.host.run(&line).code(exit))
    }
}

/// Ids of what is neither passed nor off of the rule, and the messages.
fn told(document: &Value) -> Vec<(String, String)> {
    let checks = document["checks"].as_array().unwrap().iter();
    let loud = checks.filter(|check| check["rule"] == "backups" && check["outcome"] != "pass");
    let text = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
    loud.map(|check| (text(check, "id"), text(check, "message")))
        .collect()
}

fn ids(document: &Value) -> Vec<String> {
    told(document).into_iter().map(|(id, _)| id).collect()
}

#[test]
fn a_chain_that_reaches_its_newest_wal_passes_without_a_key() {
    let sandbox = Sandbox::new();
    let Some(chain) = shared::native() else {
        return;
    };
    let Some(bed) = Bed::of(&sandbox, &chain) else {
        return;
    };
    let document = bed.audit(0);
    assert_eq!(ids(&document), [""; 0], "{document:#}");
}

#[test]
fn a_hole_before_the_newest_wal_is_a_chain_that_is_cut() {
    let sandbox = Sandbox::new();
    let Some(mut chain) = shared::native() else {
        return;
    };
    let last = chain.segments.len() - 1;
    let gone = chain.segment(last - 1);
    chain.remove(&gone.object);
    let Some(bed) = Bed::of(&sandbox, &chain) else {
        return;
    };
    let document = bed.audit(4);
    assert_eq!(
        ids(&document),
        ["backup-chain-cut", "backup-chain-gap"],
        "{document:#}"
    );
    let (_, gap) = &told(&document)[1];
    assert!(gap.contains(&gone.segment.to_string()), "{gap}");
}

#[test]
fn wal_that_stopped_arriving_has_stalled() {
    let sandbox = Sandbox::new();
    let Some(mut chain) = shared::native() else {
        return;
    };
    for segment in chain.segments.clone() {
        chain.edit_sidecar(&segment.object, |sidecar| {
            sidecar["receivedAt"] = "2026-01-01T00:00:00Z".into();
        });
    }
    let Some(bed) = Bed::of(&sandbox, &chain) else {
        return;
    };
    assert_eq!(ids(&bed.audit(4)), ["wal-stalled"]);
}

#[test]
fn wal_without_any_base_backup_reaches_nothing() {
    let sandbox = Sandbox::new();
    let Some(mut chain) = shared::native() else {
        return;
    };
    for base in chain.bases.clone() {
        chain.remove(&base.object);
    }
    let Some(bed) = Bed::of(&sandbox, &chain) else {
        return;
    };
    let document = bed.audit(4);
    assert_eq!(ids(&document), ["backup-chain-cut", "base-backup-old"]);
}

#[test]
fn backups_of_old_releases_are_unknown_without_a_key() {
    let sandbox = Sandbox::new();
    let Some(chain) = shared::wal_v1() else {
        return;
    };
    let Some(bed) = Bed::of(&sandbox, &chain) else {
        return;
    };
    assert_eq!(ids(&bed.audit(3)), ["not-seen", "backups-closed"]);
}
