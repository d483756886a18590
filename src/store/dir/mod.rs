//! A store in a directory: the embedded default, USB sticks, mounted shares.
//!
//! An object is a file at its key. Every write goes to a file in `.uploads` first, is synced,
//! and gets its name in one rename that refuses to replace. Paths are walked name by name from
//! the root without following symbolic links, so that nobody who may write into the directory
//! can make this program read or write elsewhere.

use std::io::{self, Read, Write};
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;

use super::key::{Key, readable, writable};
use super::{
    LIST_UPLOADS, Object, ObjectMeta, Store, StoreError, StoreErrorKind, UnfinishedUpload, Upload,
    UploadTicket,
};
use crate::base::digest::Digest;
use crate::base::names::StoreName;
use crate::base::time::UtcTime;

mod list;
mod tree;
mod upload;

use tree::{Existing, Tree};
use upload::DirUpload;

/// A directory that holds escrows.
pub struct DirStore {
    name: StoreName,
    root: PathBuf,
    tree: Arc<Tree>,
}

impl DirStore {
    /// Opens the store; the directory must exist, since a missing one is more likely a disk
    /// that is not mounted than a store that is new.
    pub fn open(name: StoreName, root: PathBuf) -> Result<Self, StoreError> {
        match Tree::open(&root) {
            Ok(tree) => Ok(Self {
                name,
                root,
                tree: Arc::new(tree),
            }),
            Err(error) => Err(open_error(&name, &root, error)),
        }
    }

    fn error(&self, kind: StoreErrorKind, action: &'static str, key: &str) -> StoreError {
        StoreError::new(&self.name, kind, action, key)
    }

    fn failed(&self, action: &'static str, key: &str) -> impl Fn(io::Error) -> StoreError {
        failed(&self.name, action, key)
    }

    fn write(&self, key: Key<'_>, bytes: &[u8], existing: Existing) -> io::Result<ObjectMeta> {
        let mut staged = self.tree.stage()?;
        staged.file.write_all(bytes)?;
        self.tree.publish(&mut staged, key, existing)?;
        Ok(ObjectMeta {
            key: key.as_str().to_owned(),
            size: bytes.len() as u64,
            etag: None,
            version_id: None,
        })
    }

    /// The entity tag of an object: the SHA-256 of its content.
    fn etag(&self, key: Key<'_>) -> io::Result<String> {
        let (mut file, _) = self.tree.file(key)?;
        let mut hasher = crate::base::digest::HashingWriter::new(io::sink());
        io::copy(&mut file, &mut hasher)?;
        Ok(hasher.finish().1.to_string())
    }
}

fn open_error(name: &StoreName, root: &Path, error: io::Error) -> StoreError {
    let kind = match kind_of(&error) {
        StoreErrorKind::NotFound => StoreErrorKind::NoSuchStore,
        other => other,
    };
    StoreError::new(name, kind, "open", &root.display().to_string()).caused_by(error)
}

fn failed(name: &StoreName, action: &'static str, key: &str) -> impl Fn(io::Error) -> StoreError {
    move |error| StoreError::new(name, kind_of(&error), action, key).caused_by(error)
}

