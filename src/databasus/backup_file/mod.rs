//! Databasus' encrypted backup files, format `PGRSUS01` (DATABASUS.md §2.1; the same from 3.7 to
//! August 2026).
//!
//! ```text
//! header, 64 bytes:  "PGRSUS01" ‖ salt (32) ‖ nonce (12) ‖ 12 zero bytes
//! then chunks:       u32 big-endian length of what follows ‖ ciphertext ‖ tag (16)
//! ```
//!
//! Each chunk holds 1 MiB of plaintext, the last what is left: AES-256-GCM, nonce = the first four
//! bytes of the header's ‖ u64 big-endian index of the chunk, no associated data. The key comes
//! from all bytes of `secret.key` and the id of the backup's row.
//!
//! The format has no end mark: a file cut between two chunks is a valid shorter one. So everything
//! here is told how many bytes are stored, which settles how many chunks there are and how long
//! each is; whatever says otherwise is refused before anything is allocated for it.

mod header;
mod key;
mod reader;
mod size;
mod writer;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::secret_key::SecretKey;
use size::Layout;

pub use header::{HEADER_BYTES, Header};
pub use key::BackupKey;
pub use reader::BackupReader;
pub use size::{plain_size, stored_size};
pub use writer::BackupWriter;

/// Plaintext in a full chunk, in bytes.
pub const CHUNK_BYTES: usize = 1 << 20;

/// Length of a chunk's authentication tag, in bytes.
const TAG_BYTES: usize = 16;

/// Length of a chunk's length, in bytes.
const LENGTH_BYTES: usize = 4;

/// How much of a file's beginning [`open_first_chunk`] needs at most: what a ranged GET must fetch.
pub const FIRST_CHUNK_BYTES: usize = HEADER_BYTES + LENGTH_BYTES + CHUNK_BYTES + TAG_BYTES;

/// A file is not the encrypted backup that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupFileError {
    /// It begins otherwise.
    #[error("not an encrypted backup of Databasus: it does not begin with PGRSUS01")]
    NotEncrypted,
    /// The header's last twelve bytes are reserved; Databasus writes zeros and never reads them,
    /// so a file with others comes from something that is not known here.
    #[error("the reserved bytes of its header are not zero")]
    Reserved,
    /// Nothing but a header: what Databasus leaves when a dump dies at once.
    #[error("it is a header without content: a dump that failed")]
    HeaderOnly,
    /// No such file has this many bytes: something was cut off or appended.
    #[error("no encrypted backup has {0} bytes: it was cut or added to")]
    ImpossibleSize(u64),
    /// Fewer bytes came than are said to be stored.
    #[error("it ends within {place}, before the {stored} bytes that it should have")]
    Cut {
        /// What was being read.
        place: Place,
        /// The size it should have.
        stored: u64,
    },
    /// More bytes came than are said to be stored.
    #[error("it goes on after the {0} bytes that it should have")]
    Longer(u64),
    /// A chunk claims a length that its place in the file rules out.
    #[error("{place} claims {claimed} bytes where {expected} belong")]
    ChunkLength {
        /// Which chunk.
        place: Place,
        /// What stands in the file.
        claimed: u32,
        /// What follows from the size of the file.
        expected: usize,
    },
    /// The first chunk does not authenticate.
    #[error("its first chunk does not open: another secret.key, another backup's id, or damage")]
    DoesNotOpen,
    /// A later chunk does not authenticate although the first did, so the key is right.
    #[error("{0} is damaged: it does not authenticate")]
    Damaged(Place),
    /// The header has another salt than its sidecar or the catalogue.
    #[error("salt mismatch: its header has another than its catalogue row or sidecar")]
    SaltMismatch,
    /// The header has another nonce than its sidecar or the catalogue.
    #[error("nonce mismatch: its header has another than its catalogue row or sidecar")]
    NonceMismatch,
}

/// A part of a file, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first 64 bytes.
    Header,
    /// A chunk, counted from 0.
    Chunk(u64),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header => f.write_str("its header"),
            Self::Chunk(index) => write!(f, "chunk {index}"),
        }
    }
}

/// Opens a file's first chunk: the cheapest proof that a key is the one it was made under, since
/// the whole of `secret.key` goes into it.
///
/// `beginning` holds the first [`FIRST_CHUNK_BYTES`] of the file, or all of it where it is
/// shorter; `stored` is the size of the whole file, all its parts together.
pub fn open_first_chunk(
    beginning: &[u8],
    stored: u64,
    key: &SecretKey,
    id: Uuid,
) -> Result<Zeroizing<Vec<u8>>, BackupFileError> {
    let header = Header::parse(beginning)?;
    let length = Layout::of(stored)?.sealed_length(0);
    let cut = || BackupFileError::Cut {
        place: Place::Chunk(0),
        stored,
    };
    let rest = beginning.get(HEADER_BYTES..).unwrap_or_default();
    let (claimed, rest) = rest.split_first_chunk().ok_or_else(cut)?;
    check_length(0, u32::from_be_bytes(*claimed), length)?;
    let sealed = rest.get(..length).ok_or_else(cut)?;
    let mut chunk = Zeroizing::new(sealed.to_vec());
    BackupKey::derive(key, id, &header).open(0, &mut chunk)?;
    Ok(chunk)
}

/// A chunk is as long as its place demands, or nothing of it is read.
fn check_length(index: u64, claimed: u32, expected: usize) -> Result<(), BackupFileError> {
    if usize::try_from(claimed).is_ok_and(|claimed| claimed == expected) {
        return Ok(());
    }
    Err(BackupFileError::ChunkLength {
        place: Place::Chunk(index),
        claimed,
        expected,
    })
}

#[cfg(test)]
mod tests;
