//! What one backup in a storage is: its sidecar, its first chunk, its size.
//!
//! Nothing is believed that was not looked at. A sidecar commits a backup; that the backup is
//! what the sidecar says, and that a key opens it, only its own bytes tell.

use std::sync::Arc;

use uuid::Uuid;

use crate::base::error_chain::error_chain;
use crate::databasus::backup_file::{
    BackupFileError, BackupReader, FIRST_CHUNK_BYTES, Header, open_first_chunk, plain_size,
    stored_size,
};
use crate::databasus::catalogue_rows::ManifestColumns;
use crate::databasus::objects::content::{Content, is_of_mariadb, recognise};
use crate::databasus::objects::group::{BackupGroup, Layout, Standing, StoredStream};
use crate::databasus::objects::name::{BackupName, Piece, Role};
use crate::databasus::objects::sidecar::{self, BaseBackup, Encryption, Sidecar};
use crate::databasus::objects::wal_v1_base::{WalV1Base, WalV1BaseError};
use crate::databasus::schema::{Generation, Schema};
use crate::databasus::secret_key::SecretKey;
use crate::ops::backup_object::{BackupObject, BackupObjectError, PartDigests};
use crate::ops::bucket::{FoundSidecar, read_sidecar};
use crate::postgres::wal_page::FirstPage;
use crate::store::Store;

use super::attribution;
use super::report::Reason;

/// The migration of the first release that writes and reads backups in parts: 3.46.0.
const PARTS_MIGRATION: i64 = 20_260_620_155_346;

/// A backup that was looked at and found good.
pub(super) struct Examined {
    pub(super) name: BackupName,
    /// In bytes, all parts together.
    pub(super) stored: u64,
    /// Of its row, and of its encryption.
    pub(super) id: Uuid,
    /// Which of the keys opens it; none where it is not encrypted.
    pub(super) key: Option<usize>,
    pub(super) encryption: Encryption,
    pub(super) what: What,
}

/// What a backup is.
pub(super) enum What {
    Dump(Dump),
    WalV1Base(WalV1Base),
    WalV1Segment(FirstPage),
    Full(Box<BaseBackup>, ManifestColumns),
    Incremental(Box<sidecar::Incremental>, ManifestColumns),
    Wal(Box<sidecar::Wal>),
    History(Box<sidecar::History>),
}

/// What a dump says of itself.
pub(super) struct Dump {
    pub(super) content: attribution::Content,
    /// What the server called the database.
    pub(super) source: Option<String>,
    /// Of the server.
    pub(super) version: Option<String>,
    /// SQL that MariaDB wrote.
    pub(super) mariadb: bool,
    /// The length that a download has, in bytes, where that is the plaintext's.
    pub(super) download: u64,
}

/// A backup that does not come in.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) detail: String,
}

fn refuse<T>(reason: Reason, detail: impl Into<String>) -> Result<T, Refusal> {
    let detail = detail.into();
    Err(Refusal { reason, detail })
}

/// What the recorded release can read, and what opens things.
pub(super) struct Examination<'a> {
    /// The live one first.
    pub(super) keys: &'a [&'a SecretKey],
    pub(super) generation: Generation,
    /// Whether backups in parts are known to it.
    pub(super) parts: bool,
}

