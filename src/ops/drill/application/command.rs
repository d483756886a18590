//! The commands that start Databasus on what was rehydrated, and stop it again.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::trouble::ApplicationTrouble;

/// How often a process is looked after.
const POLL: Duration = Duration::from_millis(50);

/// How long a command that stops Databasus may take.
const STOP: Duration = Duration::from_secs(120);

/// How long a process may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(30);

/// A shell's lines and what they see of the drill.
#[derive(Clone, Copy)]
pub struct Commands<'a> {
    /// Starts Databasus; it may end at once, or run as long as Databasus does.
    pub start: &'a str,
    /// Stops it; where there is none, whatever `start` left running is asked to end.
    pub stop: Option<&'a str>,
    /// Variables of this process' environment that are nobody else's business: credentials.
    pub hidden: &'a [OsString],
}

/// What the first command started. Dropped, it is stopped.
pub(super) struct Started<'a> {
    commands: Commands<'a>,
    data_dir: &'a Path,
    url: String,
    child: Option<Child>,
}

impl<'a> Started<'a> {
    pub(super) fn start(
        commands: Commands<'a>,
        data_dir: &'a Path,
        url: String,
    ) -> Result<Self, ApplicationTrouble> {
        let mut started = Self {
            commands,
            data_dir,
            url,
            child: None,
        };
        let child = started.command(commands.start).spawn();
        started.child = Some(child.map_err(ApplicationTrouble::Command)?);
        Ok(started)
    }

    /// A shell's, in a process group of its own, without our credentials. What it prints goes to
    /// where errors go: the other stream is for the result.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).stdin(Stdio::null());
        command.stdout(io::stderr()).stderr(io::stderr());
        for name in self.commands.hidden {
            command.env_remove(name);
        }
        command.env("DRILL_DATA_DIR", self.data_dir);
        command.env("DRILL_URL", &self.url);
        command.process_group(0);
        command
    }

    /// Fails once the first command has failed. That it ended well says nothing.
    pub(super) fn check(&mut self) -> Result<(), ApplicationTrouble> {
        let Some(child) = &mut self.child else {
            return Ok(());
        };
        match child.try_wait().map_err(ApplicationTrouble::Command)? {
            Some(status) if !status.success() => Err(ApplicationTrouble::Failed(status)),
            _ => Ok(()),
        }
    }

    /// Stops it, also after a signal.
    pub(super) fn stop(mut self) -> Result<(), ApplicationTrouble> {
        self.end()
    }

    fn end(&mut self) -> Result<(), ApplicationTrouble> {
        let Some(child) = self.child.take() else {
            return Ok(());
        };
        let stopped = self.commands.stop.map_or(Ok(()), |line| self.run(line));
        let ended = end(child).map_err(ApplicationTrouble::Command);
        stopped.and(ended)
    }

    fn run(&self, line: &str) -> Result<(), ApplicationTrouble> {
        let child = self.command(line).spawn();
        let mut child = child.map_err(ApplicationTrouble::Command)?;
        let status = wait(&mut child, STOP).map_err(ApplicationTrouble::Command)?;
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(ApplicationTrouble::Failed(status)),
            None => {
                let _ = end(child);
                Err(ApplicationTrouble::Endless(STOP))
            }
        }
    }
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!("Databasus may still run: {error}");
        }
    }
}

/// Asks its whole group to end, and then makes it.
fn end(mut child: Child) -> io::Result<()> {
    let group = Pid::from_child(&child);
    let _ = kill_process_group(group, Signal::TERM);
    if wait(&mut child, GRACE)?.is_none() {
        let _ = kill_process_group(group, Signal::KILL);
        child.wait()?;
    }
    Ok(())
}

fn wait(child: &mut Child, most: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + most;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(POLL);
        }
    }

    fn commands<'a>(start: &'a str, stop: Option<&'a str>) -> Commands<'a> {
        Commands {
            start,
            stop,
            hidden: &[],
        }
    }

    #[test]
    fn commands_know_where_and_are_ended_with_all_that_they_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let start = "printf %s \"$DRILL_URL\" >\"$DRILL_DATA_DIR/url\"
            sleep 1000 & echo $! >\"$DRILL_DATA_DIR/pid.new\"
            mv \"$DRILL_DATA_DIR/pid.new\" \"$DRILL_DATA_DIR/pid\"; wait";
        let started = Started::start(commands(start, None), folder.path(), "http://x:1".into());
        let mut started = started.unwrap();
        until(|| pid.exists());
        started.check().unwrap();
        let url = std::fs::read_to_string(folder.path().join("url")).unwrap();
        assert_eq!(url, "http://x:1");
        let pid = std::fs::read_to_string(pid).unwrap();
        started.stop().unwrap();
        let status = format!("/proc/{}/status", pid.trim());
        until(|| std::fs::read_to_string(&status).map_or(true, |text| text.contains("zombie")));
    }

    #[test]
    fn what_ended_by_itself_is_stopped_by_the_other_command() {
        let folder = tempfile::tempdir().unwrap();
        let stop = "touch \"$DRILL_DATA_DIR/stopped\"";
        let started = Started::start(commands("true", Some(stop)), folder.path(), String::new());
        drop(started.unwrap());
        assert!(folder.path().join("stopped").exists());
    }

    #[test]
    fn a_command_that_fails_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let started = Started::start(commands("exit 3", None), folder.path(), String::new());
        let mut started = started.unwrap();
        let failed = loop {
            if let Err(error) = started.check() {
                break error;
            }
            std::thread::sleep(POLL);
        };
        assert!(matches!(failed, ApplicationTrouble::Failed(_)));
        let started = Started::start(
            commands("true", Some("false")),
            folder.path(),
            String::new(),
        );
        assert!(started.unwrap().stop().is_err());
    }
}
