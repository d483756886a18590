//! Metadata databases that real Databasus instances wrote.

use std::fs::File;
use std::path::Path;

use databasus_escrow::ops::rehydrate::{Mode, Outcome};

use super::{assert_fit_for_databasus, outcomes, row_counts, served};
use crate::support::escrowing::{Escrowing, local};
use crate::support::optional;
use crate::support::postgres::TestPg;

fn load(server: &TestPg, sql: &Path) {
    let (port, socket) = (server.port().to_string(), server.socket_dir());
    let output = server
        .command("psql")
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-p", &port])
        .args(["-U", "postgres", "-d", "databasus", "-h"])
        .arg(socket)
        .stdin(File::open(sql).unwrap())
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Snapshot and rehydrate, both ways.
fn round_trip(release: &str) {
    let Some(fixtures) = optional("ESCROW_TEST_FIXTURES") else {
        return;
    };
    let Some(server) = TestPg::start() else {
        return;
    };
    let key = std::fs::read(fixtures.join(release).join("secret.key")).unwrap();
    server.write_secret_key(&key);
    load(&server, &fixtures.join(release).join("metadata.sql"));
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&server);
    assert!(manifest.source.schema_version.is_some());
    let before = row_counts(&server);
    assert!(before.contains("goose_db_version|"), "{before}");
    let launcher = local(server.bin());
    for mode in [Mode::Full(launcher.clone()), Mode::FromLogical(launcher)] {
        let target = escrows.place("databasus-data");
        let report = escrows.rehydrate(&manifest, &target, &mode).unwrap();
        assert!(report.is_whole());
        let outcomes = outcomes(&report);
        assert_eq!(outcomes["row counts"], Outcome::Proven);
        assert_eq!(outcomes["amcheck"], Outcome::Proven);
        assert_fit_for_databasus(&target);
        assert_eq!(std::fs::read(target.join("secret.key")).unwrap(), key);
        assert_eq!(row_counts(&served(&target)), before);
        std::fs::remove_dir_all(&target).unwrap();
    }
}

#[test]
fn databasus_3_42_0_comes_back_whole() {
    round_trip("real-3.42.0");
}

#[test]
fn databasus_3_49_0_comes_back_whole() {
    round_trip("real-3.49.0");
}
