//! A catalogue from the key and the bucket alone, in the directory of a fresh Databasus.

use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::databasus::storages::S3Keys;
use databasus_escrow::ops::from_key::{self, FromKeyError, NewStorage, Request};
use databasus_escrow::ops::import::ImportSettings;
use databasus_escrow::ops::import::report::ImportReport;
use databasus_escrow::ops::stopped_instance::StoppedInstance;
use databasus_escrow::postgres::control_file::{ClusterState, ControlFile};
use databasus_escrow::store::Store;
use databasus_escrow::store::memory::MemoryStore;

use crate::support::escrowing::local;
use crate::support::fixture::{COMPOSED, Fixture, REAL};
use crate::support::postgres::TestPg;

/// All rows of an instance but those that its first start makes.
const FORGET: &str = "
DO $$ DECLARE tables text; BEGIN
  SELECT string_agg(format('public.%I', tablename), ', ') INTO tables FROM pg_tables
  WHERE schemaname = 'public' AND tablename NOT IN ('users', 'users_settings', 'goose_db_version');
  EXECUTE 'TRUNCATE ' || tables;
END $$";

fn fresh(fixture: &Fixture) -> Option<TestPg> {
    let mut server = fixture.serve()?;
    server.psql(FORGET);
    server.psql("DELETE FROM users WHERE role <> 'ADMIN'");
    // The composed ones have no user.
    server.psql(
        "INSERT INTO users (email, password_creation_time, role, name, status)
         SELECT 'admin', now(), 'ADMIN', 'Admin', 'ACTIVE' WHERE NOT EXISTS (SELECT FROM users)",
    );
    server.stop_cleanly();
    Some(server)
}

fn make(server: &TestPg, fixture: &Fixture, key: &SecretKey) -> Result<ImportReport, FromKeyError> {
    make_from(server, key, fixture.bucket())
}

fn make_from(
    server: &TestPg,
    key: &SecretKey,
    store: Arc<dyn Store>,
) -> Result<ImportReport, FromKeyError> {
    let instance = StoppedInstance::open(&server.data_dir(), None).unwrap();
    let text = |text: &str| text.to_owned().into();
    from_key::run(Request {
        instance: &instance,
        key,
        storage: &NewStorage {
            name: "Recovered bucket".to_owned(),
            bucket: "prod".to_owned(),
            region: "auto".to_owned(),
            endpoint: Some("https://s3.example.org".to_owned()),
            prefix: "hw".to_owned(),
            virtual_hosted_style: false,
            keys: S3Keys {
                access_key_id: text("reader"),
                secret_access_key: text("reads only"),
            },
        },
        store,
        launcher: &local(server.bin()),
        settings: ImportSettings::default(),
        cancel: &Cancel::new(),
        on_progress: &|_| {},
    })
}

/// Names of the backups in a fixture's bucket that a sidecar commits, with `.parts` resolved.
fn committed(fixture: &Fixture) -> Vec<String> {
    let names = std::fs::read_dir(fixture.bucket_dir()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut bases: Vec<String> = names
        .filter_map(|name| Some(name.strip_suffix(".metadata")?.to_owned()))
        .collect();
    bases.sort();
    bases
}

fn listed(server: &TestPg, tables: &[&str]) -> Vec<String> {
    let there = tables.iter().filter(|table| {
        server.psql(&format!("SELECT to_regclass('public.{table}') IS NOT NULL")) == "t"
    });
    let names = there.flat_map(|table| {
        let names = server.psql(&format!("SELECT file_name FROM public.{table}"));
        let names: Vec<String> = names.lines().map(str::to_owned).collect();
        names
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn every_committed_backup_of_the_bucket_is_listed() {
    for name in REAL.into_iter().chain(COMPOSED) {
        let Some(fixture) = Fixture::named(name) else {
            return;
        };
        let Some(mut server) = fresh(&fixture) else {
            return;
        };
        make(&server, &fixture, &fixture.secret_key()).unwrap();
        server.start_again();
        let found = listed(
            &server,
            &[
                "backups",
                "logical_backups",
                "physical_full_backups",
                "physical_incremental_backups",
                "physical_wal_segments",
            ],
        );
        let missing: Vec<_> = committed(&fixture)
            .into_iter()
            .filter(|wanted| !found.contains(wanted))
            .collect();
        assert!(missing.is_empty(), "{name}: {missing:?} of {found:?}");
        let able = "SELECT count(*) FROM databases d
            JOIN workspace_memberships m ON m.workspace_id = d.workspace_id
            JOIN users u ON u.id = m.user_id WHERE u.role = 'ADMIN'";
        let databases = server.psql("SELECT count(*) FROM databases");
        assert_eq!(server.psql(able), databases, "{name}: the admin sees them");
        let sealed = "SELECT bool_and(s3_access_key LIKE 'enc:%' AND s3_secret_key LIKE 'enc:%')
            FROM s3_storages";
        assert_eq!(server.psql(sealed), "t", "{name}");
    }
}

#[test]
fn another_key_than_the_directorys_is_refused() {
    let Some(fixture) = Fixture::named("real-3.42.0") else {
        return;
    };
    let Some(server) = fresh(&fixture) else {
        return;
    };
    let mut other = fixture.secret_key_bytes();
    other.push(b'\n');
    let refused = make(&server, &fixture, &SecretKey::new(other).unwrap());
    assert!(matches!(refused, Err(FromKeyError::AnotherKey)));
}

#[test]
fn a_catalogue_in_use_is_refused_and_left_as_it_was() {
    let Some(fixture) = Fixture::named("real-3.49.0") else {
        return;
    };
    let Some(mut server) = fixture.serve() else {
        return;
    };
    let rows = server.psql("SELECT count(*) FROM logical_backups");
    server.stop_cleanly();
    let refused = make(&server, &fixture, &fixture.secret_key());
    assert!(matches!(refused, Err(FromKeyError::NotFresh("databases"))));
    server.start_again();
    assert_eq!(server.psql("SELECT count(*) FROM logical_backups"), rows);
    assert_eq!(server.psql("SELECT count(*) FROM workspaces"), "1");
}

#[test]
fn an_empty_bucket_is_refused_and_leaves_the_directory_fresh() {
    let Some(fixture) = Fixture::named("real-3.49.0") else {
        return;
    };
    let Some(server) = fresh(&fixture) else {
        return;
    };
    let empty = Arc::new(MemoryStore::new("empty".parse().unwrap()));
    let refused = make_from(&server, &fixture.secret_key(), empty);
    assert!(matches!(refused, Err(FromKeyError::Empty(_))));
    let control = ControlFile::of(&server.pgdata()).unwrap();
    assert_eq!(control.state, ClusterState::ShutDown);
    make(&server, &fixture, &fixture.secret_key()).unwrap();
}
