//! No secret ever shows: markers are planted where secrets belong, and looked for everywhere else.

use std::path::Path;

use rustix::process::Signal;

use crate::support::sandbox::{Host, SECRET_KEY, Sandbox, files, flip, the_file};

/// Everything that was said and left, and the markers that must not be in it.
struct Hunt<'a> {
    sandbox: &'a Sandbox,
    secrets: Vec<(&'static str, String)>,
}

impl Hunt<'_> {
    fn look(&self, place: &str, bytes: &[u8]) {
        for (name, secret) in &self.secrets {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{name} is in {place}");
        }
    }

    fn look_below(&self, folder: &Path) {
        for (path, bytes) in files(folder) {
            self.look(&path.display().to_string(), &bytes);
            self.look("a file's name", path.as_os_str().as_encoded_bytes());
        }
    }

    /// Runs a command with all its logs on, and looks at what it says.
    fn run(&self, line: &str, code: i32) {
        let ran = self.sandbox.run(&format!("{line} -vv"));
        let output = ran.get_output();
        assert_eq!(output.status.code(), Some(code), "{line}: {ran}");
        self.look(line, &output.stdout);
        self.look(line, &output.stderr);
    }
}

/// Everything a day brings, and everything that goes wrong.
fn walk(hunt: &Hunt<'_>, host: &Host<'_>) {
    let config = format!("--config {}", host.config.display());
    let reading = host.reading();
    let target = hunt.sandbox.path("target");
    let rehydrate = |more: &str| {
        format!(
            "rehydrate {reading} --files-only --target {} {more}",
            target.display()
        )
    };
    for line in [
        "snapshot",
        "snapshot --json",
        "list",
        "list --json",
        "show --json",
        "card --json",
    ] {
        hunt.run(&format!("{config} {line}"), 0);
    }
    hunt.run(
        &format!("{config} verify --all --json --identity ../alice.key"),
        14,
    );
    hunt.run(
        &format!("verify {reading} --all --json --identity ../alice.key"),
        0,
    );
    hunt.run(&rehydrate("--dry-run --identity ../alice.key"), 0);
    hunt.run(&rehydrate("--identity ../mallory.key"), 12);
    hunt.run(&rehydrate("--identity ../databasus-data/secret.key"), 2);
    hunt.run(&rehydrate("--identity ../alice.key --json"), 0);
    std::fs::remove_dir_all(&target).unwrap();

    let key = hunt.sandbox.path("databasus-data/secret.key");
    for content in ["", SECRET_KEY] {
        std::fs::write(&key, content).unwrap();
        let code = if content.is_empty() { 14 } else { 0 };
        hunt.run(&format!("{config} snapshot --json"), code);
    }
    std::fs::copy(
        hunt.sandbox.path("alice.key"),
        hunt.sandbox.path("host/policies/recipients.toml"),
    )
    .unwrap();
    hunt.run(&format!("{config} snapshot --json"), 2);
    std::fs::copy(
        hunt.sandbox.path("alice.key"),
        hunt.sandbox.path("host/signing.key"),
    )
    .unwrap();
    hunt.run(&format!("{config} snapshot"), 2);
    for name in ["policies/recipients.toml", "signing.key"] {
        std::fs::remove_file(hunt.sandbox.path("host").join(name)).unwrap();
    }
}

#[test]
fn no_secret_is_ever_said_or_left() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb", "nas"]) else {
        return;
    };
    sandbox.identity("mallory");
    let read = |name: &str| std::fs::read_to_string(sandbox.path(name)).unwrap();
    let line_of = |pem: &str| pem.lines().nth(3).unwrap().to_owned();
    let hunt = Hunt {
        sandbox: &sandbox,
        secrets: vec![
            ("secret.key", SECRET_KEY.to_owned()),
            ("half of secret.key", SECRET_KEY[36..].to_owned()),
            ("alice's identity", read("alice.key")),
            ("mallory's identity", read("mallory.key")),
            ("the signing key", line_of(&read("host/signing.key"))),
        ],
    };
    walk(&hunt, &host);
    for folder in ["host", "usb", "nas", "tmp", "box"] {
        hunt.look_below(&sandbox.path(folder));
    }
}

#[test]
fn what_fails_half_way_leaves_no_plaintext() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    sandbox.file("databasus-data/big", vec![0x5a; 24 << 20]);
    let noise: Vec<u8> = std::iter::repeat_with(rand::random::<[u8; 4096]>)
        .take(4096)
        .flatten()
        .collect();
    sandbox.file("databasus-data/noise", noise);
    host.snapshot();
    let hunt = Hunt {
        sandbox: &sandbox,
        secrets: vec![("secret.key", SECRET_KEY.to_owned())],
    };
    let srv = sandbox.folder("srv");
    let line = format!(
        "rehydrate {} --files-only --identity ../alice.key --target {}",
        host.reading(),
        srv.join("data").display()
    );
    let mut run = sandbox.start(&line);
    let partial = srv.join(".data.databasus-escrow-partial/secret.key");
    run.wait_until("the key is there", || partial.exists());
    run.signal(Signal::TERM);
    run.end().code(143);
    hunt.look_below(&srv);
    let payload = the_file(&sandbox.path("usb"), "payload.tar.zst.age");
    let length = std::fs::metadata(&payload).unwrap().len() as usize;
    flip(&payload, length - 1000);
    hunt.run(&line, 13);
    for folder in ["srv", "tmp", "box", "usb", "host"] {
        hunt.look_below(&sandbox.path(folder));
    }
}

#[cfg(feature = "s3")]
#[test]
fn no_secret_of_a_bucket_is_ever_said_or_left() {
    use secrecy::ExposeSecret;

    use crate::support::seaweed::Seaweed;

    let Some(server) = Seaweed::start() else {
        return;
    };
    let mut sandbox = Sandbox::new();
    let Some(data) = sandbox.tiny_instance() else {
        return;
    };
    server.create_bucket("cli-canary", false);
    let who = server.credentials();
    let secret = who.secret_access_key.expose_secret().to_owned();
    sandbox.set("ESCROW_R2_ACCESS_KEY_ID", &who.access_key_id);
    sandbox.set("ESCROW_R2_SECRET_ACCESS_KEY", &secret);
    sandbox.set("DATABASUS_ESCROW_LOG", "trace");
    let store = |bucket: &str| {
        let endpoint = server.endpoint();
        format!("r2=s3://{bucket}?endpoint={endpoint}&region=us-east-1&path_style=true")
    };
    let host = sandbox.host_with(&data, &[store("cli-canary")], "");
    host.set_method("frozen");
    let hunt = Hunt {
        sandbox: &sandbox,
        secrets: vec![
            ("the bucket's secret", secret),
            ("secret.key", SECRET_KEY.to_owned()),
        ],
    };
    let config = format!("--config {}", host.config.display());
    for (line, code) in [("snapshot", 0), ("list", 0), ("verify", 0), ("card", 0)] {
        hunt.run(&format!("{config} {line}"), code);
    }
    host.edit("cli-canary", "cli-canary-that-is-not-there");
    for line in ["snapshot", "list", "card"] {
        hunt.run(&format!("{config} {line}"), 1);
    }
    for folder in ["host", "tmp", "box"] {
        hunt.look_below(&sandbox.path(folder));
    }
}
