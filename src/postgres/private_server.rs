//! A PostgreSQL server for this process alone, on a restored data directory.
//!
//! It runs as the owner of the directory, never as root; it listens on a Unix socket in a folder
//! that only its user may enter; it reads no setting of the directory that matters (see
//! `private_settings`). However this process leaves the value, by [`PrivateServer::stop`], by an
//! error or by an interruption, the server has ended by then. One that outlives a killed process
//! ends by itself within a minute after its directory is removed: PostgreSQL checks its lock file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::binaries::{Docker, Launcher};
use super::container;
use super::control_file::{ClusterState, ControlFile, ControlFileError, RecordedSettings};
use super::log_tail::{LogTail, verdict};
pub use super::private_launch::LaunchError;
use super::private_launch::{self, Owner, runtime_folder};
use super::private_settings;
use super::recovery::{self, Recovery};
use super::socket::ServerAddress;
use super::stopped::{self, NotStopped};
use super::wire::{Connection, PgError};
use crate::base::cancel::{Cancel, Interrupted};
use crate::base::text::printable;

/// Files that would make the server follow an archive or a primary, or leave its directory.
const NOT_IN_A_SNAPSHOT: [&str; 3] = ["standby.signal", recovery::SIGNAL, "tablespace_map"];

/// How often the server's state is looked at.
const POLL: Duration = Duration::from_millis(25);

/// How long the last lines of the log of an ended server may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What may be chosen about a private server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the folder for the socket is made. It has to be short: the path of a socket has at
    /// most 107 bytes.
    pub scratch: PathBuf,
    /// How long recovery may take; from an archive, how long it may go without progress.
    pub recovery_limit: Duration,
    /// How long the checkpoint of a clean shutdown may take.
    pub stop_limit: Duration,
    /// How long an immediate shutdown may take before the server is killed.
    pub kill_after: Duration,
    /// The superuser that sessions log in as.
    pub superuser: String,
}

impl Default for Options {
    /// `/tmp`, half an hour, ten minutes, ten seconds, `postgres`.
    fn default() -> Self {
        Self {
            scratch: "/tmp".into(),
            recovery_limit: Duration::from_secs(30 * 60),
            stop_limit: Duration::from_secs(10 * 60),
            kill_after: Duration::from_secs(10),
            superuser: "postgres".to_owned(),
        }
    }
}

/// A session that only reads.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Of which database.
    pub database: &'a str,
    /// As whom; none for the superuser.
    pub user: Option<&'a str>,
    /// How long a query may take.
    pub timeout: Duration,
}

/// A running private server. Dropping it shuts it down immediately, as a crash would.
pub struct PrivateServer {
    major: u32,
    child: Child,
    container: Option<(Docker, String)>,
    log: LogTail,
    pgdata: PathBuf,
    options: Options,
    cancel: Cancel,
    run: tempfile::TempDir,
}

