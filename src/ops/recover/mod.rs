//! Getting a backup back straight from its storage, without Databasus.

use std::io::{self, BufRead, Write};
use std::sync::Arc;

use uuid::Uuid;

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::digest::{Digest, Hasher};
use crate::base::text::printable;
use crate::databasus::backup_file::{BackupFileError, BackupReader, FIRST_CHUNK_BYTES};
use crate::databasus::objects::content::Content;
use crate::databasus::objects::name::{BackupName, Piece, Role};
use crate::databasus::objects::sidecar::Sidecar;
use crate::databasus::secret_key::SecretKey;
use crate::store::Store;

use super::backup_object::{BackupObject, BackupObjectError, PartDigests};
use super::bucket::FoundSidecar;
use super::bucket::probe::{Opening, Probe, Prober};

pub mod find;
pub mod inventory;
pub mod keys;
pub mod output;
mod size;

use find::{Stream, Target};
use keys::{KeyRing, KeySource};
use size::SizeDiffers;

/// A backup that opens, not yet read.
pub struct OpenBackup {
    /// Its object's name without what marks a part.
    pub name: String,
    /// What it is.
    pub content: Content,
    /// Its length in bytes.
    pub size: u64,
    /// What opened it; none where it is not encrypted.
    pub opened_by: Option<KeySource>,
    /// Whether its sidecar names another salt or nonce than its header: Databasus would refuse
    /// to read it, although it authenticates.
    pub sidecar_differs: bool,
    reader: Box<dyn BufRead>,
}

/// What happens to plain content of no known kind, of which no sidecar says that it is plain: it
/// may be an encrypted object with a damaged beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrecognised {
    /// It is not recovered.
    Refuse,
    /// It is taken for what it is.
    Take,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Recovered {
    /// In bytes.
    pub size: u64,
    /// Of the plaintext.
    pub sha256: Digest,
}

/// A backup was not recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Its objects are not there, not whole or not readable.
    #[error("cannot read the backup {}", printable(.name))]
    Object {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: BackupObjectError,
    },
    /// There is nothing in it.
    #[error("{} is a dump that failed: nothing was ever stored in it", printable(.0))]
    FailedDump(String),
    /// No key opens it.
    #[error(
        "{} is encrypted, and none of the {tried} keys that were tried opens it",
        printable(name)
    )]
    NoKey {
        /// Its name.
        name: String,
        /// How many were at hand.
        tried: usize,
        /// Whether it is a timeline history file, which 3.43 to 3.45 encrypted under an id that
        /// is written nowhere.
        is_history: bool,
    },
    /// It is encrypted under an id that cannot be known.
    #[error(
        "{} is encrypted under an id that only its sidecar knows, and that cannot be used",
        printable(.0)
    )]
    NoId(String),
    /// It is cut, or not what Databasus wrote.
    #[error("{} is damaged", printable(.name))]
    Damaged {
        /// Its name.
        name: String,
        /// How.
        #[source]
        source: BackupFileError,
    },
    /// It has another length than its sidecar says.
    #[error("{} has {found} bytes, and its sidecar says {said}", printable(.name))]
    Size {
        /// Its name.
        name: String,
        /// By the sidecar.
        said: u64,
        /// What is there.
        found: u64,
    },
    /// Neither its sidecar nor its content tells what it is.
    #[error(
        "{} is nothing that Databasus writes, as far as its beginning tells, and no sidecar says \
         what it is",
        printable(.0)
    )]
    Unrecognised(String),
    /// Reading failed on the way.
    #[error("cannot read {} to its end", printable(.name))]
    Read {
        /// Its name.
        name: String,
        /// Why; wraps a [`BackupFileError`] or a [`BackupObjectError`].
        #[source]
        source: io::Error,
    },
    /// What was recovered could not be written.
    #[error("cannot write what was recovered")]
    Write(#[source] io::Error),
}

/// Finds out whether and how a backup opens, having fetched its first chunk.
///
/// `threads` is how many decrypt; with 1 all happens in the thread that reads.
pub fn open(
    store: &Arc<dyn Store>,
    target: &Target,
    keys: &KeyRing,
    unrecognised: Unrecognised,
    threads: usize,
) -> Result<OpenBackup, RecoverError> {
    let name = target.object_name();
    let failed = |source| RecoverError::Object {
        name: name.clone(),
        source,
    };
    let object = BackupObject::find(store, &name).map_err(failed)?;
    let beginning = object.beginning(FIRST_CHUNK_BYTES as u64).map_err(failed)?;
    let sidecar = target.sidecar.get();
    let id = sidecar.map(Sidecar::id).or(target.name.id());
    // All streams of a backup are encrypted, or none is.
    let encryption = sidecar.map(Sidecar::encryption);
    let probe = Prober::new(keys.keys()).judge(&beginning, object.size(), id, encryption);
    if unrecognised == Unrecognised::Refuse && !target.is_told(&beginning, &probe) {
        return Err(RecoverError::Unrecognised(name));
    }
    let key = match probe.opening {
        Opening::Plain => None,
        Opening::Key(place) => {
            let found = keys.get(place).zip(id);
            Some(found.ok_or_else(|| refusal(Opening::NoKey, &name, target, keys))?)
        }
        refused => return Err(refusal(refused, &name, target, keys)),
    };
    let size = probe.plain_size.unwrap_or(object.size());
    let said = target.said_of_content();
    if let Some(sidecar) = said {
        size::check(sidecar, Some(size), object.size()).map_err(|differs| differs.of(&name))?;
    }
    let reader = reader(&object, key.map(|((key, _), id)| (key, id)), threads);
    Ok(OpenBackup {
        content: probe.content.unwrap_or(Content::Unknown),
        size,
        opened_by: key.map(|((_, source), _)| source.clone()),
        sidecar_differs: said.is_some_and(|said| said.encryption().header() != probe.header),
        reader: reader.map_err(|source| RecoverError::Read {
            name: name.clone(),
            source,
        })?,
        name,
    })
}

