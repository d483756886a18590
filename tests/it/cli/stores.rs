//! Buckets: what they refuse, and that one that fails holds up nothing.

use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::store::s3::S3Store;
use databasus_escrow::store::{Store, list_all};
use predicates::prelude::*;
use predicates::str::contains;
use rustix::process::Signal;
use secrecy::ExposeSecret;

use crate::support::faults::{Fault, Plan, endpoint};
use crate::support::sandbox::{Host, SECRET_KEY, Sandbox, json};
use crate::support::seaweed::{Credentials, Seaweed, runtime};

/// A bucket store as the command line has it.
fn argument(name: &str, bucket: &str, endpoint: &str) -> String {
    format!("{name}=s3://{bucket}/deep/prefix?endpoint={endpoint}&region=us-east-1&path_style=true")
}

fn set_credentials(sandbox: &mut Sandbox, store: &str, who: &Credentials) {
    let prefix = format!("ESCROW_{}_", store.to_uppercase());
    sandbox.set(&format!("{prefix}ACCESS_KEY_ID"), &who.access_key_id);
    let secret = who.secret_access_key.expose_secret();
    sandbox.set(&format!("{prefix}SECRET_ACCESS_KEY"), secret);
}

/// An instance with a directory and a bucket, the latter perhaps not as it should be.
struct Mixed {
    sandbox: Sandbox,
    server: Arc<Seaweed>,
}

impl Mixed {
    fn new() -> Option<Self> {
        let server = Seaweed::start()?;
        let mut sandbox = Sandbox::new();
        set_credentials(&mut sandbox, "r2", &server.credentials());
        sandbox.tiny_instance()?;
        Some(Self { sandbox, server })
    }

    fn host(&self, bucket: &str, endpoint: &str) -> Host<'_> {
        let usb = format!("usb=dir:{}", self.sandbox.folder("usb").display());
        let stores = [argument("r2", bucket, endpoint), usb];
        let data = self.sandbox.path("databasus-data");
        let host = self.sandbox.host_with(&data, &stores, "--skip-probe");
        host.set_method("frozen");
        host
    }

    /// With this bucket the run is partial and tells so; without the other store it fails with
    /// a hint, and nothing is committed.
    fn assert_fails_alone(&self, host: &Host<'_>, told: &str, hint: &str) {
        let document = json(&host.run("snapshot --json").code(3));
        let failure = document["stores"][0]["failure"].as_str().unwrap();
        assert!(failure.contains(told), "{failure}");
        assert_eq!(document["stores"][1]["failure"], serde_json::Value::Null);
        host.run("verify").code(3);
        std::fs::rename(self.sandbox.path("usb"), self.sandbox.path("away")).unwrap();
        host.run("snapshot")
            .code(1)
            .stdout("")
            .stderr(contains("error: ").and(contains(told)).and(contains(hint)));
    }
}

#[test]
fn a_bucket_that_does_not_exist_is_named() {
    let Some(mixed) = Mixed::new() else { return };
    let host = mixed.host("cli-no-such-bucket", &mixed.server.endpoint());
    mixed.assert_fails_alone(&host, "does not exist", "hint: create the bucket");
}

#[test]
fn credentials_that_are_wrong_are_told_from_a_network_that_is() {
    let Some(mut mixed) = Mixed::new() else {
        return;
    };
    mixed.server.create_bucket("cli-denied", false);
    let stranger = Credentials {
        secret_access_key: "CANARY".to_owned().into(),
        ..mixed.server.credentials()
    };
    set_credentials(&mut mixed.sandbox, "r2", &stranger);
    let host = mixed.host("cli-denied", &mixed.server.endpoint());
    mixed.assert_fails_alone(
        &host,
        "access denied",
        "hint: check the store's credentials",
    );
}

#[test]
fn credentials_that_may_only_read_are_enough_to_rehydrate_and_not_to_snapshot() {
    let Some(mut mixed) = Mixed::new() else {
        return;
    };
    mixed.server.create_bucket("cli-reader", false);
    let endpoint = mixed.server.endpoint();
    let reading = {
        let host = mixed.host("cli-reader", &endpoint);
        host.snapshot();
        host.reading()
    };
    set_credentials(
        &mut mixed.sandbox,
        "r2",
        &mixed.server.read_only_credentials(),
    );
    let sandbox = &mixed.sandbox;
    let config = sandbox.path("host/escrow.toml");
    let snapshot = format!("--config {} snapshot", config.display());
    sandbox
        .run(&snapshot)
        .code(3)
        .stdout(contains("access denied"));
    std::fs::remove_dir_all(sandbox.path("usb/demo")).unwrap();
    let target = sandbox.path("target");
    let line = format!(
        "rehydrate {reading} --files-only --identity ../alice.key --target {}",
        target.display()
    );
    sandbox.run(&line).code(3);
    assert_eq!(
        std::fs::read_to_string(target.join("secret.key")).unwrap(),
        SECRET_KEY
    );
}

