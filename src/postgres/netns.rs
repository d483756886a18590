//! Reaching into a container's network namespace, where PostgreSQL listens on loopback only.
//!
//! Only a helper thread moves into the namespace, and it ends at once: a socket stays in the
//! namespace it was made in, and a child in the one it was started in, whatever thread uses
//! them afterwards.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::base::text::printable;

/// Container engines, in the order in which they are asked for a container.
const ENGINES: [&str; 2] = ["docker", "podman"];

/// A container or its network namespace could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// The namespace cannot be entered: it is gone, or root is needed.
    #[error("cannot enter the network namespace {}", path.display())]
    Enter {
        /// The namespace's path.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The helper thread could not be run.
    #[error("the thread for the network namespace failed")]
    Thread,
    /// Neither engine is installed.
    #[error("cannot look for container {0}: neither docker nor podman is installed")]
    NoEngine(String),
    /// No engine knows the container.
    #[error("there is no container {0}")]
    NoSuchContainer(String),
    /// The container exists but no process of it does.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// An engine is installed but did not answer.
    #[error("{engine} cannot say where container {container} runs: {message}")]
    Engine {
        /// The engine's program.
        engine: String,
        /// The container's name.
        container: String,
        /// The engine's own last words.
        message: String,
    },
}

/// Runs `work` on a thread inside the network namespace at `path` (`/proc/PID/ns/net`, or a bind
/// mount of one) and returns its result.
pub(super) fn inside<T: Send>(
    path: &Path,
    work: impl FnOnce() -> T + Send,
) -> Result<T, NetnsError> {
    let enter = || -> io::Result<()> {
        let namespace = File::open(path)?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(())
    };
    let entered = thread::scope(|scope| {
        let helper = scope.spawn(|| enter().map(|()| work()));
        helper.join().map_err(|_| NetnsError::Thread)
    })?;
    entered.map_err(|source| NetnsError::Enter {
        path: path.to_owned(),
        source,
    })
}

/// Starts a child process inside the network namespace at `path`. File system, user and process
/// ids stay those of this host.
pub fn spawn_in(path: &Path, command: &mut Command) -> Result<io::Result<Child>, NetnsError> {
    inside(path, || command.spawn())
}

/// The network namespace of a running container, asked of docker, then of podman.
///
/// It is to be resolved anew for every run: a container that was replaced leaves a dead
/// namespace behind.
pub fn container_netns(name: &str) -> Result<PathBuf, NetnsError> {
    ask_engines(&ENGINES, name)
}

fn ask_engines(engines: &[&str], name: &str) -> Result<PathBuf, NetnsError> {
    let mut verdict = NetnsError::NoEngine(printable(name).into_owned());
    for engine in engines {
        match inspect(engine, name) {
            Ok(None) => {}
            Ok(Some(pid)) => return Ok(PathBuf::from(format!("/proc/{pid}/ns/net"))),
            Err(stopped @ NetnsError::NotRunning(_)) => return Err(stopped),
            Err(error) => verdict = more_telling(verdict, error),
        }
    }
    Err(verdict)
}

/// An engine that does not answer may know the container, so its failure outweighs another
/// engine's "no such container".
fn more_telling(known: NetnsError, new: NetnsError) -> NetnsError {
    match known {
        NetnsError::Engine { .. } => known,
        _ => new,
    }
}

/// The process id of the container's first process; none where the engine is not installed.
fn inspect(engine: &str, name: &str) -> Result<Option<u32>, NetnsError> {
    let container = printable(name).into_owned();
    let failed = |message: String| NetnsError::Engine {
        engine: engine.to_owned(),
        container: container.clone(),
        message,
    };
    let output = Command::new(engine)
        .args([
            "inspect",
            "--type",
            "container",
            "-f",
            "{{.State.Pid}}",
            "--",
            name,
        ])
        .output();
    let output = match output {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
        Ok(output) => output,
    };
    if !output.status.success() {
        let words = last_line(&output.stderr);
        if words.to_ascii_lowercase().contains("no such") {
            return Err(NetnsError::NoSuchContainer(container));
        }
        return Err(failed(words));
    }
    match String::from_utf8_lossy(&output.stdout).trim().parse() {
        Ok(0) => Err(NetnsError::NotRunning(container)),
        Ok(pid) => Ok(Some(pid)),
        Err(_) => Err(failed(last_line(&output.stdout))),
    }
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.trim().lines().last().unwrap_or_default();
    printable(line.trim()).chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Stands for a container engine where none runs: a script that answers as they do.
    fn engine(directory: &Path, name: &str, script: &str) -> String {
        let path = directory.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    #[test]
    fn a_running_container_is_found_with_the_second_engine() {
        let bin = tempfile::tempdir().unwrap();
        let first = engine(
            bin.path(),
            "a",
            "echo 'Error: No such container: db' >&2; exit 1",
        );
        let second = engine(
            bin.path(),
            "b",
            "[ \"$6\" = -- ] && [ \"$7\" = db ] && echo 4711",
        );
        let found = ask_engines(&[&first, &second], "db").unwrap();
        assert_eq!(found, Path::new("/proc/4711/ns/net"));
    }

    #[test]
    fn every_reason_for_not_finding_a_container_has_its_words() {
        let bin = tempfile::tempdir().unwrap();
        let absent = bin.path().join("absent").display().to_string();
        let unknown = engine(
            bin.path(),
            "a",
            "echo 'error: no such object: db' >&2; exit 1",
        );
        let stopped = engine(bin.path(), "b", "echo 0");
        let down = engine(
            bin.path(),
            "c",
            "echo 'Cannot connect to the daemon' >&2; exit 1",
        );
        for (engines, expected) in [
            (
                vec![&absent],
                "cannot look for container db: neither docker nor podman is installed",
            ),
            (vec![&absent, &unknown], "there is no container db"),
            (vec![&unknown, &stopped], "container db is not running"),
            (vec![&down, &unknown], "Cannot connect to the daemon"),
            (vec![&unknown, &down], "Cannot connect to the daemon"),
        ] {
            let engines: Vec<&str> = engines.into_iter().map(String::as_str).collect();
            let error = ask_engines(&engines, "db").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_namespace_that_is_gone_is_named() {
        let gone = Path::new("/proc/0/ns/net");
        let error = inside(gone, || ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot enter the network namespace /proc/0/ns/net"
        );
    }
}
