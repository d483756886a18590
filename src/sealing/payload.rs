//! Sealing: entries in, `age(zstd(tar))` out, one pass and nothing staged.

use std::io::{self, Read, Write};

use zeroize::Zeroizing;

use crate::base::digest::{Digest, Hasher};
use crate::base::names::EscrowId;
use crate::base::time::UtcTime;
use crate::model::index::{self, Catalogue, EntryKind, Index, IndexEntry};

use super::identities::BoxedRecipient;
use super::tar_format::{self, HeaderFields};

/// Where the data directory lies in the tar.
pub const DATA_DIR: &str = "databasus-data";
/// Where the pieces of the logical copy lie in the tar.
pub const DUMP_DIR: &str = "escrow/metadata.dump";
/// The last entry of the tar.
pub const INDEX_PATH: &str = "escrow/index.json";
/// The first entry of the tar.
pub const RESTORE_MD_PATH: &str = "RESTORE.md";

/// Owner of `pgdata` in Databasus' image since 3.29 (its `postgres` user).
pub const POSTGRES_OWNER: (u64, u64) = (999, 999);
/// Owner of everything else since 3.36 (its `databasus` user; the group differs by image).
pub const DATABASUS_OWNER: (u64, u64) = (65532, 65532);

/// Size in bytes of a piece of the logical copy: a tar entry needs its size first, and `pg_dump`
/// streams.
pub const DUMP_PIECE: usize = 8 << 20;

/// Input that a zstd worker takes at once, in bytes. It bounds memory: about three of these per
/// worker.
const ZSTD_JOB: u32 = 4 << 20;

const COPY_BUFFER: usize = 256 << 10;

/// How to seal.
pub struct Sealing<'a> {
    /// To whom; at least one.
    pub recipients: &'a [BoxedRecipient],
    /// zstd level, 1 to 19.
    pub level: i32,
    /// zstd worker threads.
    pub workers: u32,
    /// Written as every entry's modification time.
    pub mtime: UtcTime,
}

/// The payload could not be begun.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A recipient cannot be encrypted to, or recipients that exclude each other are mixed.
    #[error("cannot encrypt to these recipients")]
    Recipients(#[source] age::EncryptError),
    /// The stream's end failed.
    #[error("cannot write the payload")]
    Io(#[from] io::Error),
}

type Compressed<W> = zstd::Encoder<'static, age::stream::StreamWriter<W>>;

/// A payload being written. It is worth nothing before [`PayloadWriter::finish`].
pub struct PayloadWriter<W: Write> {
    out: Compressed<W>,
    entries: Vec<IndexEntry>,
    mtime: u64,
    buffer: Zeroizing<Vec<u8>>,
}

impl<W: Write> PayloadWriter<W> {
    /// Begins a payload on `out`.
    pub fn new(out: W, sealing: &Sealing<'_>) -> Result<Self, SealError> {
        let mut out = zstd::Encoder::new(age_layer(out, sealing.recipients)?, sealing.level)?;
        out.include_checksum(true)?;
        out.multithread(sealing.workers)?;
        out.set_parameter(zstd::zstd_safe::CParameter::JobSize(ZSTD_JOB))?;
        Ok(Self {
            out,
            entries: Vec::new(),
            mtime: u64::try_from(sealing.mtime.unix()).unwrap_or(0),
            buffer: Zeroizing::new(vec![0; COPY_BUFFER]),
        })
    }

    /// Adds a directory.
    pub fn directory(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.header(path, EntryKind::Directory, 0, mode)?;
        self.remember(path, EntryKind::Directory, 0, mode, None);
        Ok(())
    }

    /// Adds a file of exactly `size` bytes and returns its digest. A reader that yields fewer or
    /// more is an error, and the payload is lost.
    pub fn file(
        &mut self,
        path: &str,
        mode: u32,
        size: u64,
        reader: &mut dyn Read,
    ) -> io::Result<Digest> {
        self.header(path, EntryKind::File, size, mode)?;
        let digest = self.content(size, reader)?;
        tar_format::write_padding(&mut self.out, size)?;
        self.remember(path, EntryKind::File, size, mode, Some(digest));
        Ok(digest)
    }

    /// Adds a stream of unknown length as numbered pieces in the folder `path`; returns its
    /// length in bytes.
    pub fn pieces(&mut self, path: &str, reader: &mut dyn Read) -> io::Result<u64> {
        let mut total = 0;
        let mut piece = Vec::with_capacity(DUMP_PIECE);
        for number in 1u32.. {
            piece.clear();
            reader.take(DUMP_PIECE as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                break;
            }
            let size = piece.len() as u64;
            self.file(
                &format!("{path}/{number:06}"),
                0o600,
                size,
                &mut piece.as_slice(),
            )?;
            total += size;
        }
        Ok(total)
    }

    /// Writes the index, closes every layer in turn and returns what is below them.
    pub fn finish(
        mut self,
        escrow_id: EscrowId,
        catalogue_before: Option<Catalogue>,
        catalogue_after: Option<Catalogue>,
        warnings: Vec<String>,
    ) -> io::Result<W> {
        let index = Index {
            format: index::FORMAT.to_owned(),
            escrow_id,
            entries: std::mem::take(&mut self.entries),
            catalogue_before,
            catalogue_after,
            warnings,
        };
        let bytes = index.to_bytes().map_err(io::Error::other)?;
        self.file(INDEX_PATH, 0o600, bytes.len() as u64, &mut bytes.as_slice())?;
        tar_format::write_end(&mut self.out)?;
        self.out.finish()?.finish()
    }

    fn header(&mut self, path: &str, kind: EntryKind, size: u64, mode: u32) -> io::Result<()> {
        let fields = HeaderFields {
            path,
            is_directory: kind == EntryKind::Directory,
            size,
            mode,
            owner: owner_of(path),
            mtime: self.mtime,
        };
        tar_format::write_header(&mut self.out, &fields)
    }

    fn content(&mut self, size: u64, reader: &mut dyn Read) -> io::Result<Digest> {
        let mut hasher = Hasher::new();
        let mut left = size;
        loop {
            // One byte more than is left is asked for, so that a file that grew is noticed.
            let wanted = usize::try_from(left.saturating_add(1))
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            let read = match reader.read(&mut self.buffer[..wanted]) {
                Ok(0) if left == 0 => return Ok(hasher.finish()),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            left = left
                .checked_sub(read as u64)
                .ok_or_else(|| io::Error::other("it is longer than it was"))?;
            hasher.update(&self.buffer[..read]);
            self.out.write_all(&self.buffer[..read])?;
        }
    }

    fn remember(
        &mut self,
        path: &str,
        kind: EntryKind,
        size: u64,
        mode: u32,
        sha256: Option<Digest>,
    ) {
        self.entries.push(IndexEntry {
            path: path.to_owned(),
            kind,
            size,
            mode: format!("{mode:04o}"),
            sha256,
        });
    }
}

/// The outermost layer, under a file key of its own.
pub(super) fn age_layer<W: Write>(
    out: W,
    recipients: &[BoxedRecipient],
) -> Result<age::stream::StreamWriter<W>, SealError> {
    let recipients = recipients.iter().map(|one| one.as_ref() as _);
    let encryptor = age::Encryptor::with_recipients(recipients).map_err(SealError::Recipients)?;
    Ok(encryptor.wrap_output(out)?)
}

fn owner_of(path: &str) -> (u64, u64) {
    match path.strip_prefix("databasus-data/pgdata") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => POSTGRES_OWNER,
        _ => DATABASUS_OWNER,
    }
}