impl<'a> Examination<'a> {
    pub(super) fn new(keys: &'a [&'a SecretKey], generation: Generation, schema: &Schema) -> Self {
        let parts = match schema.version {
            Some(version) => version >= PARTS_MIGRATION,
            None => generation == Generation::From343,
        };
        Self {
            keys,
            generation,
            parts,
        }
    }

    /// Looks at one backup.
    pub(super) fn of(
        &self,
        store: &Arc<dyn Store>,
        group: &BackupGroup,
    ) -> Result<Examined, Refusal> {
        self.check_standing(group)?;
        match read_sidecar(store.as_ref(), group) {
            FoundSidecar::Read(sidecar) => self.committed(store, group, *sidecar),
            FoundSidecar::Absent => self.without_sidecar(store, group),
            FoundSidecar::Unusable(error) => refuse(Reason::Damaged, error_chain(&error)),
            FoundSidecar::Unread(error) => refuse(Reason::Unread, error_chain(&error)),
        }
    }

    fn check_standing(&self, group: &BackupGroup) -> Result<(), Refusal> {
        let committed = group.sidecar.is_some();
        match group.standing() {
            Standing::FailedDump if committed => {
                refuse(Reason::Damaged, "it is empty, and its sidecar commits it")
            }
            Standing::FailedDump => refuse(Reason::FailedDump, "a header without content"),
            Standing::ContentMissing => refuse(Reason::Remains, "its content is gone"),
            Standing::Incomplete if group.content.layout() == Layout::Unfinished && !committed => {
                refuse(Reason::Unfinished, "parts without their list")
            }
            Standing::Incomplete => refuse(Reason::Damaged, "parts of it are missing"),
            Standing::Committed | Standing::Unproven => self.check_layout(group),
        }
    }

    fn check_layout(&self, group: &BackupGroup) -> Result<(), Refusal> {
        let chunked = |stream: &StoredStream| matches!(stream.layout(), Layout::Chunked { .. });
        if !self.parts && (chunked(&group.content) || chunked(&group.manifest)) {
            return refuse(
                Reason::Unreadable,
                "it is stored in parts, which Databasus reads since 3.46",
            );
        }
        Ok(())
    }

    fn committed(
        &self,
        store: &Arc<dyn Store>,
        group: &BackupGroup,
        sidecar: Sidecar,
    ) -> Result<Examined, Refusal> {
        let physical = !matches!(sidecar, Sidecar::Logical(_));
        if physical && self.generation == Generation::UpTo342 {
            return refuse(
                Reason::Unreadable,
                "it is a physical backup, which Databasus knows since 3.43",
            );
        }
        let looked = self.look(store, group, sidecar.id())?;
        same_encryption(sidecar.encryption(), &looked.encryption)?;
        let (id, stored) = (sidecar.id(), looked.stored);
        let manifest = |id| self.manifest(store, group, id);
        looked.holds(&sidecar)?;
        let what = match sidecar {
            Sidecar::Logical(_) => looked.dump()?,
            Sidecar::Full(full) => {
                looked.has_plain_size(full.compressed_size)?;
                What::Full(Box::new(full), manifest(id)?)
            }
            Sidecar::Incremental(incremental) => {
                looked.has_plain_size(incremental.backup.compressed_size)?;
                What::Incremental(Box::new(incremental), manifest(id)?)
            }
            Sidecar::Wal(wal) => {
                has_stored_size(wal.stored_size, stored)?;
                What::Wal(Box::new(wal))
            }
            Sidecar::History(history) => {
                has_stored_size(history.stored_size, stored)?;
                What::History(Box::new(history))
            }
        };
        Ok(Examined {
            name: group.name.clone(),
            stored,
            id,
            key: looked.key,
            encryption: looked.encryption,
            what,
        })
    }

    /// `WAL_V1` has no sidecars by design; for everything else one is missing.
    fn without_sidecar(
        &self,
        store: &Arc<dyn Store>,
        group: &BackupGroup,
    ) -> Result<Examined, Refusal> {
        let Some(id) = group.name.id() else {
            return refuse(Reason::Unproven, "no sidecar, which alone has its id");
        };
        let looked = self.look(store, group, id)?;
        let is_old = self.generation == Generation::UpTo342;
        let what = match &looked.content {
            // Physical backups are labelled with their object's name; one without a sidecar is
            // left of a run that failed.
            Content::BaseBackup { label, .. }
                if label
                    .as_ref()
                    .is_none_or(|label| label.label == group.name.to_string()) =>
            {
                return refuse(Reason::Unproven, "a physical backup without a sidecar");
            }
            Content::WalSegment(_) | Content::BaseBackup { .. } if !is_old => {
                return refuse(Reason::Unreadable, WAL_V1_IS_GONE);
            }
            Content::WalSegment(page) => What::WalV1Segment(*page),
            Content::BaseBackup { .. } => What::WalV1Base(self.wal_v1_base(&looked, id)?),
            Content::Empty => return refuse(Reason::FailedDump, "a dump without content"),
            _ => return refuse(Reason::Unproven, "no sidecar: it may have been cut"),
        };
        Ok(Examined {
            name: group.name.clone(),
            stored: looked.stored,
            id,
            key: looked.key,
            encryption: looked.encryption,
            what,
        })
    }

    /// Reads the beginning of a backup and opens it.
    fn look(
        &self,
        store: &Arc<dyn Store>,
        group: &BackupGroup,
        id: Uuid,
    ) -> Result<Looked, Refusal> {
        let name = group.name.to_string();
        let object = BackupObject::listed(store, &name, &group.content).map_err(unread)?;
        let stored = object.size();
        let beginning = object.beginning(FIRST_CHUNK_BYTES as u64).map_err(unread)?;
        let opened = self.open(&beginning, stored, id)?;
        let plain = opened.plain(&beginning);
        Ok(Looked {
            content: recognise(plain),
            mariadb: is_of_mariadb(plain),
            key: opened.key,
            encryption: opened.encryption,
            object,
            stored,
        })
    }

    /// Opens the beginning of a stored file with whichever key does.
    fn open(&self, beginning: &[u8], stored: u64, id: Uuid) -> Result<Opened, Refusal> {
        let header = match Header::parse(beginning) {
            Err(BackupFileError::NotEncrypted) => return Ok(Opened::plaintext()),
            other => other.map_err(damaged)?,
        };
        for (number, key) in self.keys.iter().enumerate() {
            match open_first_chunk(beginning, stored, key, id) {
                Ok(plain) => {
                    return Ok(Opened {
                        key: Some(number),
                        encryption: Encryption::Encrypted {
                            salt: header.salt,
                            nonce: header.nonce,
                        },
                        plain,
                    });
                }
                Err(BackupFileError::DoesNotOpen) => {}
                Err(error) => return Err(damaged(error)),
            }
        }
        refuse(
            Reason::NoKey,
            "another secret.key, another backup's id, or damage at its beginning",
        )
    }

    fn manifest(
        &self,
        store: &Arc<dyn Store>,
        group: &BackupGroup,
        id: Uuid,
    ) -> Result<ManifestColumns, Refusal> {
        let name = group.name.object(Role::Manifest(Piece::Whole));
        if group.manifest.size().is_none() {
            return refuse(Reason::Damaged, "its manifest is missing");
        }
        let object = BackupObject::listed(store, &name, &group.manifest).map_err(unread)?;
        let beginning = object.beginning(FIRST_CHUNK_BYTES as u64).map_err(unread)?;
        let opened = self.open(&beginning, object.size(), id)?;
        if !opened.plain(&beginning).starts_with(b"{") {
            return refuse(Reason::Damaged, "its manifest is none");
        }
        Ok(ManifestColumns::new(name, &opened.encryption))
    }

    /// Reads a base backup whole: where it ends stands at its end.
    fn wal_v1_base(&self, looked: &Looked, id: Uuid) -> Result<WalV1Base, Refusal> {
        let failed = |error: std::io::Error| base_refusal(WalV1BaseError::Read(error));
        let source = looked.object.reader(PartDigests::Ignore).map_err(failed)?;
        let key = looked.key.and_then(|number| self.keys.get(number));
        let read = match key {
            None => WalV1Base::read(source),
            Some(key) => {
                let threads = std::thread::available_parallelism().map_or(1, usize::from);
                let reader = BackupReader::open(source, looked.stored, key, id, threads);
                WalV1Base::read(reader.map_err(failed)?)
            }
        };
        read.map_err(base_refusal)
    }
}

