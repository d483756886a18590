//! What a host remembers between runs: its lock, high-water marks, the manifest that is being
//! committed, and uploads that a crash may have left behind.
//!
//! Every file is replaced atomically and durably: written beside, synced, renamed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::base::digest::Digest;
use crate::base::file_error::{FileError, failed};
use crate::base::names::{EscrowId, RekeyId, SignerName, Slug, StoreName};
use crate::model::lock::{LockMode, ProbeRecord};
use crate::model::mark::Mark;
use crate::model::strict_json::{self, StrictJsonError};
use crate::store::{Store, UploadTicket};

/// The state directory.
#[derive(Clone, Debug)]
pub struct State {
    dir: PathBuf,
}

/// Holds off other runs on this host until it is dropped.
#[derive(Debug)]
pub struct RunLock(File);

impl Drop for RunLock {
    fn drop(&mut self) {
        // Closing alone would leave the lock to a child process that was being started at this
        // moment and has not closed its copy yet.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// A signed manifest that is on its way into the stores.
///
/// It is on disk before the first store sees it, so that a run that dies between two stores can
/// be finished by the next with the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// Its sequence number.
    pub seq: u64,
    /// Who signed it.
    pub signer: SignerName,
    /// Its exact text.
    pub manifest: String,
    /// The armored signature.
    pub signature: String,
    /// Stores that are to hold it.
    pub stores: Vec<StoreName>,
}

impl Pending {
    /// Digest of the manifest's bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(self.manifest.as_bytes())
    }

    /// Its place and digest.
    pub fn mark(&self) -> Mark {
        Mark {
            seq: self.seq,
            manifest_sha256: self.digest(),
        }
    }
}

/// An upload that this host began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenUpload {
    /// In which store.
    pub store: StoreName,
    /// How to abort it.
    pub ticket: UploadTicket,
}

/// Manifests that carry this host's signature and were made by somebody else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strangers {
    /// All of them, in the order in which they were found.
    pub manifests: Vec<Mark>,
    /// Whether this host signs with another key since.
    pub key_was_replaced: bool,
}

impl OpenUpload {
    /// An upload in this store.
    pub fn of(store: &dyn Store, ticket: UploadTicket) -> Self {
        Self {
            store: store.name().clone(),
            ticket,
        }
    }
}

/// A re-sealing that this host began, and of which something may have to be deleted yet: itself,
/// if it was never committed, or what it replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRekey {
    /// Of which escrow.
    pub escrow_id: EscrowId,
    /// Which.
    pub rekey_id: RekeyId,
}

/// Tries to break locks in one store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockProbe {
    /// The last that came to an end.
    pub last: Option<TriedLock>,
    /// Folders that may hold something that one wrote, for a later one to delete.
    pub folders: Vec<ProbedFolder>,
}

/// A try to break a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriedLock {
    /// What came of it, as manifests tell it.
    pub record: ProbeRecord,
    /// How firm the lock was.
    pub mode: LockMode,
    /// Where: the same name may stand for another bucket tomorrow.
    pub place: String,
}

/// A folder that a probe writes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbedFolder {
    /// Where.
    pub place: String,
    /// Prefix of what it writes.
    pub folder: String,
}

/// The state could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another run holds the lock.
    #[error("another run is at work on this instance (lock {0})")]
    Busy(PathBuf),
    /// The filesystem said no.
    #[error(transparent)]
    Io(#[from] FileError),
    /// Somebody edited a state file.
    #[error("state file {path} is damaged")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How.
        #[source]
        source: StrictJsonError,
    },
}

impl State {
    /// The state kept in `dir`, which is made at the first write.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Takes the lock that excludes other runs, or fails at once.
    pub fn lock(&self, slug: &Slug) -> Result<RunLock, StateError> {
        self.make_dir()?;
        let path = self.dir.join(format!("{slug}.lock"));
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(RunLock(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::Busy(path)),
            Err(error) => Err(failed("lock", &path)(error.into()).into()),
        }
    }

    /// The newest manifest that this host has committed, or joined. It is not the newest it has
    /// seen: one above this mark that carries this host's signature was made by somebody else.
    pub fn mark(&self, slug: &Slug) -> Result<Option<Mark>, StateError> {
        self.read(&format!("{slug}.mark.json"))
    }

