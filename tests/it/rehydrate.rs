//! From a running server through a sealed escrow to a data directory that a server runs on.

mod crafted;
mod fenced;
mod fixtures;
mod hostile;
mod interrupted;
mod killed;
mod logical;
mod refused;
mod under_load;

use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use databasus_escrow::base::text::printable;
use databasus_escrow::model::finding::Severity;
use databasus_escrow::ops::rehydrate::{Mode, Outcome, Report};
use databasus_escrow::postgres::control_file::{ClusterState, ControlFile};

use crate::support::escrowing::{Escrowing, local};
use crate::support::postgres::TestPg;

/// As Databasus makes it, 72 bytes, and as somebody may have made it by hand: with a newline.
const KEYS: [&[u8]; 2] = [
    b"11111111-1111-4111-8111-11111111111122222222-2222-4222-8222-222222222222",
    b"11111111-1111-4111-8111-11111111111122222222-2222-4222-8222-222222222222\n",
];

/// A running instance with a few tables.
fn instance() -> Option<TestPg> {
    let server = TestPg::start()?;
    server.write_secret_key(KEYS[0]);
    server.psql(
        "CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text UNIQUE);
         INSERT INTO users (email) SELECT 'user' || n FROM generate_series(1, 500) n;
         CREATE TABLE goose_db_version (id int, version_id bigint, is_applied bool);
         INSERT INTO goose_db_version VALUES (1, 20260522161848, true);
         CREATE TABLE empty (id int)",
    );
    Some(server)
}

/// Adds `mebibytes` that do not compress, so that the payload gets that many and more.
fn bloat(server: &TestPg, mebibytes: u32) {
    server.psql(&format!(
        "CREATE TABLE noise AS SELECT n, (SELECT string_agg(uuid_send(gen_random_uuid()), '')
         FROM generate_series(1, 64) WHERE n > 0) AS bytes FROM generate_series(1, {} * 1024) n",
        mebibytes
    ));
}

/// Rows of every table, counted by stock psql.
fn row_counts(server: &TestPg) -> String {
    server.psql(
        "SELECT table_name, (xpath('/row/c/text()', query_to_xml(format(
         'SELECT count(*) AS c FROM public.%I', table_name), false, true, '')))[1]
         FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
    )
}

/// A server of its own on a rehydrated cluster.
fn served(target: &Path) -> TestPg {
    let mut server = TestPg::prepare().unwrap();
    std::fs::rename(target.join("pgdata"), server.pgdata()).unwrap();
    server.give_to_server(&server.data_dir());
    server.start_again();
    server
}

fn outcomes(report: &Report) -> BTreeMap<&'static str, Outcome> {
    let proofs = report.proofs.iter();
    proofs.map(|proof| (proof.what, proof.outcome)).collect()
}

/// Every path below a directory.
fn tree(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Modes and owners are those that Databasus' image expects, and nothing of ours is left.
fn assert_fit_for_databasus(target: &Path) {
    let me = rustix::process::geteuid().as_raw();
    let owner = |uid| if is_root() { uid } else { me };
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
    let uid = |path: &Path| path.metadata().unwrap().uid();
    assert_eq!((mode(target), uid(target)), (0o755, owner(65532)));
    let key = target.join("secret.key");
    assert_eq!((mode(&key), uid(&key)), (0o600, owner(65532)));
    let pgdata = target.join("pgdata");
    assert_eq!((mode(&pgdata), uid(&pgdata)), (0o700, owner(999)));
    for path in tree(&pgdata) {
        assert_eq!(uid(&path), owner(999), "{}", path.display());
        if is_root() {
            assert_eq!(path.metadata().unwrap().gid(), 999, "{}", path.display());
        }
    }
    for name in ["postmaster.pid", "postmaster.opts"] {
        assert!(!pgdata.join(name).exists(), "{name} was left");
    }
    assert!(!target.join(".metadata.dump").exists());
    let control = ControlFile::of(&pgdata).unwrap();
    assert_eq!(control.state, ClusterState::ShutDown);
}

#[test]
fn a_rehydrated_instance_is_recovered_checked_shut_down_and_runs() {
    let Some(server) = instance() else { return };
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&server);
    let target = escrows.place("databasus-data");
    let mode = Mode::Full(local(server.bin()));
    let report = escrows.rehydrate(&manifest, &target, &mode).unwrap();

    assert_eq!(report.target, target);
    assert!(report.is_whole());
    let expected = [
        ("payload", Outcome::Proven),
        ("secret.key", Outcome::Proven),
        ("recovery", Outcome::Proven),
        ("row counts", Outcome::Proven),
        ("amcheck", Outcome::Proven),
        ("fence", Outcome::NotDone),
        ("catalogue import", Outcome::NotDone),
        ("clean shutdown", Outcome::Proven),
    ];
    let proofs = report.proofs.iter();
    let found: Vec<_> = proofs.map(|proof| (proof.what, proof.outcome)).collect();
    assert_eq!(found, expected);
    assert_fit_for_databasus(&target);
    assert_eq!(escrows.litter(), ["databasus-data"]);
    let copy = served(&target);
    assert_eq!(row_counts(&copy), row_counts(&server));
    copy.psql("INSERT INTO users (email) VALUES ('later')");
}

