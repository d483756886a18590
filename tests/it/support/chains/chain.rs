//! The objects of a chain, and what can happen to them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::databasus::backup_file::{BackupReader, CHUNK_BYTES, HEADER_BYTES, Header};
use databasus_escrow::databasus::objects::sidecar::Compression;
use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::postgres::backup_manifest::WalRange;
use databasus_escrow::postgres::wal_segment::{SegmentName, SegmentSize};
use jiff::Timestamp;
use uuid::Uuid;

use super::source::{Sentinel, Source};
use super::{How, format, secret_key};
use crate::support::needed;

/// A base backup in a chain.
#[derive(Clone, Debug)]
pub struct TakenBase {
    pub id: Uuid,
    /// Of its content; its other objects have suffixes.
    pub object: String,
    pub range: WalRange,
    pub completed: Timestamp,
    /// PostgreSQL's own.
    pub manifest: Vec<u8>,
    /// The full backup it stands on; none of a full one.
    pub root: Option<Uuid>,
}

/// A WAL segment in a chain.
#[derive(Clone, Debug)]
pub struct TakenSegment {
    pub id: Uuid,
    pub object: String,
    pub segment: SegmentName,
    pub received: Timestamp,
    pub how: How,
}

/// Everything that is in a storage, and what it was made of.
#[derive(Clone, Debug)]
pub struct Chain {
    /// By name, relative to the storage's prefix.
    pub objects: BTreeMap<String, Bytes>,
    pub bases: Vec<TakenBase>,
    pub segments: Vec<TakenSegment>,
    pub sentinels: Vec<Sentinel>,
    /// `databases.id`; none for `WAL_V1`, which names it nowhere.
    pub database: Option<Uuid>,
    /// The database's name in Databasus.
    pub name: String,
    pub system_identifier: u64,
    pub segment_size: SegmentSize,
    pub pg_major: u32,
}

/// A chunk as it is stored: its length, its bytes, its tag.
const STORED_CHUNK: usize = 4 + CHUNK_BYTES + 16;

impl Chain {
    /// The programs of its PostgreSQL.
    pub fn programs(&self) -> Option<PathBuf> {
        needed(match self.pg_major {
            18 => "ESCROW_TEST_PG18_BIN",
            _ => "ESCROW_TEST_PG_BIN",
        })
    }

    pub(super) fn of(source: &Source, name: &str, database: Option<Uuid>) -> Self {
        Self {
            objects: BTreeMap::new(),
            bases: Vec::new(),
            segments: Vec::new(),
            sentinels: Vec::new(),
            database,
            name: name.to_owned(),
            system_identifier: source.system_identifier(),
            segment_size: source.segment_size(),
            pg_major: source.major(),
        }
    }

    /// Stores a stream; gives the sizes of what was compressed, and of what was stored.
    pub(super) fn put(
        &mut self,
        name: &str,
        plain: &[u8],
        compression: Compression,
        sealed: Option<&(SecretKey, Header)>,
        id: Uuid,
        how: &How,
    ) -> (u64, u64) {
        let mut stored = Vec::new();
        let encryption = sealed.map(|(key, header)| (key, *header));
        let compressed =
            format::pack(&mut &*plain, &mut stored, compression, encryption, id).unwrap();
        let length = stored.len() as u64;
        self.put_stored(name, stored, how.part);
        (compressed, length)
    }

    fn put_stored(&mut self, name: &str, stored: Vec<u8>, part: Option<usize>) {
        let part = part.filter(|_| stored.len() > format::WHOLE_UP_TO);
        let Some(part) = part else {
            self.objects.insert(name.to_owned(), stored.into());
            return;
        };
        let stored = Bytes::from(stored);
        let mut parts = Vec::new();
        for (number, begin) in (1..).zip((0..stored.len()).step_by(part)) {
            let bytes = stored.slice(begin..stored.len().min(begin + part));
            parts.push((bytes.len() as u64, Digest::of(&bytes)));
            self.objects
                .insert(format!("{name}.part{number:06}"), bytes);
        }
        let list = format::part_list(name, &parts).to_string();
        self.objects.insert(format!("{name}.parts"), list.into());
    }

    pub(super) fn put_sidecar(&mut self, name: &str, sidecar: &serde_json::Value) {
        let text = sidecar.to_string();
        self.objects.insert(format!("{name}.metadata"), text.into());
    }

