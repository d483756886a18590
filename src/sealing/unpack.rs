//! Opening: verified parts in, entries out, under rules stricter than any tar program's.
//!
//! The input is a [`VerifiedStream`]: no byte reaches age, zstd or tar before its hash was found
//! in a signed manifest. What comes out is checked once more against the payload's own index.

use std::collections::HashMap;
use std::io::{self, Read};

use tar::EntryType;

use crate::base::digest::{Digest, HashingReader};
use crate::base::entry_path::{EntryPath, UnsafePath};
use crate::base::names::EscrowId;
use crate::base::pipe::{PipeWriter, pipe};
use crate::model::index::{EntryKind, Index, IndexEntry, IndexError, MAX_BYTES};

use super::custody::UnlockError;
use super::parts::{VerifiedPart, VerifiedStream};
use super::payload::{DATA_DIR, DUMP_DIR, INDEX_PATH, RESTORE_MD_PATH};

/// Largest zstd window that is accepted, as a power of two: 8 MiB. Level 19 needs no more, and
/// memory stays bounded whatever a frame claims.
const MAX_WINDOW_LOG: u32 = 23;

const CHUNK: usize = 512 << 10;
const CHUNKS_IN_FLIGHT: usize = 4;

/// Receives the entries of a payload in the order of the tar, directories before their content.
pub trait EntryVisitor: Send {
    /// A directory.
    fn directory(&mut self, path: &EntryPath, mode: u32) -> io::Result<()>;

    /// A file; `content` must be read to its end.
    fn file(
        &mut self,
        path: &EntryPath,
        mode: u32,
        size: u64,
        content: &mut dyn Read,
    ) -> io::Result<()>;
}

