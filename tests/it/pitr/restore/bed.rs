//! A storage in a folder, and the command in front of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use assert_cmd::assert::Assert;
use jiff::Timestamp;
use serde_json::Value;

use crate::support::chains::{Chain, KEY};
use crate::support::fixture::Fixture;
use crate::support::postgres::TestPg;
use crate::support::sandbox::{Sandbox, json, stderr};

/// Where something is to be rewound to, and from what.
pub struct Bed {
    pub sandbox: Sandbox,
    /// What `--from` takes.
    from: String,
    database: String,
    bin: PathBuf,
}

impl Bed {
    /// Over a chain, with PostgreSQL of its major.
    pub fn of(chain: &Chain) -> Self {
        let bin = chain.programs().unwrap();
        let sandbox = Sandbox::new();
        let bucket = sandbox.folder("bucket");
        chain.write_to(&bucket);
        Self::new(sandbox, bucket, &chain.name, bin, KEY.as_bytes())
    }

    /// Over a real instance's bucket.
    pub fn of_fixture(fixture: &Fixture, bin: PathBuf) -> Self {
        let truth = fixture.truth();
        let database = truth["facts"]["databases"]["cluster"]["name"].as_str();
        let (bucket, key) = (fixture.bucket_dir(), fixture.secret_key_bytes());
        Self::new(Sandbox::new(), bucket, database.unwrap(), bin, &key)
    }

    fn new(sandbox: Sandbox, bucket: PathBuf, database: &str, bin: PathBuf, key: &[u8]) -> Self {
        let key = sandbox.file("secret.key", key);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        sandbox.folder("place");
        Self {
            sandbox,
            from: bucket.to_str().unwrap().to_owned(),
            database: database.to_owned(),
            bin,
        }
    }

    /// The same objects lie elsewhere.
    #[cfg(feature = "s3")]
    pub fn take_from(&mut self, storage: &str) {
        storage.clone_into(&mut self.from);
    }

    /// The database has another name, or an id.
    pub fn call_it(&mut self, database: &str) {
        database.clone_into(&mut self.database);
    }

    /// The same with other programs.
    pub fn with_programs(mut self, bin: PathBuf) -> Self {
        self.bin = bin;
        self
    }

    /// The folder in which the output is to appear, and nothing else.
    pub fn place(&self) -> PathBuf {
        self.sandbox.path("place")
    }

    /// The output.
    pub fn output(&self) -> PathBuf {
        self.place().join("rewound")
    }

    /// What lies where the output is to appear.
    pub fn around(&self) -> Vec<String> {
        let entries = fs::read_dir(self.place()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// The command, with these words behind what every run says.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.sandbox.command("pitr restore --no-cache");
        command
            .args(["--secret-key", "../secret.key", "--from", &self.from])
            .args(["--database", &self.database, "--pg-bin"])
            .arg(&self.bin)
            .arg("--output")
            .arg(self.output())
            .args(words);
        command
    }

    /// Runs it to its end.
    pub fn restore(&self, words: &[&str]) -> Assert {
        assert_cmd::Command::from_std(self.command(words)).assert()
    }

    /// Rewinds to a time and checks on the way that this sentinel is there and the next is not.
    pub fn rewind(&self, to: Timestamp, newest: u32) -> Value {
        self.expect(&["--to", &to.to_string()], newest)
    }

    /// The same to any point.
    pub fn expect(&self, point: &[&str], newest: u32) -> Value {
        let newest = newest.to_string();
        let asked = ["--check-database", "shop", "--check", NEWEST];
        let answered = ["--expect", &newest, "--json"];
        let words = [point, &asked, &answered].concat();
        let document = json(&self.restore(&words).success());
        assert_eq!(self.around(), ["rewound"]);
        document
    }

    /// A run that must end with this code, say this, and leave nothing behind.
    pub fn refuse(&self, words: &[&str], code: i32, says: &[&str]) -> String {
        let before = self.around();
        let ran = self.restore(words).code(code);
        let said = stderr(&ran);
        for text in says {
            assert!(said.contains(text), "{text:?} is not in:\n{said}");
        }
        assert_eq!(self.around(), before, "{said}");
        let scratch = fs::read_dir(self.sandbox.path("tmp")).unwrap();
        assert_eq!(scratch.count(), 0, "{said}");
        said
    }

    /// The same with a time as the target.
    pub fn refuse_time(&self, to: Timestamp, code: i32, says: &[&str]) -> String {
        self.refuse(&["--to", &to.to_string()], code, says)
    }

    /// A run that can be disturbed.
    pub fn start(&self, words: &[&str]) -> std::process::Child {
        let mut command = self.command(words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// Starts a server on a copy of the output.
    pub fn serve(&self) -> TestPg {
        serve(&self.bin, &self.output())
    }
}

/// The newest sentinel: the first column, which has another name in the fixtures.
pub const NEWEST: &str = "SELECT max(substring(s::text FROM '[0-9]+')::int) FROM sentinel s";

fn serve(bin: &Path, data: &Path) -> TestPg {
    let mut server = TestPg::prepare_with(bin);
    let mut copy = Command::new("cp");
    let copied = copy.arg("-a").args([data, &server.pgdata()]).status();
    assert!(copied.unwrap().success());
    server.give_to_server(&server.pgdata());
    server.start_again();
    server
}
