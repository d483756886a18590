//! Input that cannot be used: what is said, how it ends, and that nothing was changed.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use databasus_escrow::sealing::sshsig::SigningKey;
use predicates::prelude::*;
use predicates::str::contains;

use crate::support::postgres::TestPg;
use crate::support::sandbox::{Host, SECRET_KEY, Sandbox, files, flip, json, objects, replace};

/// Fails with this code, these words and a hint, and leaves stores and memory as they were.
fn assert_refused(sandbox: &Sandbox, host: &Host<'_>, line: &str, code: i32, told: &str) {
    let lasting = || {
        let of = |folder: &str| match sandbox.path(folder) {
            there if there.exists() => files(&there),
            _ => Vec::new(),
        };
        let lock = |file: &(PathBuf, Vec<u8>)| !file.0.ends_with("demo.lock");
        let state = of("host/state").into_iter().filter(lock);
        of("usb").into_iter().chain(state).collect::<Vec<_>>()
    };
    let before = lasting();
    host.run(line)
        .code(code)
        .stdout("")
        .stderr(contains("databasus-escrow: error: ").and(contains(told)))
        .stderr(contains("databasus-escrow: hint: ").count(1));
    assert!(lasting() == before, "{told}: something was changed");
}

#[test]
fn a_configuration_with_a_mistake_is_refused_by_line() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    for (from, to, told) in [
        (
            "instance = ",
            "instanc = ",
            "unknown key `instanc`; did you mean `instance`?",
        ),
        ("data_dir = ", "data_dirr = ", "unknown key `data_dirr`"),
        ("# port = 5437", "port = \"x\"", "expected a nonzero u16"),
        ("\n[[store]]\n", "\n[[stores]]\n", "did you mean `store`?"),
        (
            "every_hours = 24",
            "every_hours = 0",
            "every_hours must be 1 to 8760",
        ),
        (
            "# [open]\n# identity_file",
            "[open]\nidentity_file",
            "exclude each other",
        ),
        ("# level = 3", "level = 22", "level must be 1 to 19"),
    ] {
        let good = std::fs::read(&host.config).unwrap();
        host.edit(from, to);
        assert_refused(&sandbox, &host, "snapshot", 2, told);
        std::fs::write(&host.config, good).unwrap();
    }
}

#[test]
fn a_secret_in_the_configuration_is_refused_and_not_repeated() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let bucket = "\n[[store]]\nname = \"r2\"\ntype = \"s3\"\nbucket = \"b\"\nregion = \"auto\"\n\
                  endpoint = \"http://127.0.0.1:1\"\nsecret_access_key = \"CANARY\"\n";
    let text = std::fs::read_to_string(&host.config).unwrap() + bucket;
    std::fs::write(&host.config, text).unwrap();
    let told = "`secret_access_key` must not stand in the configuration";
    assert_refused(&sandbox, &host, "snapshot", 2, told);
    host.run("snapshot").stderr(contains("CANARY").not());
}

#[test]
fn a_missing_secret_is_named() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let bucket = "\n[[store]]\nname = \"r2\"\ntype = \"s3\"\nbucket = \"b\"\nregion = \"auto\"\n\
                  endpoint = \"http://127.0.0.1:1\"\n";
    let text = std::fs::read_to_string(&host.config).unwrap() + bucket;
    std::fs::write(&host.config, text).unwrap();
    for line in ["snapshot", "list", "verify"] {
        assert_refused(&sandbox, &host, line, 2, "ESCROW_R2_ACCESS_KEY_ID");
    }
}

#[test]
fn policy_and_key_files_are_refused_by_name_with_the_reason() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let recipient = sandbox.recipient("alice");
    let identity = std::fs::read_to_string(sandbox.identity("alice")).unwrap();
    let stranger = SigningKey::generate().unwrap().to_openssh_pem().unwrap();
    let key = std::fs::read_to_string(sandbox.path("host/signing.key")).unwrap();
    let recipients = "policies/recipients.toml";
    for (file, from, to, told) in [
        (
            recipients,
            &*recipient,
            "age1foo",
            "recipients.toml: recipient of alice: damaged",
        ),
        (
            recipients,
            &*recipient,
            &*identity,
            "this looks like a private key",
        ),
        (recipients, "custodian", "custodiann", "unknown field"),
        (
            "policies/allowed_signers",
            "namespaces",
            "namespace",
            "unknown option",
        ),
        (
            "signing.key",
            &*key,
            &*identity,
            "not an OpenSSH private key",
        ),
        ("signing.key", &*key, &**stranger, "may not sign manifests"),
    ] {
        let file = sandbox.path("host").join(file);
        let good = std::fs::read(&file).unwrap();
        replace(&file, from, to);
        assert_refused(&sandbox, &host, "snapshot", 2, told);
        host.run("snapshot")
            .stderr(contains(&identity[20..40]).not());
        std::fs::write(&file, &good).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_refused(&sandbox, &host, "snapshot", 2, "cannot read");
        std::fs::write(&file, good).unwrap();
    }
    host.snapshot();
}

