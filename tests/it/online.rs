//! Snapshots of a real, running PostgreSQL over the replication protocol.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::{Digest, HashingReader};
use databasus_escrow::base::time::SystemClock;
use databasus_escrow::postgres::backup_manifest::{BackupManifest, Checksum, FileRecord, Mismatch};
use databasus_escrow::postgres::dump::DumpError;
use databasus_escrow::postgres::socket::ServerAddress;
use databasus_escrow::postgres::wire::{Connection, PgError};
use databasus_escrow::source::online::{OnlineSettings, OnlineSource};
use databasus_escrow::source::{
    EntryReceipt, EntrySink, SinkError, Source, SourceContent, SourceEntry, SourceError,
};

use crate::support::netns::Namespace;
use crate::support::postgres::TestPg;

fn settings(server: &TestPg) -> OnlineSettings {
    OnlineSettings {
        data_dir: server.data_dir(),
        address: ServerAddress::Tcp {
            host: "127.0.0.1".to_owned(),
            port: server.port(),
            netns: None,
        },
        user: "postgres".to_owned(),
        database: "databasus".to_owned(),
        pg_dump: Some(server.bin().join("pg_dump")),
        search_path: std::env::var_os("PATH").unwrap_or_default(),
        progress: Arc::new(|_| {}),
    }
}

fn source_with(settings: OnlineSettings) -> OnlineSource {
    OnlineSource::new(settings, Arc::new(SystemClock), Cancel::new())
}

fn source(server: &TestPg) -> OnlineSource {
    source_with(settings(server))
}

/// What a refusal says, with its causes.
fn refusal(outcome: Result<u64, SourceError>) -> String {
    let mut error: &dyn std::error::Error = &outcome.expect_err("the server was accepted");
    let mut text = error.to_string();
    while let Some(cause) = error.source() {
        text.push_str(&format!(": {cause}"));
        error = cause;
    }
    text
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn wait_until_no_slot_remains(server: &TestPg) {
    wait_until("the end of the slot", || {
        server.psql("SELECT count(*) FROM pg_replication_slots") == "0"
    });
}

/// Writes entries below a folder, as a rehydrate would.
struct Extract<'a> {
    root: PathBuf,
    before_entry: Box<dyn FnMut(u32) -> Result<(), SinkError> + 'a>,
    entries: u32,
}

impl<'a> Extract<'a> {
    fn into(root: PathBuf) -> Self {
        Self::hooked(root, |_| Ok(()))
    }

    /// Calls `before_entry` with the number of entries taken so far.
    fn hooked(root: PathBuf, before_entry: impl FnMut(u32) -> Result<(), SinkError> + 'a) -> Self {
        Self {
            root,
            before_entry: Box::new(before_entry),
            entries: 0,
        }
    }
}

impl EntrySink for Extract<'_> {
    fn entry(&mut self, entry: SourceEntry<'_>) -> Result<EntryReceipt, SinkError> {
        (self.before_entry)(self.entries)?;
        self.entries += 1;
        let path = self.root.join(&entry.path);
        let sha256 = match entry.content {
            SourceContent::Directory => {
                std::fs::create_dir(&path).unwrap();
                Digest::of(b"")
            }
            SourceContent::File { size, reader } => {
                let mut reader = HashingReader::new(reader);
                let mut file = std::fs::File::create(&path).unwrap();
                let copied = std::io::copy(&mut reader, &mut file);
                let copied = copied.map_err(|source| SinkError {
                    path: entry.path.clone(),
                    source,
                })?;
                assert_eq!(copied, size, "{}", entry.path);
                reader.finish().0
            }
        };
        let mode = std::fs::Permissions::from_mode(entry.mode);
        std::fs::set_permissions(&path, mode).unwrap();
        Ok(EntryReceipt { sha256 })
    }
}

struct Load(Vec<Child>);