#[test]
fn the_key_comes_back_byte_for_byte() {
    let Some(server) = instance() else { return };
    for key in KEYS {
        server.write_secret_key(key);
        let escrows = Escrowing::into_stores(&["first"]);
        let manifest = escrows.snapshot(&server);
        let target = escrows.place("databasus-data");
        escrows
            .rehydrate(&manifest, &target, &Mode::FilesOnly)
            .unwrap();
        assert_eq!(std::fs::read(target.join("secret.key")).unwrap(), key);
    }
}

#[test]
fn files_only_gives_what_stock_pg_verifybackup_accepts() {
    let Some(server) = instance() else { return };
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&server);
    let target = escrows.place("databasus-data");
    let report = escrows
        .rehydrate(&manifest, &target, &Mode::FilesOnly)
        .unwrap();
    assert_eq!(outcomes(&report)["recovery"], Outcome::NotDone);
    assert_verifies(&server, &target.join("pgdata"));
}

/// Runs as this process does, for whom the rehydrate made the files.
fn assert_verifies(server: &TestPg, pgdata: &Path) {
    let output = std::process::Command::new(server.bin().join("pg_verifybackup"))
        .arg(pgdata)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_copy_that_is_damaged_half_way_is_left_for_the_next_one() {
    let Some(server) = instance() else { return };
    bloat(&server, 20);
    let escrows = Escrowing::into_stores(&["first", "second"]);
    let manifest = escrows.snapshot(&server);
    assert!(manifest.payload.parts.len() >= 3);
    let first = escrows.object("first", &manifest.stores[0].key);
    let copy = std::fs::OpenOptions::new().write(true).open(first).unwrap();
    copy.write_all_at(b"damage", manifest.payload.part_size + 100)
        .unwrap();

    let target = escrows.place("databasus-data");
    let report = escrows
        .rehydrate(&manifest, &target, &Mode::FilesOnly)
        .unwrap();
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|found| (found.id, found.severity))
        .collect();
    assert_eq!(findings, [("copy-damaged", Severity::Violation)]);
    assert!(!report.is_whole());
    assert_verifies(&server, &target.join("pgdata"));
}

#[test]
fn a_key_that_databasus_would_overwrite_is_told() {
    let Some(server) = instance() else { return };
    server.psql("CREATE TABLE secret_keys (secret text); INSERT INTO secret_keys VALUES ('old')");
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&server);
    let target = escrows.place("databasus-data");
    let mode = Mode::Full(local(server.bin()));
    let report = escrows.rehydrate(&manifest, &target, &mode).unwrap();
    assert_eq!(outcomes(&report)["legacy keys"], Outcome::Failed);
    assert!(!report.is_whole());
}

/// Puts noise into the first page after an index' metapage, on disk, with nothing left in the log
/// that would mend it.
fn damage(server: &mut TestPg, index: &str) {
    let path = server.psql(&format!("SELECT pg_relation_filepath('{index}')"));
    server.stop_cleanly();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(server.pgdata().join(path))
        .unwrap();
    file.write_all_at(&[0x5A; 2048], 8192 + 4096).unwrap();
    server.start_again();
}

#[test]
fn damage_of_the_source_is_told_and_stops_nothing() {
    let Some(mut server) = instance() else { return };
    damage(&mut server, "users_email_key");
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&server);
    let target = escrows.place("databasus-data");
    let mode = Mode::Full(local(server.bin()));
    let report = escrows.rehydrate(&manifest, &target, &mode).unwrap();
    assert_eq!(outcomes(&report)["amcheck"], Outcome::Failed);
    assert!(!report.is_whole());
    assert_fit_for_databasus(&target);
}

#[test]
fn what_the_proofs_say_can_be_printed() {
    let Some(server) = instance() else { return };
    server.psql("CREATE TABLE \"bell\u{7}\u{202e}\" AS SELECT 1");
    let escrows = Escrowing::into_stores(&["first"]);
    let mut manifest = escrows.snapshot(&server);
    manifest.source.pg_version = "17.10".to_owned();
    let mode = Mode::Full(local(server.bin()));
    let target = escrows.place("databasus-data");
    let report = escrows.rehydrate(&manifest, &target, &mode).unwrap();
    for proof in report.proofs {
        assert_eq!(printable(&proof.detail), proof.detail);
    }
}
