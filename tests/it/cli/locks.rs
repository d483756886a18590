//! A bucket with Object Lock: what is written there is locked, what can be deleted is deleted, and
//! everything is read all the same.

use std::sync::Arc;

use databasus_escrow::store::versions::{Bypass, Versions as _};
use databasus_escrow::store::{Store as _, list_all};
use predicates::str::contains;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::support::faults::{Fault, Plan, endpoint};
use crate::support::sandbox::{Host, SECRET_KEY, Sandbox, json};
use crate::support::seaweed::Seaweed;

/// A bucket of its own, and somebody who may do everything in it.
struct Bed {
    sandbox: Sandbox,
    server: Arc<Seaweed>,
    bucket: &'static str,
}

impl Bed {
    fn new(bucket: &'static str, object_lock: bool) -> Option<Self> {
        let server = Seaweed::start()?;
        server.create_bucket(bucket, object_lock);
        let mut sandbox = Sandbox::new();
        let who = server.credentials();
        sandbox.set("ESCROW_LAT_ACCESS_KEY_ID", &who.access_key_id);
        let secret = who.secret_access_key.expose_secret();
        sandbox.set("ESCROW_LAT_SECRET_ACCESS_KEY", secret);
        sandbox.tiny_instance()?;
        Some(Self {
            sandbox,
            server,
            bucket,
        })
    }

    fn host(&self, endpoint: &str) -> Host<'_> {
        let bucket = self.bucket;
        let store =
            format!("lat=s3://{bucket}/p?endpoint={endpoint}&region=us-east-1&lock=compliance:1:2");
        let data = self.sandbox.path("databasus-data");
        let host = self.sandbox.host_with(&data, &[store], "--skip-probe");
        host.set_method("frozen");
        host
    }

    /// Whatever these credentials may: versions first, then a marker over each object.
    fn delete_everything(&self) {
        let store = self.server.store(self.bucket, "p");
        let mut versions = Vec::new();
        store
            .list_versions("", None, &mut |version| {
                versions.push(version);
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        for version in versions {
            for bypass in [Bypass::No, Bypass::Governance] {
                let _ = store.delete_version(&version.key, &version.id, bypass);
            }
        }
        for object in list_all(&store, "", None).unwrap() {
            store.delete(&object.key).unwrap();
        }
        assert!(list_all(&store, "", None).unwrap().is_empty());
    }
}

#[test]
fn bucket_that_was_emptied_with_the_writers_credentials_is_read_as_before() {
    let Some(bed) = Bed::new("cli-emptied", true) else {
        return;
    };
    let host = bed.host(&bed.server.endpoint());
    let id = host.snapshot()["escrow_id"].as_str().unwrap().to_owned();
    host.run("verify")
        .success()
        .stdout(contains("every part is as signed, locked compliance until"));
    bed.delete_everything();

    let ran = host.run("list --json").code(13);
    let listed = json(&ran);
    assert_eq!(listed["escrows"][0]["id"], Value::from(id.as_str()));
    let ids = |document: &Value| -> Vec<String> {
        let findings = document["findings"].as_array().unwrap().iter();
        let ids = findings.map(|one| one["id"].as_str().unwrap().to_owned());
        ids.collect()
    };
    assert!(ids(&listed).contains(&"manifest-hidden".to_owned()));
    let verified = json(
        &host
            .run_elsewhere("verify --json --identity ../alice.key")
            .code(13),
    );
    assert_eq!(verified["escrows"][0]["copies"][0]["state"], "verified");
    assert!(ids(&verified).contains(&"payload-hidden".to_owned()));

    let target = bed.sandbox.path("target");
    let line = |more: &str| {
        format!(
            "rehydrate {} --files-only --identity ../alice.key --target {} {more}",
            host.reading(),
            target.display()
        )
    };
    bed.sandbox.run(&line("--dry-run")).code(3);
    let ran = bed.sandbox.run(&line("")).code(3);
    ran.stdout(contains("payload-hidden"));
    assert_eq!(
        std::fs::read_to_string(target.join("secret.key")).unwrap(),
        SECRET_KEY
    );
}

#[test]
fn lock_probe_is_told_kept_and_signed_into_the_next_manifest() {
    let Some(bed) = Bed::new("cli-probed", true) else {
        return;
    };
    let host = bed.host(&bed.server.endpoint());
    let report = json(&host.run("doctor lock-probe --json").success());
    let store = &report["stores"][0];
    assert_eq!(store["verdict"], "enforced", "{report:#}");
    assert_eq!(store["bucket"]["versioning"], "enabled");
    let steps = store["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 12);
    let held = |step: &&Value| step["stands"] == true;
    assert_eq!(steps.iter().filter(held).count(), 10);
    assert_eq!(store["left"].as_array().unwrap().len(), 1, "{report:#}");
    host.run("doctor lock-probe lat")
        .success()
        .stdout(contains("store lat: compliance enforced"))
        .stdout(contains("store lat: 1 version stays until"));

    host.snapshot();
    let manifest = json(&host.run("show --json").success());
    let lock = &manifest["manifest"]["stores"][0]["lock"];
    assert_eq!(lock["mode"], "compliance", "{manifest:#}");
    assert_eq!(lock["probe"]["result"], "enforced");
    host.run("show").success().stdout(contains(": enforced"));
}

#[test]
fn store_whose_locks_do_not_hold_is_found_out() {
    let Some(bed) = Bed::new("cli-feigned", true) else {
        return;
    };
    // It says yes to every delete of a version, and tells afterwards that it is gone.
    let feigned = Plan {
        fault: Fault::Answer(404, "NoSuchVersion"),
        times: u32::MAX,
        suits: |head| {
            let request = head.lines().next().unwrap_or_default();
            request.starts_with("HEAD ") && request.contains("versionId=")
        },
    };
    let host = bed.host(&endpoint(bed.server.port(), feigned));
    host.run("doctor lock-probe --quiet")
        .code(13)
        .stderr(contains("not enforced"));
}

#[test]
fn service_without_locks_is_unknown_and_its_rules_are_named_for_what_they_are() {
    let Some(bed) = Bed::new("cli-lockless", false) else {
        return;
    };
    let lockless = Plan {
        fault: Fault::Answer(501, "NotImplemented"),
        times: u32::MAX,
        suits: |head| {
            let request = head.lines().next().unwrap_or_default();
            let words = ["versions", "versionId=", "versioning", "object-lock"];
            words.iter().any(|word| request.contains(word))
                || head.to_ascii_lowercase().contains("x-amz-object-lock-mode")
        },
    };
    let host = bed.host(&endpoint(bed.server.port(), lockless));
    host.run("doctor lock-probe")
        .code(3)
        .stdout(contains("any admin of the account can remove them"));
}

#[test]
fn lock_probe_needs_a_store_with_a_lock_or_a_name() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.run("doctor lock-probe")
        .code(2)
        .stderr(contains("no store of the configuration has a `lock`"));
    host.run("doctor lock-probe nas")
        .code(2)
        .stderr(contains("has no store nas"));
    host.run("doctor lock-probe usb")
        .code(3)
        .stdout(contains("neither versions nor locks"));
}
