//! Level 2: the newest encrypted backups begin as they should, and have the size they should.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use uuid::Uuid;

use crate::base::error_chain::error_chain;
use crate::base::text::printable;
use crate::databasus::backup_file::{
    BackupFileError, FIRST_CHUNK_BYTES, Header, open_first_chunk, plain_size,
};
use crate::databasus::newest_backups::NewestBackup;
use crate::databasus::secret_key::SecretKey;
use crate::databasus::storages::Storage;
use crate::model::proof::{Level, Outcome};
use crate::ops::backup_object::{BackupObject, BackupObjectError};
use crate::store::{Store, StoreErrorKind};

use super::key_trial::other_form;
use super::report::LevelReport;
use super::{Copied, Request};

/// Backups looked at at once. Each holds its first MiB.
const AT_ONCE: usize = 8;

/// A backup, and what looking at its beginning came to.
pub(super) struct Look<'a> {
    pub(super) backup: &'a NewestBackup,
    pub(super) storage: Option<&'a Storage>,
    found: Found,
}

/// A backup whose first chunk opened.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) object: BackupObject,
    /// Whether it begins as a dump of PostgreSQL does.
    pub(super) is_pg_dump: bool,
}

enum Found {
    Opened(Opened),
    Missing(String),
    /// The key does not open it; its first bytes and its size are kept for other forms of the key.
    Closed {
        beginning: Bytes,
        stored: u64,
    },
    Failed(String),
    Unknown(String),
    /// Its storage does not answer.
    Unreachable(String),
}

impl Look<'_> {
    pub(super) fn opened(&self) -> Option<&Opened> {
        match &self.found {
            Found::Opened(opened) => Some(opened),
            _ => None,
        }
    }

    pub(super) fn is_missing(&self) -> bool {
        matches!(self.found, Found::Missing(_))
    }

    /// What is missing for this reason proves nothing.
    pub(super) fn excuse(&mut self, why: &str) {
        self.found = Found::Unknown(why.to_owned());
    }

    fn outcome(&self) -> Outcome {
        match self.found {
            Found::Opened(_) => Outcome::Proven,
            Found::Missing(_) | Found::Closed { .. } | Found::Failed(_) => Outcome::Failed,
            Found::Unknown(_) | Found::Unreachable(_) => Outcome::Unknown,
        }
    }

    fn why(&self) -> String {
        match &self.found {
            Found::Opened(_) => String::new(),
            Found::Closed { .. } => BackupFileError::DoesNotOpen.to_string(),
            Found::Missing(why)
            | Found::Failed(why)
            | Found::Unknown(why)
            | Found::Unreachable(why) => why.clone(),
        }
    }

    /// `storage R2, database shop, shop-…: REASON`.
    pub(super) fn about(&self, why: &str) -> String {
        let storage = self
            .storage
            .map_or("that is gone", |storage| storage.name.as_str());
        format!(
            "storage {}, database {}, {}: {why}",
            printable(storage),
            printable(&self.backup.database),
            printable(&self.backup.object)
        )
    }
}

/// Looks at all of them, several at a time; in the order of the rows.
pub(super) fn look<'a>(stored: &'a Copied, request: &Request<'_>) -> Vec<Look<'a>> {
    let opened = open_storages(stored, request);
    let next = AtomicUsize::new(0);
    let silent = Silent::default();
    let looks = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(stored.backups.len()) {
            scope.spawn(|| {
                while let Some((number, backup)) = take(&next, &stored.backups) {
                    let found = match request.cancel.check() {
                        Ok(()) => silent.ask(backup.storage, || {
                            look_at(backup, opened.get(&backup.storage), request.key)
                        }),
                        Err(signal) => Found::Unknown(signal.to_string()),
                    };
                    let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
                    looks.push((number, found));
                }
            });
        }
    });
    let mut looks = looks.into_inner().unwrap_or_else(PoisonError::into_inner);
    looks.sort_by_key(|(number, _)| *number);
    let storage = |id: Uuid| stored.storages.iter().find(|storage| storage.id == id);
    let backups = stored.backups.iter();
    let all = backups.zip(looks).map(|(backup, (_, found))| Look {
        backup,
        storage: storage(backup.storage),
        found,
    });
    all.collect()
}

fn take<'a, T>(next: &AtomicUsize, all: &'a [T]) -> Option<(usize, &'a T)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    Some((number, all.get(number)?))
}

/// Storages that did not answer: each is waited for once and not backup by backup.
#[derive(Default)]
struct Silent(Mutex<HashMap<Uuid, String>>);

impl Silent {
    fn ask(&self, storage: Uuid, look: impl FnOnce() -> Found) -> Found {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = known().get(&storage).cloned();
        if let Some(why) = silent {
            return Found::Unknown(why);
        }
        let found = look();
        if let Found::Unreachable(why) = found {
            known().insert(storage, why.clone());
            return Found::Unknown(why);
        }
        found
    }
}

