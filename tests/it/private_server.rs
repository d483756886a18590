//! The server that rehydrate runs, on real data directories.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::postgres::amcheck::{self, AmcheckReport};
use databasus_escrow::postgres::binaries::{Launcher, PgBinaries};
use databasus_escrow::postgres::control_file::{ClusterState, ControlFile, ControlFileError};
use databasus_escrow::postgres::private_server::{Options, PrivateServer, PrivateServerError};
use databasus_escrow::postgres::stopped::{self, NotStopped};

use crate::support::docker;
use crate::support::postgres::TestPg;
use crate::support::write_program;

/// A server that has crashed, with a table of 1000 rows written after its last checkpoint.
fn crashed_cluster() -> Option<TestPg> {
    let mut pg = TestPg::start()?;
    pg.psql("CREATE TABLE plans AS SELECT n, md5(n::text) AS text FROM generate_series(1, 1000) n");
    pg.psql("CREATE INDEX plans_text ON plans (text)");
    pg.stop();
    Some(pg)
}

/// Options with a folder for sockets that the test can look into.
fn options(pg: &TestPg) -> Options {
    Options {
        scratch: pg.scratch_dir(),
        ..Options::default()
    }
}

fn local(pg: &TestPg) -> Launcher {
    Launcher::Local(PgBinaries::inspect(pg.bin()).unwrap())
}

fn start(pg: &TestPg) -> Result<PrivateServer, PrivateServerError> {
    PrivateServer::start_with(options(pg), &local(pg), &pg.pgdata(), &Cancel::new())
}

fn error_of(pg: &TestPg) -> PrivateServerError {
    start(pg).err().expect("the server started")
}

fn value(server: &PrivateServer, sql: &str) -> String {
    let mut connection = server.connect("databasus").unwrap();
    connection.simple_query(sql).unwrap()[0][0].clone().unwrap()
}

/// Nothing runs on the directory, and neither sockets nor files of the server are left.
fn assert_nothing_left(pg: &TestPg) {
    assert_eq!(stopped::process_in(&pg.pgdata()).unwrap(), None);
    let entries = std::fs::read_dir(pg.scratch_dir()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.starts_with("escrow-")).collect();
    assert_eq!(left, Vec::<String>::new());
    assert!(!pg.pgdata().join("postmaster.opts").exists());
}

/// A `postgres` of 17 that does something else.
fn impostor(pg: &TestPg, script: &str) -> Launcher {
    let dir = pg.scratch_dir().join("bin");
    std::fs::create_dir(&dir).unwrap();
    write_program(&dir.join("postgres"), script);
    let version = "17.0".to_owned();
    Launcher::Local(PgBinaries { dir, version })
}

