//! Stock `pg_dump`, found, run in a clean environment, and read from.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::netns::{self, NetnsError};
use super::socket::ServerAddress;
use crate::base::cancel::{Cancel, Interrupted};
use crate::base::text::printable;

/// Lines of `pg_dump`'s complaints that are worth repeating.
const LAST_WORDS: usize = 5;

/// How often a running `pg_dump` is looked after.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// Where distributions put each major version's programs.
pub(super) const VERSIONED_ROOT: &str = "/usr/lib/postgresql";

/// The logical copy failed.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The program could not be started.
    #[error("cannot run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server's network namespace could not be entered.
    #[error(transparent)]
    Namespace(#[from] NetnsError),
    /// The program ended with a failure.
    #[error("{} failed ({status}): {words}", program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// Its exit status.
        status: ExitStatus,
        /// The last lines of its standard error, printable.
        words: String,
    },
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// A `pg_dump` that runs, and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpTool {
    program: PathBuf,
    major: u32,
}

/// What is to be dumped.
pub struct DumpTarget<'a> {
    /// The server.
    pub address: &'a ServerAddress,
    /// The role to connect as, without a password.
    pub user: &'a str,
    /// The database.
    pub database: &'a str,
}

/// Finds a `pg_dump` that can read a server of `server_major`. A configured one is the only
/// candidate. Of the others the oldest that is new enough wins, for the `pg_restore` of an older
/// major may refuse the archive of a newer one. `search_path` is the value of `PATH`.
pub fn find_pg_dump(
    configured: Option<&Path>,
    search_path: &std::ffi::OsStr,
    server_major: u32,
) -> Option<DumpTool> {
    let candidates = match configured {
        Some(program) => vec![program.to_owned()],
        None => installed(Path::new(VERSIONED_ROOT), search_path, "pg_dump"),
    };
    candidates
        .into_iter()
        .filter_map(DumpTool::examine)
        .filter(|tool| tool.major >= server_major)
        .min_by_key(|tool| tool.major)
}

/// Every copy of a program in the folders of PostgreSQL's releases and in those of `search_path`.
pub(super) fn installed(
    versioned_root: &Path,
    search_path: &std::ffi::OsStr,
    name: &str,
) -> Vec<PathBuf> {
    let versions = std::fs::read_dir(versioned_root).into_iter().flatten();
    versions
        .flatten()
        .map(|version| version.path().join("bin"))
        .chain(std::env::split_paths(search_path).filter(|directory| directory.is_absolute()))
        .map(|directory| directory.join(name))
        .filter(|program| program.is_file())
        .collect()
}

impl DumpTool {
    fn examine(program: PathBuf) -> Option<Self> {
        let output = Command::new(&program).arg("--version").env_clear().output();
        let text = String::from_utf8(output.ok()?.stdout).ok()?;
        let major = major_of(&text)?;
        Some(Self { program, major })
    }

    /// The program's major version.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Dumps in the custom format, uncompressed (the payload is compressed as a whole), and
    /// hands the stream to `consume`, which must read it to its end. The outer error is the
    /// dump's, the inner one the consumer's.
    pub fn stream<E>(
        &self,
        target: &DumpTarget<'_>,
        cancel: &Cancel,
        consume: &mut dyn FnMut(&mut dyn Read) -> Result<(), E>,
    ) -> Result<Result<(), E>, DumpError> {
        let mut child = self.spawn(target)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let abandoned = AtomicBool::new(false);
        let (consumed, status, words) = thread::scope(|scope| {
            let words = scope.spawn(|| last_words(stderr));
            let keeper = scope.spawn(|| attend(child, cancel, &abandoned));
            let consumed = match stdout {
                Some(mut stdout) => consume(&mut stdout),
                None => consume(&mut io::empty()),
            };
            abandoned.store(consumed.is_err(), Ordering::Relaxed);
            (consumed, keeper.join(), words.join())
        });
        cancel.check()?;
        if consumed.is_err() {
            return Ok(consumed);
        }
        let ended = status.unwrap_or_else(|_| Err(io::Error::other("its keeper failed")));
        let status = ended.map_err(|source| self.cannot_run(source))?;
        if !status.success() {
            return Err(DumpError::Failed {
                program: self.program.clone(),
                status,
                words: words.unwrap_or_default(),
            });
        }
        Ok(consumed)
    }