    /// The newest manifest that a reader on this host has seen, whoever signed it.
    pub fn seen(&self, slug: &Slug) -> Result<Option<Mark>, StateError> {
        self.read(&format!("{slug}.seen.json"))
    }

    /// Remembers what a reader has seen. An older manifest changes nothing.
    pub fn raise_seen(&self, slug: &Slug, mark: Mark) -> Result<(), StateError> {
        match self.seen(slug)? {
            Some(known) if known.seq >= mark.seq => Ok(()),
            _ => self.write(&format!("{slug}.seen.json"), &mark),
        }
    }

    /// Remembers a newer manifest of this host's own. An older one changes nothing.
    pub fn raise_mark(&self, slug: &Slug, mark: Mark) -> Result<(), StateError> {
        match self.mark(slug)? {
            Some(known) if known.seq >= mark.seq => Ok(()),
            _ => self.write(&format!("{slug}.mark.json"), &mark),
        }
    }

    /// The manifest that an earlier run had begun to commit.
    pub fn pending(&self, slug: &Slug) -> Result<Option<Pending>, StateError> {
        self.read(&format!("{slug}.pending.json"))
    }

    /// Keeps a manifest before its first put.
    pub fn set_pending(&self, slug: &Slug, pending: &Pending) -> Result<(), StateError> {
        self.write(&format!("{slug}.pending.json"), pending)
    }

    /// Forgets the pending manifest: it is where it should be.
    pub fn clear_pending(&self, slug: &Slug) -> Result<(), StateError> {
        self.remove(&format!("{slug}.pending.json"))
    }

    /// Uploads begun by runs that have not said how they ended.
    pub fn open_uploads(&self, slug: &Slug) -> Result<Vec<OpenUpload>, StateError> {
        Ok(self
            .read(&format!("{slug}.uploads.json"))?
            .unwrap_or_default())
    }

    /// Replaces the list of open uploads.
    pub fn set_open_uploads(&self, slug: &Slug, open: &[OpenUpload]) -> Result<(), StateError> {
        let name = format!("{slug}.uploads.json");
        if open.is_empty() {
            return self.remove(&name);
        }
        self.write(&name, &open)
    }

    /// Manifests of this host's own that it has given up, and that a store may hold all the same.
    pub fn abandoned(&self, slug: &Slug) -> Result<Vec<Mark>, StateError> {
        Ok(self
            .read(&format!("{slug}.abandoned.json"))?
            .unwrap_or_default())
    }

    /// Gives the pending manifest up.
    pub fn abandon_pending(&self, slug: &Slug) -> Result<(), StateError> {
        let Some(pending) = self.pending(slug)? else {
            return Ok(());
        };
        let mut known = self.abandoned(slug)?;
        known.push(pending.mark());
        self.write(&format!("{slug}.abandoned.json"), &known)?;
        self.clear_pending(slug)
    }

    /// Manifests by this host's key that this host did not make.
    pub fn strangers(&self, slug: &Slug) -> Result<Strangers, StateError> {
        Ok(self
            .read(&format!("{slug}.strangers.json"))?
            .unwrap_or_default())
    }

    /// Remembers such manifests for good: an alarm that is raised once is overlooked.
    pub fn add_strangers(&self, slug: &Slug, found: &[Mark]) -> Result<(), StateError> {
        let mut known = self.strangers(slug)?;
        let fresh = found.iter().filter(|mark| !known.manifests.contains(mark));
        let fresh: Vec<Mark> = fresh.copied().collect();
        if fresh.is_empty() {
            return Ok(());
        }
        known.manifests.extend(fresh);
        known.key_was_replaced = false;
        self.write(&format!("{slug}.strangers.json"), &known)
    }

    /// Notes that whoever has the old key cannot sign any more.
    pub fn key_was_replaced(&self, slug: &Slug) -> Result<(), StateError> {
        let mut known = self.strangers(slug)?;
        if known.manifests.is_empty() {
            return Ok(());
        }
        known.key_was_replaced = true;
        self.write(&format!("{slug}.strangers.json"), &known)
    }

    /// Stores that lack something which they are to hold, as of the last run that looked.
    pub fn lacking(&self, slug: &Slug) -> Result<BTreeSet<StoreName>, StateError> {
        Ok(self
            .read(&format!("{slug}.lacking.json"))?
            .unwrap_or_default())
    }

