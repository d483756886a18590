//! A stock `pg_restore` of this host, and whether it can read a dump's table of contents.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::dump::{VERSIONED_ROOT, installed, major_of};
use super::log_tail::LogTail;
use super::program::{attend, end};
use crate::base::cancel::Cancel;

/// How much is handed over at once, in bytes.
const PIECE: usize = 1 << 18;

/// How long the last words of the program may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);

/// A `pg_restore` of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreTool {
    program: PathBuf,
}

/// What `pg_restore --list` made of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// It read the table of contents.
    Read,
    /// It could not: its last words, printable.
    Unreadable(String),
    /// The archive is of a release later than the program, which says nothing of the archive.
    TooNew,
}

impl RestoreTool {
    /// The one at this path.
    pub fn at(program: PathBuf) -> Self {
        Self { program }
    }

    /// The newest that is found, which reads the archives of every release before it: beside a
    /// configured `pg_dump`, in the folders of PostgreSQL's releases, in those of `search_path`.
    pub fn find(pg_dump: Option<&Path>, search_path: &OsStr) -> Option<Self> {
        let beside = pg_dump.and_then(|program| Some(program.parent()?.join("pg_restore")));
        let found = installed(Path::new(VERSIONED_ROOT), search_path, "pg_restore");
        let candidates = beside.into_iter().chain(found);
        let newest = candidates
            .filter_map(|program| Some((major(&program)?, program)))
            .max_by_key(|(major, _)| *major);
        newest.map(|(_, program)| Self::at(program))
    }

    /// Starts it with an archive on its standard input, in a clean environment and a process
    /// group of its own.
    pub(super) fn start(&self, arguments: &[&str], output: Stdio) -> io::Result<(Child, LogTail)> {
        let (log, writer) = LogTail::new()?;
        // The command owns an end of the pipe: while it lives, the log has no end.
        let child = Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .envs([("LC_ALL", "C"), ("TZ", "Etc/UTC"), ("HOME", "/nonexistent")])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(writer)
            .process_group(0)
            .spawn()?;
        Ok((child, log))
    }

    /// Hands `archive` to the program, and reads it to its end although the table of contents is
    /// at the beginning. An error is the reader's, or the program could not be run.
    pub fn list(&self, archive: &mut dyn Read, cancel: &Cancel) -> io::Result<Listing> {
        let (mut child, log) = self.start(&["--list"], Stdio::null())?;
        if let Err(error) = feed(&mut child, archive, cancel) {
            let _ = end(&mut child);
            return Err(error);
        }
        let status = attend(child, cancel)?;
        cancel.check_io()?;
        if status.success() {
            return Ok(Listing::Read);
        }
        let words = last_words(&log);
        match words.contains("unsupported version") {
            true => Ok(Listing::TooNew),
            false => Ok(Listing::Unreadable(words)),
        }
    }
}

/// The last thing that a program said which has ended.
pub(super) fn last_words(log: &LogTail) -> String {
    log.all_lines(PATIENCE).pop().unwrap_or_default()
}

/// The program stops reading when it has seen enough; the archive is read all the same.
fn feed(child: &mut Child, archive: &mut dyn Read, cancel: &Cancel) -> io::Result<()> {
    let mut stdin = child.stdin.take();
    let mut piece = vec![0; PIECE];
    loop {
        cancel.check_io()?;
        let count = archive.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        let written = stdin.as_mut().map(|pipe| pipe.write_all(&piece[..count]));
        match written {
            Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => stdin = None,
            Some(Err(error)) => return Err(error),
            Some(Ok(())) | None => {}
        }
    }
}

fn major(program: &Path) -> Option<u32> {
    let mut command = Command::new(program);
    command.arg("--version").env_clear().stdin(Stdio::null());
    let output = command.output().ok()?;
    major_of(&String::from_utf8(output.stdout).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell writes the program: one that this process had open for writing while another test
    /// started a child could not be run.
    fn script(body: &str) -> (tempfile::TempDir, RestoreTool) {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("pg_restore");
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod 755 "$0""#;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", write]).arg(&program).arg(body);
        assert!(shell.status().unwrap().success());
        (dir, RestoreTool::at(program))
    }

    fn list(restore_tool: &RestoreTool, archive: &mut dyn Read) -> io::Result<Listing> {
        restore_tool.list(archive, &Cancel::new())
    }

    #[test]
    fn a_program_that_stops_reading_has_seen_enough() {
        let (_dir, restore_tool) = script("exit 0");
        let mut archive = io::repeat(7).take(4 << 20);
        assert_eq!(list(&restore_tool, &mut archive).unwrap(), Listing::Read);
        assert_eq!(archive.limit(), 0, "the archive was not read to its end");
    }

    #[test]
    fn what_it_says_is_told() {
        let (_dir, restore_tool) = script("echo pg_restore: error: broken >&2; exit 1");
        let told = Listing::Unreadable("pg_restore: error: broken".to_owned());
        assert_eq!(list(&restore_tool, &mut io::empty()).unwrap(), told);
        let (_dir, restore_tool) =
            script("echo 'unsupported version (1.99) in file header' >&2; exit 1");
        assert_eq!(
            list(&restore_tool, &mut io::empty()).unwrap(),
            Listing::TooNew
        );
    }

    #[test]
    fn an_archive_that_cannot_be_read_is_the_error() {
        struct Fails;
        impl Read for Fails {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("damaged"))
            }
        }
        let (_dir, restore_tool) = script("cat > /dev/null");
        let error = list(&restore_tool, &mut Fails).unwrap_err();
        assert_eq!(error.to_string(), "damaged");
    }
}