    /// Lays everything down as files: what `--from DIR` takes.
    pub fn write_to(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        for (name, bytes) in &self.objects {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }

    /// Puts everything into a bucket of the tests' own S3 server, below `prefix`.
    #[cfg(feature = "s3")]
    pub fn upload(&self, server: &crate::support::seaweed::Seaweed, bucket: &str, prefix: &str) {
        use aws_sdk_s3::primitives::ByteStream;
        server.create_bucket(bucket, false);
        let client = server.client();
        let runtime = crate::support::seaweed::runtime();
        for (name, bytes) in &self.objects {
            let key = format!("{prefix}{name}");
            let body = ByteStream::from(bytes.clone());
            let put = client.put_object().bucket(bucket).key(key).body(body);
            runtime.block_on(put.send()).unwrap();
        }
    }

    /// Adds all objects of another chain: two clusters in one storage.
    pub fn merge(&mut self, other: &Self) {
        let objects = other.objects.iter();
        self.objects
            .extend(objects.map(|(name, bytes)| (name.clone(), bytes.clone())));
    }

    /// The full backup that was taken first.
    pub fn first_full(&self) -> &TakenBase {
        self.bases.iter().find(|base| base.root.is_none()).unwrap()
    }

    /// A segment of the chain by its place in the order in which they were taken.
    pub fn segment(&self, index: usize) -> TakenSegment {
        self.segments[index].clone()
    }

    /// The sentinel with this number.
    pub fn sentinel(&self, id: u32) -> Sentinel {
        let mut sentinels = self.sentinels.iter();
        *sentinels.find(|sentinel| sentinel.id == id).unwrap()
    }

    /// Removes every object of a backup or segment: content, parts, manifest, sidecar.
    pub fn remove(&mut self, object: &str) {
        let before = self.objects.len();
        self.objects.retain(|name, _| !name.starts_with(object));
        assert!(self.objects.len() < before, "there is no {object}");
    }

    /// Removes one object.
    pub fn remove_object(&mut self, name: &str) {
        assert!(self.objects.remove(name).is_some(), "there is no {name}");
    }

    /// Cuts an encrypted object behind this many of its chunks, where Databasus' format does not
    /// notice; a chunked one in its last part.
    pub fn cut_behind_chunk(&mut self, object: &str, chunks: usize) {
        let bytes = self.objects.get_mut(object).unwrap();
        let length = HEADER_BYTES + chunks * STORED_CHUNK;
        assert!(length < bytes.len(), "{object} is no longer than that");
        *bytes = bytes.slice(..length);
    }

    /// Changes the bytes of an object as they are stored.
    pub fn edit_stored(&mut self, object: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.objects[object].to_vec();
        edit(&mut bytes);
        self.objects.insert(object.to_owned(), bytes.into());
    }

    /// Changes a sidecar.
    pub fn edit_sidecar(&mut self, object: &str, edit: impl FnOnce(&mut serde_json::Value)) {
        let name = format!("{object}.metadata");
        let mut json = serde_json::from_slice(&self.objects[&name]).unwrap();
        edit(&mut json);
        self.objects.insert(name, json.to_string().into());
    }

    /// What a segment holds.
    pub fn segment_content(&self, taken: &TakenSegment) -> Vec<u8> {
        let stored = self.objects[&taken.object].clone();
        let zstd = self.opened(stored, taken.how, taken.id);
        zstd::decode_all(&*zstd).unwrap()
    }

    /// The bytes of an object without its encryption.
    pub fn opened(&self, stored: Bytes, how: How, id: Uuid) -> Vec<u8> {
        let Some(key) = how.key else {
            return stored.to_vec();
        };
        let (length, key) = (stored.len() as u64, secret_key(key));
        let mut reader = BackupReader::open(Cursor::new(stored), length, &key, id, 1).unwrap();
        let mut opened = Vec::new();
        reader.read_to_end(&mut opened).unwrap();
        opened
    }

    /// Writes a segment again in its place: with other content, or under another key.
    pub fn rewrite_segment(
        &mut self,
        taken: &TakenSegment,
        how: How,
        edit: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut content = self.segment_content(taken);
        edit(&mut content);
        let again = TakenSegment {
            how,
            ..taken.clone()
        };
        self.put_segment(&again, &content);
        let place = self.segments.iter_mut().find(|known| known.id == taken.id);
        *place.unwrap() = again;
    }

    /// Stores a segment once more, for `WAL_V1` under a name of its own, with other content where
    /// `edit` makes it so.
    pub fn duplicate_segment(
        &mut self,
        taken: &TakenSegment,
        edit: impl FnOnce(&mut Vec<u8>),
    ) -> TakenSegment {
        let mut content = self.segment_content(taken);
        edit(&mut content);
        let id = Uuid::from_u128(rand::random());
        let object = taken.object.replace(&taken.id.to_string(), &id.to_string());
        assert_ne!(object, taken.object, "its name is the same for every copy");
        let copy = TakenSegment {
            id,
            object,
            ..taken.clone()
        };
        self.put_segment(&copy, &content);
        self.segments.push(copy.clone());
        copy
    }

    /// Stores a segment, with a sidecar where there is a database to name.
    pub(super) fn put_segment(&mut self, taken: &TakenSegment, content: &[u8]) {
        let sealed = taken.how.seal();
        let name = &taken.object;
        let zstd = Compression::Zstd;
        let (_, stored) = self.put(name, content, zstd, sealed.as_ref(), taken.id, &taken.how);
        if let Some(database) = self.database {
            let facts = format::WalFacts {
                id: taken.id,
                database,
                segment: taken.segment,
                size: self.segment_size,
                stored,
                received: taken.received,
            };
            let header = sealed.as_ref().map(|(_, header)| header);
            self.put_sidecar(name, &format::wal_sidecar(&facts, header));
        }
    }
}