impl Load {
    /// Writes as fast as the server takes it, and makes it checkpoint all the time.
    fn on(server: &TestPg) -> Self {
        let (port, socket) = (server.port().to_string(), server.socket_dir());
        let start = |tool: &str, args: &[&str]| {
            let mut command = server.command(tool);
            command.env("PGHOST", &socket).env("PGPORT", &port);
            command
                .env("PGUSER", "postgres")
                .env("PGDATABASE", "databasus");
            command.stdout(std::process::Stdio::null());
            command.args(args).spawn().unwrap()
        };
        let script = server.scratch_dir().join("checkpoints.sql");
        std::fs::write(&script, "CHECKPOINT;\n").unwrap();
        Self(vec![
            start("pgbench", &["-c", "4", "-T", "120", "-n"]),
            start(
                "pgbench",
                &["-T", "120", "-n", "-f", script.to_str().unwrap()],
            ),
        ])
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn fill_with_pgbench(server: &TestPg, scale: &str) {
    let (port, socket) = (server.port().to_string(), server.socket_dir());
    let socket = socket.to_str().unwrap();
    let args = [
        "-i",
        "-q",
        "-s",
        scale,
        "-h",
        socket,
        "-p",
        &port,
        "-U",
        "postgres",
        "databasus",
    ];
    let output = server.run("pgbench", &args);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_snapshot_under_load_verifies_and_starts() {
    let (Some(server), Some(mut copy)) = (
        TestPg::start_with(&["max_wal_size=32MB", "min_wal_size=32MB"]),
        TestPg::prepare(),
    ) else {
        return;
    };
    fill_with_pgbench(&server, "5");
    let load = Load::on(&server);
    let received = Arc::new(AtomicU64::new(0));
    let mut settings = settings(&server);
    let counter = Arc::clone(&received);
    settings.progress = Arc::new(move |bytes| counter.store(bytes, Ordering::Relaxed));
    let mut source = source_with(settings);

    let estimate = source.begin().unwrap();
    let facts = source
        .copy_pgdata(&mut Extract::into(copy.data_dir()))
        .unwrap();
    assert!(source.catalogue().unwrap().is_some(), "the session goes on");
    source.finish().unwrap();
    drop(load);

    wait_until_no_slot_remains(&server);
    assert!(estimate > 60 << 20 && received.load(Ordering::Relaxed) > 60 << 20);
    assert_eq!(facts.pg_version, server.psql("SHOW server_version"));
    let identifier = server.psql("SELECT system_identifier FROM pg_control_system()");
    assert_eq!(facts.system_identifier.to_string(), identifier);
    assert_eq!(facts.timeline, 1);

    copy.give_to_server(&copy.data_dir());
    let pgdata = copy.pgdata().display().to_string();
    let verified = copy.run("pg_verifybackup", &["--exit-on-error", &pgdata]);
    assert!(verified.status.success(), "{verified:?}");
    copy.start_again();
    assert_ne!(
        copy.psql("SELECT count(*) FROM pgbench_history"),
        "0",
        "there was no load"
    );
    let sums = "SELECT count(DISTINCT balance) FROM (SELECT sum(abalance) AS balance FROM \
        pgbench_accounts UNION SELECT sum(tbalance) FROM pgbench_tellers UNION SELECT \
        sum(delta) FROM pgbench_history) AS sums";
    assert_eq!(copy.psql(sums), "1", "pgbench's books do not balance");
}

#[test]
fn facts_tell_whether_the_cluster_has_data_checksums() {
    let (Some(server), Some(copy)) = (
        TestPg::start_initialized(&["--data-checksums"]),
        TestPg::prepare(),
    ) else {
        return;
    };
    let mut source = source(&server);
    source.begin().unwrap();
    let mut sink = Extract::into(copy.data_dir());
    assert!(source.copy_pgdata(&mut sink).unwrap().data_checksums);
}

#[test]
fn an_aborted_copy_leaves_no_slot() {
    let (Some(server), Some(copy)) = (TestPg::start(), TestPg::prepare()) else {
        return;
    };
    let mut source = source(&server);
    source.begin().unwrap();
    let mut sink = Extract::hooked(copy.data_dir(), |entries| match entries {
        0..50 => Ok(()),
        _ => {
            assert_eq!(
                server.psql("SELECT temporary FROM pg_replication_slots"),
                "t"
            );
            Err(SinkError {
                path: "x".to_owned(),
                source: std::io::ErrorKind::StorageFull.into(),
            })
        }
    });
    let outcome = source.copy_pgdata(&mut sink);
    assert!(matches!(outcome, Err(SourceError::Sink(_))), "{outcome:?}");
    wait_until_no_slot_remains(&server);
    source.finish().unwrap();
}

#[test]
fn a_signal_stops_the_copy_and_is_named_as_the_cause() {
    let (Some(server), Some(copy)) = (TestPg::start(), TestPg::prepare()) else {
        return;
    };
    let cancel = Cancel::new();
    let mut source = OnlineSource::new(settings(&server), Arc::new(SystemClock), cancel.clone());
    source.begin().unwrap();
    let mut sink = Extract::hooked(copy.data_dir(), |entries| {
        if entries == 50 {
            cancel.raise(15);
        }
        Ok(())
    });
    let outcome = source.copy_pgdata(&mut sink);
    assert!(matches!(outcome, Err(SourceError::Interrupted(i)) if i.signal == 15));
    wait_until_no_slot_remains(&server);
}

#[test]
fn a_server_that_goes_away_fails_the_copy_with_its_own_words() {
    let (Some(server), Some(copy)) = (TestPg::start(), TestPg::prepare()) else {
        return;
    };
    let mut source = source(&server);
    source.begin().unwrap();
    let mut sink = Extract::hooked(copy.data_dir(), |entries| {
        if entries == 50 {
            server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication");
        }
        Ok(())
    });
    let error = source.copy_pgdata(&mut sink).unwrap_err();
    let told = matches!(
        &error,
        SourceError::Postgres(PgError::Server { sqlstate, .. }) if sqlstate == "57P01"
    );
    assert!(
        told || matches!(error, SourceError::Postgres(PgError::Closed(_))),
        "{error:?}"
    );
}

#[test]
fn a_tablespace_is_refused_by_name() {
    let (Some(server), Some(copy)) = (TestPg::start(), TestPg::prepare()) else {
        return;
    };
    let place = server.scratch_dir().join("elsewhere");
    std::fs::create_dir(&place).unwrap();
    server.give_to_server(&place);
    server.psql(&format!(
        "CREATE TABLESPACE elsewhere LOCATION '{}'",
        place.display()
    ));
    let mut source = source(&server);
    source.begin().unwrap();
    let error = source
        .copy_pgdata(&mut Extract::into(copy.data_dir()))
        .unwrap_err();
    assert!(
        matches!(error, SourceError::Postgres(PgError::Tablespace(_))),
        "{error:?}"
    );
    assert!(error.to_string().contains("/elsewhere"), "{error}");
}

#[test]
fn the_catalogue_counts_every_table_of_public_and_knows_the_names() {
    let Some(server) = TestPg::start() else {
        return;
    };
    let mut source = source(&server);
    source.begin().unwrap();
    assert_eq!(
        source.catalogue().unwrap(),
        Some(Default::default()),
        "an empty database"
    );
    server.psql(
        "CREATE TABLE goose_db_version (version_id bigint, is_applied bool); \
         INSERT INTO goose_db_version VALUES (0, true), (20260522161848, true), (20270101000000, false); \
         CREATE TABLE databases (name text); INSERT INTO databases VALUES ('b''s'), ('a'), (NULL); \
         CREATE TABLE storages (label text); INSERT INTO storages VALUES ('hidden'); \
         CREATE TABLE secret_keys (secret text); INSERT INTO secret_keys VALUES ('x'); \
         CREATE TABLE \"Odd \"\" name\" (); CREATE SCHEMA other; CREATE TABLE other.t ()",
    );
    let catalogue = source.catalogue().unwrap().unwrap();
    assert_eq!(catalogue.schema_version, Some(20_260_522_161_848));
    assert_eq!(catalogue.databases, ["a", "b's"]);
    assert_eq!(catalogue.storages, Vec::<String>::new());
    assert_eq!(catalogue.legacy_secret_keys, 1);
    let counts = [
        ("Odd \" name", 0),
        ("databases", 3),
        ("goose_db_version", 3),
        ("secret_keys", 1),
        ("storages", 1),
    ];
    let counts = counts.map(|(table, rows)| (table.to_owned(), rows));
    assert_eq!(catalogue.row_counts, BTreeMap::from(counts));
}

#[test]
fn nothing_in_the_database_shadows_what_the_server_is_asked() {
    let Some(server) = TestPg::start() else {
        return;
    };
    server.psql(
        "CREATE FUNCTION public.pg_is_in_recovery() RETURNS bool LANGUAGE sql AS 'SELECT true'; \
         ALTER DATABASE databasus SET search_path = public, pg_catalog",
    );
    assert_eq!(
        server.psql("SELECT pg_is_in_recovery()"),
        "t",
        "the trap is set"
    );
    assert!(source(&server).begin().is_ok());
}

#[test]
fn a_port_where_nobody_listens_is_named() {
    let Some(mut server) = TestPg::start() else {
        return;
    };
    let settings = settings(&server);
    let expected = format!("cannot reach PostgreSQL at 127.0.0.1:{}", server.port());
    server.stop();
    let text = refusal(source_with(settings).begin());
    assert!(text.starts_with(&expected), "{text}");
    assert!(text.contains("refused"), "{text}");
}

#[test]
fn another_protocol_on_the_port_is_told_apart() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 16];
        stream.read_exact(&mut request).unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let address = ServerAddress::Tcp {
        host: "127.0.0.1".to_owned(),
        port,
        netns: None,
    };
    let outcome = Connection::connect(&address, &[("user", "postgres")], &Cancel::new());
    assert!(matches!(outcome, Err(PgError::Protocol(_))));
    answering.join().unwrap();
}

#[test]
fn a_failed_statement_leaves_the_session_usable() {
    let Some(server) = TestPg::start() else {
        return;
    };
    let address = ServerAddress::Unix {
        directory: server.socket_dir(),
        port: server.port(),
    };
    let parameters = [("user", "postgres"), ("database", "databasus")];
    let mut session = Connection::connect(&address, &parameters, &Cancel::new()).unwrap();
    let error = session
        .simple_query("SELECT 1; SELECT * FROM nowhere")
        .unwrap_err();
    assert!(error.to_string().contains("ERROR 42P01"), "{error}");
    let rows = session
        .simple_query("SELECT 'é', NULL; SELECT ''; ;")
        .unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(rows, [vec![text("é"), None], vec![text("")]]);
    assert!(session.simple_query("SELECT '\0'").is_err());
}

#[test]
fn a_server_that_demands_a_password_is_refused() {
    let Some(server) = TestPg::start() else {
        return;
    };
    for method in ["scram-sha-256", "md5", "password"] {
        let rules = format!("local all all trust\nhost all all 127.0.0.1/32 {method}\n");
        std::fs::write(server.pgdata().join("pg_hba.conf"), rules).unwrap();
        server.psql("SET password_encryption = 'md5'; ALTER ROLE postgres PASSWORD 'x'");
        if method == "scram-sha-256" {
            server.psql("ALTER ROLE postgres PASSWORD 'x'");
        }
        server.psql("SELECT pg_reload_conf()");
        wait_until("the reload", || {
            server.psql("SELECT string_agg(auth_method, ' ') FROM pg_hba_file_rules")
                == format!("trust {method}")
        });
        wait_until("the refusal", || {
            let outcome = source(&server).begin();
            let demanded = PgError::AuthenticationDemanded(settings(&server).address.to_string());
            outcome.is_err_and(|error| error.to_string() == demanded.to_string())
        });
    }
}

#[test]
fn a_role_that_may_not_replicate_is_refused_in_the_servers_words() {
    let Some(server) = TestPg::start() else {
        return;
    };
    server.psql("CREATE ROLE reader LOGIN");
    let mut settings = settings(&server);
    settings.user = "reader".to_owned();
    let text = refusal(source_with(settings).begin());
    assert!(
        text.contains("FATAL 42501") && text.contains("WAL sender"),
        "{text}"
    );
}

#[test]
fn a_fenced_clone_is_refused() {
    let Some(server) = TestPg::start() else {
        return;
    };
    server.psql("CREATE SCHEMA escrow_fence");
    let outcome = source(&server).begin();
    assert!(matches!(outcome, Err(SourceError::Clone)), "{outcome:?}");
}

#[test]
fn a_standby_is_refused() {
    let Some(mut server) = TestPg::start() else {
        return;
    };
    server.stop();
    std::fs::write(server.pgdata().join("standby.signal"), "").unwrap();
    server.start_again();
    let outcome = source(&server).begin();
    assert!(
        matches!(outcome, Err(SourceError::InRecovery)),
        "{outcome:?}"
    );
}

#[test]
fn a_server_on_the_loopback_of_another_network_namespace_is_copied() {
    let (Some(namespace), Some(copy)) = (Namespace::create(), TestPg::prepare()) else {
        return;
    };
    let Some(server) = TestPg::start_under(&["ip", "netns", "exec", namespace.name()]) else {
        return;
    };
    let mut settings = settings(&server);
    assert!(
        source_with(settings.clone()).begin().is_err(),
        "it is reachable from outside"
    );
    settings.address = ServerAddress::Tcp {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        netns: Some(namespace.path()),
    };
    let mut source = source_with(settings);
    source.begin().unwrap();
    source
        .copy_pgdata(&mut Extract::into(copy.data_dir()))
        .unwrap();
    assert!(source.copy_logical(&mut |stream| swallow(stream)).unwrap());
    assert!(copy.pgdata().join("backup_manifest").exists());
}

fn swallow(stream: &mut dyn Read) -> Result<(), SinkError> {
    let copied = std::io::copy(stream, &mut std::io::sink());
    copied.map(|_| ()).map_err(|source| SinkError {
        path: "escrow/metadata.dump".to_owned(),
        source,
    })
}

#[test]
fn the_logical_copy_is_an_archive_that_pg_restore_reads() {
    let Some(server) = TestPg::start() else {
        return;
    };
    server.psql("CREATE TABLE databases AS SELECT generate_series(1, 1000) AS id");
    let file = server.scratch_dir().join("metadata.dump");
    let mut source = source(&server);
    source.begin().unwrap();
    let made = source.copy_logical(&mut |stream| {
        let copied = std::io::copy(stream, &mut std::fs::File::create(&file).unwrap());
        copied.unwrap();
        Ok(())
    });
    assert!(made.unwrap());
    let output = server.run("pg_restore", &["-f", "-", file.to_str().unwrap()]);
    let sql = String::from_utf8(output.stdout).unwrap();
    assert!(
        sql.contains("COPY public.databases") && sql.contains("\n1000\n"),
        "{sql}"
    );
}

#[test]
fn a_pg_dump_that_fails_is_an_error_with_its_last_words() {
    let Some(mut server) = TestPg::start() else {
        return;
    };
    let mut source = source(&server);
    source.begin().unwrap();
    server.stop();
    let error = source
        .copy_logical(&mut |stream| swallow(stream))
        .unwrap_err();
    assert!(
        matches!(error, SourceError::Dump(DumpError::Failed { .. })),
        "{error:?}"
    );
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

#[test]
fn without_a_pg_dump_there_is_no_logical_copy_and_no_error() {
    let Some(server) = TestPg::start() else {
        return;
    };
    let mut settings = settings(&server);
    settings.pg_dump = Some("/nonexistent/pg_dump".into());
    let mut source = source_with(settings);
    source.begin().unwrap();
    assert!(!source.copy_logical(&mut |_| unreachable!()).unwrap());
}

#[test]
fn a_manifest_of_stock_pg_basebackup_is_read_and_compared_exactly() {
    let Some(server) = TestPg::start() else {
        return;
    };
    let target = server.scratch_dir().join("stock");
    let (port, target_text) = (server.port().to_string(), target.display().to_string());
    let output = server.run(
        "pg_basebackup",
        &[
            "-D",
            &target_text,
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "postgres",
            "-X",
            "fetch",
            "-c",
            "fast",
            "--manifest-checksums=SHA256",
        ],
    );
    assert!(output.status.success(), "{output:?}");
    let bytes = std::fs::read(target.join("backup_manifest")).unwrap();
    let manifest = BackupManifest::parse(&bytes).unwrap();
    let identifier = server.psql("SELECT system_identifier FROM pg_control_system()");
    assert_eq!(manifest.system_identifier.unwrap().to_string(), identifier);

    let mut files = BTreeMap::new();
    for path in manifest.files.keys() {
        let content = std::fs::read(target.join(path)).unwrap();
        let size = content.len() as u64;
        let checksum = Checksum::Sha256(Digest::of(&content));
        files.insert(path.clone(), FileRecord { size, checksum });
    }
    assert_eq!(manifest.compare(&files), Ok(()));
    files.get_mut("PG_VERSION").unwrap().checksum = Checksum::Sha256(Digest::of(b"16\n"));
    let tampered = Mismatch::Content("PG_VERSION".to_owned());
    assert_eq!(manifest.compare(&files), Err(tampered));
}