const WAL_V1_IS_GONE: &str = "it is of WAL_V1, which Databasus knows from 3.17 to 3.42";

/// Bytes of a backup that were looked at.
struct Looked {
    object: BackupObject,
    stored: u64,
    key: Option<usize>,
    encryption: Encryption,
    content: Content,
    mariadb: bool,
}

impl Looked {
    /// How long the backup is, decrypted.
    fn plain_size(&self) -> Result<u64, Refusal> {
        match self.encryption {
            Encryption::None => Ok(self.stored),
            Encryption::Encrypted { .. } => plain_size(self.stored).map_err(damaged),
        }
    }

    fn has_plain_size(&self, expected: u64) -> Result<(), Refusal> {
        let stored = match self.encryption {
            Encryption::None => expected,
            Encryption::Encrypted { .. } => stored_size(expected),
        };
        has_stored_size(stored, self.stored)
    }

    /// What a sidecar of a physical kind commits must be of that kind. What authenticates and is
    /// not recognised is let be: a later release may pack it otherwise.
    fn holds(&self, sidecar: &Sidecar) -> Result<(), Refusal> {
        let fits = match (sidecar, &self.content) {
            (Sidecar::Logical(_), _) => true,
            (Sidecar::Full(_) | Sidecar::Incremental(_), Content::BaseBackup { .. }) => true,
            (Sidecar::Wal(wal), Content::WalSegment(page)) => wal.segment == page.segment,
            (Sidecar::History(_), Content::TimelineHistory) => true,
            (_, Content::Unknown) => self.encryption != Encryption::None,
            _ => false,
        };
        match fits {
            true => Ok(()),
            false => refuse(
                Reason::Damaged,
                "it holds something other than its sidecar says",
            ),
        }
    }

