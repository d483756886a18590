//! Proof that no server works on a data directory.
//!
//! An unreachable port proves nothing, and `postmaster.pid` survives `docker stop` (only the
//! container's first process is signalled; PostgreSQL is killed with it). Two things do prove
//! it: the container engine says that the container which mounts the directory has exited, or
//! no process of the machine has the directory as its working directory, which the postmaster
//! and all its children do.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::binaries::Docker;
use crate::base::text::printable;

/// `/proc/self/ns/pid` of the machine itself: `PROC_PID_INIT_INO` in Linux' `proc_ns.h`. In any
/// other namespace, a sidecar container's for one, processes exist that cannot be seen.
const WHOLE_MACHINE: &str = "pid:[4026531836]";

/// A container that mounts the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The client to ask.
    pub docker: Docker,
    /// Name or id.
    pub name: String,
}

/// A server works on the directory, or nobody can tell.
#[derive(Debug, thiserror::Error)]
pub enum NotStopped {
    /// A process works in it.
    #[error("process {pid} is working in {pgdata}")]
    Process {
        /// The directory.
        pgdata: PathBuf,
        /// The process, as this host numbers it.
        pid: u32,
    },
    /// The container has not exited.
    #[error("container {name} is {}", printable(status))]
    Container {
        /// The container.
        name: String,
        /// The engine's word: `running`, `paused`, `restarting`.
        status: String,
    },
    /// The container's state says nothing about this directory.
    #[error("container {name} does not mount {pgdata}, so its state proves nothing")]
    Elsewhere {
        /// The container.
        name: String,
        /// The directory.
        pgdata: PathBuf,
    },
    /// The engine did not answer.
    #[error("cannot ask for the state of container {name}: {}", printable(answer))]
    Engine {
        /// The container.
        name: String,
        /// What the client printed.
        answer: String,
    },
    /// Neither kind of proof can be had.
    #[error(
        "cannot prove that no server works on {pgdata}: {why}; name the container, or run as root on the host itself"
    )]
    Unprovable {
        /// The directory.
        pgdata: PathBuf,
        /// What hides processes.
        why: &'static str,
    },
    /// The directory or the list of processes could not be read.
    #[error("cannot look for servers in {path}")]
    Read {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Proves that no server works on `pgdata`, by the container's state where one is named, else
/// by the machine's processes. A process that can be seen working there refutes either.
pub fn prove_stopped(pgdata: &Path, container: Option<&Container>) -> Result<(), NotStopped> {
    let seen = Processes::working_in(pgdata)?;
    if let Some(&pid) = seen.pids.first() {
        let pgdata = pgdata.to_owned();
        return Err(NotStopped::Process { pgdata, pid });
    }
    match (container, seen.hidden) {
        (Some(container), _) => container.prove_exited(pgdata),
        (None, None) => Ok(()),
        (None, Some(why)) => Err(NotStopped::Unprovable {
            pgdata: pgdata.to_owned(),
            why,
        }),
    }
}

/// The first process that can be seen working in a directory, without any claim about others.
pub fn process_in(pgdata: &Path) -> Result<Option<u32>, NotStopped> {
    Ok(Processes::working_in(pgdata)?.pids.first().copied())
}

/// Which processes work in a directory.
struct Processes {
    pids: Vec<u32>,
    /// Why there may be others, if so.
    hidden: Option<&'static str>,
}

impl Processes {
    fn working_in(pgdata: &Path) -> Result<Self, NotStopped> {
        let wanted = fs::metadata(pgdata).map_err(|source| unreadable(pgdata, source))?;
        let proc = Path::new("/proc");
        let mut found = Self {
            pids: Vec::new(),
            hidden: what_hides_processes(),
        };
        for entry in fs::read_dir(proc).map_err(|source| unreadable(proc, source))? {
            let entry = entry.map_err(|source| unreadable(proc, source))?;
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            // The link is followed by the kernel itself, so it is right in any mount namespace.
            match fs::metadata(entry.path().join("cwd")) {
                Ok(cwd) if (cwd.dev(), cwd.ino()) == (wanted.dev(), wanted.ino()) => {
                    found.pids.push(pid);
                }
                Ok(_) => {}
                Err(error) if is_gone(&error) || runs_as_root(&entry.path()) => {}
                Err(_) => {
                    found
                        .hidden
                        .get_or_insert("some processes may not be examined");
                }
            }
        }
        Ok(found)
    }
}

fn what_hides_processes() -> Option<&'static str> {
    let namespace = fs::read_link("/proc/self/ns/pid").ok();
    if namespace.as_deref() == Some(Path::new(WHOLE_MACHINE)) {
        return None;
    }
    Some("processes outside of this container cannot be seen")
}

/// A process that ended meanwhile, or a zombie: neither works anywhere.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Whether the effective user of a process is root, whom PostgreSQL refuses to run as. Some
/// machines let nobody examine their first process.
fn runs_as_root(process: &Path) -> bool {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    users.and_then(|users| users.split_whitespace().nth(1)) == Some("0")
}

fn unreadable(path: &Path, source: io::Error) -> NotStopped {
    NotStopped::Read {
        path: path.to_owned(),
        source,
    }
}

/// First line the state, then the host's side of every mount.
const INSPECT: &str = "{{.State.Status}}{{range .Mounts}}\n{{.Source}}{{end}}";

impl Container {
    fn prove_exited(&self, pgdata: &Path) -> Result<(), NotStopped> {
        let answer = self.inspect()?;
        let mut lines = answer.lines();
        let status = lines.next().unwrap_or_default();
        if !matches!(status, "exited" | "created" | "dead") {
            return Err(NotStopped::Container {
                name: self.name.clone(),
                status: status.to_owned(),
            });
        }
        let place = fs::canonicalize(pgdata).map_err(|source| unreadable(pgdata, source))?;
        if lines.any(|mount| !mount.is_empty() && place.starts_with(mount)) {
            return Ok(());
        }
        Err(NotStopped::Elsewhere {
            name: self.name.clone(),
            pgdata: pgdata.to_owned(),
        })
    }

    fn inspect(&self) -> Result<String, NotStopped> {
        let failed = |answer: String| NotStopped::Engine {
            name: self.name.clone(),
            answer,
        };
        let output = self
            .docker
            .command()
            .args([
                "container",
                "inspect",
                "--format",
                INSPECT,
                "--",
                &self.name,
            ])
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(failed(words.trim().to_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