    fn spawn(&self, target: &DumpTarget<'_>) -> Result<Child, DumpError> {
        let (host, port, netns) = match target.address {
            ServerAddress::Tcp { host, port, netns } => (host.into(), port, netns.as_deref()),
            ServerAddress::Unix { directory, port } => (directory.clone(), port, None),
        };
        let mut command = Command::new(&self.program);
        command
            .args(["--format=custom", "--compress=0", "--no-password"])
            .arg("--lock-wait-timeout=60s")
            .arg("--host")
            .arg(&host)
            .arg(format!("--port={port}"))
            .arg(format!("--username={}", target.user))
            .arg(format!("--dbname={}", target.database))
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .env("PGCONNECT_TIMEOUT", "10")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let spawned = match netns {
            Some(path) => netns::spawn_in(path, &mut command)?,
            None => command.spawn(),
        };
        spawned.map_err(|source| self.cannot_run(source))
    }

    fn cannot_run(&self, source: io::Error) -> DumpError {
        DumpError::Run {
            program: self.program.clone(),
            source,
        }
    }
}

/// Waits for the child, and ends it when the run is told to stop or nobody reads any more.
fn attend(mut child: Child, cancel: &Cancel, abandoned: &AtomicBool) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if cancel.signal().is_some() || abandoned.load(Ordering::Relaxed) {
            child.kill()?;
            return child.wait();
        }
        thread::sleep(WATCH_INTERVAL);
    }
}

fn last_words(stderr: Option<impl Read>) -> String {
    let mut kept = VecDeque::new();
    let lines = stderr.map(|pipe| BufReader::new(pipe).split(b'\n'));
    for line in lines.into_iter().flatten().map_while(Result::ok) {
        if kept.len() == LAST_WORDS {
            kept.pop_front();
        }
        kept.push_back(printable(&String::from_utf8_lossy(&line)).into_owned());
    }
    Vec::from(kept).join("; ")
}

/// `pg_dump (PostgreSQL) 17.10 (Debian 17.10-1.pgdg12+1)` is of major 17.
pub(super) fn major_of(version: &str) -> Option<u32> {
    let (_, number) = version.split_once("(PostgreSQL) ")?;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::fs::PermissionsExt;

    fn install(directory: &Path, version: &str) {
        std::fs::create_dir_all(directory).unwrap();
        let program = directory.join("pg_dump");
        let script = format!("#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_version_is_read_as_every_distribution_prints_it() {
        assert_eq!(major_of("pg_dump (PostgreSQL) 17.10\n"), Some(17));
        assert_eq!(major_of("pg_dump (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(
            major_of("pg_dump (PostgreSQL) 16.4 (Debian 16.4-1)"),
            Some(16)
        );
        assert_eq!(major_of("pg_dump: error"), None);
    }

    #[test]
    fn the_oldest_pg_dump_that_is_new_enough_is_taken() {
        let root = tempfile::tempdir().unwrap();
        for version in ["16", "17.2", "19"] {
            install(&root.path().join(version).join("bin"), version);
        }
        install(&root.path().join("path"), "18.1");
        let path = root.path().join("path");
        let majors = |needed: u32| {
            installed(root.path(), path.as_os_str(), "pg_dump")
                .into_iter()
                .filter_map(DumpTool::examine)
                .filter(|tool| tool.major >= needed)
                .min_by_key(|tool| tool.major)
                .map(|tool| tool.major)
        };
        assert_eq!(
            (majors(17), majors(18), majors(20)),
            (Some(17), Some(18), None)
        );
    }

    #[test]
    fn a_configured_pg_dump_is_the_only_candidate() {
        let root = tempfile::tempdir().unwrap();
        install(root.path(), "16.1");
        let program = root.path().join("pg_dump");
        assert!(find_pg_dump(Some(&program), OsStr::new(""), 16).is_some());
        assert_eq!(find_pg_dump(Some(&program), OsStr::new(""), 17), None);
        assert_eq!(
            find_pg_dump(Some(&root.path().join("none")), OsStr::new(""), 17),
            None
        );
    }
}
