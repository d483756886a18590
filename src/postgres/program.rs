//! One of PostgreSQL's own programs, run to its end in a clean environment.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use super::binaries::PgBinaries;
use super::log_tail::LogTail;
use crate::base::cancel::{Cancel, Interrupted};

/// Lines of a program's complaints that are worth repeating.
const LAST_WORDS: usize = 5;

/// How often a running program is looked after.
const POLL: Duration = Duration::from_millis(25);

/// How long the children of a killed program may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Another user than this process' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
}

/// A program was not run to a good end.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started.
    #[error("cannot run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ended with a failure.
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

/// One of the programs, ready for arguments. It runs as `user`, or as this process does, and
/// sees nothing of this process' environment. The time zone is fixed because `initdb` writes the
/// one it runs in into the new cluster's settings.
pub(super) fn command(binaries: &PgBinaries, name: &str, user: Option<User>) -> Command {
    let mut command = Command::new(binaries.program(name));
    command
        .env_clear()
        .envs([("LC_ALL", "C"), ("TZ", "Etc/UTC"), ("HOME", "/nonexistent")])
        .current_dir("/")
        .stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// Whether `user` can run the server's program from within `dir`: it takes the right to execute
/// the one and to enter the other, whatever grants it.
pub fn runs_in(binaries: &PgBinaries, user: User, dir: &Path) -> io::Result<()> {
    let mut command = command(binaries, "postgres", Some(user));
    command.arg("--version").current_dir(dir);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().map(|_| ())
}

/// Runs a program to its end. Of what it says when it fails, the last lines that `tells` lets
/// through are kept. An interruption ends it together with its children.
pub(super) fn run(
    mut command: Command,
    tells: impl Fn(&str) -> bool,
    cancel: &Cancel,
) -> Result<(), ProgramError> {
    let program = PathBuf::from(command.get_program());
    let failed = |source| ProgramError::Run {
        program: program.clone(),
        source,
    };
    let (log, writer) = LogTail::new().map_err(failed)?;
    // A terminal's interrupt is for this process, which then ends the program's whole group.
    command
        .stdout(Stdio::null())
        .stderr(writer)
        .process_group(0);
    let child = command.spawn().map_err(failed)?;
    // The command owns an end of the pipe: while it lives, the log has no end.
    drop(command);
    let status = attend(child, cancel).map_err(failed)?;
    cancel.check()?;
    if status.success() {
        return Ok(());
    }
    let lines = log.all_lines(PATIENCE);
    let told: Vec<String> = lines.into_iter().filter(|line| tells(line)).collect();
    Err(ProgramError::Failed {
        words: told[told.len().saturating_sub(LAST_WORDS)..].join("; "),
        program,
        status,
    })
}

/// Waits for a program in a process group of its own; an interruption ends the group.
pub(super) fn attend(mut child: Child, cancel: &Cancel) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if cancel.signal().is_some() {
            return end(&mut child);
        }
        std::thread::sleep(POLL);
    }
}

/// Kills the program's process group and waits until it is gone, so that nobody writes any more
/// where the caller removes files.
pub(super) fn end(child: &mut Child) -> io::Result<ExitStatus> {
    let group = Pid::from_child(child);
    let _ = kill_process_group(group, Signal::KILL);
    let status = child.wait()?;
    let deadline = Instant::now() + PATIENCE;
    while test_kill_process_group(group).is_ok() && Instant::now() < deadline {
        std::thread::sleep(POLL);
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::null());
        command
    }

    #[test]
    fn what_a_program_says_at_its_end_is_told_line_by_line() {
        let script = "for n in 1 2 3 4 5 6; do echo x: $n >&2; echo secret >&2; done; exit 3";
        let error = run(
            shell(script),
            |line| line.starts_with("x: "),
            &Cancel::new(),
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "/bin/sh failed (exit status: 3): x: 2; x: 3; x: 4; x: 5; x: 6"
        );
    }

    #[test]
    fn a_program_that_succeeds_may_complain() {
        run(shell("echo warning >&2"), |_| true, &Cancel::new()).unwrap();
    }

    #[test]
    fn an_interruption_ends_a_program_and_its_children() {
        let cancel = Cancel::new();
        let marker = tempfile::tempdir().unwrap();
        let script = format!("sleep 600 & touch {}/up; wait", marker.path().display());
        let ended = std::thread::scope(|scope| {
            let running = scope.spawn(|| run(shell(&script), |_| true, &cancel));
            let deadline = Instant::now() + Duration::from_secs(30);
            while !marker.path().join("up").exists() && Instant::now() < deadline {
                std::thread::sleep(POLL);
            }
            cancel.raise(15);
            running.join().unwrap()
        });
        assert!(matches!(ended, Err(ProgramError::Interrupted(_))));
    }
}
