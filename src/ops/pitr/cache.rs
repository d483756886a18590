//! What earlier looks into a storage found out, kept so that the next costs a listing and no more.
//!
//! An entry is found by the names, sizes and ETags of a backup's objects: whatever was replaced is
//! looked at anew, and where a store has no ETags nothing is kept. The file holds sidecars, which
//! are public in the storage, and numbers; no content and no key. It is for one storage and one
//! list of keys, which it names by their ids. Whoever can write it can make a listing lie, so
//! nothing else relies on it: a restore checks all that it reads.
//!
//! ```text
//! databasus-escrow pitr cache 1        version
//! <key ids, in order>
//! <32 hex> <JSON>                      an entry, as often as there are
//! <64 hex>                             SHA-256 of all lines before
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::base::digest::Digest;
use crate::base::names::Slug;
use crate::databasus::objects::group::{BackupGroup, Layout, Listed, StoredStream};
use crate::ops::recover::keys::KeyRing;

/// The first line.
const VERSION: &str = "databasus-escrow pitr cache 1";

/// What key ids here are bound to: they match those of no instance.
const BINDING: &str = "pitr-cache";

/// Longer than any entry.
const MAX_LINE: usize = 1 << 20;

/// Larger than any cache.
const MAX_BYTES: u64 = 4 << 30;

/// Names an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryKey([u8; 16]);

/// Earlier findings, and the place for those of this run.
pub struct Cache {
    path: PathBuf,
    earlier: Earlier,
    writer: Writer,
    written: BTreeSet<EntryKey>,
}

/// Earlier findings, for several threads.
#[derive(Clone, Default)]
pub struct Earlier(Option<Arc<Known>>);

/// A sound file of earlier findings. Its entries stay on disk.
struct Known {
    file: File,
    places: BTreeMap<EntryKey, (u64, usize)>,
}

struct Writer {
    file: BufWriter<NamedTempFile>,
    hash: Sha256,
}

impl Cache {
    /// Opens the findings about a storage in `dir`, which is made where it is not there. A file
    /// that is damaged, or of other keys, is as good as none.
    pub fn open(dir: &Path, location: &str, keys: &KeyRing) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let name = Digest::of(location.as_bytes()).to_string();
        let path = dir.join(format!("{}.pitr", name.get(..32).unwrap_or(&name)));
        let heading = format!("{VERSION}\n{}\n", ids(keys)?);
        let mut writer = Writer {
            file: BufWriter::new(NamedTempFile::new_in(dir)?),
            hash: Sha256::new(),
        };
        writer.line(&heading)?;
        let known = match Known::read(&path, &heading) {
            Ok(known) => known,
            Err(error) => {
                tracing::debug!("{}: {error}", path.display());
                None
            }
        };
        Ok(Self {
            path,
            earlier: Earlier(known.map(Arc::new)),
            writer,
            written: BTreeSet::new(),
        })
    }

    /// What was found out earlier.
    pub fn earlier(&self) -> Earlier {
        self.earlier.clone()
    }

    /// Notes what was found out about a backup; of several notes the last counts.
    pub fn put(&mut self, key: EntryKey, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(value).map_err(io::Error::other)?;
        self.written.insert(key);
        self.writer
            .line(&format!("{} {text}\n", hex::encode(key.0)))
    }

    /// Puts this run's findings in the place of the earlier ones. A run that did not see all
    /// keeps of those what it did not come to.
    pub fn finish(mut self, saw_all: bool) -> io::Result<()> {
        if let Some(known) = self.earlier.0.take().filter(|_| !saw_all) {
            let rest = known.places.iter();
            for (_, place) in rest.filter(|(key, _)| !self.written.contains(key)) {
                let line = known.line(*place)?;
                self.writer.line(&String::from_utf8_lossy(&line))?;
            }
        }
        let Writer { mut file, hash } = self.writer;
        writeln!(file, "{}", hex::encode(hash.finalize()))?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.persist(&self.path)?;
        Ok(())
    }
}

impl Earlier {
    /// What was found out about a backup.
    pub fn get<T: DeserializeOwned>(&self, key: EntryKey) -> Option<T> {
        let known = self.0.as_ref()?;
        let line = known.line(*known.places.get(&key)?).ok()?;
        serde_json::from_slice(line.get(33..)?).ok()
    }
}

impl Writer {
    fn line(&mut self, line: &str) -> io::Result<()> {
        self.hash.update(line.as_bytes());
        self.file.write_all(line.as_bytes())
    }
}

impl Known {
    fn read(path: &Path, heading: &str) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        if file.metadata()?.len() > MAX_BYTES {
            return Ok(None);
        }
        let mut lines = BufReader::new(file.try_clone()?);
        let mut begin = vec![0; heading.len()];
        io::Read::read_exact(&mut lines, &mut begin)?;
        if begin != heading.as_bytes() {
            return Ok(None);
        }
        let mut hash = Sha256::new_with_prefix(&begin);
        let (mut places, mut at) = (BTreeMap::new(), begin.len() as u64);
        loop {
            let mut line = Vec::new();
            let limit = MAX_LINE as u64;
            io::Read::take(&mut lines, limit).read_until(b'\n', &mut line)?;
            match EntryKey::of_line(&line) {
                Some(key) => {
                    hash.update(&line);
                    places.insert(key, (at, line.len()));
                    at += line.len() as u64;
                }
                None => {
                    let sum = format!("{}\n", hex::encode(hash.finalize()));
                    let is_whole = line == sum.as_bytes();
                    return Ok(is_whole.then_some(Self { file, places }));
                }
            }
        }
    }

    fn line(&self, (at, length): (u64, usize)) -> io::Result<Vec<u8>> {
        let mut line = vec![0; length];
        self.file.read_exact_at(&mut line, at)?;
        Ok(line)
    }
}