/// A payload could not be opened, or is not what its own index says.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// No identity given opens it.
    #[error("none of the identities given opens this escrow")]
    NoIdentity,
    /// It takes several custodians, who did not come together.
    #[error(transparent)]
    Locked(#[from] UnlockError),
    /// The age layer is damaged, or of a kind this version cannot read.
    #[error("cannot decrypt the payload")]
    Decrypt(#[source] age::DecryptError),
    /// A stream failed: parts, age, zstd or tar, as the cause says.
    #[error("cannot read the payload")]
    Read(#[source] io::Error),
    /// An entry could not be used.
    #[error("cannot restore {path}")]
    Entry {
        /// Its path.
        path: EntryPath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A path that could leave the target.
    #[error(transparent)]
    UnsafePath(#[from] UnsafePath),
    /// A link, a device, or anything else that is neither file nor directory.
    #[error("{path} is a {kind}; a payload holds files and directories only")]
    ForbiddenKind {
        /// Its path.
        path: EntryPath,
        /// What it claims to be.
        kind: &'static str,
    },
    /// Two entries of one path.
    #[error("{0} is in the payload twice")]
    Duplicate(EntryPath),
    /// An entry outside of the folders that the format knows.
    #[error("{0} has no place in a payload")]
    Foreign(EntryPath),
    /// The index is missing, or not the last entry.
    #[error("the payload has no index at its end")]
    NoIndex,
    /// The index cannot be used.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The index does not describe this payload.
    #[error("{path} is not what the payload's index says: {what}")]
    IndexMismatch {
        /// The entry's path.
        path: String,
        /// What differs.
        what: &'static str,
    },
    /// An index of another escrow.
    #[error("the payload's index belongs to escrow {0}")]
    ForeignIndex(EscrowId),
}

/// Opens a payload and passes its entries to `visitor`; returns its index once every layer has
/// been read to its end and every entry found in the index with its hash.
///
/// The visitor runs on a thread of its own, beside decryption and decompression.
pub fn open<I>(
    stream: VerifiedStream<I>,
    identities: &[&dyn age::Identity],
    escrow_id: &EscrowId,
    visitor: &mut dyn EntryVisitor,
) -> Result<Index, UnpackError>
where
    I: Iterator<Item = io::Result<VerifiedPart>>,
{
    let (writer, mut reader) = pipe(CHUNK, CHUNKS_IN_FLIGHT);
    std::thread::scope(|scope| {
        let walker = scope.spawn(move || walk(&mut reader, escrow_id, visitor));
        let opened = decrypt_into(stream, identities, writer);
        let walked = walker
            .join()
            .unwrap_or_else(|_| Err(UnpackError::Read(io::Error::other("a thread died"))));
        // The lower layer's failure is the cause, unless it is that the upper one went away.
        match (opened, walked) {
            (Err(UnpackError::Read(error)), Err(upper)) if is_broken_pipe(&error) => Err(upper),
            (Err(lower), _) => Err(lower),
            (Ok(()), walked) => walked,
        }
    })
}

fn decrypt_into<R: Read>(
    stream: R,
    identities: &[&dyn age::Identity],
    mut out: PipeWriter,
) -> Result<(), UnpackError> {
    let copied = decrypt(stream, identities)
        .and_then(|mut plain| io::copy(&mut plain, &mut out).map_err(UnpackError::Read));
    match copied {
        Ok(_) => out.finish().map_err(UnpackError::Read),
        Err(error) => {
            out.fail(io::Error::other("the layer below failed"));
            Err(error)
        }
    }
}

fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

fn decrypt<'a, R: Read + 'a>(
    stream: R,
    identities: &[&dyn age::Identity],
) -> Result<impl Read + 'a, UnpackError> {
    let plain = age_layer(stream, identities)?;
    let mut decoder = zstd::Decoder::new(plain).map_err(UnpackError::Read)?;
    decoder
        .window_log_max(MAX_WINDOW_LOG)
        .map_err(UnpackError::Read)?;
    Ok(decoder)
}

/// What is inside the outermost layer.
pub(super) fn age_layer<R: Read>(
    stream: R,
    identities: &[&dyn age::Identity],
) -> Result<age::stream::StreamReader<R>, UnpackError> {
    let failed = |error| match error {
        age::DecryptError::NoMatchingKeys => UnpackError::NoIdentity,
        age::DecryptError::Io(error) => UnpackError::Read(error),
        other => UnpackError::Decrypt(other),
    };
    let decryptor = age::Decryptor::new(stream).map_err(failed)?;
    decryptor
        .decrypt(
            identities
                .iter()
                .map(|identity| *identity as &dyn age::Identity),
        )
        .map_err(failed)
}

/// Walks the tar to its end and the stream to its own: a reader that stopped at the archive's
/// last block would accept a payload whose last bytes were cut.
fn walk(
    stream: &mut impl Read,
    escrow_id: &EscrowId,
    visitor: &mut dyn EntryVisitor,
) -> Result<Index, UnpackError> {
    let mut seen = Seen::default();
    let mut index = None;
    let mut archive = tar::Archive::new(&mut *stream);
    for entry in archive.entries().map_err(UnpackError::Read)? {
        let mut entry = entry.map_err(UnpackError::Read)?;
        let path = EntryPath::parse(&entry.path_bytes())?;
        let kind = kind_of(entry.header().entry_type(), &path)?;
        let size = entry.size();
        let mode = entry.header().mode().map_err(UnpackError::Read)? & 0o7777;
        if index.is_some() {
            return Err(UnpackError::NoIndex);
        }
        if path.as_str() == INDEX_PATH && kind == EntryKind::File {
            index = Some(read_index(&mut entry, size)?);
            continue;
        }
        check_place(&path)?;
        let digest = match kind {
            EntryKind::Directory => {
                visit(&path, || visitor.directory(&path, mode))?;
                None
            }
            EntryKind::File => {
                let mut content = HashingReader::new(&mut entry);
                visit(&path, || visitor.file(&path, mode, size, &mut content))?;
                let (digest, read) = content.finish();
                if read != size {
                    return Err(UnpackError::Read(io::ErrorKind::UnexpectedEof.into()));
                }
                Some(digest)
            }
        };
        seen.add(path, kind, size, mode, digest)?;
    }
    drain(stream).map_err(UnpackError::Read)?;
    let index = index.ok_or(UnpackError::NoIndex)?;
    if index.escrow_id != *escrow_id {
        return Err(UnpackError::ForeignIndex(index.escrow_id));
    }
    seen.compare(&index)?;
    Ok(index)
}

fn visit(path: &EntryPath, act: impl FnOnce() -> io::Result<()>) -> Result<(), UnpackError> {
    act().map_err(|source| UnpackError::Entry {
        path: path.clone(),
        source,
    })
}

fn kind_of(kind: EntryType, path: &EntryPath) -> Result<EntryKind, UnpackError> {
    let forbidden = match kind {
        EntryType::Regular => return Ok(EntryKind::File),
        EntryType::Directory => return Ok(EntryKind::Directory),
        EntryType::Link => "hard link",
        EntryType::Symlink => "symbolic link",
        EntryType::Char | EntryType::Block => "device",
        EntryType::Fifo => "named pipe",
        _ => "entry of an unknown kind",
    };
    Err(UnpackError::ForbiddenKind {
        path: path.clone(),
        kind: forbidden,
    })
}

fn check_place(path: &EntryPath) -> Result<(), UnpackError> {
    let known = [DATA_DIR, RESTORE_MD_PATH].contains(&path.as_str())
        || path.below(DATA_DIR).is_some()
        || path.below(DUMP_DIR).is_some();
    if known {
        Ok(())
    } else {
        Err(UnpackError::Foreign(path.clone()))
    }
}

fn read_index(entry: &mut impl Read, size: u64) -> Result<Index, UnpackError> {
    if size > MAX_BYTES {
        return Err(UnpackError::NoIndex);
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(UnpackError::Read)?;
    Ok(Index::parse(&bytes)?)
}

/// Reads what follows the archive, which may be zeros only.
fn drain(stream: &mut impl Read) -> io::Result<()> {
    let mut buffer = [0; 8 << 10];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        if buffer[..read].iter().any(|byte| *byte != 0) {
            return Err(io::Error::other("there is data behind the archive's end"));
        }
    }
}

/// What the tar really held.
#[derive(Default)]
struct Seen(HashMap<String, SeenEntry>);

struct SeenEntry {
    kind: EntryKind,
    size: u64,
    mode: u32,
    digest: Option<Digest>,
}

impl Seen {
    fn add(
        &mut self,
        path: EntryPath,
        kind: EntryKind,
        size: u64,
        mode: u32,
        digest: Option<Digest>,
    ) -> Result<(), UnpackError> {
        let entry = SeenEntry {
            kind,
            size,
            mode,
            digest,
        };
        match self.0.insert(path.as_str().to_owned(), entry) {
            None => Ok(()),
            Some(_) => Err(UnpackError::Duplicate(path)),
        }
    }

    fn compare(mut self, index: &Index) -> Result<(), UnpackError> {
        for entry in &index.entries {
            let mismatch = |what| UnpackError::IndexMismatch {
                path: crate::base::text::printable(&entry.path).into_owned(),
                what,
            };
            let seen = self
                .0
                .remove(&entry.path)
                .ok_or_else(|| mismatch("it is missing"))?;
            seen.compare(entry).map_err(mismatch)?;
        }
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(path) => Err(UnpackError::IndexMismatch {
                path: crate::base::text::printable(&path).into_owned(),
                what: "it is not in the index",
            }),
        }
    }
}

impl SeenEntry {
    fn compare(&self, entry: &IndexEntry) -> Result<(), &'static str> {
        if self.kind != entry.kind {
            return Err("another kind");
        }
        if self.size != entry.size {
            return Err("another size");
        }
        if format!("{:04o}", self.mode) != entry.mode {
            return Err("another mode");
        }
        if self.digest != entry.sha256 {
            return Err("another SHA-256");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