#[test]
fn a_clock_that_is_wrong_is_named() {
    let Some(mixed) = Mixed::new() else { return };
    let plan = Plan {
        fault: Fault::Answer(403, "RequestTimeTooSkewed"),
        times: u32::MAX,
        suits: |_| true,
    };
    let host = mixed.host("cli-skewed", &endpoint(mixed.server.port(), plan));
    mixed.assert_fails_alone(
        &host,
        "clock differs too much",
        "hint: set this host's clock",
    );
}

#[test]
fn two_buckets_serve_although_one_holds_a_damaged_payload() {
    let Some(server) = Seaweed::start() else {
        return;
    };
    let mut sandbox = Sandbox::new();
    let Some(data) = sandbox.tiny_instance() else {
        return;
    };
    for name in ["one", "two"] {
        server.create_bucket(&format!("cli-{name}"), false);
        set_credentials(&mut sandbox, name, &server.credentials());
    }
    let stores =
        ["one", "two"].map(|name| argument(name, &format!("cli-{name}"), &server.endpoint()));
    let host = sandbox.host_with(&data, &stores, "");
    host.set_method("frozen");
    let id = host.snapshot()["escrow_id"].as_str().unwrap().to_owned();
    host.run_elsewhere("verify --identity ../alice.key")
        .success();

    let store = server.store("cli-one", "deep/prefix");
    let key = format!("demo/escrow/{id}/payload.tar.zst.age");
    let mut bytes = store.get(&key, 1 << 30).unwrap().bytes;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    store.delete(&key).unwrap();
    store.put_if_absent(&key, &bytes).unwrap();

    host.run("verify --quiet")
        .code(13)
        .stderr(contains("store one"));
    let target = sandbox.path("target");
    let line = format!(
        "rehydrate {} --files-only --identity ../alice.key --target {}",
        host.reading(),
        target.display()
    );
    sandbox.run(&line).code(3).stdout(contains("copy-damaged"));
    assert_eq!(
        std::fs::read_to_string(target.join("secret.key")).unwrap(),
        SECRET_KEY
    );
}

/// Multipart uploads that nobody has ended.
fn unfinished(server: &Seaweed, bucket: &str) -> usize {
    let request = server
        .client()
        .list_multipart_uploads()
        .bucket(bucket)
        .send();
    runtime().block_on(request).unwrap().uploads().len()
}

#[test]
fn a_snapshot_that_is_stopped_leaves_no_multipart_upload_after_the_next() {
    let Some(server) = Seaweed::start() else {
        return;
    };
    let mut sandbox = Sandbox::new();
    let Some(data) = sandbox.tiny_instance() else {
        return;
    };
    let noise: Vec<u8> = std::iter::repeat_with(rand::random::<[u8; 4096]>)
        .take((40 << 20) / 4096)
        .flatten()
        .collect();
    sandbox.file("databasus-data/noise", noise);
    server.create_bucket("cli-stopped", false);
    set_credentials(&mut sandbox, "r2", &server.credentials());
    let stores = [argument("r2", "cli-stopped", &server.endpoint())];
    let host = sandbox.host_with(&data, &stores, "");
    host.set_method("frozen");
    for (signal, code) in [(Signal::TERM, Some(143)), (Signal::KILL, None)] {
        let mut run = host.start("snapshot");
        // An upload whose begin has not been answered yet is known to nobody.
        let recorded = sandbox.path("host/state/demo.uploads.json");
        run.wait_until("it uploads", || {
            recorded.exists() && unfinished(&server, "cli-stopped") > 0
        });
        run.signal(signal);
        let ran = run.end();
        assert_eq!(ran.get_output().status.code(), code, "{ran}");
        let store = server.store("cli-stopped", "deep/prefix");
        let manifests = list_all(&store, "demo/manifest/", None).unwrap();
        assert!(manifests.is_empty());
    }
    host.run("snapshot").success();
    assert_eq!(unfinished(&server, "cli-stopped"), 0);
    host.run("verify").success();
}

#[test]
fn a_bucket_that_is_away_is_waited_for_once_and_not_before_every_call() {
    let Some(server) = Seaweed::start() else {
        return;
    };
    let plan = Plan {
        fault: Fault::Answer(503, "SlowDown"),
        times: u32::MAX,
        suits: |_| true,
    };
    let away = endpoint(server.port(), plan);
    let mut settings = server.settings("cli-away", "", server.credentials());
    settings.endpoint = Some(away);
    let patience = databasus_escrow::store::s3::Patience {
        attempts: 4,
        ..databasus_escrow::store::s3::Patience::brief()
    };
    let store = S3Store::open_with("away".parse().unwrap(), settings, patience, Cancel::new());
    let store = store.unwrap();
    let timed = || {
        let began = std::time::Instant::now();
        assert!(store.head("demo/x").is_err());
        began.elapsed()
    };
    let (first, second) = (timed(), timed());
    assert!(second < first, "{second:?} after {first:?}");
}
