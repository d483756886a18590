//! Looking into backups: which key opens one, and what it is. Fetches the first chunk of each.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::base::parallel;
use crate::databasus::backup_file::{
    self, BackupFileError, FIRST_CHUNK_BYTES, HEADER_BYTES, Header,
};
use crate::databasus::objects::content::{self, Content};
use crate::databasus::objects::group::{BackupGroup, Layout, StoredStream};
use crate::databasus::objects::sidecar::{Encryption, Sidecar};
use crate::databasus::secret_key::SecretKey;
use crate::ops::backup_object::{BackupObject, BackupObjectError};
use crate::store::Store;

/// Backups that are looked into at once: each takes some MiB of memory, and every key that is
/// tried some 30 ms of a processor.
const PROBES: usize = 8;

/// What the beginning of a backup says.
#[derive(Debug)]
pub struct Probe {
    /// Whether and how it opens.
    pub opening: Opening,
    /// What it is, where it opens.
    pub content: Option<Content>,
    /// Its plaintext in bytes, where its stored size is one that such a backup can have.
    pub plain_size: Option<u64>,
    /// The header of an encrypted one: what Databasus' catalogue keeps as salt and nonce.
    pub header: Option<Header>,
}

/// Whether and how a backup opens.
#[derive(Debug, PartialEq, Eq)]
pub enum Opening {
    /// It is not encrypted.
    Plain,
    /// The key at this place of those that were tried.
    Key(usize),
    /// It is encrypted, and none of the keys opens it.
    NoKey,
    /// It is encrypted under an id that only its sidecar knows, which cannot be used.
    NoId,
    /// A header alone, or nothing at all: a dump that failed.
    FailedDump,
    /// It is no backup that Databasus finished.
    Damaged(BackupFileError),
}

/// Opens the beginnings of backups with whichever of some keys fits.
pub struct Prober<'k> {
    keys: &'k [SecretKey],
    /// The one that opened something last is tried first.
    last: AtomicUsize,
}

/// A backup to be looked into.
#[derive(Clone, Copy)]
pub struct Subject<'g> {
    /// Its objects.
    pub group: &'g BackupGroup,
    /// Its sidecar, where that is good.
    pub sidecar: Option<&'g Sidecar>,
}

impl<'k> Prober<'k> {
    /// Tries these keys.
    pub fn new(keys: &'k [SecretKey]) -> Self {
        Self {
            keys,
            last: AtomicUsize::new(0),
        }
    }

    /// Looks into many backups, several at once, and gives each result to `take` with its place
    /// in `subjects`. Breaking ends it.
    pub fn probe_all(
        &self,
        store: &Arc<dyn Store>,
        subjects: &[Subject<'_>],
        mut take: impl FnMut(usize, Result<Probe, BackupObjectError>) -> ControlFlow<()>,
    ) {
        let job = |index: usize| subjects.get(index).map(|one| self.probe(store, *one));
        parallel::for_each(subjects.len(), PROBES, job, |index, found| match found {
            Some(found) => take(index, found),
            None => ControlFlow::Continue(()),
        });
    }

    /// Looks into one.
    pub fn probe(
        &self,
        store: &Arc<dyn Store>,
        subject: Subject<'_>,
    ) -> Result<Probe, BackupObjectError> {
        let name = subject.group.name.to_string();
        let object = BackupObject::listed(store, &name, &subject.group.content)?;
        let beginning = object.beginning(FIRST_CHUNK_BYTES as u64)?;
        let id = subject.sidecar.map(Sidecar::id).or(subject.group.name.id());
        let said = subject.sidecar.map(Sidecar::encryption);
        Ok(self.judge(&beginning, object.size(), id, said))
    }

    /// Judges a backup by its beginning, which holds its first [`FIRST_CHUNK_BYTES`]. `id` is the
    /// one of its row, and `said` what its sidecar says of its encryption.
    pub fn judge(
        &self,
        beginning: &[u8],
        stored: u64,
        id: Option<Uuid>,
        said: Option<&Encryption>,
    ) -> Probe {
        if stored == 0 {
            return Probe::closed(Opening::FailedDump, None);
        }
        let header = match Header::parse(beginning) {
            Ok(header) => header,
            Err(BackupFileError::NotEncrypted)
                if !matches!(said, Some(Encryption::Encrypted { .. })) =>
            {
                return Probe::plain(beginning, stored);
            }
            Err(error) => return Probe::closed(Opening::Damaged(error), None),
        };
        if stored == HEADER_BYTES as u64 {
            return Probe::closed(Opening::FailedDump, Some(header));
        }
        let plain_size = match backup_file::plain_size(stored) {
            Ok(size) => size,
            Err(error) => return Probe::closed(Opening::Damaged(error), Some(header)),
        };
        let Some(id) = id else {
            return Probe::closed(Opening::NoId, Some(header));
        };
        let mut probe = match self.open(beginning, stored, id) {
            Ok((place, chunk)) => Probe {
                opening: Opening::Key(place),
                content: Some(content::recognise(&chunk)),
                plain_size: None,
                header: Some(header),
            },
            Err(opening) => Probe::closed(opening, Some(header)),
        };
        probe.plain_size = Some(plain_size);
        probe
    }

    fn open(
        &self,
        beginning: &[u8],
        stored: u64,
        id: Uuid,
    ) -> Result<(usize, Zeroizing<Vec<u8>>), Opening> {
        let last = self.last.load(Ordering::Relaxed);
        let others = (0..self.keys.len()).filter(|place| *place != last);
        for place in std::iter::once(last).chain(others) {
            let Some(key) = self.keys.get(place) else {
                continue;
            };
            match backup_file::open_first_chunk(beginning, stored, key, id) {
                Ok(chunk) => {
                    self.last.store(place, Ordering::Relaxed);
                    return Ok((place, chunk));
                }
                Err(BackupFileError::DoesNotOpen) => {}
                Err(error) => return Err(Opening::Damaged(error)),
            }
        }
        Err(Opening::NoKey)
    }
}

impl Probe {
    fn closed(opening: Opening, header: Option<Header>) -> Self {
        Self {
            opening,
            content: None,
            plain_size: None,
            header,
        }
    }

    fn plain(beginning: &[u8], stored: u64) -> Self {
        Self {
            opening: Opening::Plain,
            content: Some(content::recognise(beginning)),
            plain_size: Some(stored),
            header: None,
        }
    }
}

/// Whether a listing alone says that there is something to look into.
pub fn is_worth_probing(stream: &StoredStream) -> bool {
    matches!(
        stream.layout(),
        Layout::Single { size: 1.. } | Layout::Chunked { .. }
    )
}
