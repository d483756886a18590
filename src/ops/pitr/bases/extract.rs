//! One base backup, from its storage to its directory: fetching, decrypting, unpacking, summing
//! and writing go on beside each other.

use std::io::{self, BufRead, Read, Write as _};
use std::path::Path;
use std::thread;

use crate::base::file_error::failed;
use crate::base::pipe::{PipeWriter, pipe};
use crate::databasus::backup_file::BackupFileError;
use crate::databasus::objects::unpack::unpack;
use crate::ops::backup_object::BackupObjectError;
use crate::postgres::backup_manifest::BackupManifest;
use crate::target::behind::Syncs;
use crate::target::ownership::{POSTGRES, give, new_file};

use super::contents::{self, Contents, Expected, MANIFEST_FILE, new_directory};
use super::damage::Damage;
use super::{BasesError, ExtractedBase, Halt, Planned, content_size, manifests, origin};
use crate::databasus::backup_chain::plan::Plan;
use crate::ops::pitr::open::Storage;

const CHUNK: usize = 512 << 10;
const CHUNKS_IN_FLIGHT: usize = 4;

/// Where a base is read from, and how.
pub(super) struct Source<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) threads: usize,
    pub(super) halt: Halt<'a>,
    pub(super) progress: &'a (dyn Fn(u64) + Sync),
}

/// Makes the directory of one base below `staged`.
pub(super) fn extract(
    planned: &Planned<'_>,
    plan: &Plan,
    staged: &Path,
    syncs: Syncs,
    source: &Source<'_>,
) -> Result<ExtractedBase, BasesError> {
    let name = planned.name.as_str();
    let folder = staged.join(&planned.folder);
    let made = new_directory(&folder).map_err(failed("make", &folder));
    made.map_err(|error| BasesError::writing(name, error))?;
    let beside = planned.manifest.as_ref();
    let listed = beside.map(|raw| raw.parse(name)).transpose()?;
    let expected = match &listed {
        Some(manifest) => Expected::Listed(manifest),
        None => Expected::Inside,
    };
    let mut contents = stream(planned, &folder, &expected, syncs, source)?;
    let manifest = match listed {
        Some(manifest) => manifest,
        None => inner_manifest(planned, plan, &folder, &mut contents)?,
    };
    let compared = manifest.compare(&contents.files);
    compared.map_err(|source| BasesError::Mismatch {
        name: name.to_owned(),
        source,
    })?;
    let text = beside
        .map(|raw| raw.bytes())
        .or(contents.manifest.as_deref());
    put_manifest(name, &folder, text.unwrap_or_default())?;
    let (control, pg_major) = origin::check(&folder, &manifest, planned, plan)?;
    Ok(ExtractedBase {
        name: name.to_owned(),
        fetched: content_size(planned.base)
            + planned.base.stored.group.manifest.size().unwrap_or(0),
        written: contents.written + text.map_or(0, |text| text.len() as u64),
        files: contents.files.len() as u64 + 1,
        wal: manifest.wal_ranges,
        control,
        pg_major,
        folder,
    })
}

/// Runs the stages from the storage to the files.
fn stream(
    planned: &Planned<'_>,
    folder: &Path,
    expected: &Expected<'_>,
    syncs: Syncs,
    source: &Source<'_>,
) -> Result<Contents, BasesError> {
    let name = planned.name.as_str();
    let opened = source
        .storage
        .content(&planned.base.stored, source.threads)?;
    let watched = Watched {
        inner: opened.reader,
        halt: source.halt,
        progress: source.progress,
    };
    let (writer, reader) = pipe(CHUNK, CHUNKS_IN_FLIGHT);
    let (unpacked, taken) = thread::scope(|scope| {
        let taker = scope.spawn(move || contents::take(reader, name, folder, expected, syncs));
        let unpacked = unpack(watched, planned.base.compression);
        let unpacked = unpacked.and_then(|unpacked| pump(unpacked, writer));
        (unpacked, taker.join())
    });
    let taken = taken.unwrap_or_else(|_| {
        let died = io::Error::other("a thread died");
        Err(failed_read(name, died))
    });
    // The lower stage's failure is the cause, unless it is that the upper one went away.
    match (unpacked, taken) {
        (Err(error), Err(upper)) if error.kind() == io::ErrorKind::BrokenPipe => Err(upper),
        (Err(error), _) => Err(failed_read(name, error)),
        (Ok(()), taken) => taken,
    }
}

/// Reads a stage to its end and hands on what comes.
fn pump(mut from: impl Read, mut to: PipeWriter) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return to.finish(),
            Ok(count) => to.write_all(&buffer[..count])?,
            Err(error) => {
                to.fail(io::Error::other("the stage below failed"));
                return Err(error);
            }
        }
    }
}

/// Storage and decryption say so where it is they that fail; anything else is the decoder.
fn failed_read(name: &str, source: io::Error) -> BasesError {
    let name = name.to_owned();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = match source.get_ref() {
        Some(inner) => Some(inner),
        None => None,
    };
    while let Some(error) = cause {
        if error.is::<BackupFileError>() || error.is::<BackupObjectError>() {
            return BasesError::Read { name, source };
        }
        cause = error.source();
    }
    let source = Damage::Unpack(source);
    BasesError::Damaged { name, source }
}

/// The manifest that a base carries, once it belongs to it.
fn inner_manifest(
    planned: &Planned<'_>,
    plan: &Plan,
    folder: &Path,
    contents: &mut Contents,
) -> Result<BackupManifest, BasesError> {
    let name = planned.name.as_str();
    let Some(text) = contents.manifest.as_deref() else {
        return Err(BasesError::Damaged {
            name: name.to_owned(),
            source: Damage::NoManifest,
        });
    };
    let manifest = manifests::parse(text, name)?;
    manifests::check(&manifest, plan, planned.base, name)?;
    let again = contents::sum_again(&manifest, &mut contents.files, folder);
    again.map_err(BasesError::Write)?;
    Ok(manifest)
}

/// `pg_combinebackup` wants it beside the files.
fn put_manifest(name: &str, folder: &Path, text: &[u8]) -> Result<(), BasesError> {
    let place = folder.join(MANIFEST_FILE);
    let put = new_file(&place).and_then(|mut file| {
        file.write_all(text)?;
        give(&file, POSTGRES)
    });
    put.map_err(|error| BasesError::writing(name, failed("write", &place)(error)))
}

/// What is fetched, counted on its way. It stops when it is told to.
struct Watched<'a> {
    inner: Box<dyn BufRead + Send>,
    halt: Halt<'a>,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Read for Watched<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.fill_buf()?;
        let count = left.len().min(out.len());
        out[..count].copy_from_slice(&left[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Watched<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.halt.check_io()?;
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        (self.progress)(count as u64);
        self.inner.consume(count);
    }
}