    /// Replaces the list of stores that lack something.
    pub fn set_lacking(&self, slug: &Slug, stores: &BTreeSet<StoreName>) -> Result<(), StateError> {
        let name = format!("{slug}.lacking.json");
        match stores.is_empty() {
            true => self.remove(&name),
            false => self.write(&name, stores),
        }
    }

    /// Re-sealings of this host that have left something to delete.
    pub fn open_rekeys(&self, slug: &Slug) -> Result<Vec<OpenRekey>, StateError> {
        Ok(self
            .read(&format!("{slug}.rekeys.json"))?
            .unwrap_or_default())
    }

    /// Replaces the list of such re-sealings.
    pub fn set_open_rekeys(&self, slug: &Slug, open: &[OpenRekey]) -> Result<(), StateError> {
        let name = format!("{slug}.rekeys.json");
        match open.is_empty() {
            true => self.remove(&name),
            false => self.write(&name, &open),
        }
    }

    /// What is known of tries to break locks, by the store's name.
    pub fn lock_probes(&self, slug: &Slug) -> Result<BTreeMap<StoreName, LockProbe>, StateError> {
        Ok(self
            .read(&format!("{slug}.lock-tries.json"))?
            .unwrap_or_default())
    }

    /// Replaces what is remembered of tries to break locks.
    pub fn set_lock_probes(
        &self,
        slug: &Slug,
        probes: &BTreeMap<StoreName, LockProbe>,
    ) -> Result<(), StateError> {
        self.write(&format!("{slug}.lock-tries.json"), probes)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        let path = self.dir.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error).into()),
        };
        strict_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| StateError::Damaged { path, source })
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), StateError> {
        self.make_dir()?;
        let path = self.dir.join(name);
        let bytes = strict_json::to_vec(value).map_err(|source| StateError::Damaged {
            path: path.clone(),
            source,
        })?;
        let mut beside =
            tempfile::NamedTempFile::new_in(&self.dir).map_err(failed("write", &path))?;
        beside
            .write_all(&bytes)
            .and_then(|()| beside.as_file().sync_all())
            .map_err(failed("write", &path))?;
        beside
            .persist(&path)
            .map_err(|error| failed("write", &path)(error.error))?;
        Ok(self.sync()?)
    }

    fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.dir.join(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(self.sync()?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("remove", &path)(error).into()),
        }
    }

    fn make_dir(&self) -> Result<(), FileError> {
        fs::create_dir_all(&self.dir).map_err(failed("create", &self.dir))
    }

    fn sync(&self) -> Result<(), FileError> {
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(failed("sync", &self.dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, State, Slug) {
        let dir = tempfile::tempdir().unwrap();
        let state = State::new(dir.path().join("state"));
        (dir, state, "demo".parse().unwrap())
    }

    fn mark(seq: u64) -> Mark {
        Mark {
            seq,
            manifest_sha256: Digest::of(&seq.to_be_bytes()),
        }
    }

    #[test]
    fn a_second_run_is_kept_out() {
        let (_dir, state, slug) = state();
        let held = state.lock(&slug).unwrap();
        assert!(matches!(state.lock(&slug), Err(StateError::Busy(_))));
        drop(held);
        assert!(state.lock(&slug).is_ok());
    }

    #[test]
    fn a_mark_only_rises() {
        let (_dir, state, slug) = state();
        assert_eq!(state.mark(&slug).unwrap(), None);
        state.raise_mark(&slug, mark(7)).unwrap();
        state.raise_mark(&slug, mark(3)).unwrap();
        assert_eq!(state.mark(&slug).unwrap(), Some(mark(7)));
    }

    #[test]
    fn a_pending_manifest_survives_until_it_is_cleared() {
        let (_dir, state, slug) = state();
        let pending = Pending {
            seq: 2,
            signer: "escrow-host".parse().unwrap(),
            manifest: "{}\n".to_owned(),
            signature: "sig".to_owned(),
            stores: vec!["r2".parse().unwrap()],
        };
        state.set_pending(&slug, &pending).unwrap();
        assert_eq!(state.pending(&slug).unwrap(), Some(pending));
        state.clear_pending(&slug).unwrap();
        assert_eq!(state.pending(&slug).unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let (_dir, state, slug) = state();
        state.raise_mark(&slug, mark(1)).unwrap();
        fs::write(state.dir.join("demo.mark.json"), "{").unwrap();
        let error = state.mark(&slug).unwrap_err().to_string();
        assert!(error.contains("demo.mark.json"), "{error}");
    }
}
