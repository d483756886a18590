//! A real PostgreSQL, laid out and configured as inside the Databasus container.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::postgres::socket::ServerAddress;
use databasus_escrow::postgres::wire::Connection;

use super::needed;

/// PostgreSQL refuses to run as root: where tests do, servers get the uid and gid of `nobody`.
const NOBODY: u32 = 65534;

/// Keeps a server no longer than the pipe to its standard input is open, so that no server
/// outlives a test process that was killed. SIGQUIT is PostgreSQL's immediate shutdown.
const WATCHDOG: &str = r#""$@" </dev/null & read _; kill -QUIT $! 2>/dev/null; wait"#;

/// A server of its own, stopped at once and removed when dropped.
pub struct TestPg {
    bin: PathBuf,
    launcher: Vec<String>,
    settings: Vec<String>,
    home: tempfile::TempDir,
    port: u16,
    running: Option<(Child, ChildStdin)>,
}

impl TestPg {
    /// Starts PostgreSQL 17 with an empty database `databasus`; none, audibly, where the
    /// machine has no PostgreSQL for tests.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with server settings such as `max_wal_size=64MB`.
    pub fn start_with(settings: &[&str]) -> Option<Self> {
        Some(Self::create(
            needed("ESCROW_TEST_PG_BIN")?,
            &[],
            settings,
            &[],
        ))
    }

    /// The same with arguments for `initdb`, such as `--data-checksums`.
    pub fn start_initialized(initdb: &[&str]) -> Option<Self> {
        Some(Self::create(
            needed("ESCROW_TEST_PG_BIN")?,
            &[],
            &[],
            initdb,
        ))
    }

    /// The same with the server run by `launcher`: `ip netns exec NAME`.
    pub fn start_under(launcher: &[&str]) -> Option<Self> {
        Some(Self::create(
            needed("ESCROW_TEST_PG_BIN")?,
            launcher,
            &[],
            &[],
        ))
    }

    /// A server that is to be started on a data directory which the test still has to make.
    pub fn prepare() -> Option<Self> {
        Some(Self::prepare_with(&needed("ESCROW_TEST_PG_BIN")?))
    }

    /// The same by the programs in `bin`.
    pub fn prepare_with(bin: &Path) -> Self {
        Self::on_nothing(bin.to_owned(), &[], &[])
    }

    fn create(bin: PathBuf, launcher: &[&str], settings: &[&str], initdb: &[&str]) -> Self {
        let mut server = Self::on_nothing(bin, launcher, settings);
        server.initialize(initdb);
        server.start_again();
        server.psql_in("postgres", "CREATE DATABASE databasus");
        server
    }

    /// A running cluster of nobody's instance, by the programs in `bin`: with no database but
    /// its own.
    pub fn cluster(bin: &Path, settings: &[&str], initdb: &[&str]) -> Self {
        let mut server = Self::on_nothing(bin.to_owned(), &[], settings);
        server.initialize(initdb);
        server.start_again();
        server
    }

    /// Another server of the same programs and settings on a copy of this one's data directory,
    /// which must be stopped in order; neither runs.
    pub fn copy(&self) -> Self {
        assert!(self.running.is_none(), "the server runs");
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        let copy = Self::on_nothing(self.bin.clone(), &[], &settings);
        let (from, to) = (self.pgdata(), copy.pgdata());
        let copied = Command::new("cp").arg("-a").args([from, to]).status();
        assert!(copied.unwrap().success());
        copy
    }

    fn on_nothing(bin: PathBuf, launcher: &[&str], settings: &[&str]) -> Self {
        Self {
            bin,
            launcher: owned(launcher),
            settings: owned(settings),
            home: home_directory(),
            port: 0,
            running: None,
        }
    }

    fn initialize(&self, extra: &[&str]) {
        let pgdata = self.pgdata().display().to_string();
        let mut args = vec!["-D", &pgdata, "-U", "postgres", "--auth=trust", "--no-sync"];
        args.extend(["--encoding=UTF8", "--locale=C.UTF-8"]);
        args.extend(extra);
        let output = self.run("initdb", &args);
        assert!(output.status.success(), "initdb failed: {output:?}");
    }

