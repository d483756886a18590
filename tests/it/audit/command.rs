//! `audit` on directory stores.

use std::path::PathBuf;
use std::process::Command;

use predicates::str::contains;
use serde_json::Value;

use crate::support::sandbox::{Host, Sandbox, flip, json, objects, replace, stdout, the_file};

pub(super) const POLICY: &str = r#"
version = 1

[freshness]
max_age = "26h"

[mark]
required = false

[[store]]
name = "usb"

[[store]]
name = "nas"

[parts]
sample = 4

[custody]
mode = "any"

[instance]

[clock]
max_skew = "5m"
"#;

/// A host with two stores and one escrow, and a policy.
pub(super) struct Bed<'a> {
    pub(super) sandbox: &'a Sandbox,
    pub(super) host: Host<'a>,
    policy: PathBuf,
}

impl<'a> Bed<'a> {
    pub(super) fn new(sandbox: &'a Sandbox) -> Option<Self> {
        let host = sandbox.frozen_host(&["usb", "nas"])?;
        host.snapshot();
        Some(Self {
            policy: sandbox.file("policy.toml", POLICY),
            sandbox,
            host,
        })
    }

    pub(super) fn demand(&self, more: &str) {
        self.sandbox
            .file("policy.toml", format!("{POLICY}\n{more}\n"));
    }

    pub(super) fn audit(&self, more: &str) -> assert_cmd::assert::Assert {
        let policy = self.policy.display();
        self.host.run(&format!("audit --policy {policy} {more}"))
    }
}

/// Ids of what is neither passed nor off, and how bad it is.
fn loud(document: &Value) -> Vec<String> {
    let checks = document["checks"].as_array().unwrap().iter();
    let loud =
        checks.filter(|check| !["pass", "off"].contains(&check["outcome"].as_str().unwrap()));
    let told = |check: &Value| {
        let text = |key: &str| check[key].as_str().unwrap().to_owned();
        format!("{} {}", text("id"), text("outcome"))
    };
    loud.map(told).collect()
}

#[test]
fn a_policy_that_is_met_passes_and_leaves_the_stores_alone() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    let before = objects(&sandbox.path("usb"));
    let document = json(&bed.audit("--json").success());
    assert_eq!(document["format"], "databasus-escrow-audit/1");
    assert_eq!(document["verdict"], "pass");
    assert_eq!(document["scope"], "full");
    assert_eq!(document["exit"], 0);
    assert_eq!(document["head"]["seq"], 1);
    assert_eq!(loud(&document), [""; 0], "{document:#}");
    assert_eq!(objects(&sandbox.path("usb")), before);
    let ran = bed.audit("").success();
    let text = stdout(&ran);
    assert!(
        text.ends_with("PASS: everything that the policy demands holds.\n"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "colours are for terminals");
    assert!(text.contains("off"), "what was not demanded is said");
}

#[test]
fn the_first_contact_is_said_aloud_and_no_pass_where_a_mark_is_demanded() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    let strict = "version = 1\n[mark]\n[freshness]\n";
    let strict = sandbox.file("strict.toml", strict);
    let line = format!("audit --policy {} {}", strict.display(), bed.host.reading());
    sandbox
        .run(&line)
        .code(3)
        .stderr(contains("first contact"))
        .stdout(contains("first-contact"));
    let head = json(&bed.host.run("list --json").success())["head"].clone();
    let mark = format!(
        "{}:{}",
        head["seq"],
        head["manifest_sha256"].as_str().unwrap()
    );
    sandbox
        .run(&format!("{line} --mark {mark}"))
        .success()
        .stderr("");
    let other = format!("9:{}", head["manifest_sha256"].as_str().unwrap());
    sandbox
        .run(&format!("{line} --mark {other}"))
        .code(13)
        .stdout(contains("rollback"));
}

#[test]
fn a_demand_that_is_not_met_is_4() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    bed.demand("[proof]\nmin_level = 3\n[checkins]\nfail = \"180d\"\n");
    let document = json(&bed.audit("--json").code(4));
    assert_eq!(
        loud(&document),
        [
            "custodian-unproven fail",
            "no-spare-custodian fail",
            "proof-low fail"
        ]
    );
    assert_eq!(document["verdict"], "fail");
    bed.audit("--quiet")
        .code(4)
        .stdout("")
        .stderr(contains("FAIL: proof-low: "));
}

