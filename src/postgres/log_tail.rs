//! The last words of a program: a bounded tail of what it prints, for error reports.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::base::text::printable;

/// Lines kept.
const LINES: usize = 200;

/// Bytes kept of one line; the rest of it comes as further lines.
const LINE_BYTES: u64 = 2048;

/// Collects what comes through a pipe until every process that holds its other end is gone.
pub(super) struct LogTail {
    lines: Arc<Mutex<VecDeque<String>>>,
    reader: JoinHandle<()>,
}

impl LogTail {
    /// A tail, and the end of the pipe that the program writes to.
    pub(super) fn new() -> io::Result<(Self, PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        let lines = Arc::new(Mutex::new(VecDeque::with_capacity(LINES)));
        let kept = Arc::clone(&lines);
        let reader = std::thread::Builder::new()
            .name("server log".to_owned())
            .spawn(move || collect(reader, &kept))?;
        Ok((Self { lines, reader }, writer))
    }

    /// The lines so far.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }

    /// The lines of a program that has ended, once the pipe is drained; but not longer than
    /// `patience`, since a child it left behind may hold the pipe open.
    pub(super) fn all_lines(&self, patience: Duration) -> Vec<String> {
        let deadline = Instant::now() + patience;
        while !self.reader.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.lines()
    }
}

fn collect(pipe: PipeReader, kept: &Mutex<VecDeque<String>>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while matches!(
        pipe.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line),
        Ok(1..)
    ) {
        let text = String::from_utf8_lossy(&line);
        let text = printable(text.trim_end()).into_owned();
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == LINES {
            kept.pop_front();
        }
        kept.push_back(text);
        line.clear();
    }
}

/// The line that says what went wrong: the last one that PostgreSQL calls fatal, else the last.
pub(super) fn verdict(lines: &[String]) -> &str {
    let grave = |line: &&String| line.contains("FATAL: ") || line.contains("PANIC: ");
    let line = lines.iter().rfind(grave).or(lines.last());
    line.map_or("it left no log", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn only_the_last_lines_are_kept_and_they_are_harmless() {
        let (tail, mut writer) = LogTail::new().unwrap();
        for number in 0..500 {
            writeln!(writer, "line {number}").unwrap();
        }
        writer.write_all(&[b'x'; 5000]).unwrap();
        writer.write_all(b"\n\x1b[2Jend").unwrap();
        drop(writer);
        let lines = tail.all_lines(Duration::from_secs(10));
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines[LINES - 5], "line 499");
        assert_eq!(lines[LINES - 2].len(), 5000 - 2 * 2048);
        assert_eq!(lines[LINES - 1], "\\u{1b}[2Jend");
    }

    #[test]
    fn the_verdict_is_what_postgresql_calls_fatal() {
        let log = ["LOG:  starting", "FATAL:  no", "LOG:  shut down"].map(str::to_owned);
        assert_eq!(verdict(&log), "FATAL:  no");
        assert_eq!(verdict(&log[..1]), "LOG:  starting");
        assert_eq!(verdict(&[]), "it left no log");
    }
}
