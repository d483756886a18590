//! The rows of a `pg_dump -Fc` archive, through `pg_restore`: no server, nothing on disk.

use std::io::{self, BufReader, Write};
use std::process::{Child, Stdio};
use std::thread::JoinHandle;

use super::copy_text::{RowSink, read_rows};
use super::log_tail::LogTail;
use super::program::{attend, end};
use super::restore_tool::{RestoreTool, last_words};
use crate::base::cancel::Cancel;

/// An archive on its way through the program into a sink of rows.
///
/// Writing never fails because the program does: whoever writes may be checking what the archive
/// is part of. [`ArchiveRows::finish`] tells. Dropped without it, the program is ended.
pub struct ArchiveRows<S> {
    running: Option<Running<S>>,
}

struct Running<S> {
    child: Child,
    log: LogTail,
    reader: JoinHandle<io::Result<S>>,
}

/// The rows could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveRowsError {
    /// The program ended with a failure: its last words, printable.
    #[error("pg_restore cannot read the logical copy: {0}")]
    Program(String),
    /// It could not be run, or what it wrote could not be read.
    #[error("the logical copy cannot be read")]
    Io(#[from] io::Error),
}

impl<S: RowSink + Send + 'static> ArchiveRows<S> {
    /// Starts the program.
    pub fn start(tool: &RestoreTool, mut sink: S) -> io::Result<Self> {
        let (mut child, log) = tool.start(&["--data-only", "--file=-"], Stdio::piped())?;
        let output = child.stdout.take();
        let thread = std::thread::Builder::new().name("archive-rows".to_owned());
        let reader = thread.spawn(move || {
            if let Some(output) = output {
                read_rows(&mut BufReader::new(output), &mut sink)?;
            }
            Ok(sink)
        })?;
        Ok(Self {
            running: Some(Running { child, log, reader }),
        })
    }

    /// Waits for the last row.
    pub fn finish(mut self, cancel: &Cancel) -> Result<S, ArchiveRowsError> {
        let Some(Running {
            mut child,
            log,
            reader,
        }) = self.running.take()
        else {
            return Err(io::Error::other("it was ended before").into());
        };
        drop(child.stdin.take());
        let status = attend(child, cancel)?;
        let read = reader.join();
        if !status.success() {
            return Err(ArchiveRowsError::Program(last_words(&log)));
        }
        let stopped = || io::Error::other("the thread that reads rows stopped");
        Ok(read.map_err(|_| stopped())??)
    }
}

impl<S> Write for ArchiveRows<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(running) = &mut self.running
            && let Some(stdin) = &mut running.child.stdin
            && stdin.write_all(bytes).is_err()
        {
            running.child.stdin = None;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S> Drop for ArchiveRows<S> {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            let _ = end(&mut running.child);
        }
    }
}