/// Removing what is not there succeeds.
fn absent_is_fine(removed: Result<(), StoreError>) -> Result<(), StoreError> {
    match removed {
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn kind_of(error: &io::Error) -> StoreErrorKind {
    match Errno::from_io_error(error) {
        Some(Errno::EXIST) => StoreErrorKind::AlreadyExists,
        Some(Errno::NOENT | Errno::NOTDIR) => StoreErrorKind::NotFound,
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => StoreErrorKind::Denied,
        Some(Errno::NOSPC | Errno::DQUOT) => StoreErrorKind::OutOfSpace,
        Some(Errno::STALE | Errno::TIMEDOUT | Errno::HOSTDOWN) => StoreErrorKind::Transient,
        _ => StoreErrorKind::Unexpected,
    }
}

impl Store for DirStore {
    fn name(&self) -> &StoreName {
        &self.name
    }

    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<ObjectMeta, StoreError> {
        let checked = writable(&self.name, "put", key)?;
        self.write(checked, bytes, Existing::Stays)
            .map_err(self.failed("put", key))
    }

    fn replace(&self, key: &str, bytes: &[u8], etag: &str) -> Result<ObjectMeta, StoreError> {
        let checked = writable(&self.name, "replace", key)?;
        let failed = self.failed("replace", key);
        let _lock = self.tree.lock().map_err(&failed)?;
        if self.etag(checked).map_err(&failed)? != etag {
            return Err(self.error(StoreErrorKind::AlreadyExists, "replace", key));
        }
        self.write(checked, bytes, Existing::Goes).map_err(failed)
    }

    fn get(&self, key: &str, max_bytes: u64) -> Result<Object, StoreError> {
        let checked = readable(&self.name, "get", key)?;
        let failed = self.failed("get", key);
        let (file, size) = self.tree.file(checked).map_err(&failed)?;
        let mut bytes = Vec::new();
        if size <= max_bytes {
            // A file that grows meanwhile is cut off one byte beyond the bound.
            let mut bounded = file.take(max_bytes.saturating_add(1));
            bounded.read_to_end(&mut bytes).map_err(failed)?;
        }
        if size > max_bytes || bytes.len() as u64 > max_bytes {
            return Err(self.error(StoreErrorKind::TooLarge, "get", key));
        }
        Ok(Object {
            etag: Digest::of(&bytes).to_string(),
            bytes,
            version_id: None,
        })
    }

    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        const ACTION: &str = "get range of";
        let checked = readable(&self.name, ACTION, key)?;
        let failed = self.failed(ACTION, key);
        let (file, size) = self.tree.file(checked).map_err(&failed)?;
        if range.start > range.end || range.end > size {
            let error = self.error(StoreErrorKind::Unexpected, ACTION, key);
            return Err(error.caused_by("the range lies outside of the object"));
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.read_exact_at(&mut bytes, range.start)
            .map_err(failed)?;
        Ok(bytes.into())
    }

    fn head(&self, key: &str) -> Result<ObjectMeta, StoreError> {
        let checked = readable(&self.name, "head", key)?;
        let (_, size) = self.tree.file(checked).map_err(self.failed("head", key))?;
        Ok(ObjectMeta {
            key: key.to_owned(),
            size,
            etag: None,
            version_id: None,
        })
    }

    fn modified(&self, key: &str) -> Result<Option<UtcTime>, StoreError> {
        let failed = self.failed("head", key);
        let checked = readable(&self.name, "head", key)?;
        let (file, _) = self.tree.file(checked).map_err(&failed)?;
        let stat = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
        Ok(Some(UtcTime::from_unix(stat.st_mtime)))
    }

    fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(ObjectMeta) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        list::walk(&self.tree, prefix, start_after, visit).map_err(self.failed("list", prefix))
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        let checked = readable(&self.name, "delete", key)?;
        let removed = self.tree.remove(checked);
        absent_is_fine(removed.map_err(self.failed("delete", key)))
    }

    fn start_upload(&self, key: &str, part_size: u64) -> Result<Box<dyn Upload>, StoreError> {
        writable(&self.name, "upload", key)?;
        let staged = self.tree.stage().map_err(self.failed("upload", key))?;
        Ok(Box::new(DirUpload::new(
            self.name.clone(),
            Arc::clone(&self.tree),
            key,
            part_size,
            staged,
        )))
    }

    fn abort_upload(&self, ticket: &UploadTicket) -> Result<(), StoreError> {
        const ACTION: &str = "abort upload of";
        let discarded = self.tree.discard(&ticket.upload_id);
        absent_is_fine(discarded.map_err(self.failed(ACTION, &ticket.key)))
    }

    fn unfinished_uploads(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(UnfinishedUpload) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let staged = self.tree.staged();
        let staged = staged.map_err(self.failed(LIST_UPLOADS, prefix))?;
        let mut uploads = staged.into_iter().map(|(name, written)| UnfinishedUpload {
            ticket: UploadTicket {
                key: String::new(), // a staged file has none
                upload_id: name,
            },
            since: UtcTime::from_unix(written),
        });
        let _ = uploads.try_for_each(visit);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_tells_what_to_do() {
        for (errno, kind) in [
            (Errno::EXIST, StoreErrorKind::AlreadyExists),
            (Errno::NOENT, StoreErrorKind::NotFound),
            (Errno::ACCESS, StoreErrorKind::Denied),
            (Errno::PERM, StoreErrorKind::Denied),
            (Errno::ROFS, StoreErrorKind::Denied),
            (Errno::NOSPC, StoreErrorKind::OutOfSpace),
            (Errno::DQUOT, StoreErrorKind::OutOfSpace),
            (Errno::STALE, StoreErrorKind::Transient),
            (Errno::IO, StoreErrorKind::Unexpected),
            (Errno::LOOP, StoreErrorKind::Unexpected),
        ] {
            assert_eq!(kind_of(&errno.into()), kind, "{errno}");
        }
    }
}