fn wait_for(path: &Path) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => assert!(Instant::now() < deadline, "{} never came", path.display()),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_crashed_cluster_recovers_answers_and_is_shut_down_in_order() {
    let Some(pg) = crashed_cluster() else { return };
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
fn the_control_file_reads_as_pg_controldata_says() {
    let Some(pg) = TestPg::start_initialized(&["--data-checksums", "--wal-segsize=32"]) else {
        return;
    };
    pg.psql("CHECKPOINT");
    let output = pg.run("pg_controldata", &["-D", pg.pgdata().to_str().unwrap()]);
    let stock = String::from_utf8(output.stdout).unwrap();
    let control = ControlFile::of(&pg.pgdata()).unwrap();
    let expected = [
        ("pg_control version number:", control.version.to_string()),
        (
            "Catalog version number:",
            control.catalog_version.to_string(),
        ),
        (
            "Database system identifier:",
            control.system_identifier.to_string(),
        ),
        ("Database cluster state:", control.state.to_string()),
        (
            "Latest checkpoint location:",
            control.checkpoint.to_string(),
        ),
        (
            "Latest checkpoint's REDO location:",
            control.redo.to_string(),
        ),
        (
            "Latest checkpoint's TimeLineID:",
            control.timeline.to_string(),
        ),
        (
            "Latest checkpoint's PrevTimeLineID:",
            control.previous_timeline.to_string(),
        ),
        (
            "Minimum recovery ending location:",
            control.min_recovery_end.to_string(),
        ),
        ("Backup start location:", control.backup_start.to_string()),
        ("End-of-backup record required:", "no".to_owned()),
        (
            "max_connections setting:",
            control.settings.max_connections.to_string(),
        ),
        (
            "max_worker_processes setting:",
            control.settings.max_worker_processes.to_string(),
        ),
        (
            "max_wal_senders setting:",
            control.settings.max_wal_senders.to_string(),
        ),
        (
            "max_prepared_xacts setting:",
            control.settings.max_prepared_transactions.to_string(),
        ),
        (
            "max_locks_per_xact setting:",
            control.settings.max_locks_per_transaction.to_string(),
        ),
        ("track_commit_timestamp setting:", "off".to_owned()),
        ("Database block size:", control.block_size.to_string()),
        (
            "Blocks per segment of large relation:",
            control.segment_blocks.to_string(),
        ),
        ("WAL block size:", control.wal_block_size.to_string()),
        (
            "Bytes per WAL segment:",
            control.wal_segment_size.to_string(),
        ),
        (
            "Data page checksum version:",
            control.data_checksum_version.to_string(),
        ),
    ];
    for (label, ours) in expected {
        let line = stock.lines().find(|line| line.starts_with(label)).unwrap();
        assert_eq!(line[label.len()..].trim(), ours, "{label}");
    }
    assert_eq!(control.wal_segment_size, 32 << 20);
    assert!(!control.backup_end_required && !control.settings.track_commit_timestamp);
}

#[test]
fn a_dropped_server_ends_at_once_even_with_a_session_open() {
    let Some(pg) = crashed_cluster() else { return };
    let server = start(&pg).unwrap();
    let _session = server.connect("databasus").unwrap();
    drop(server);
    assert_nothing_left(&pg);
    let control = ControlFile::of(&pg.pgdata()).unwrap();
    assert_eq!(control.state, ClusterState::InProduction);
}

#[test]
fn the_server_listens_on_no_port_and_lets_nobody_else_in() {
    let Some(pg) = crashed_cluster() else { return };
    let server = start(&pg).unwrap();
    assert_eq!(value(&server, "SHOW listen_addresses"), "");
    let directory = value(&server, "SHOW unix_socket_directories");
    let mode = std::fs::metadata(directory.trim_matches('"'))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    server.stop().unwrap();
}

/// Every way known to us in which settings inside the directory could run a program, load a
/// library, listen, write elsewhere, wait or stop short.
fn hostile_settings(canary: &Path) -> String {
    let touch = format!("touch {}", canary.display());
    let settings = [
        ("archive_mode", "always"),
        ("archive_command", &touch),
        ("restore_command", &touch),
        ("recovery_end_command", &touch),
        ("archive_cleanup_command", &touch),
        ("ssl_passphrase_command", &touch),
        ("ssl", "on"),
        ("shared_preload_libraries", "no_such_library"),
        ("session_preload_libraries", "no_such_library"),
        ("local_preload_libraries", "no_such_library"),
        ("dynamic_library_path", "/nowhere"),
        ("listen_addresses", "*"),
        ("unix_socket_directories", "/nowhere"),
        ("unix_socket_group", "no_such_group"),
        ("external_pid_file", canary.to_str().unwrap()),
        ("logging_collector", "on"),
        ("log_directory", canary.to_str().unwrap()),
        ("log_destination", "csvlog"),
        ("primary_conninfo", "host=192.0.2.1"),
        ("primary_slot_name", "slot"),
        ("synchronous_standby_names", "*"),
        ("recovery_target_xid", "1"),
        ("recovery_target_name", "early"),
        ("data_directory", "/nowhere"),
        ("hba_file", "/nowhere"),
        ("ident_file", "/nowhere"),
        ("wal_level", "minimal"),
        ("max_connections", "1"),
        ("fsync", "off"),
        ("zero_damaged_pages", "on"),
        ("ignore_checksum_failure", "on"),
        ("statement_timeout", "1"),
        ("default_transaction_read_only", "on"),
        ("search_path", "nowhere"),
    ];
    let line = |(name, value): &(&str, &str)| format!("{name} = '{value}'\n");
    settings.iter().map(line).collect()
}

#[test]
fn hostile_settings_in_the_directory_have_no_effect() {
    let Some(pg) = crashed_cluster() else { return };
    let canary = pg.scratch_dir().join("canary");
    let auto = pg.pgdata().join("postgresql.auto.conf");
    std::fs::write(&auto, hostile_settings(&canary)).unwrap();
    std::fs::write(pg.pgdata().join("postgresql.conf"), "nonsense nonsense").unwrap();
    std::fs::write(pg.pgdata().join("pg_hba.conf"), "local all all reject\n").unwrap();
    let server = start(&pg).unwrap();
    let mut session = server.connect("databasus").unwrap();
    session
        .simple_query("INSERT INTO plans VALUES (0, 'written')")
        .unwrap();
    session.simple_query("SELECT pg_switch_wal()").unwrap();
    for (setting, expected) in [
        ("archive_mode", "off"),
        ("fsync", "on"),
        ("wal_level", "replica"),
        ("zero_damaged_pages", "off"),
        ("statement_timeout", "0"),
        ("dynamic_library_path", "$libdir"),
    ] {
        assert_eq!(
            value(&server, &format!("SHOW {setting}")),
            expected,
            "{setting}"
        );
    }
    server.stop().unwrap();
    assert!(!canary.exists());
    assert_nothing_left(&pg);
}

#[test]
fn hostile_settings_of_roles_and_databases_have_no_effect() {
    let Some(mut pg) = TestPg::start() else {
        return;
    };
    pg.psql(
        "CREATE ROLE nobody_in_particular; \
         ALTER ROLE postgres SET session_preload_libraries = 'no_such_library'; \
         ALTER ROLE postgres SET role = 'nobody_in_particular'; \
         ALTER DATABASE databasus SET default_transaction_read_only = on; \
         ALTER DATABASE databasus SET search_path = 'nowhere'; \
         ALTER DATABASE databasus SET session_replication_role = 'replica'; \
         ALTER DATABASE databasus SET statement_timeout = 1; \
         CREATE TABLE seen (at timestamptz); \
         CREATE FUNCTION spy() RETURNS event_trigger LANGUAGE plpgsql \
           AS 'BEGIN INSERT INTO public.seen VALUES (now()); END'; \
         CREATE EVENT TRIGGER spy ON login EXECUTE FUNCTION spy(); \
         ALTER EVENT TRIGGER spy ENABLE ALWAYS",
    );
    pg.stop();
    let server = start(&pg).unwrap();
    let mut session = server.connect("databasus").unwrap();
    session.simple_query("CREATE TABLE made (n int)").unwrap();
    drop(session);
    assert_eq!(value(&server, "SELECT count(*) FROM public.seen"), "0");
    assert_eq!(value(&server, "SELECT current_user"), "postgres");
    assert_eq!(value(&server, "SHOW session_replication_role"), "origin");
    assert_eq!(
        value(&server, "SELECT 'public.made'::regclass::text"),
        "made"
    );
    server.stop().unwrap();
}

#[test]
fn recorded_settings_are_kept_so_that_replay_finds_room() {
    let recorded = [
        "max_prepared_transactions=7",
        "max_connections=150",
        "track_commit_timestamp=on",
    ];
    let Some(mut pg) = TestPg::start_with(&recorded) else {
        return;
    };
    pg.psql("CREATE TABLE plans (n int)");
    pg.psql("BEGIN; INSERT INTO plans VALUES (1); PREPARE TRANSACTION 'left open'");
    pg.psql("INSERT INTO plans VALUES (2)");
    pg.stop();
    let server = start(&pg).unwrap();
    assert_eq!(
        value(&server, "SELECT gid FROM pg_prepared_xacts"),
        "left open"
    );
    assert_eq!(value(&server, "SHOW max_connections"), "150");
    let stamp = "SELECT (pg_xact_commit_timestamp(xmin) > '2000-01-01')::text FROM plans";
    assert_eq!(value(&server, stamp), "true");
    let control = server.stop().unwrap();
    assert!(control.settings.track_commit_timestamp);
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let Some(pg) = crashed_cluster() else { return };
    std::fs::write(
        pg.pgdata().join("postgresql.auto.conf"),
        "no_such_setting = 1\n",
    )
    .unwrap();
    let error = error_of(&pg);
    let PrivateServerError::Ended { status, log } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(status.code(), Some(1));
    assert!(
        log.iter().any(|line| line.contains("no_such_setting")),
        "{log:?}"
    );
    assert!(error.to_string().contains("FATAL: "), "{error}");
    assert_nothing_left(&pg);
}

#[test]
fn a_cluster_whose_log_is_missing_does_not_start() {
    let Some(pg) = crashed_cluster() else { return };
    std::fs::remove_dir_all(pg.pgdata().join("pg_wal")).unwrap();
    std::fs::create_dir(pg.pgdata().join("pg_wal")).unwrap();
    pg.give_to_server(&pg.pgdata().join("pg_wal"));
    let error = error_of(&pg);
    assert!(
        error
            .to_string()
            .contains("could not locate a valid checkpoint record"),
        "{error}"
    );
    assert_nothing_left(&pg);
}

#[test]
fn other_kinds_of_recovery_are_refused() {
    let Some(pg) = crashed_cluster() else { return };
    for name in ["standby.signal", "recovery.signal", "tablespace_map"] {
        let path = pg.pgdata().join(name);
        std::fs::write(&path, "").unwrap();
        let error = error_of(&pg);
        assert!(
            matches!(&error, PrivateServerError::Signal(found) if *found == path),
            "{error}"
        );
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn another_major_and_a_damaged_control_file_are_refused() {
    let Some(pg) = crashed_cluster() else { return };
    let control = pg.pgdata().join("global/pg_control");
    let sound = std::fs::read(&control).unwrap();
    let mut damaged = sound.clone();
    damaged[100] ^= 1;
    std::fs::write(&control, damaged).unwrap();
    let checksum = error_of(&pg);
    let source = ControlFileError::Checksum;
    assert!(
        matches!(&checksum, PrivateServerError::ControlFile { source: found, .. }
            if found.to_string() == source.to_string()),
        "{checksum}"
    );
    std::fs::write(&control, sound).unwrap();
    std::fs::write(pg.pgdata().join("PG_VERSION"), "16\n").unwrap();
    let major = error_of(&pg).to_string();
    assert!(
        major.ends_with("is of PostgreSQL 16, and the server is of 17"),
        "{major}"
    );
}

#[test]
fn a_directory_that_a_server_works_on_is_refused() {
    let Some(pg) = TestPg::start() else { return };
    let error = error_of(&pg);
    assert!(
        matches!(error, PrivateServerError::Busy(NotStopped::Process { .. })),
        "{error}"
    );
    assert_eq!(pg.psql("SELECT 1"), "1");
}

#[test]
fn a_stale_lock_file_that_names_a_living_process_is_no_obstacle() {
    let Some(pg) = crashed_cluster() else { return };
    let lock = pg.pgdata().join("postmaster.pid");
    std::fs::write(
        &lock,
        format!("{}\n\n\n\n\n\n\nready\n", std::process::id()),
    )
    .unwrap();
    let server = start(&pg).unwrap();
    assert_eq!(value(&server, "SELECT count(*) FROM plans"), "1000");
    server.stop().unwrap();
}

/// Starts a server that never gets ready, interrupts once it runs, and returns its process number.
fn interrupted(pg: &TestPg, options: Options, prelude: &str) -> String {
    let trace = pg.scratch_dir().join("trace");
    let trace_it = format!("echo $$ > '{}'", trace.display());
    let launcher = impostor(
        pg,
        &format!("#!/bin/sh\n{prelude}\n{trace_it}\nexec sleep 600\n"),
    );
    let cancel = Cancel::new();
    let error = std::thread::scope(|scope| {
        let start = || PrivateServer::start_with(options, &launcher, &pg.pgdata(), &cancel);
        let starting = scope.spawn(start);
        wait_for(&trace);
        cancel.raise(15);
        starting.join().unwrap().err().expect("the server started")
    });
    assert!(
        matches!(error, PrivateServerError::Interrupted(_)),
        "{error}"
    );
    wait_for(&trace)
}

#[test]
fn an_interruption_while_waiting_ends_the_server() {
    let Some(pg) = crashed_cluster() else { return };
    let pid = interrupted(&pg, options(&pg), "");
    assert!(!Path::new("/proc").join(pid).exists());
    assert_nothing_left(&pg);
}

#[test]
fn a_server_that_heeds_no_signal_is_killed() {
    let Some(pg) = crashed_cluster() else { return };
    let impatient = Options {
        kill_after: Duration::from_millis(100),
        ..options(&pg)
    };
    let pid = interrupted(&pg, impatient, "trap '' QUIT");
    assert!(!Path::new("/proc").join(pid).exists());
    assert_nothing_left(&pg);
}

#[test]
fn recovery_is_not_waited_for_without_end() {
    let Some(pg) = crashed_cluster() else { return };
    let impatient = Options {
        recovery_limit: Duration::from_millis(100),
        ..options(&pg)
    };
    let launcher = impostor(&pg, "#!/bin/sh\nexec sleep 600\n");
    let outcome = PrivateServer::start_with(impatient, &launcher, &pg.pgdata(), &Cancel::new());
    let error = outcome.err().expect("the server started");
    assert!(matches!(error, PrivateServerError::Late { .. }), "{error}");
    assert_nothing_left(&pg);
}

#[test]
fn the_server_in_the_image_runs_confined_and_is_removed() {
    let Some(pg) = crashed_cluster() else { return };
    let notes = pg.scratch_dir().join("notes");
    let launcher = Launcher::Docker {
        docker: docker::stand_in(&pg.scratch_dir(), pg.bin(), &notes),
        image: "databasus/databasus:v3.42.0".to_owned(),
        major: 17,
    };
    let server =
        PrivateServer::start_with(options(&pg), &launcher, &pg.pgdata(), &Cancel::new()).unwrap();
    assert_eq!(value(&server, "SELECT count(*) FROM plans"), "1000");
    assert_eq!(server.stop().unwrap().state, ClusterState::ShutDown);
    let notes = std::fs::read_to_string(notes).unwrap();
    for expected in [
        "--network=none",
        "--cap-drop=ALL",
        "--read-only",
        "--entrypoint=/usr/lib/postgresql/17/bin/postgres\ndatabasus/databasus:v3.42.0\n-D\n/escrow/pgdata\n",
        "\nrm\n--force\n",
    ] {
        assert!(notes.contains(expected), "{expected} is not in {notes}");
    }
    assert_nothing_left(&pg);
}

fn amcheck(pg: &TestPg) -> AmcheckReport {
    let server = start(pg).unwrap();
    let mut session = server.connect("databasus").unwrap();
    let report = amcheck::check(&mut session).unwrap();
    assert_eq!(
        session
            .simple_query("SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'")
            .unwrap(),
        [[Some("0".to_owned())]]
    );
    report
}

#[test]
fn amcheck_passes_on_a_sound_database_and_leaves_nothing_in_it() {
    let Some(pg) = crashed_cluster() else { return };
    let report = amcheck(&pg);
    assert!(report.available);
    assert!(report.relations > 100, "{report:?}");
    assert_eq!(report.corruptions, Vec::<String>::new());
}

/// The file of a relation, relative to pgdata, after a checkpoint has written it.
fn file_of(pg: &TestPg, relation: &str) -> PathBuf {
    pg.psql("CHECKPOINT");
    let path = pg.psql(&format!("SELECT pg_relation_filepath('{relation}')"));
    pg.pgdata().join(path)
}

/// Overwrites part of a file's page number `page`.
fn damage(file: &Path, page: usize, offset: usize, bytes: &[u8]) {
    let mut content = std::fs::read(file).unwrap();
    let at = page * 8192 + offset;
    content[at..at + bytes.len()].copy_from_slice(bytes);
    std::fs::write(file, content).unwrap();
}

#[test]
fn amcheck_finds_damaged_indexes_and_tables_and_goes_on_after_each() {
    let Some(mut pg) = TestPg::start() else {
        return;
    };
    pg.psql("CREATE TABLE plans AS SELECT n, md5(n::text) AS text FROM generate_series(1, 5000) n");
    pg.psql("CREATE INDEX plans_text ON plans (text); CREATE INDEX plans_n ON plans (n)");
    let (index, table) = (file_of(&pg, "plans_text"), file_of(&pg, "plans"));
    pg.stop_cleanly();
    damage(&index, 1, 4096, &[0x5A; 2048]);
    // The first line pointer of the table's second page: 28 bytes in use (LP_NORMAL) at offset
    // 32752, beyond the page.
    damage(
        &table,
        1,
        24,
        &(0x7FF0_u32 | 1 << 15 | 28 << 17).to_le_bytes(),
    );
    let report = amcheck(&pg);
    let about = |name: &str| report.corruptions.iter().any(|line| line.starts_with(name));
    assert!(about("plans_text: ") && about("plans: "), "{report:#?}");
}

#[test]
fn amcheck_that_cannot_be_installed_is_unknown_and_no_pass() {
    let Some(mut pg) = TestPg::start() else {
        return;
    };
    pg.psql("CREATE SCHEMA escrow_amcheck");
    pg.stop();
    assert_eq!(amcheck(&pg), AmcheckReport::default());
}