/// A private server did not start, or did not stop as it should.
#[derive(Debug, thiserror::Error)]
pub enum PrivateServerError {
    /// The directory holds another major release than the programs are of.
    #[error("{pgdata} is of PostgreSQL {}, and the server is of {}", printable(found), known(*wanted))]
    Major {
        /// The directory.
        pgdata: PathBuf,
        /// What its `PG_VERSION` says.
        found: String,
        /// What the launcher starts.
        wanted: Option<u32>,
    },
    /// The directory asks for another kind of recovery.
    #[error("{0} must not be there: a snapshot has none")]
    Signal(PathBuf),
    /// Another server works on the directory.
    #[error("the data directory is not free")]
    Busy(#[from] NotStopped),
    /// The control file is unsound.
    #[error("{pgdata} has no sound control file")]
    ControlFile {
        /// The directory.
        pgdata: PathBuf,
        /// Why not.
        #[source]
        source: ControlFileError,
    },
    /// The server could not be launched.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The server ended when it should have run.
    #[error("PostgreSQL ended ({status}): {}", verdict(log))]
    Ended {
        /// How.
        status: ExitStatus,
        /// The tail of its log.
        log: Vec<String>,
    },
    /// The server did not get ready, or did not stop, in time.
    #[error("PostgreSQL did not {action} within {} s: {}", limit.as_secs(), verdict(log))]
    Late {
        /// What it was waited for to do.
        action: &'static str,
        /// How long it was waited.
        limit: Duration,
        /// The tail of its log.
        log: Vec<String>,
    },
    /// The server ended in good order, but `pg_control` does not say so.
    #[error("after the shutdown pg_control says {0:?}")]
    NotShutDown(ClusterState),
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

fn known(major: Option<u32>) -> String {
    major.map_or_else(
        || "an unknown release".to_owned(),
        |major| major.to_string(),
    )
}

impl PrivateServer {
    /// Starts a server on `pgdata` and waits until it has recovered and accepts connections.
    pub fn start(
        launcher: &Launcher,
        pgdata: &Path,
        cancel: &Cancel,
    ) -> Result<Self, PrivateServerError> {
        Self::start_with(Options::default(), launcher, pgdata, cancel)
    }

    /// The same with other than the usual options.
    pub fn start_with(
        options: Options,
        launcher: &Launcher,
        pgdata: &Path,
        cancel: &Cancel,
    ) -> Result<Self, PrivateServerError> {
        let launch = Launch {
            options,
            launcher,
            cancel,
            wal: None,
        };
        let mut server = launch.on(pgdata, private_settings::server)?;
        server.wait_until_ready(|| 0)?;
        Ok(server)
    }

    /// Starts a server on `pgdata` that recovers from an archive, and waits until it has been
    /// promoted and accepts connections. Its WAL comes through the folder `wal` (`wal_spool`),
    /// which must be called so and lie beside `pgdata`. As long as `progress` changes, it is given
    /// time. It does not sync what it writes: the caller must, once it has stopped.
    pub fn recover(
        options: Options,
        launcher: &Launcher,
        pgdata: &Path,
        (recovery, wal): (&Recovery, &Path),
        progress: impl Fn() -> u64,
        cancel: &Cancel,
    ) -> Result<Self, PrivateServerError> {
        let wal = &fs::canonicalize(wal).map_err(|e| LaunchError::prepare("open", wal, e))?;
        let launch = Launch {
            options,
            launcher,
            cancel,
            wal: Some(wal),
        };
        let mut server = launch.on(pgdata, |major, recorded| {
            private_settings::recovering(major, recorded, recovery)
        })?;
        server.wait_until_ready(progress)?;
        Ok(server)
    }

    fn wait_until_ready(&mut self, progress: impl Fn() -> u64) -> Result<(), PrivateServerError> {
        let limit = self.options.recovery_limit;
        let mut seen = (progress(), Instant::now());
        while !self.is_ready() {
            self.cancel.check()?;
            if let Some(status) = self.ended()? {
                return Err(self.ended_with(status));
            }
            let now = progress();
            if now != seen.0 {
                seen = (now, Instant::now());
            } else if seen.1.elapsed() > limit {
                return Err(self.late("get ready", limit));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// The eighth line of the lock file is the postmaster's status (`LOCK_FILE_LINE_PM_STATUS`
    /// in `pidfile.h`); `pg_ctl` waits for the same word. A stale file was removed before.
    fn is_ready(&self) -> bool {
        let text = fs::read_to_string(self.pgdata.join("postmaster.pid")).unwrap_or_default();
        text.lines().nth(7).map(str::trim) == Some("ready")
    }

    /// Where it listens.
    pub fn address(&self) -> ServerAddress {
        ServerAddress::Unix {
            directory: self.run.path().to_owned(),
            port: 5432,
        }
    }

    /// Opens a session as superuser whose settings no role or database can change.
    pub fn connect(&self, database: &str) -> Result<Connection, PgError> {
        let mut parameters = vec![
            ("user", self.options.superuser.as_str()),
            ("database", database),
        ];
        parameters.extend(private_settings::session(self.major));
        Connection::connect(&self.address(), &parameters, &self.cancel)
    }

    /// Opens a session that can write nothing, by default: whoever may set that can change it.
    pub fn connect_to_read(&self, reading: Reading<'_>) -> Result<Connection, PgError> {
        let timeout = reading.timeout.as_millis().to_string();
        let own = [
            ("default_transaction_read_only", "on"),
            ("statement_timeout", timeout.as_str()),
        ];
        let user = reading.user.unwrap_or(&self.options.superuser);
        let mut parameters = vec![("user", user), ("database", reading.database)];
        let is_usual = |(name, _): &(&str, &str)| own.iter().all(|(other, _)| other != name);
        match reading.user {
            None => parameters.extend(private_settings::session(self.major).filter(is_usual)),
            Some(_) => {
                let session = private_settings::session_of_anybody(self.major);
                parameters.extend(session.filter(is_usual));
            }
        }
        parameters.extend(own);
        Connection::connect(&self.address(), &parameters, &self.cancel)
    }

    /// The server's major release.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Shuts the server down in good order (a *fast* shutdown, with a checkpoint) and returns
    /// the control file that proves it. A signal does not cut this short: a directory left as
    /// after a crash would be worse than the wait.
    pub fn stop(mut self) -> Result<ControlFile, PrivateServerError> {
        self.signal(Signal::INT);
        let limit = self.options.stop_limit;
        let deadline = Instant::now() + limit;
        let status = loop {
            match self.ended()? {
                Some(status) => break status,
                None if Instant::now() > deadline => return Err(self.late("stop", limit)),
                None => std::thread::sleep(POLL),
            }
        };
        if !status.success() {
            return Err(self.ended_with(status));
        }
        let control = control_file(&self.pgdata)?;
        match control.state {
            ClusterState::ShutDown => Ok(control),
            other => Err(PrivateServerError::NotShutDown(other)),
        }
    }

    /// The last lines of the server's log.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    fn signal(&self, signal: Signal) {
        // The docker client hands signals on to the server, which is the container's first process.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, PrivateServerError> {
        let status = self.child.try_wait();
        Ok(status.map_err(|e| LaunchError::prepare("wait for the server on", &self.pgdata, e))?)
    }

    fn ended_with(&self, status: ExitStatus) -> PrivateServerError {
        let log = self.log.all_lines(LAST_WORDS);
        PrivateServerError::Ended { status, log }
    }

    fn late(&self, action: &'static str, limit: Duration) -> PrivateServerError {
        let log = self.log.lines();
        PrivateServerError::Late { action, limit, log }
    }

    fn wait_for_end(&mut self) -> bool {
        let deadline = Instant::now() + self.options.kill_after;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(POLL);
        }
        false
    }

    /// Ends whatever is left: an immediate shutdown, and force where that does not help.
    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal(Signal::QUIT);
        if self.wait_for_end() {
            return;
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.wait_for_orphans();
    }

    /// The children of a killed postmaster notice and end by themselves.
    fn wait_for_orphans(&self) {
        let deadline = Instant::now() + self.options.kill_after;
        while Instant::now() < deadline && !matches!(stopped::process_in(&self.pgdata), Ok(None)) {
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        self.end();
        if let Some((docker, name)) = &self.container {
            container::remove(docker, name);
        }
        let _ = fs::remove_file(self.pgdata.join("postmaster.opts"));
    }
}

/// How a server is brought up.
struct Launch<'a> {
    options: Options,
    launcher: &'a Launcher,
    cancel: &'a Cancel,
    /// The folder that WAL comes from, for a recovery from an archive.
    wal: Option<&'a Path>,
}

impl Launch<'_> {
    /// Launches it; it is not ready yet.
    fn on(
        self,
        pgdata: &Path,
        settings: impl FnOnce(u32, &RecordedSettings) -> Vec<String>,
    ) -> Result<PrivateServer, PrivateServerError> {
        self.cancel.check()?;
        let pgdata =
            &fs::canonicalize(pgdata).map_err(|e| LaunchError::prepare("open", pgdata, e))?;
        let major = same_major(self.launcher, pgdata)?;
        let control = control_file(pgdata)?;
        let owner = Owner::of(pgdata)?;
        free_of_servers(pgdata)?;
        if self.wal.is_some() {
            owner.signal(&pgdata.join(recovery::SIGNAL))?;
        }
        let run = runtime_folder(&self.options.scratch, owner)?;
        let place = private_launch::Place {
            pgdata,
            run: run.path(),
            wal: self.wal,
            owner,
        };
        let launched = place.launch(self.launcher, &settings(major, &control.settings))?;
        Ok(PrivateServer {
            major,
            child: launched.child,
            container: launched.container,
            log: launched.log,
            pgdata: pgdata.clone(),
            options: self.options,
            cancel: self.cancel.clone(),
            run,
        })
    }
}

fn same_major(launcher: &Launcher, pgdata: &Path) -> Result<u32, PrivateServerError> {
    let path = pgdata.join("PG_VERSION");
    let text = fs::read_to_string(&path).map_err(|e| LaunchError::prepare("read", &path, e))?;
    let wanted = launcher.major();
    match text.trim().parse().ok() {
        Some(major) if wanted == Some(major) => Ok(major),
        _ => Err(PrivateServerError::Major {
            pgdata: pgdata.to_owned(),
            found: text.trim().chars().take(20).collect(),
            wanted,
        }),
    }
}

fn control_file(pgdata: &Path) -> Result<ControlFile, PrivateServerError> {
    ControlFile::of(pgdata).map_err(|source| PrivateServerError::ControlFile {
        pgdata: pgdata.to_owned(),
        source,
    })
}

/// Refuses what a snapshot does not hold, and removes the lock file that a crash leaves: its
/// process number may be somebody else's by now, and then PostgreSQL would refuse to start.
fn free_of_servers(pgdata: &Path) -> Result<(), PrivateServerError> {
    for name in NOT_IN_A_SNAPSHOT {
        let path = pgdata.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(PrivateServerError::Signal(path));
        }
    }
    if let Some(pid) = stopped::process_in(pgdata)? {
        let pgdata = pgdata.to_owned();
        return Err(NotStopped::Process { pgdata, pid }.into());
    }
    let lock = pgdata.join("postmaster.pid");
    match fs::remove_file(&lock) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LaunchError::prepare("remove", &lock, error).into())
        }
        _ => Ok(()),
    }
}