#[test]
fn a_store_that_is_away_is_3_and_a_damaged_copy_is_13() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    std::fs::rename(sandbox.path("nas"), sandbox.path("away")).unwrap();
    let document = json(&bed.audit("--json").code(3));
    assert_eq!(document["verdict"], "unknown");
    std::fs::rename(sandbox.path("away"), sandbox.path("nas")).unwrap();
    bed.audit("").success();
    let payload = the_file(&sandbox.path("nas"), "payload.tar.zst.age");
    let size = std::fs::metadata(&payload).unwrap().len();
    flip(&payload, size as usize - 5);
    let document = json(&bed.audit("--full --json").code(13));
    assert_eq!(loud(&document), ["copy-damaged fail"]);
    bed.audit("--full").code(13).stdout(contains("TAMPERING"));
}

#[test]
fn a_copy_that_is_gone_is_a_demand_that_is_not_met() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    std::fs::remove_file(the_file(&sandbox.path("usb"), "payload.tar.zst.age")).unwrap();
    let document = json(&bed.audit("--sample 0 --json").code(4));
    assert!(
        loud(&document).contains(&"copy-missing fail".to_owned()),
        "{document:#}"
    );
}

#[test]
fn the_head_alone_is_looked_at_in_one_breath() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    bed.host.snapshot();
    let document = json(&bed.audit("--head --json").success());
    assert_eq!(document["scope"], "head");
    assert_eq!(document["head"]["seq"], 2);
    assert_eq!(document["known_before"]["seq"], 2);
    let newest = sandbox.path("usb/demo/manifest/0000000002.json");
    let other = sandbox.path("nas/demo/manifest/0000000002.json");
    flip(&newest, 40);
    bed.audit("--head")
        .code(13)
        .stdout(contains("unverified-manifest"));
    std::fs::remove_file(newest).unwrap();
    std::fs::remove_file(other).unwrap();
    bed.audit("--head").code(13).stdout(contains("rollback"));
}

#[test]
fn a_look_at_the_head_forgives_a_store_that_was_away_and_remembers_on() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    bed.audit("--head").success();
    std::fs::rename(sandbox.path("nas"), sandbox.path("away")).unwrap();
    bed.host.run("snapshot").code(3);
    let document = json(&bed.audit("--head --json").code(3));
    assert!(loud(&document).contains(&"store-unreachable unknown".to_owned()));
    std::fs::rename(sandbox.path("away"), sandbox.path("nas")).unwrap();
    let document = json(&bed.audit("--head --json").code(4));
    assert_eq!(loud(&document), ["manifest-missing fail"]);
}

#[test]
fn a_look_at_the_head_of_no_store_is_unknown() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    for store in ["nas", "usb"] {
        std::fs::rename(sandbox.path(store), sandbox.path(&format!("{store}-away"))).unwrap();
    }
    let document = json(&bed.audit("--head --json").code(3));
    assert!(
        loud(&document).iter().all(|one| one.ends_with(" unknown")),
        "{document:#}"
    );
}

#[test]
fn a_head_that_only_reports_leads_to_the_newest_escrow() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    std::fs::rename(sandbox.path("nas"), sandbox.path("away")).unwrap();
    bed.host.run("snapshot").code(3);
    std::fs::rename(sandbox.path("away"), sandbox.path("nas")).unwrap();
    bed.host.run("replicate").success();
    let document = json(&bed.audit("--head --json").success());
    assert_eq!(document["head"]["seq"], 3, "an amend");
    let checks = document["checks"].as_array().unwrap();
    let mut fresh = checks.iter().filter(|check| check["rule"] == "freshness");
    assert!(
        fresh.any(|check| check["basis"]["seq"] == 2),
        "{document:#}"
    );
}

#[test]
fn a_head_that_does_not_follow_what_was_seen_is_told() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    bed.host.snapshot();
    bed.host.snapshot();
    let head = json(&bed.host.run("list --json").success())["head"].clone();
    let digest = head["manifest_sha256"].as_str().unwrap().to_owned();
    let looked = |mark: &str| {
        let line = format!("audit --head --policy {}", bed.policy.display());
        sandbox.run(&format!("{line} {} --mark {mark}", bed.host.reading()))
    };
    looked(&format!("3:{digest}")).success();
    for seq in [1, 2] {
        looked(&format!("{seq}:{digest}"))
            .code(13)
            .stdout(contains("history-rewritten"));
    }
}