type OpenedStorages = HashMap<Uuid, Result<Arc<dyn Store>, String>>;

fn open_storages(stored: &Copied, request: &Request<'_>) -> OpenedStorages {
    let needed = stored
        .storages
        .iter()
        .filter(|storage| stored.backups.iter().any(|one| one.storage == storage.id));
    let open = |storage: &Storage| {
        let store = request.storages.open(storage, request.key);
        (storage.id, store.map_err(|error| error_chain(&error)))
    };
    needed.map(open).collect()
}

fn look_at(
    backup: &NewestBackup,
    store: Option<&Result<Arc<dyn Store>, String>>,
    key: &SecretKey,
) -> Found {
    let store = match store {
        Some(Ok(store)) => store,
        Some(Err(why)) => return Found::Unknown(why.clone()),
        None => return Found::Failed("its storage is not in the catalogue".to_owned()),
    };
    let object = match BackupObject::find(store, &backup.object) {
        Ok(object) => object,
        Err(error) => return found_of(error),
    };
    let stored = object.size();
    match object.beginning(FIRST_CHUNK_BYTES as u64) {
        Err(error) => found_of(error),
        Ok(beginning) => match check(backup, &beginning, stored, key) {
            Ok(is_pg_dump) => Found::Opened(Opened { object, is_pg_dump }),
            Err(Unfit::File(BackupFileError::DoesNotOpen)) => Found::Closed { beginning, stored },
            Err(error) => Found::Failed(error_chain(&error)),
        },
    }
}

/// A file is not the one that its row describes.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error(transparent)]
    File(#[from] BackupFileError),
    #[error("it has {stored} bytes, which is not the size that the catalogue knows: it was cut")]
    Size { stored: u64 },
}

fn check(
    backup: &NewestBackup,
    beginning: &[u8],
    stored: u64,
    key: &SecretKey,
) -> Result<bool, Unfit> {
    let plain = plain_size(stored)?;
    if !backup.fits(plain, stored) {
        return Err(Unfit::Size { stored });
    }
    let header = Header::parse(beginning)?;
    if let Some(expected) = &backup.header {
        header.check(expected)?;
    }
    let chunk = open_first_chunk(beginning, stored, key, backup.id)?;
    Ok(chunk.starts_with(crate::databasus::dump_header::MAGIC))
}

fn found_of(error: BackupObjectError) -> Found {
    match error {
        error if is_gone(&error) => Found::Missing("its object is not there".to_owned()),
        BackupObjectError::Store(ref store) if store.kind == StoreErrorKind::Transient => {
            Found::Unreachable(error_chain(&error))
        }
        error if says_nothing(&error) => Found::Unknown(error_chain(&error)),
        error => Found::Failed(error_chain(&error)),
    }
}

/// A running Databasus deletes the parts of a backup one by one.
pub(super) fn is_gone(error: &BackupObjectError) -> bool {
    matches!(
        error,
        BackupObjectError::NotFound(_) | BackupObjectError::PartMissing(_)
    )
}

/// A store that does not answer, or an object that is being replaced, proves nothing; parts that
/// are missing or cut do.
pub(super) fn says_nothing(error: &BackupObjectError) -> bool {
    matches!(
        error,
        BackupObjectError::Store(_) | BackupObjectError::Changed(_)
    )
}

/// The level, and what it says of the key. `opens_fields`: whether level 1 is proven.
pub(super) fn report(looks: &[Look<'_>], key: &SecretKey, opens_fields: bool) -> LevelReport {
    let mut level = LevelReport::new(Level::FirstChunks);
    for look in looks {
        level.count(look.outcome(), || look.about(&look.why()));
    }
    if looks.is_empty() {
        level.conclude("the catalogue knows no encrypted backup");
    } else if let Some(told) = about_key(looks, key, opens_fields) {
        level.conclude(told);
    }
    level
}

fn about_key(looks: &[Look<'_>], key: &SecretKey, opens_fields: bool) -> Option<String> {
    let mut closed = looks.iter().filter_map(|look| match &look.found {
        Found::Closed { beginning, stored } => Some((look.backup.id, beginning, *stored)),
        _ => None,
    });
    let (id, beginning, stored) = closed.next()?;
    if looks.iter().any(|look| look.opened().is_some()) {
        let told = "secret.key opens some backups and not others: those were made under an older \
                    key, or are damaged";
        return Some(told.to_owned());
    }
    let opens = |key: &SecretKey| open_first_chunk(beginning, stored, key, id).is_ok();
    let told = other_form(key, opens).unwrap_or(match opens_fields {
        true => {
            "secret.key opens the fields but not the backups: only its first 32 bytes are right"
        }
        false => "secret.key opens no backup: it is another key",
    });
    Some(told.to_owned())
}
