//! The server that rehydrate runs, on real data directories.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::postgres::binaries::{Docker, Launcher, PgBinaries, Places};
use databasus_escrow::postgres::control_file::{ClusterState, ControlFile};
use databasus_escrow::postgres::private_server::{Options, PrivateServer, PrivateServerError};
use databasus_escrow::postgres::stopped;

use crate::support::postgres::TestPg;

/// A server of 17 that has stopped, with a table of 1000 rows written after its last checkpoint.
fn stopped_cluster() -> Option<TestPg> {
    let mut pg = TestPg::start()?;
    pg.psql("CREATE TABLE plans AS SELECT n, md5(n::text) AS text FROM generate_series(1, 1000) n");
    pg.psql("CREATE INDEX ON plans (text)");
    pg.stop();
    Some(pg)
}

fn local(pg: &TestPg) -> Launcher {
    Launcher::Local(PgBinaries::inspect(pg.bin()).unwrap())
}

/// Options with a folder for sockets that the test can look into.
fn options(pg: &TestPg) -> Options {
    Options {
        scratch: pg.scratch_dir(),
        ..Options::default()
    }
}

fn start(pg: &TestPg) -> Result<PrivateServer, PrivateServerError> {
    PrivateServer::start_with(options(pg), &local(pg), &pg.pgdata(), &Cancel::new())
}

fn value(server: &PrivateServer, sql: &str) -> String {
    let mut connection = server.connect("databasus").unwrap();
    connection.simple_query(sql).unwrap()[0][0].clone().unwrap()
}

/// Nothing runs on the directory, and neither sockets nor files of the server are left.
fn assert_nothing_left(pg: &TestPg) {
    assert_eq!(stopped::process_in(&pg.pgdata()).unwrap(), None);
    let left: Vec<_> = std::fs::read_dir(pg.scratch_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with("escrow-"))
        .collect();
    assert_eq!(left, Vec::<std::ffi::OsString>::new());
    assert!(!pg.pgdata().join("postmaster.opts").exists());
}

#[test]
fn a_crashed_cluster_recovers_answers_and_is_shut_down_in_order() {
    let Some(pg) = stopped_cluster() else { return };
    let before = ControlFile::of(&pg.pgdata()).unwrap();
    assert_eq!(before.state, ClusterState::InProduction);
    let server = start(&pg).unwrap();
    assert_eq!(value(&server, "SELECT count(*) FROM plans"), "1000");
    let after = server.stop().unwrap();
    assert_eq!(after.state, ClusterState::ShutDown);
    assert_eq!(after.system_identifier, before.system_identifier);
    assert_nothing_left(&pg);
}

#[test]
fn a_dropped_server_ends_at_once() {
    let Some(pg) = stopped_cluster() else { return };
    let server = start(&pg).unwrap();
    let _session = server.connect("databasus").unwrap();
    drop(server);
    assert_nothing_left(&pg);
    assert_eq!(
        ControlFile::of(&pg.pgdata()).unwrap().state,
        ClusterState::InProduction
    );
}
