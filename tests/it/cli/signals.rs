//! SIGTERM, SIGINT and SIGKILL at any time: what is left, and what the next run makes of it.

use std::path::Path;

use predicates::str::contains;
use rustix::process::Signal;

use crate::support::postgres::TestPg;
use crate::support::sandbox::{Host, SECRET_KEY, Sandbox, files, uploads};

/// Enough that sealing, or opening, takes a while.
const NOISE: usize = 48 << 20;

fn add_noise(sandbox: &Sandbox) {
    let noise: Vec<u8> = std::iter::repeat_with(rand::random::<[u8; 4096]>)
        .take(NOISE / 4096)
        .flatten()
        .collect();
    sandbox.file("databasus-data/noise", noise);
}

fn assert_nothing_committed(store: &Path) {
    let manifests = store.join("demo/manifest");
    assert!(!manifests.exists() || files(&manifests).is_empty());
}

fn assert_whole(host: &Host<'_>, store: &Path) {
    host.run("snapshot").success();
    host.run("verify").success();
    assert_eq!(uploads(store), 0);
}

#[test]
fn a_snapshot_that_is_stopped_while_it_uploads_leaves_nothing() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    add_noise(&sandbox);
    let usb = sandbox.path("usb");
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut run = host.start("snapshot");
        run.wait_until("it uploads", || uploads(&usb) > 0);
        run.signal(signal);
        run.end()
            .code(code)
            .stdout("")
            .stderr(contains("interrupted by signal"));
        assert_eq!(uploads(&usb), 0);
        assert_nothing_committed(&usb);
    }
    assert_whole(&host, &usb);
}

#[test]
fn a_killed_snapshot_is_cleaned_up_by_the_next() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    add_noise(&sandbox);
    let usb = sandbox.path("usb");
    let recorded = sandbox.path("host/state/demo.uploads.json");
    let mut run = host.start("snapshot");
    run.wait_until("it uploads", || uploads(&usb) > 0 && recorded.exists());
    run.signal(Signal::KILL);
    run.end().interrupted();
    assert_eq!(uploads(&usb), 1);
    assert_nothing_committed(&usb);
    assert_whole(&host, &usb);
}

#[test]
fn a_frozen_tree_is_let_go_when_the_run_is_stopped() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    let (begun, released) = (sandbox.path("begun"), sandbox.path("released"));
    let go = sandbox.path("go");
    let prepare = format!(
        "touch {}; while [ ! -e {} ]; do sleep 0.02; done",
        begun.display(),
        go.display()
    );
    let release = format!("touch {}", released.display());
    host.set_commands(&["sh", "-c", &prepare], &["sh", "-c", &release]);
    let mut run = host.start("snapshot");
    run.wait_until("it freezes", || begun.exists());
    run.signal(Signal::TERM);
    sandbox.file("go", "");
    run.end().code(143);
    assert!(released.exists());
    assert_nothing_committed(&sandbox.path("usb"));
}

#[test]
fn a_stopped_online_snapshot_leaves_no_slot_on_the_server() {
    let sandbox = Sandbox::new();
    let Some(server) = TestPg::start() else {
        return;
    };
    server.write_secret_key(SECRET_KEY.as_bytes());
    server.psql(
        "CREATE TABLE noise AS SELECT n, (SELECT string_agg(uuid_send(gen_random_uuid()), '')
         FROM generate_series(1, 64) WHERE n > 0) AS bytes FROM generate_series(1, 40000) n",
    );
    let store = format!("usb=dir:{}", sandbox.folder("usb").display());
    let more = format!("--pg-port {}", server.port());
    let host = sandbox.host_with(&server.data_dir(), &[store], &more);
    let usb = sandbox.path("usb");
    let slots = || server.psql("SELECT count(*) FROM pg_replication_slots");
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut run = host.start("snapshot");
        run.wait_until("there is a slot", || slots() == "1");
        run.signal(signal);
        run.end().code(code);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while slots() != "0" {
            assert!(std::time::Instant::now() < deadline, "the slot stays");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(uploads(&usb), 0);
        assert_nothing_committed(&usb);
    }
    assert_whole(&host, &usb);
}

#[test]
fn a_rehydrate_that_is_stopped_leaves_no_target() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    add_noise(&sandbox);
    host.snapshot();
    let srv = sandbox.folder("srv");
    let line = format!(
        "rehydrate {} --files-only --identity ../alice.key --target {}",
        host.reading(),
        srv.join("data").display()
    );
    let names = || std::fs::read_dir(&srv).unwrap().count();
    let partial = srv.join(".data.databasus-escrow-partial");
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut run = sandbox.start(&line);
        run.wait_until("something is there", || partial.join("secret.key").exists());
        run.signal(signal);
        run.end().code(code).stdout("");
        assert_eq!(names(), 0);
    }
    let mut run = sandbox.start(&line);
    run.wait_until("something is there", || partial.join("secret.key").exists());
    run.signal(Signal::KILL);
    run.end().interrupted();
    assert!(!srv.join("data").exists());
    sandbox.run(&line).success();
    assert_eq!(names(), 1);
    let key = std::fs::read_to_string(srv.join("data/secret.key")).unwrap();
    assert_eq!(key, SECRET_KEY);
}