#[test]
fn a_witness_is_signed_and_counts_for_the_next_audit() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    bed.demand("[witness]\nmax_age = \"8d\"\n");
    let document = json(&bed.audit("--json").code(4));
    assert_eq!(loud(&document), ["witness-missing fail"]);
    bed.audit("--witness")
        .code(2)
        .stderr(contains("escrow-witness@databasus"));
    let signers = bed.host.config.with_file_name("policies/allowed_signers");
    let both = "escrow-manifest@databasus,escrow-witness@databasus";
    replace(&signers, "escrow-manifest@databasus", both);
    let document = json(&bed.audit("--witness --json").code(4));
    let key = document["witness"]["key"].as_str().unwrap();
    assert!(key.starts_with("demo/witness/escrow-host/"), "{key}");
    for store in ["usb", "nas"] {
        assert!(sandbox.path(store).join(key).exists(), "{store}");
    }
    bed.audit("").success();
    sandbox
        .run(&format!(
            "audit --witness --policy {} {}",
            bed.policy.display(),
            bed.host.reading()
        ))
        .code(2)
        .stderr(contains("--witness needs a configuration"));
}

#[test]
fn a_witness_writes_where_its_configuration_says_and_nowhere_that_it_reads() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    let signers = bed.host.config.with_file_name("policies/allowed_signers");
    let both = "escrow-manifest@databasus,escrow-witness@databasus";
    replace(&signers, "escrow-manifest@databasus", both);
    let place = sandbox.folder("word");
    let text = std::fs::read_to_string(&bed.host.config).unwrap();
    let (own, _) = text.split_once("\n[[store]]\n").unwrap();
    let store = format!("[[store]]\nname = \"word\"\ntype = \"dir\"\npath = {place:?}\n");
    let config = bed.host.config.with_file_name("witness.toml");
    std::fs::write(&config, format!("{own}\n{store}")).unwrap();
    let at = |name: &str| format!("--store {name}=dir:{}", sandbox.path(name).display());
    let audit = |more: &str| {
        let (config, policy) = (config.display(), bed.policy.display());
        let stores = format!("{} {}", at("usb"), at("nas"));
        sandbox.run(&format!(
            "--config {config} audit --json --policy {policy} {stores} {more}"
        ))
    };
    let document = json(&audit("--witness").success());
    let key = document["witness"]["key"].as_str().unwrap();
    assert!(place.join(key).exists(), "{document:#}");
    for store in ["usb", "nas"] {
        assert!(!sandbox.path(store).join(key).exists(), "{store}");
    }
    bed.demand("[witness]\nmax_age = \"8d\"\n");
    let ran = audit(&at("word"));
    let document = json(&ran);
    assert_eq!(loud(&document), ["manifest-missing warn"], "{document:#}");
    ran.success();
}

#[test]
fn stock_tools_verify_a_witness() {
    if Command::new("ssh-keygen").arg("-?").output().is_err() {
        crate::support::skip("ssh-keygen is not on PATH");
        return;
    }
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    let signers = bed.host.config.with_file_name("policies/allowed_signers");
    let both = "escrow-manifest@databasus,escrow-witness@databasus";
    replace(&signers, "escrow-manifest@databasus", both);
    let document = json(&bed.audit("--witness --json").success());
    let witness = sandbox
        .path("usb")
        .join(document["witness"]["key"].as_str().unwrap());
    let bytes = std::fs::read(&witness).unwrap();
    let digest = databasus_escrow::base::digest::Digest::of(&bytes);
    let signature = sandbox.path(&format!("usb/demo/sig/{digest}.escrow-host.sig"));
    let verified = Command::new("ssh-keygen")
        .args([
            "-Y",
            "verify",
            "-n",
            "escrow-witness@databasus",
            "-I",
            "escrow-host",
            "-f",
        ])
        .arg(&signers)
        .arg("-s")
        .arg(&signature)
        .stdin(std::fs::File::open(&witness).unwrap())
        .status();
    assert!(verified.unwrap().success());
}
