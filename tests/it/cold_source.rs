//! Copies of real clusters' files: stopped, frozen, and what is refused.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::time::{Clock, SystemClock, UtcTime};
use databasus_escrow::postgres::binaries::{Docker, Launcher, PgBinaries};
use databasus_escrow::postgres::control_file::{ClusterState, ControlFile};
use databasus_escrow::postgres::private_server::{Options, PrivateServer};
use databasus_escrow::postgres::socket::ServerAddress;
use databasus_escrow::postgres::stopped::{self, Container};
use databasus_escrow::source::auto::auto;
use databasus_escrow::source::cold::ColdSource;
use databasus_escrow::source::frozen::{FrozenSettings, FrozenSource};
use databasus_escrow::source::online::{OnlineSettings, OnlineSource};
use databasus_escrow::source::{
    EntryReceipt, EntrySink, Method, PgFacts, SinkError, Source, SourceContent, SourceEntry,
    SourceError,
};

use crate::support::postgres::TestPg;

/// A running server with a table of 1000 rows, not all of which a checkpoint has written.
fn cluster() -> Option<TestPg> {
    let pg = TestPg::start()?;
    pg.psql("CREATE TABLE plans AS SELECT n, md5(n::text) AS text FROM generate_series(1, 500) n");
    pg.psql("CREATE INDEX plans_text ON plans (text)");
    pg.psql("CHECKPOINT");
    pg.psql("INSERT INTO plans SELECT n, md5(n::text) FROM generate_series(501, 1000) n");
    Some(pg)
}

fn stopped_cluster() -> Option<TestPg> {
    let mut pg = cluster()?;
    pg.stop_cleanly();
    Some(pg)
}