    /// Starts the stopped server again, on another port if the old one has been taken.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "the server runs already");
        for _ in 0..5 {
            if self.port == 0 {
                self.port = free_port();
            }
            self.spawn();
            if self.wait_until_ready() {
                return;
            }
            self.stop();
            self.port = 0;
        }
        panic!("PostgreSQL does not start: {}", self.log());
    }

    fn spawn(&mut self) {
        let mut command = Command::new("sh");
        command.args(["-c", WATCHDOG, "watchdog"]);
        command.args(&self.launcher);
        if is_root() && !self.launcher.is_empty() {
            command.args([
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
            ]);
        } else {
            unprivileged(&mut command);
        }
        command
            .arg(self.bin.join("postgres"))
            .args(self.arguments());
        let log = std::fs::File::create(self.home.path().join("server.log")).unwrap();
        let mut child = command
            .env("HOME", self.home.path())
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let pipe = child.stdin.take().unwrap();
        self.running = Some((child, pipe));
    }

    fn arguments(&self) -> Vec<String> {
        let mut args = vec!["-D".to_owned(), self.pgdata().display().to_string()];
        let fixed = [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", self.socket_dir().display()),
            "fsync=off".to_owned(),
        ];
        for setting in fixed.iter().chain(&self.settings) {
            args.extend(["-c".to_owned(), setting.clone()]);
        }
        args
    }

    fn wait_until_ready(&self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        let (port, socket) = (self.port.to_string(), self.socket_dir());
        let args = ["-q", "-h", socket.to_str().unwrap(), "-p", &port];
        while Instant::now() < deadline {
            if self.run("pg_isready", &args).status.success() {
                return self.pgdata().join("postmaster.pid").exists();
            }
            if self.log().contains("database system is shut down") {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// Stops the server as a crash would (immediate shutdown); stopping twice is no error.
    pub fn stop(&mut self) {
        if let Some((mut child, pipe)) = self.running.take() {
            drop(pipe);
            let _ = child.wait();
        }
    }

    /// Stops the server in order (fast shutdown), as `docker stop` does to Databasus.
    pub fn stop_cleanly(&mut self) {
        let pgdata = self.pgdata().display().to_string();
        let output = self.run("pg_ctl", &["stop", "-w", "-m", "fast", "-D", &pgdata]);
        assert!(output.status.success(), "pg_ctl stop failed: {output:?}");
        self.stop();
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the server's Unix socket lies.
    pub fn socket_dir(&self) -> PathBuf {
        self.home.path().join("socket")
    }

    /// The folder with the server's own programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// What Databasus would mount as `/databasus-data`.
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("databasus-data")
    }

    /// The cluster inside the data directory.
    pub fn pgdata(&self) -> PathBuf {
        self.data_dir().join("pgdata")
    }

    /// A folder for a test's own files that the server's user may write to.
    pub fn scratch_dir(&self) -> PathBuf {
        self.home.path().join("scratch")
    }

    /// What the server has written to its log since it was last started.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.home.path().join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A session with the metadata database.
    pub fn session(&self) -> Connection {
        let address = ServerAddress::Unix {
            directory: self.socket_dir(),
            port: self.port(),
        };
        let parameters = [("user", "postgres"), ("database", "databasus")];
        Connection::connect(&address, &parameters, &Cancel::new()).unwrap()
    }

    /// Runs SQL in the database `databasus` with stock psql; unaligned rows, trimmed.
    pub fn psql(&self, sql: &str) -> String {
        self.psql_in("databasus", sql)
    }

    /// Runs SQL in any database of the server.
    pub fn psql_in(&self, database: &str, sql: &str) -> String {
        let (port, socket) = (self.port.to_string(), self.socket_dir());
        let output = self.run(
            "psql",
            &[
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                socket.to_str().unwrap(),
                "-p",
                &port,
                "-U",
                "postgres",
                "-d",
                database,
                "-c",
                sql,
            ],
        );
        assert!(output.status.success(), "psql failed on {sql}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs one of the server's programs as the user that owns the data directory.
    pub fn run(&self, tool: &str, args: &[&str]) -> Output {
        self.command(tool).args(args).output().unwrap()
    }

    /// One of the server's programs, ready to be run as the user that owns the data directory.
    pub fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(self.bin.join(tool));
        unprivileged(&mut command);
        command
            .env("HOME", self.home.path())
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        command
    }

    /// Writes the data directory's `secret.key`, mode 0600.
    pub fn write_secret_key(&self, bytes: &[u8]) {
        self.write_data_file("secret.key", bytes, 0o600);
    }

    /// Writes the data directory's `instance.json`.
    pub fn write_instance_json(&self, text: &str) {
        self.write_data_file("instance.json", text.as_bytes(), 0o644);
    }

    fn write_data_file(&self, name: &str, bytes: &[u8], mode: u32) {
        let path = self.data_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Hands a tree that a test made over to the user that the server runs as.
    pub fn give_to_server(&self, path: &Path) {
        if is_root() {
            give_away(path);
        }
    }
}

impl Drop for TestPg {
    fn drop(&mut self) {
        self.stop();
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn unprivileged(command: &mut Command) {
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
}

fn home_directory() -> tempfile::TempDir {
    let home = tempfile::Builder::new()
        .prefix("escrow-pg-")
        .tempdir_in("/tmp")
        .unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["databasus-data", "socket", "scratch"] {
        std::fs::create_dir(home.path().join(name)).unwrap();
    }
    if is_root() {
        give_away(home.path());
    }
    home
}

fn give_away(path: &Path) {
    std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn the_test_server_answers_and_comes_back() {
    let Some(mut server) = TestPg::start_with(&["max_wal_size=64MB"]) else {
        return;
    };
    assert_eq!(server.psql("SHOW max_wal_size"), "64MB");
    server.stop();
    server.start_again();
    assert_eq!(server.psql("SELECT current_database()"), "databasus");
}