impl EntryKey {
    /// The key of a backup's objects as they were listed; none where one of them has no ETag.
    pub fn of(group: &BackupGroup) -> Option<Self> {
        let mut text = group.name.to_string();
        for stream in [&group.content, &group.manifest] {
            text.push_str(&stamp_of(stream)?);
        }
        if let Some(sidecar) = &group.sidecar {
            text.push_str(&stamp(sidecar)?);
        }
        let digest = Digest::of(text.as_bytes());
        let half: [u8; 16] = digest.as_bytes().get(..16)?.try_into().ok()?;
        Some(Self(half))
    }

    fn of_line(line: &[u8]) -> Option<Self> {
        let mut key = [0; 16];
        hex::decode_to_slice(line.get(..32)?, &mut key).ok()?;
        (line.get(32) == Some(&b' ') && line.last() == Some(&b'\n')).then_some(Self(key))
    }
}

/// What tells a stream from another of its name. The list of its parts names their digests.
fn stamp_of(stream: &StoredStream) -> Option<String> {
    match stream.layout() {
        Layout::Absent => Some("\0-".to_owned()),
        Layout::Single { .. } => stamp(stream.whole.as_ref()?),
        Layout::Chunked { size } => Some(format!("{}\0{size}", stamp(stream.list.as_ref()?)?)),
        Layout::Gaps | Layout::Unfinished => None,
    }
}

fn stamp(listed: &Listed) -> Option<String> {
    let etag = listed.etag.as_ref()?;
    Some(format!("\0{}\0{etag}", listed.size))
}

/// Names the keys without telling them, in order.
fn ids(keys: &KeyRing) -> io::Result<String> {
    let binding: Slug = BINDING.parse().map_err(io::Error::other)?;
    let ids = keys.keys().iter();
    let ids: Vec<String> = ids.map(|key| key.key_id(&binding).to_string()).collect();
    Ok(ids.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databasus::objects::group::Grouping;
    use crate::databasus::secret_key::SecretKey;

    fn ring(letter: u8) -> KeyRing {
        let mut ring = KeyRing::default();
        let key = SecretKey::new(vec![letter; 72]).unwrap();
        ring.add(key, "key".to_owned(), None);
        ring
    }

    fn group(size: u64, etag: Option<&str>) -> BackupGroup {
        let mut grouping = Grouping::new();
        let name = "shop-20261123-031058-5506a8ae-f345-469b-b314-bb997c50d51d";
        grouping.add(name, size, etag);
        grouping.finish().backups.remove(0)
    }

    fn key() -> EntryKey {
        EntryKey::of(&group(7, Some("a"))).unwrap()
    }

    fn open(dir: &Path, letter: u8) -> Cache {
        Cache::open(dir, "s3://prod", &ring(letter)).unwrap()
    }

    fn filled(dir: &Path) -> PathBuf {
        let mut cache = open(dir, b'a');
        cache.put(key(), &"found").unwrap();
        let path = cache.path.clone();
        cache.finish(true).unwrap();
        path
    }

    #[test]
    fn what_was_kept_is_found_by_names_sizes_and_etags() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let cache = open(dir.path(), b'a');
        assert_eq!(
            cache.earlier().get::<String>(key()).as_deref(),
            Some("found")
        );
        for other in [group(8, Some("a")), group(7, Some("b"))] {
            let key = EntryKey::of(&other).unwrap();
            assert_eq!(cache.earlier().get::<String>(key), None);
        }
        assert_eq!(EntryKey::of(&group(7, None)), None);
    }

    #[test]
    fn other_keys_and_damage_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = filled(dir.path());
        assert_eq!(open(dir.path(), b'b').earlier().get::<String>(key()), None);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(
                open(dir.path(), b'a').earlier().get::<String>(key()),
                None,
                "{at}"
            );
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(
                open(dir.path(), b'a').earlier().get::<String>(key()),
                None,
                "{at}"
            );
        }
    }

    #[test]
    fn it_tells_no_key_and_nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let path = filled(&folder);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("aaaa"));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder)), (0o600, 0o700));
    }

    #[test]
    fn a_run_that_was_stopped_keeps_what_it_did_not_come_to() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let mut cache = open(dir.path(), b'a');
        let other = EntryKey::of(&group(9, Some("z"))).unwrap();
        cache.put(other, &"new").unwrap();
        cache.finish(false).unwrap();
        let cache = open(dir.path(), b'a');
        assert_eq!(
            cache.earlier().get::<String>(key()).as_deref(),
            Some("found")
        );
        assert_eq!(cache.earlier().get::<String>(other).as_deref(), Some("new"));
        cache.finish(true).unwrap();
        assert_eq!(open(dir.path(), b'a').earlier().get::<String>(key()), None);
    }
}