/// Kills the server so that it can do nothing more, `postmaster.pid` stays, and waits until no
/// child of it is left.
fn kill(pg: &mut TestPg) {
    let lock = std::fs::read_to_string(pg.pgdata().join("postmaster.pid")).unwrap();
    let pid: i32 = lock.lines().next().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    pg.stop();
    let deadline = Instant::now() + Duration::from_secs(30);
    while stopped::process_in(&pg.pgdata()).unwrap().is_some() {
        assert!(Instant::now() < deadline, "a killed server is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A source that relies on the word of a container engine, as it can be had on any machine.
fn cold(pg: &TestPg) -> ColdSource {
    cold_with(pg, Some(exited(pg)), Cancel::new())
}

fn exited(pg: &TestPg) -> Container {
    let mount = std::fs::canonicalize(pg.data_dir()).unwrap();
    container(pg, &format!("exited\n{}", mount.display()), 0)
}

fn cold_with(pg: &TestPg, container: Option<Container>, cancel: Cancel) -> ColdSource {
    ColdSource::new(pg.data_dir(), container, Arc::new(SystemClock), cancel)
}

/// Writes entries below a folder, after a look at each entry's path.
struct Extract<'a> {
    root: PathBuf,
    look: Box<dyn FnMut(&str) + 'a>,
    paths: Vec<String>,
}

impl<'a> Extract<'a> {
    fn into(pg: &TestPg) -> Self {
        Self::looking(pg, |_| ())
    }

    fn looking(pg: &TestPg, look: impl FnMut(&str) + 'a) -> Self {
        let root = pg.scratch_dir().join("extracted");
        std::fs::create_dir(&root).unwrap();
        Self {
            root,
            look: Box::new(look),
            paths: Vec::new(),
        }
    }
}

impl EntrySink for Extract<'_> {
    fn entry(&mut self, entry: SourceEntry<'_>) -> Result<EntryReceipt, SinkError> {
        (self.look)(&entry.path);
        let place = self.root.join(&entry.path);
        let mut bytes = Vec::new();
        match entry.content {
            SourceContent::Directory => std::fs::create_dir(&place).unwrap(),
            SourceContent::File { size, reader } => {
                reader.read_to_end(&mut bytes).map_err(|source| SinkError {
                    path: entry.path.clone(),
                    source,
                })?;
                assert_eq!(bytes.len() as u64, size, "{}", entry.path);
                std::fs::write(&place, &bytes).unwrap();
            }
        }
        let mode = std::fs::Permissions::from_mode(entry.mode);
        std::fs::set_permissions(&place, mode).unwrap();
        self.paths.push(entry.path);
        Ok(EntryReceipt {
            sha256: Digest::of(&bytes),
        })
    }
}

/// Runs a source from beginning to end.
fn copy(source: &mut dyn Source, sink: &mut dyn EntrySink) -> Result<PgFacts, SourceError> {
    let outcome = source.begin().and_then(|_| source.copy_pgdata(sink));
    let finished = source.finish();
    let facts = outcome?;
    finished?;
    Ok(facts)
}

/// Recovers the copy, compares it with what the cluster held, and shuts it down.
fn assert_recovers(pg: &TestPg, extracted: &Path) {
    let pgdata = extracted.join("pgdata");
    pg.give_to_server(&pgdata);
    let launcher = Launcher::Local(PgBinaries::inspect(pg.bin()).unwrap());
    let options = Options {
        scratch: pg.scratch_dir(),
        ..Options::default()
    };
    let server = PrivateServer::start_with(options, &launcher, &pgdata, &Cancel::new()).unwrap();
    let mut session = server.connect("databasus").unwrap();
    let rows = session
        .simple_query("SELECT count(*), count(DISTINCT text) FROM plans")
        .unwrap();
    assert_eq!(rows, [[Some("1000".to_owned()), Some("1000".to_owned())]]);
    drop(session);
    assert_eq!(server.stop().unwrap().state, ClusterState::ShutDown);
}

fn told(error: &SourceError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn refusal(source: &mut dyn Source) -> String {
    told(&source.begin().expect_err("the source was accepted"))
}

#[test]
fn a_cleanly_stopped_cluster_is_copied_and_lives_again() {
    let Some(pg) = stopped_cluster() else { return };
    let mut sink = Extract::into(&pg);
    let facts = copy(&mut cold(&pg), &mut sink).unwrap();
    let control = ControlFile::of(&pg.pgdata()).unwrap();
    assert_eq!(facts.pg_version, "17");
    assert_eq!(facts.system_identifier, control.system_identifier);
    assert_eq!(facts.stop_lsn, Some(control.checkpoint.to_string()));
    assert_eq!(sink.paths.first().map(String::as_str), Some("pgdata"));
    assert_eq!(
        sink.paths.last().map(String::as_str),
        Some("pgdata/global/pg_control")
    );
    assert_recovers(&pg, &sink.root);
}

#[test]
fn a_killed_cluster_is_copied_and_recovers() {
    let Some(mut pg) = cluster() else { return };
    kill(&mut pg);
    assert!(pg.pgdata().join("postmaster.pid").exists());
    let mut sink = Extract::into(&pg);
    let facts = copy(&mut cold(&pg), &mut sink).unwrap();
    assert_eq!(facts.stop_lsn, None);
    assert!(!sink.paths.iter().any(|path| path.contains("postmaster")));
    assert_recovers(&pg, &sink.root);
}

#[test]
fn the_estimate_is_what_is_copied() {
    let Some(pg) = stopped_cluster() else { return };
    let mut sink = Extract::into(&pg);
    let mut source = cold(&pg);
    let estimate = source.begin().unwrap();
    source.copy_pgdata(&mut sink).unwrap();
    let sizes = sink.paths.iter().map(|path| {
        let metadata = sink.root.join(path).metadata().unwrap();
        if metadata.is_file() {
            metadata.len()
        } else {
            0
        }
    });
    assert_eq!(sizes.sum::<u64>(), estimate);
}

#[test]
fn the_files_of_a_running_server_are_refused() {
    let Some(pg) = cluster() else { return };
    for container in [None, Some(exited(&pg))] {
        let text = refusal(&mut cold_with(&pg, container, Cancel::new()));
        assert!(text.contains("is working in"), "{text}");
    }
}

#[test]
fn a_server_that_comes_to_life_meanwhile_fails_the_copy() {
    let Some(mut pg) = stopped_cluster() else {
        return;
    };
    let mut source = cold(&pg);
    let mut sink = Extract::into(&pg);
    source.begin().unwrap();
    pg.start_again();
    let error = source.copy_pgdata(&mut sink).unwrap_err();
    assert!(matches!(error, SourceError::NotStopped(_)), "{error:?}");
}

/// What a copy says when `change` is made to the cluster while `at` is being copied.
fn disturbed(at: &'static str, change: impl Fn(&Path)) -> Option<String> {
    let pg = stopped_cluster()?;
    let pgdata = pg.pgdata();
    let look = |path: &str| {
        if path == at {
            change(&pgdata);
        }
    };
    let mut sink = Extract::looking(&pg, look);
    let error = copy(&mut cold(&pg), &mut sink).expect_err("the change went unnoticed");
    Some(told(&error))
}

#[test]
fn a_file_that_grows_before_its_turn_fails_the_copy() {
    let grow = |pgdata: &Path| {
        std::fs::write(pgdata.join("postgresql.auto.conf"), "# one line more\n").unwrap();
    };
    let Some(text) = disturbed("pgdata/base", grow) else {
        return;
    };
    assert!(
        text.ends_with("postgresql.auto.conf changed while it was being copied"),
        "{text}"
    );
}

#[test]
fn a_file_that_changes_in_its_turn_fails_the_copy() {
    let cut = |pgdata: &Path| {
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(pgdata.join("postgresql.conf"));
        file.unwrap().set_len(10).unwrap();
    };
    let Some(text) = disturbed("pgdata/postgresql.conf", cut) else {
        return;
    };
    assert!(
        text.ends_with("postgresql.conf changed while it was being copied"),
        "{text}"
    );
}

#[test]
fn a_file_that_changes_after_its_turn_fails_the_copy() {
    let rewrite = |pgdata: &Path| {
        let file = pgdata.join("PG_VERSION");
        std::fs::write(&file, std::fs::read(&file).unwrap()).unwrap();
    };
    let Some(text) = disturbed("pgdata/global/pg_control", rewrite) else {
        return;
    };
    assert!(
        text.ends_with("PG_VERSION changed while it was being copied"),
        "{text}"
    );
}

#[test]
fn files_that_come_and_go_fail_the_copy() {
    let come = |pgdata: &Path| std::fs::write(pgdata.join("base/new"), "").unwrap();
    let Some(text) = disturbed("pgdata/pg_wal", come) else {
        return;
    };
    assert!(
        text.ends_with("base/new changed while it was being copied"),
        "{text}"
    );
    let go = |pgdata: &Path| std::fs::remove_file(pgdata.join("pg_ident.conf")).unwrap();
    let Some(text) = disturbed("pgdata/base", go) else {
        return;
    };
    assert!(
        text.ends_with("pg_ident.conf changed while it was being copied"),
        "{text}"
    );
}

#[test]
fn a_damaged_control_file_fails_the_copy() {
    let Some(pg) = stopped_cluster() else { return };
    let path = pg.pgdata().join("global/pg_control");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = copy(&mut cold(&pg), &mut Extract::into(&pg)).unwrap_err();
    assert_eq!(told(&error), "the checksum of pg_control is wrong");
}

#[test]
fn data_outside_of_the_directory_is_refused_with_a_hint() {
    let Some(mut pg) = cluster() else { return };
    let place = pg.scratch_dir().join("elsewhere");
    std::fs::create_dir(&place).unwrap();
    pg.give_to_server(&place);
    pg.psql(&format!(
        "CREATE TABLESPACE elsewhere LOCATION '{}'",
        place.display()
    ));
    pg.stop_cleanly();
    let text = refusal(&mut cold(&pg));
    assert!(
        text.contains("pg_tblspc") && text.contains("tablespace"),
        "{text}"
    );
}

#[test]
fn what_is_no_cluster_is_refused() {
    let Some(pg) = stopped_cluster() else { return };
    std::fs::remove_file(pg.pgdata().join("global/pg_control")).unwrap();
    let text = refusal(&mut cold(&pg));
    assert!(
        text.ends_with("is no PostgreSQL data directory: it has no global/pg_control"),
        "{text}"
    );
}

#[test]
fn an_interruption_ends_the_copy_as_such() {
    let Some(pg) = stopped_cluster() else { return };
    let cancel = Cancel::new();
    let mut source = cold_with(&pg, Some(exited(&pg)), cancel.clone());
    let mut sink = Extract::looking(&pg, |path| {
        if path == "pgdata/base/1/1259" {
            cancel.raise(15);
        }
    });
    let error = copy(&mut source, &mut sink).unwrap_err();
    assert!(matches!(error, SourceError::Interrupted(_)), "{error:?}");
}

/// A container whose engine answers with `answer` and ends with `status`.
fn container(pg: &TestPg, answer: &str, status: u8) -> Container {
    let program = pg.scratch_dir().join("docker");
    let text = format!("#!/bin/sh\necho '{answer}'\necho 'no such container' >&2\nexit {status}\n");
    // By way of another process: see `write_program` of the private server's tests.
    let script = [
        "-c",
        r#"printf '%s' "$2" > "$1" && chmod 755 "$1""#,
        "write",
    ];
    let written = Command::new("sh")
        .args(script)
        .arg(&program)
        .arg(text)
        .status();
    assert!(written.unwrap().success());
    Container {
        docker: Docker {
            program,
            environment: Vec::new(),
        },
        name: "databasus".to_owned(),
    }
}

#[test]
fn a_container_that_has_exited_and_mounts_the_directory_is_proof() {
    let Some(pg) = stopped_cluster() else { return };
    let mount = std::fs::canonicalize(pg.data_dir()).unwrap();
    let accepted = |answer: &str, status: u8| {
        let container = container(&pg, answer, status);
        cold_with(&pg, Some(container), Cancel::new())
            .begin()
            .map_err(|error| told(&error))
    };
    accepted(&format!("exited\n/var/lib/other\n{}", mount.display()), 0).unwrap();
    for (answer, status, expected) in [
        (
            format!("running\n{}", mount.display()),
            0,
            "container databasus is running",
        ),
        (
            format!("paused\n{}", mount.display()),
            0,
            "container databasus is paused",
        ),
        (
            "exited\n/somewhere/else".to_owned(),
            0,
            "so its state proves nothing",
        ),
        ("exited".to_owned(), 0, "so its state proves nothing"),
        (String::new(), 1, "no such container"),
    ] {
        let text = accepted(&answer, status).unwrap_err();
        assert!(text.ends_with(expected), "{text}");
    }
}

/// Whether this process sees every process of the machine and may examine it.
fn sees_everything() -> bool {
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap();
    rustix::process::geteuid().is_root() && namespace == Path::new("pid:[4026531836]")
}

#[test]
fn without_a_container_the_processes_of_the_whole_machine_are_proof() {
    let Some(pg) = stopped_cluster() else { return };
    match cold_with(&pg, None, Cancel::new()).begin() {
        Ok(_) => assert!(sees_everything()),
        Err(error) => {
            let text = told(&error);
            assert!(!sees_everything(), "{text}");
            assert!(
                text.contains("cannot prove that no server works on "),
                "{text}"
            );
        }
    }
}

/// Copies a tree while every process that works in its `pgdata` is halted, as an atomic
/// snapshot would.
const FREEZE: &str = r#"
for process in /proc/[0-9]*; do
  if [ "$(readlink "$process/cwd")" = "$1/pgdata" ]; then halted="$halted ${process#/proc/}"; fi
done
kill -STOP $halted
cp -a "$1" "$2"
kill -CONT $halted
"#;

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn freezing(pg: &TestPg) -> (FrozenSettings, PathBuf) {
    let frozen = pg.scratch_dir().join("frozen");
    let (from, to) = (pg.data_dir(), frozen.to_str().unwrap());
    let settings = FrozenSettings {
        data_dir: frozen.clone(),
        prepare: argv(&[
            "/bin/sh",
            "-c",
            FREEZE,
            "freeze",
            from.to_str().unwrap(),
            to,
        ]),
        release: argv(&["/bin/rm", "-rf", to]),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
    };
    (settings, frozen)
}

fn frozen_source(settings: FrozenSettings) -> FrozenSource {
    FrozenSource::new(settings, Arc::new(SystemClock), Cancel::new())
}

#[test]
fn a_frozen_tree_of_a_running_server_recovers_and_is_released() {
    let Some(pg) = cluster() else { return };
    let (settings, frozen) = freezing(&pg);
    let before = SystemClock.now();
    let mut source = frozen_source(settings);
    let mut sink = Extract::into(&pg);
    source.begin().unwrap();
    assert!(frozen.join("pgdata/postmaster.pid").exists());
    pg.psql("DELETE FROM plans");
    let facts = source.copy_pgdata(&mut sink).unwrap();
    source.finish().unwrap();
    assert!(!frozen.exists());
    assert!(facts.snapshot_at >= before && facts.snapshot_at <= SystemClock.now());
    assert!(!sink.paths.iter().any(|path| path.contains("postmaster")));
    assert_recovers(&pg, &sink.root);
}

#[test]
fn a_frozen_tree_is_released_after_failures_too() {
    let Some(pg) = cluster() else { return };
    let (settings, frozen) = freezing(&pg);
    let mut source = frozen_source(settings);
    source.begin().unwrap();
    let control = frozen.join("pgdata/global/pg_control");
    std::fs::write(&control, "torn").unwrap();
    let error = source.copy_pgdata(&mut Extract::into(&pg)).unwrap_err();
    assert!(matches!(error, SourceError::ControlFile(_)), "{error:?}");
    source.finish().unwrap();
    assert!(!frozen.exists());
}

#[test]
fn a_failing_prepare_is_told_with_its_last_words_and_released() {
    let Some(pg) = stopped_cluster() else { return };
    let trace = pg.scratch_dir().join("released");
    let settings = FrozenSettings {
        data_dir: pg.data_dir(),
        prepare: argv(&[
            "/bin/sh",
            "-c",
            "echo trying >&2; echo no such pool >&2; exit 3",
        ]),
        release: argv(&["/usr/bin/touch", trace.to_str().unwrap()]),
        environment: Vec::new(),
    };
    let mut source = frozen_source(settings);
    let text = refusal(&mut source);
    assert!(
        text.starts_with("the prepare command /bin/sh failed"),
        "{text}"
    );
    assert!(text.ends_with(": no such pool"), "{text}");
    source.finish().unwrap();
    assert!(trace.exists());
}

#[test]
fn a_tree_that_a_server_works_on_is_not_frozen() {
    let Some(pg) = cluster() else { return };
    let settings = FrozenSettings {
        data_dir: pg.data_dir(),
        ..FrozenSettings::default()
    };
    let error = copy(&mut frozen_source(settings), &mut Extract::into(&pg)).unwrap_err();
    assert!(matches!(error, SourceError::NotStopped(_)), "{error:?}");
}

#[test]
fn a_tree_that_was_frozen_earlier_is_no_younger_than_its_files() {
    let Some(pg) = stopped_cluster() else { return };
    let settings = FrozenSettings {
        data_dir: pg.data_dir(),
        ..FrozenSettings::default()
    };
    let year_2000 = std::time::UNIX_EPOCH + Duration::from_secs(946_684_800);
    age(&pg.pgdata(), year_2000);
    let facts = copy(&mut frozen_source(settings), &mut Extract::into(&pg)).unwrap();
    assert_eq!(facts.snapshot_at, UtcTime::from_unix(946_684_800));
}

fn age(path: &Path, time: std::time::SystemTime) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            age(&entry.unwrap().path(), time);
        }
    } else {
        std::fs::File::open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
}