#[test]
fn a_data_directory_without_a_usable_key_is_refused() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let key = sandbox.path("databasus-data/secret.key");
    std::fs::remove_file(&key).unwrap();
    assert_refused(&sandbox, &host, "snapshot", 14, "secret.key does not exist");
    host.run("snapshot")
        .stderr(contains("until somebody signs in for the first time"));
    std::fs::write(&key, "").unwrap();
    assert_refused(&sandbox, &host, "snapshot", 14, "secret.key is empty");
}

#[test]
fn a_key_that_may_not_be_read_is_refused() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let key = sandbox.path("databasus-data/secret.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = sandbox.command(&format!("--config {} snapshot", host.config.display()));
    if rustix::process::geteuid().is_root() {
        // Root reads everything: somebody else runs it, who owns all but the key.
        for folder in ["host", "usb", "box"] {
            give_away(&sandbox.path(folder));
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    assert_cmd::Command::from_std(command)
        .assert()
        .code(14)
        .stdout("")
        .stderr(contains("cannot read").and(contains("secret.key")))
        .stderr(contains("hint: run as root"));
    assert!(objects(&sandbox.path("usb")).is_empty());
}

/// A user that root can be for a while.
const NOBODY: u32 = 65534;

fn give_away(path: &Path) {
    std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

#[test]
fn a_key_with_a_newline_is_warned_about_and_sealed_byte_for_byte() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let key = format!("{SECRET_KEY}\n");
    sandbox.file("databasus-data/secret.key", &key);
    let document = json(&host.run("snapshot --json").success());
    let findings = document["findings"].to_string();
    assert!(findings.contains("73"), "{findings}");
    host.run("snapshot").success().stdout(contains("73"));
    let target = sandbox.path("target");
    let line = format!(
        "rehydrate --files-only {} --identity ../alice.key",
        host.reading()
    );
    sandbox
        .run(&format!("{line} --target {}", target.display()))
        .success();
    assert_eq!(
        std::fs::read_to_string(target.join("secret.key")).unwrap(),
        key
    );
}

#[test]
fn a_data_directory_that_is_none_is_refused() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let control = sandbox.path("databasus-data/pgdata/global/pg_control");
    let good = std::fs::read(&control).unwrap();
    std::fs::remove_file(&control).unwrap();
    let told = "it has no global/pg_control";
    assert_refused(&sandbox, &host, "snapshot", 1, told);
    std::fs::write(&control, good).unwrap();
    flip(&control, 100);
    host.run("snapshot")
        .code(1)
        .stderr(contains("checksum of pg_control"));
    host.run("list").code(10);
    std::fs::remove_dir_all(sandbox.path("databasus-data/pgdata")).unwrap();
    host.run("snapshot").code(1).stderr(contains("cannot read"));
}

#[test]
fn a_server_that_cannot_be_used_is_told_from_one_that_is_not_there() {
    let sandbox = Sandbox::new();
    let Some(mut server) = TestPg::start() else {
        return;
    };
    server.write_secret_key(SECRET_KEY.as_bytes());
    let host = sandbox.host(&server.data_dir(), &["usb"]);
    host.set_method("online");
    let refuse = |port: u16, more: &str, code: i32, told: &str| {
        let good = std::fs::read(&host.config).unwrap();
        host.edit("# port = 5437", &format!("port = {port}\n{more} #"));
        assert_refused(&sandbox, &host, "snapshot", code, told);
        std::fs::write(&host.config, good).unwrap();
    };
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    let somebody_else = std::thread::spawn(move || {
        use std::io::Write;
        let (mut client, _) = nobody.accept().unwrap();
        let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    refuse(port, "", 1, "does not speak PostgreSQL's protocol");
    somebody_else.join().unwrap();
    refuse(port, "", 1, "cannot reach PostgreSQL at 127.0.0.1");
    refuse(
        server.port(),
        "user = \"nosuch\"",
        1,
        "role \"nosuch\" does not exist",
    );
    refuse(
        server.port(),
        "database = \"nosuch\"",
        1,
        "database \"nosuch\" does not exist",
    );
    refuse(
        server.port(),
        "netns = \"/no/such/ns\"",
        1,
        "cannot reach PostgreSQL",
    );
    server.psql("CREATE SCHEMA escrow_fence");
    refuse(server.port(), "", 14, "it is a rehydrated clone");
    server.psql("DROP SCHEMA escrow_fence");

    server.stop_cleanly();
    replace(
        &server.pgdata().join("pg_hba.conf"),
        "127.0.0.1/32            trust",
        "127.0.0.1/32            scram-sha-256",
    );
    server.start_again();
    refuse(server.port(), "", 1, "demands authentication");
}
