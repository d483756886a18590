//! Opening what a plan names.

use std::io::{self, BufRead};
use std::sync::Arc;

use uuid::Uuid;

use crate::base::text::printable;
use crate::databasus::backup_chain::facts::{Seal, Stored};
use crate::databasus::backup_file::{BackupReader, FIRST_CHUNK_BYTES};
use crate::databasus::objects::name::{Piece, Role};
use crate::ops::backup_object::{BackupObject, BackupObjectError, PartDigests};
use crate::ops::bucket::probe::{Opening, Prober};
use crate::ops::recover::keys::KeyRing;
use crate::store::Store;

use super::fault::Fault;

/// Where backups are, and the keys that open them.
#[derive(Clone, Copy)]
pub struct Storage<'a> {
    /// The storage.
    pub store: &'a Arc<dyn Store>,
    /// The keys at hand.
    pub keys: &'a KeyRing,
}

/// A stream of a backup, opened. Every byte that it gives is authentic where the backup is
/// encrypted, and its end is reported only where all of it arrived.
pub struct Opened {
    /// Its plaintext.
    pub reader: Box<dyn BufRead + Send>,
    /// Its plaintext in bytes.
    pub size: u64,
}

/// A stream of a backup cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not there, or cannot be read.
    #[error("cannot read {}", printable(.name))]
    Object {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: BackupObjectError,
    },
    /// None of the keys opens it.
    #[error("none of the {tried} keys at hand opens {}", printable(.name))]
    NoKey {
        /// Its name.
        name: String,
        /// How many keys were tried.
        tried: usize,
    },
    /// It is not what Databasus finished.
    #[error("{} is damaged: {what}", printable(.name))]
    Damaged {
        /// Its name.
        name: String,
        /// How.
        what: String,
    },
    /// Its first bytes could not be read.
    #[error("cannot begin to read {}", printable(.name))]
    Read {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// What it says of what is stored.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoKey { .. } => Fault::NoKey,
            Self::Damaged { .. } => Fault::Damaged,
            Self::Object { source, .. } => Fault::of_object(source),
            Self::Read { source, .. } => Fault::of_reading(source),
        }
    }
}

impl Storage<'_> {
    /// Opens the content of a backup. `threads` decrypt it; with 1 all happens in the thread that
    /// reads.
    pub fn content(&self, stored: &Stored, threads: usize) -> Result<Opened, OpenError> {
        let name = stored.group.name.object(Role::Content(Piece::Whole));
        let object = BackupObject::listed(self.store, &name, &stored.group.content);
        self.open(&name, object, stored.seal, threads)
    }

    /// Opens the manifest that lies beside a physical backup.
    pub fn manifest(&self, stored: &Stored) -> Result<Opened, OpenError> {
        let name = stored.group.name.object(Role::Manifest(Piece::Whole));
        let object = BackupObject::listed(self.store, &name, &stored.group.manifest);
        // It is sealed under the same key, which the content need not have told yet.
        self.open(&name, object, stored.seal, 1)
    }

    fn open(
        &self,
        name: &str,
        object: Result<BackupObject, BackupObjectError>,
        seal: Seal,
        threads: usize,
    ) -> Result<Opened, OpenError> {
        let failed = |source| OpenError::Object {
            name: name.to_owned(),
            source,
        };
        let object = object.map_err(failed)?;
        let unread = |source| OpenError::Read {
            name: name.to_owned(),
            source,
        };
        let (id, place) = match seal {
            Seal::Plain => {
                let reader = object.reader(PartDigests::Check).map_err(unread)?;
                return Ok(Opened {
                    reader: Box::new(reader),
                    size: object.size(),
                });
            }
            Seal::Encrypted { id, key: Some(key) } => (id, key),
            Seal::Encrypted { id, key: None } => (id, self.find_key(name, &object, id)?),
        };
        let Some((key, _)) = self.keys.get(place) else {
            return Err(self.no_key(name));
        };
        // What is encrypted authenticates itself.
        let stored = object.reader(PartDigests::Ignore).map_err(unread)?;
        let reader = BackupReader::open(stored, object.size(), key, id, threads).map_err(unread)?;
        Ok(Opened {
            size: reader.plain_size(),
            reader: Box::new(reader),
        })
    }

    fn find_key(&self, name: &str, object: &BackupObject, id: Uuid) -> Result<usize, OpenError> {
        let beginning = object.beginning(FIRST_CHUNK_BYTES as u64);
        let beginning = beginning.map_err(|source| OpenError::Object {
            name: name.to_owned(),
            source,
        })?;
        let prober = Prober::new(self.keys.keys());
        let damaged = |what: String| OpenError::Damaged {
            name: name.to_owned(),
            what,
        };
        match prober
            .judge(&beginning, object.size(), Some(id), None)
            .opening
        {
            Opening::Key(place) => Ok(place),
            Opening::NoKey | Opening::NoId => Err(self.no_key(name)),
            Opening::FailedDump => Err(damaged("there is nothing in it".to_owned())),
            Opening::Plain => Err(damaged("it is not encrypted, and should be".to_owned())),
            Opening::Damaged(error) => Err(damaged(error.to_string())),
        }
    }

    fn no_key(&self, name: &str) -> OpenError {
        OpenError::NoKey {
            name: name.to_owned(),
            tried: self.keys.keys().len(),
        }
    }
}