    fn dump(&self) -> Result<What, Refusal> {
        use attribution::Content as Kind;
        let plain = self.plain_size()?;
        let dump = |content, source, version, download| {
            Ok(What::Dump(Dump {
                content,
                source,
                version,
                mariadb: self.mariadb,
                download,
            }))
        };
        match &self.content {
            Content::PgDump(header) => dump(
                Kind::PgDump,
                Some(header.database.clone()),
                Some(header.server_version.clone()),
                plain,
            ),
            Content::UnreadPgDump(_) => dump(Kind::PgDump, None, None, plain),
            // Its size before zstd, which Databasus' own rows have, is not known: with 0 a
            // download announces nothing.
            Content::Sql { database } => dump(Kind::Sql, database.clone(), None, 0),
            Content::MongoArchive => dump(Kind::MongoArchive, None, None, plain),
            Content::Empty => refuse(Reason::Damaged, "it is empty, and its sidecar commits it"),
            _ if self.encryption == Encryption::None => {
                refuse(Reason::Damaged, "it does not begin as any dump does")
            }
            _ => refuse(
                Reason::Unproven,
                "it opens, and is no dump that this tool knows",
            ),
        }
    }
}

/// The beginning of a stored file, opened.
struct Opened {
    key: Option<usize>,
    encryption: Encryption,
    plain: zeroize::Zeroizing<Vec<u8>>,
}

impl Opened {
    fn plaintext() -> Self {
        Self {
            key: None,
            encryption: Encryption::None,
            plain: Default::default(),
        }
    }

    fn plain<'a>(&'a self, stored: &'a [u8]) -> &'a [u8] {
        match self.key {
            None => stored,
            Some(_) => &self.plain,
        }
    }
}

fn same_encryption(said: &Encryption, found: &Encryption) -> Result<(), Refusal> {
    match said == found {
        true => Ok(()),
        false => refuse(
            Reason::Damaged,
            "its sidecar and its own header disagree about the encryption",
        ),
    }
}

fn has_stored_size(expected: u64, found: u64) -> Result<(), Refusal> {
    match expected == found {
        true => Ok(()),
        false => refuse(
            Reason::Damaged,
            format!("{found} bytes are stored, and its sidecar says {expected}"),
        ),
    }
}

fn damaged(error: BackupFileError) -> Refusal {
    Refusal {
        reason: Reason::Damaged,
        detail: error_chain(&error),
    }
}

fn unread(error: BackupObjectError) -> Refusal {
    let reason = match &error {
        // A listing named it a moment ago: somebody may be at work.
        BackupObjectError::Store(_)
        | BackupObjectError::NotFound(_)
        | BackupObjectError::Changed(_) => Reason::Unread,
        _ => Reason::Damaged,
    };
    let detail = error_chain(&error);
    Refusal { reason, detail }
}

fn base_refusal(error: WalV1BaseError) -> Refusal {
    let from_store = |error: &std::io::Error| {
        let inner = error.get_ref();
        inner.is_some_and(|inner| inner.is::<BackupObjectError>())
    };
    let reason = match &error {
        WalV1BaseError::Read(error) if from_store(error) => Reason::Unread,
        _ => Reason::Damaged,
    };
    let detail = error_chain(&error);
    Refusal { reason, detail }
}
