//! Level 3: of every storage a whole backup decrypts, and its table of contents reads.

use std::error::Error;
use std::io::{self, Read};

use crate::base::cancel::Cancel;
use crate::base::error_chain::error_chain;
use crate::databasus::backup_file::BackupReader;
use crate::databasus::objects::decode::{Decoded, decode_all};
use crate::model::proof::{Level, Outcome};
use crate::ops::backup_object::{BackupObjectError, PartDigests};
use crate::postgres::restore_tool::Listing;

use super::Request;
use super::chunks::{Look, Opened, is_gone, says_nothing};
use super::report::LevelReport;

/// More cores than this do not make a store faster.
const MOST_THREADS: usize = 4;

/// Reads one backup of each storage: the smallest dump of PostgreSQL among the newest, for the
/// program that reads its table of contents is PostgreSQL's own; where there is none, the
/// smallest of all.
pub(super) fn report(looks: &[Look<'_>], request: &Request<'_>) -> LevelReport {
    let mut level = LevelReport::new(Level::WholeBackups);
    let mut storages: Vec<_> = looks.iter().map(|look| look.backup.storage).collect();
    storages.sort_unstable();
    storages.dedup();
    for storage in &storages {
        let own = looks.iter().filter(|look| look.backup.storage == *storage);
        let opened = own.filter_map(|look| Some((look, look.opened()?)));
        match opened.min_by_key(|(_, one)| (!one.is_pg_dump, one.object.size())) {
            None => {
                let why = "of a storage no backup was opened at level 2";
                level.count(Outcome::Unknown, || why.to_owned());
            }
            Some((look, one)) => {
                let (outcome, why) = read_whole(look, one, request);
                level.count(outcome, || look.about(&why));
            }
        }
    }
    if storages.is_empty() {
        level.conclude("the catalogue knows no encrypted backup");
    }
    level
}

fn read_whole(look: &Look<'_>, opened: &Opened, request: &Request<'_>) -> (Outcome, String) {
    match try_whole(look, opened, request) {
        Ok(found) => found,
        Err(error) if is_unknown(&error, request.cancel) => (Outcome::Unknown, told(&error)),
        Err(error) => (Outcome::Failed, told(&error)),
    }
}

fn try_whole(
    look: &Look<'_>,
    opened: &Opened,
    request: &Request<'_>,
) -> io::Result<(Outcome, String)> {
    // Each chunk authenticates itself: digests of parts would say nothing more.
    let source = opened.object.reader(PartDigests::Ignore)?;
    let (stored, id) = (opened.object.size(), look.backup.id);
    let reader = BackupReader::open(source, stored, request.key, id, threads())?;
    let mut reader = Cancellable {
        reader,
        cancel: request.cancel,
    };
    if !opened.is_pg_dump {
        return Ok(match decode_all(&mut reader)? {
            Decoded::Unknown => (
                Outcome::Unknown,
                "it decrypts, and is nothing that this tool knows".to_owned(),
            ),
            Decoded::Zstd | Decoded::Gzip | Decoded::Tar => (Outcome::Proven, String::new()),
        });
    }
    let Some(restore_tool) = request.restore_tool else {
        io::copy(&mut reader, &mut io::sink())?;
        let why = "it decrypts whole; without pg_restore its table of contents was not read";
        return Ok((Outcome::Unknown, why.to_owned()));
    };
    Ok(match restore_tool.list(&mut reader, request.cancel)? {
        Listing::Read => (Outcome::Proven, String::new()),
        Listing::Unreadable(words) => (
            Outcome::Failed,
            format!("it decrypts, and pg_restore cannot read it: {words}"),
        ),
        Listing::TooNew => (
            Outcome::Unknown,
            "it decrypts whole; pg_restore here is too old for its table of contents".to_owned(),
        ),
    })
}

fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(MOST_THREADS)
}

/// The error under the layers of `io::Error` that readers put around it.
fn told(error: &io::Error) -> String {
    match error.get_ref() {
        Some(cause) => error_chain(cause),
        None => error_chain(error),
    }
}

/// A store that stops answering says nothing of the backup, nor does an object that was replaced
/// meanwhile or a program that does not run; what does not authenticate or decode does.
fn is_unknown(error: &io::Error, cancel: &Cancel) -> bool {
    if cancel.signal().is_some() || error.raw_os_error().is_some() {
        return true;
    }
    let mut cause = error.get_ref().map(|cause| cause as &(dyn Error + 'static));
    while let Some(found) = cause {
        if let Some(object) = found.downcast_ref::<BackupObjectError>() {
            return says_nothing(object) || is_gone(object);
        }
        // One that wraps another shows it in its own way.
        let inner = found.downcast_ref::<io::Error>();
        let inner = inner.and_then(|error| error.get_ref());
        cause = match inner {
            Some(inner) => Some(inner),
            None => found.source(),
        };
    }
    false
}

/// Stops a long read when a signal arrives.
struct Cancellable<'a> {
    reader: BackupReader,
    cancel: &'a Cancel,
}

impl Read for Cancellable<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.cancel.check_io()?;
        self.reader.read(out)
    }
}
