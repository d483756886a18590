//! Real servers as `[source]` names them: running, stopped, and in another network namespace.

use predicates::str::contains;

use crate::support::netns::Namespace;
use crate::support::postgres::TestPg;
use crate::support::sandbox::{Host, SECRET_KEY, Sandbox, json, stdout};

/// A running instance with rows that can be counted.
fn instance() -> Option<TestPg> {
    let server = TestPg::start()?;
    server.write_secret_key(SECRET_KEY.as_bytes());
    server.psql("CREATE TABLE users AS SELECT n FROM generate_series(1, 321) n");
    Some(server)
}

fn host<'a>(sandbox: &'a Sandbox, server: &TestPg, more: &str) -> Host<'a> {
    let store = format!("usb=dir:{}", sandbox.folder("usb").display());
    let more = format!("--pg-port {} {more}", server.port());
    let host = sandbox.host_with(&server.data_dir(), &[store], &more);
    let pg_dump = format!("pg_dump = \"{}\" #", server.bin().join("pg_dump").display());
    host.edit("# pg_dump =", &pg_dump);
    host
}

/// The method that the newest escrow records.
fn method(host: &Host<'_>) -> String {
    let listed = json(&host.run("list --json").success());
    let rows = listed["escrows"].as_array().unwrap();
    rows.last().unwrap()["method"].as_str().unwrap().to_owned()
}

#[test]
fn a_running_server_is_copied_online_and_comes_back_whole() {
    let sandbox = Sandbox::new();
    let Some(server) = instance() else { return };
    let image = "--image databasus/databasus:v3.42.0 --databasus-version 3.42.0";
    let host = host(&sandbox, &server, image);
    host.run("snapshot --quiet").success().stdout("").stderr("");
    assert_eq!(method(&host), "online");
    assert_eq!(
        server.psql("SELECT count(*) FROM pg_replication_slots"),
        "0"
    );

    for (name, more) in [("physical", ""), ("logical", "--from-logical")] {
        let target = server.scratch_dir().join(name);
        let line = format!(
            "rehydrate {} --live --confirm demo --no-import --identity ../alice.key --target {} --pg-bin {} {more}",
            host.reading(),
            target.display(),
            server.bin().display()
        );
        let text = stdout(&sandbox.run(&line).success());
        for proven in ["payload", "secret.key", "row counts", "clean shutdown"] {
            let row = text
                .lines()
                .find(|line| line.trim_start().starts_with(proven));
            assert!(
                row.is_some_and(|row| row.contains("proven")),
                "{proven}: {text}"
            );
        }
        assert!(
            text.contains("UNFENCED") && text.contains("--network none"),
            "{text}"
        );
        assert!(text.contains("databasus/databasus:v3.42.0"), "{text}");
        let key = std::fs::read_to_string(target.join("secret.key")).unwrap();
        assert_eq!(key, SECRET_KEY);
    }
}

#[test]
fn auto_follows_the_server_from_running_to_stopped() {
    let sandbox = Sandbox::new();
    let Some(mut server) = instance() else { return };
    let host = host(&sandbox, &server, "");
    host.run("snapshot").success();
    assert_eq!(method(&host), "online");
    // A server that runs and does not answer there is never copied as files.
    host.edit(&format!("port = {}", server.port()), "port = 1 #");
    host.run("snapshot")
        .code(1)
        .stderr(contains("does not answer"))
        .stderr(contains(
            "hint: Databasus' PostgreSQL listens inside its container only",
        ));
    host.edit("# method = ", "method = \"cold\" #");
    host.run("snapshot")
        .code(1)
        .stderr(contains("hint: stop Databasus for a cold copy"));
    host.edit("method = \"cold\"", "method = \"auto\"");
    server.stop_cleanly();
    host.run("snapshot").success();
    assert_eq!(method(&host), "cold");
}

#[test]
fn a_server_in_the_network_namespace_of_a_container_is_reached_through_it() {
    let sandbox = Sandbox::new();
    let Some(namespace) = Namespace::create() else {
        return;
    };
    let Some(server) = TestPg::start_under(&["ip", "netns", "exec", namespace.name()]) else {
        return;
    };
    server.write_secret_key(SECRET_KEY.as_bytes());
    let host = host(&sandbox, &server, "");
    host.set_method("online");
    host.run("snapshot")
        .code(1)
        .stderr(contains("cannot reach PostgreSQL"));
    let netns = format!("netns = \"{}\" #", namespace.path().display());
    host.edit("# netns =", &netns);
    host.run("snapshot").success();
    assert_eq!(method(&host), "online");
}