/// A port on which nothing listens.
fn silent_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn either(pg: &TestPg, port: u16) -> Box<dyn Source> {
    let settings = OnlineSettings {
        data_dir: pg.data_dir(),
        address: ServerAddress::Tcp {
            host: "127.0.0.1".to_owned(),
            port,
            netns: None,
        },
        user: "postgres".to_owned(),
        database: "databasus".to_owned(),
        pg_dump: None,
        search_path: std::ffi::OsString::new(),
        progress: Arc::new(|_| ()),
    };
    let online = OnlineSource::new(settings, Arc::new(SystemClock), Cancel::new());
    auto(Box::new(online), Box::new(cold(pg)))
}

#[test]
fn auto_takes_the_server_while_it_answers_and_the_files_afterwards() {
    let Some(mut pg) = cluster() else { return };
    let mut source = either(&pg, pg.port());
    source.begin().unwrap();
    assert_eq!(source.method(), Method::Online);
    source.finish().unwrap();
    pg.stop();
    let mut source = either(&pg, silent_port());
    let mut sink = Extract::into(&pg);
    copy(&mut *source, &mut sink).unwrap();
    assert_eq!(source.method(), Method::Cold);
    assert!(!source.copy_logical(&mut |_| Ok(())).unwrap());
    assert_recovers(&pg, &sink.root);
}

#[test]
fn auto_explains_both_ways_when_neither_is_open() {
    let Some(pg) = cluster() else { return };
    let text = refusal(&mut *either(&pg, silent_port()));
    assert!(
        text.starts_with("the server does not answer (cannot reach PostgreSQL at "),
        "{text}"
    );
    assert!(text.contains("is working in"), "{text}");
}

#[test]
fn auto_does_not_pass_by_a_server_that_refuses() {
    let Some(pg) = cluster() else { return };
    pg.psql("CREATE SCHEMA escrow_fence");
    let error = either(&pg, pg.port()).begin().unwrap_err();
    assert!(matches!(error, SourceError::Clone), "{error:?}");
}
