//! The command line on real parts: the binary in a clean environment, in a folder of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use age::secrecy::ExposeSecret;
use assert_cmd::assert::Assert;
use databasus_escrow::base::names::EscrowId;
use databasus_escrow::base::time::UtcTime;
use rustix::process::{Pid, Signal, kill_process};

use super::postgres::TestPg;

/// A folder for one test, and the environment that the binary sees: what is set here, and
/// nothing of the tests' own.
pub struct Sandbox {
    home: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Sandbox {
    /// An empty one.
    pub fn new() -> Self {
        let home = tempfile::Builder::new()
            .prefix("escrow-cli-")
            .tempdir_in("/tmp")
            .unwrap();
        // A server that is no root's must get through.
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["tmp", "box"] {
            std::fs::create_dir(home.path().join(name)).unwrap();
        }
        Self {
            home,
            variables: Vec::new(),
        }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Makes a folder in it.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Writes a file into it.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Sets a variable for every later run.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// The file with somebody's age identity; the recipient lies beside it.
    pub fn identity(&self, who: &str) -> PathBuf {
        let file = self.path(&format!("{who}.key"));
        if !file.exists() {
            let identity = age::x25519::Identity::generate();
            let recipient = identity.to_public().to_string();
            self.file(&format!("{who}.key"), identity.to_string().expose_secret());
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&file, private).unwrap();
            self.file(&format!("{who}.pub"), recipient);
        }
        file
    }

    /// Somebody's recipient.
    pub fn recipient(&self, who: &str) -> String {
        self.identity(who);
        std::fs::read_to_string(self.path(&format!("{who}.pub"))).unwrap()
    }

    /// The binary with these words, which are separated by blanks.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_databasus-escrow"));
        command
            .args(line.split_whitespace())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.home.path())
            .env("TMPDIR", self.path("tmp"))
            .envs(self.variables.iter().cloned())
            .current_dir(self.path("box"))
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, line: &str) -> Assert {
        assert_cmd::Command::from_std(self.command(line)).assert()
    }

    /// The same with something on its standard input.
    pub fn run_with_input(&self, line: &str, input: &str) -> Assert {
        assert_cmd::Command::from_std(self.command(line))
            .write_stdin(input)
            .assert()
    }

    /// A run that can be disturbed.
    pub fn start(&self, line: &str) -> Running {
        let mut command = self.command(line);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Running(child)
    }

    /// A small data directory of Databasus whose server is not running: a cluster's control
    /// file, a key, and nothing else. None where there is no PostgreSQL to make it with.
    pub fn tiny_instance(&self) -> Option<PathBuf> {
        let control = control_file()?;
        let data = self.folder("databasus-data");
        self.folder("databasus-data/pgdata/global");
        self.folder("databasus-data/pgdata/pg_wal");
        self.file("databasus-data/pgdata/PG_VERSION", "17\n");
        self.file("databasus-data/pgdata/global/pg_control", control);
        self.file("databasus-data/secret.key", SECRET_KEY);
        Some(data)
    }

    /// Initialises an instance named `demo` around a data directory, with directory stores of
    /// these names and alice as its custodian.
    pub fn host(&self, data: &Path, stores: &[&str]) -> Host<'_> {
        let argument = |name: &&str| format!("{name}=dir:{}", self.folder(name).display());
        let stores: Vec<String> = stores.iter().map(argument).collect();
        self.host_with(data, &stores, "")
    }

    /// The same with stores as the command line has them, and more arguments.
    pub fn host_with(&self, data: &Path, stores: &[String], more: &str) -> Host<'_> {
        let dir = self.path("host");
        let stores = words("--store", stores);
        let alice = self.recipient("alice");
        let line = format!(
            "init --json --dir {} --instance demo --data-dir {} --recipient alice={alice} {stores} {more}",
            dir.display(),
            data.display()
        );
        let document = json(&self.run(&line).success());
        Host {
            sandbox: self,
            config: dir.join("escrow.toml"),
            fingerprint: fingerprint(&document["card"]),
            stores,
        }
    }

    /// A host whose source is a small tree that stands still. None where there is nothing to
    /// make it with.
    pub fn frozen_host(&self, stores: &[&str]) -> Option<Host<'_>> {
        let data = self.tiny_instance()?;
        let host = self.host(&data, stores);
        host.set_method("frozen");
        Some(host)
    }

    /// Text of a run without what differs from run to run: names of this folder, ids, digests,
    /// times, sizes and the widths of columns.
    pub fn redacted(&self, text: &[u8]) -> String {
        let text = String::from_utf8(text.to_vec()).unwrap();
        let text = text.replace(&self.home.path().display().to_string(), "HOME");
        let lines = text.lines().map(|line| {
            let cells = line.split("  ").map(str::trim).map(redact);
            let cells: Vec<String> = cells.filter(|cell| !cell.is_empty()).collect();
            cells.join("  ")
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Two UUIDs, as Databasus makes it.
pub const SECRET_KEY: &str =
    "6f1c2b9e-0d4a-4c57-9a3e-5b8d7f2e1c06b2a4d8f0-7e13-4f69-8c25-1d9e3a7b5c40";

/// An initialised instance, from where its configuration lies.
pub struct Host<'a> {
    sandbox: &'a Sandbox,
    pub config: PathBuf,
    /// Of its signing key.
    pub fingerprint: String,
    stores: String,
}

impl Host<'_> {
    /// Runs the binary with this host's configuration.
    pub fn run(&self, line: &str) -> Assert {
        self.sandbox.run(&self.line(line))
    }

    /// Runs the binary with what the trust card says to read with, on a box that knows nothing of
    /// the source: where identities belong.
    pub fn run_elsewhere(&self, line: &str) -> Assert {
        self.sandbox.run(&format!("{line} {}", self.reading()))
    }

    /// A run that can be disturbed.
    pub fn start(&self, line: &str) -> Running {
        self.sandbox.start(&self.line(line))
    }

    fn line(&self, line: &str) -> String {
        format!("--config {} {line}", self.config.display())
    }

    /// Takes a snapshot, which must succeed; gives its report.
    pub fn snapshot(&self) -> serde_json::Value {
        json(&self.run("snapshot --json").success())
    }

    /// What the trust card says to read with, for boxes that have no configuration.
    pub fn reading(&self) -> String {
        format!(
            "--instance demo {} --trust {}",
            self.stores, self.fingerprint
        )
    }

    /// Changes the configuration.
    pub fn edit(&self, from: &str, to: &str) {
        replace(&self.config, from, to);
    }

    /// Chooses how snapshots are made.
    pub fn set_method(&self, method: &str) {
        self.edit(
            "# method = \"auto\"",
            &format!("method = \"{method}\" # \"auto\""),
        );
    }

    /// Gives the frozen source commands around it.
    pub fn set_commands(&self, prepare: &[&str], release: &[&str]) {
        self.edit("# [source.frozen]", "[source.frozen]");
        self.edit(
            "# prepare = ",
            &format!("prepare = {} # ", toml_words(prepare)),
        );
        self.edit(
            "# release = ",
            &format!("release = {} # ", toml_words(release)),
        );
    }
}

fn toml_words(words: &[&str]) -> String {
    format!("{words:?}")
}

/// A run of the binary.
pub struct Running(Child);

impl Running {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.0);
        kill_process(pid, signal).unwrap();
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Waits until something is so while it runs.
    pub fn wait_until(&mut self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            assert!(self.is_running(), "the run ended before {what}");
            assert!(Instant::now() < deadline, "{what}: not within a minute");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for its end.
    pub fn end(self) -> Assert {
        Assert::new(self.0.wait_with_output().unwrap())
    }
}

/// `option` before each of these.
pub fn words(option: &str, values: &[String]) -> String {
    let words: Vec<String> = values
        .iter()
        .map(|value| format!("{option} {value}"))
        .collect();
    words.join(" ")
}

/// Standard output as the one document that it is.
pub fn json(ran: &Assert) -> serde_json::Value {
    serde_json::from_slice(&ran.get_output().stdout).unwrap()
}

/// Standard error.
pub fn stderr(ran: &Assert) -> String {
    String::from_utf8(ran.get_output().stderr.clone()).unwrap()
}

/// Standard output.
pub fn stdout(ran: &Assert) -> String {
    String::from_utf8(ran.get_output().stdout.clone()).unwrap()
}

/// The fingerprint of the key that signs now, from a trust card.
pub fn fingerprint(card: &serde_json::Value) -> String {
    let signers = card["signers"].as_array().unwrap();
    let signer = signers
        .iter()
        .find(|signer| signer["valid_before"].is_null());
    signer.unwrap()["fingerprint"].as_str().unwrap().to_owned()
}

/// Every file below a folder with its content, by its path.
pub fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path.is_file() {
                found.push((path.clone(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Everything that a directory store holds, without what it keeps for itself.
pub fn objects(store: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = files(store);
    found.retain(|(path, _)| !path.starts_with(store.join(".uploads")));
    found
}

/// Unfinished uploads in a directory store.
pub fn uploads(store: &Path) -> usize {
    let folder = store.join(".uploads");
    let entries = std::fs::read_dir(folder).map_or(0, Iterator::count);
    entries - usize::from(store.join(".uploads/lock").exists())
}

/// The only file below a folder whose name ends so.
pub fn the_file(folder: &Path, end: &str) -> PathBuf {
    let mut found = files(folder)
        .into_iter()
        .filter(|(path, _)| path.to_string_lossy().ends_with(end));
    let (path, _) = found
        .next()
        .unwrap_or_else(|| panic!("no {end} in {folder:?}"));
    assert!(found.next().is_none(), "several {end} in {folder:?}");
    path
}

/// Replaces text in a file, where it must stand.
pub fn replace(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from:?} is not in {path:?}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// Changes one byte of a file.
pub fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn redact(cell: &str) -> String {
    let mut words: Vec<&str> = cell.split(' ').map(redact_word).collect();
    let is_count = |word: &str| word.parse::<f64>().is_ok();
    for at in 1..words.len() {
        let is_unit = ["B", "KiB", "MiB"].contains(&words[at].trim_end_matches(','));
        if is_unit && is_count(words[at - 1]) {
            words[at - 1] = "SIZE";
        }
        if words[at].starts_with("ago") {
            let open = words[at - 2].starts_with('(');
            words[at - 2] = if open { "(AGE" } else { "AGE" };
        }
        if words[at - 1] == "(in" {
            words[at] = "SOME";
        }
    }
    words.join(" ")
}

/// What a word stands for, where it is one of a kind.
fn redact_word(word: &str) -> &str {
    let bare = word.trim_matches(|c: char| "(),.;:`".contains(c));
    let is_hex = |length| bare.len() == length && bare.bytes().all(|b| b.is_ascii_hexdigit());
    if bare.parse::<EscrowId>().is_ok() {
        "ESCROW-ID"
    } else if bare.parse::<UtcTime>().is_ok() {
        "TIME"
    } else if bare.starts_with("SHA256:") {
        "FINGERPRINT"
    } else if bare.starts_with("0/") {
        "LSN"
    } else if is_hex(64) {
        "DIGEST"
    } else if is_hex(32) {
        "KEY-ID"
    } else if bare.split_once(':').is_some_and(|(_, hex)| hex.len() == 64) {
        "MARK"
    } else if bare.len() == 19 && bare.bytes().all(|b| b.is_ascii_digit()) {
        "SYSTEM"
    } else {
        word
    }
}

/// `global/pg_control` of a cluster that initdb has just made.
fn control_file() -> Option<&'static [u8]> {
    static CONTROL: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let made = CONTROL.get_or_init(|| {
        let server = TestPg::prepare()?;
        let pgdata = server.pgdata().display().to_string();
        let output = server.run("initdb", &["-D", &pgdata, "-U", "postgres", "--no-sync"]);
        assert!(output.status.success(), "initdb failed: {output:?}");
        Some(std::fs::read(server.pgdata().join("global/pg_control")).unwrap())
    });
    if made.is_none() {
        super::needed("ESCROW_TEST_PG_BIN");
    }
    made.as_deref()
}