/// The first field of every `backup_manifest` is its version.
fn is_manifest(beginning: &[u8]) -> bool {
    const FIELD: &[u8] = b"\"PostgreSQL-Backup-Manifest-Version\"";
    let mut line = beginning.split(|byte| *byte == b':');
    let first = line.next().unwrap_or_default();
    first.starts_with(b"{") && first.trim_ascii_end().ends_with(FIELD)
}

fn reader(
    object: &BackupObject,
    key: Option<(&SecretKey, Uuid)>,
    threads: usize,
) -> io::Result<Box<dyn BufRead>> {
    Ok(match key {
        // What is encrypted authenticates itself.
        Some((key, id)) => {
            let stored = object.reader(PartDigests::Ignore)?;
            Box::new(BackupReader::open(stored, object.size(), key, id, threads)?)
        }
        None => Box::new(object.reader(PartDigests::Check)?),
    })
}

fn refusal(opening: Opening, name: &str, target: &Target, keys: &KeyRing) -> RecoverError {
    let name = name.to_owned();
    match opening {
        Opening::FailedDump => RecoverError::FailedDump(name),
        Opening::NoId => RecoverError::NoId(name),
        Opening::Damaged(source) => RecoverError::Damaged { name, source },
        Opening::NoKey | Opening::Plain | Opening::Key(_) => RecoverError::NoKey {
            name,
            tried: keys.keys().len(),
            is_history: matches!(target.name, BackupName::History { .. }),
        },
    }
}

impl SizeDiffers {
    fn of(self, name: &str) -> RecoverError {
        RecoverError::Size {
            name: name.to_owned(),
            said: self.said,
            found: self.found,
        }
    }
}

impl OpenBackup {
    /// Writes all of it to `out`. Success means that every byte was read and, where it is
    /// encrypted, authenticated; after an error what was written is worth nothing.
    pub fn copy_to(
        mut self,
        out: &mut dyn Write,
        cancel: &Cancel,
        on_bytes: &dyn Fn(u64),
    ) -> Result<Recovered, RecoverError> {
        let mut hasher = Hasher::new();
        let mut size = 0;
        loop {
            cancel.check()?;
            let bytes = match self.reader.fill_buf() {
                Ok([]) => break,
                Ok(bytes) => bytes,
                Err(source) => {
                    let name = self.name;
                    return Err(RecoverError::Read { name, source });
                }
            };
            hasher.update(bytes);
            out.write_all(bytes).map_err(RecoverError::Write)?;
            let count = bytes.len();
            self.reader.consume(count);
            size += count as u64;
            on_bytes(count as u64);
        }
        out.flush().map_err(RecoverError::Write)?;
        if size != self.size {
            return Err(RecoverError::Size {
                name: self.name,
                said: self.size,
                found: size,
            });
        }
        Ok(Recovered {
            size,
            sha256: hasher.finish(),
        })
    }
}

impl Target {
    /// Whether Databasus ever said that this backup is complete.
    pub fn is_committed(&self) -> bool {
        matches!(self.sidecar, FoundSidecar::Read(_))
    }

    /// Whether anything tells what it is: its encryption, its sidecar or its own beginning.
    fn is_told(&self, beginning: &[u8], probe: &Probe) -> bool {
        let is_known = match self.stream {
            Stream::Content => probe.content != Some(Content::Unknown),
            Stream::Manifest => is_manifest(beginning),
        };
        is_known || probe.opening != Opening::Plain || self.sidecar.get().is_some()
    }

    /// The name of the stream's object, or what the names of its parts begin with.
    fn object_name(&self) -> String {
        self.name.object(match self.stream {
            Stream::Content => Role::Content(Piece::Whole),
            Stream::Manifest => Role::Manifest(Piece::Whole),
        })
    }

    /// The sidecar, where it speaks of the stream that is wanted: never of the manifest.
    fn said_of_content(&self) -> Option<&Sidecar> {
        self.sidecar
            .get()
            .filter(|_| self.stream == Stream::Content)
    }
}
