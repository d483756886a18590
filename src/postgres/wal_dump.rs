//! When the transactions in some WAL ended, as `pg_waldump` tells it.
//!
//! Its records are another format in each major release: only the program of the same major reads
//! them.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use jiff::Timestamp;

use super::binaries::PgBinaries;
use super::lsn::Lsn;
use super::program::{self, ProgramError};
use super::wal_segment::SegmentName;
use crate::base::cancel::Cancel;

/// The program.
pub const WAL_DUMP: &str = "pg_waldump";

/// Longer than what is read of a line: a commit can name thousands of relations behind its time.
const LINE: u64 = 4096;

/// The latest end of a transaction, committed or aborted, in the segments from `first` to `last`
/// in `dir` and before a position; none where no transaction ends there.
///
/// Records that cannot be read end the WAL, as they end a replay.
pub fn latest_end(
    binaries: &PgBinaries,
    dir: &Path,
    (first, last): (SegmentName, SegmentName),
    before: Option<Lsn>,
    cancel: &Cancel,
) -> Result<Option<Timestamp>, ProgramError> {
    let mut command = program::command(binaries, WAL_DUMP, None);
    command
        .arg("--path")
        .arg(dir)
        .args([
            "--rmgr=Transaction".to_owned(),
            first.to_string(),
            last.to_string(),
        ])
        .stdout(Stdio::piped())
        // The end of the WAL is an error to it.
        .stderr(Stdio::null())
        .process_group(0);
    let failed = |source| ProgramError::Run {
        program: binaries.program(WAL_DUMP),
        source,
    };
    let mut child = command.spawn().map_err(failed)?;
    let mut latest = None;
    if let Some(out) = child.stdout.take() {
        for line in lines(BufReader::new(out)) {
            if cancel.signal().is_some() {
                break;
            }
            let end = end_of_transaction(&line.map_err(failed)?);
            let end = end.filter(|(at, _)| before.is_none_or(|before| *at < before));
            latest = latest.max(end.map(|(_, time)| time));
        }
    }
    program::attend(child, cancel).map_err(failed)?;
    cancel.check()?;
    Ok(latest)
}

/// The beginnings of lines.
fn lines(mut out: impl BufRead) -> impl Iterator<Item = std::io::Result<String>> {
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        match out.by_ref().take(LINE).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => {
                let rest = match line.ends_with(b"\n") {
                    true => Ok(0),
                    false => out.skip_until(b'\n'),
                };
                Some(rest.map(|_| String::from_utf8_lossy(&line).into_owned()))
            }
            Err(error) => Some(Err(error)),
        }
    })
}

/// The position and the time of a record that ends a transaction.
fn end_of_transaction(line: &str) -> Option<(Lsn, Timestamp)> {
    let (_, rest) = line.split_once(" lsn: ")?;
    let (lsn, rest) = rest.split_once(',')?;
    let (_, what) = rest.split_once(" desc: ")?;
    let (kind, rest) = what.split_once(' ')?;
    let time = match kind {
        "COMMIT" | "ABORT" => rest,
        // The transaction's number comes first.
        "COMMIT_PREPARED" | "ABORT_PREPARED" => rest.split_once(": ")?.1,
        _ => return None,
    };
    let mut words = time.trim_end().splitn(3, ' ');
    let (date, clock) = (words.next()?, words.next()?);
    // The program runs in UTC.
    words.next()?.strip_prefix("UTC")?;
    let time = format!("{date}T{clock}Z").parse().ok()?;
    Some((lsn.parse().ok()?, time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end(line: &str) -> Option<(String, String)> {
        let (lsn, time) = end_of_transaction(line)?;
        Some((lsn.to_string(), time.to_string()))
    }

    #[test]
    fn the_end_of_a_transaction_has_a_time() {
        // As pg_waldump 17.10 prints them.
        let head = "rmgr: Transaction len (rec/tot):     34/    34, tx:        748, \
                    lsn: 0/24000028, prev 0/23FFFFC8, desc: ";
        let told = Some((
            "0/24000028".to_owned(),
            "2026-11-23T03:09:53.120581Z".to_owned(),
        ));
        for desc in [
            "COMMIT 2026-11-23 03:09:53.120581 UTC",
            "COMMIT 2026-11-23 03:09:53.120581 UTC; inval msgs: catcache 80",
            "ABORT 2026-11-23 03:09:53.120581 UTC",
            "COMMIT_PREPARED 749: 2026-11-23 03:09:53.120581 UTC",
            "ABORT_PREPARED 749: 2026-11-23 03:09:53.120581 UTC; rels: base/5/16384",
        ] {
            assert_eq!(end(&format!("{head}{desc}")), told, "{desc}");
        }
        for other in [
            "ASSIGNMENT xtop 748: subxacts: 749",
            "PREPARE gid x: 2026-11-23 03:09:53.120581 UTC",
            "COMMIT 2026-11-23 04:09:53.120581 CET",
            "COMMIT then",
            "INVALIDATION ; inval msgs: catcache 80",
        ] {
            assert_eq!(end(&format!("{head}{other}")), None, "{other}");
        }
    }

    #[test]
    fn of_long_lines_the_beginning_is_read() {
        let text = format!("a\n{}\nb", "x".repeat(10_000));
        let found: Vec<usize> = lines(text.as_bytes())
            .map(|line| line.unwrap().len())
            .collect();
        assert_eq!(found, [2, 4096, 1]);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in ".{0,60}( lsn: [0-9A-F/]{1,9},.{0,9} desc: COMMIT.{0,30})?") {
            let _ = end_of_transaction(&line);
        }
    }
}
