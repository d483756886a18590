//! How long a file is, and what follows from it: how many chunks, and how long each.

use super::{BackupFileError, CHUNK_BYTES, HEADER_BYTES, LENGTH_BYTES, TAG_BYTES};

/// What a chunk takes beside its plaintext.
const OVERHEAD: u64 = (LENGTH_BYTES + TAG_BYTES) as u64;

/// A full chunk as it is stored, its length included.
const STORED_CHUNK: u64 = CHUNK_BYTES as u64 + OVERHEAD;

/// The plaintext's size, in bytes, of a file of `stored` bytes. Sizes that no such file has are
/// errors, and so is a header alone: no backup is empty.
pub fn plain_size(stored: u64) -> Result<u64, BackupFileError> {
    Ok(Layout::of(stored)?.plain)
}

/// The size, in bytes, of the file that a plaintext of `plain` bytes makes.
pub fn stored_size(plain: u64) -> u64 {
    let chunks = plain.div_ceil(CHUNK_BYTES as u64);
    let overhead = HEADER_BYTES as u64 + OVERHEAD * chunks;
    plain.saturating_add(overhead)
}

/// The chunks of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Size of the file.
    pub(super) stored: u64,
    /// Size of the plaintext; never 0.
    pub(super) plain: u64,
    /// Number of chunks; never 0.
    pub(super) chunks: u64,
}

impl Layout {
    pub(super) fn of(stored: u64) -> Result<Self, BackupFileError> {
        let impossible = || BackupFileError::ImpossibleSize(stored);
        let body = stored.checked_sub(HEADER_BYTES as u64);
        let body = body.ok_or_else(impossible)?;
        if body == 0 {
            return Err(BackupFileError::HeaderOnly);
        }
        // An empty chunk is never written: the last one has a byte of plaintext at least.
        let last = body % STORED_CHUNK;
        if (1..=OVERHEAD).contains(&last) {
            return Err(impossible());
        }
        let chunks = body.div_ceil(STORED_CHUNK);
        Ok(Self {
            stored,
            plain: body - OVERHEAD * chunks,
            chunks,
        })
    }

    /// Ciphertext and tag of a chunk, in bytes: what its length must say.
    pub(super) fn sealed_length(&self, index: u64) -> usize {
        let before = index.saturating_mul(CHUNK_BYTES as u64);
        let left = self.plain.saturating_sub(before);
        // At most 1 MiB, which fits.
        usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES)) + TAG_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_of_the_known_answers() {
        assert_eq!(stored_size(11), 95);
        assert_eq!(stored_size(2_621_440), 2_621_564);
        assert_eq!(plain_size(95), Ok(11));
        assert_eq!(plain_size(2_621_564), Ok(2_621_440));
    }

    #[test]
    fn a_header_alone_is_no_empty_backup() {
        assert_eq!(stored_size(0), 64);
        assert_eq!(plain_size(64), Err(BackupFileError::HeaderOnly));
    }

    #[test]
    fn sizes_that_no_file_has_are_refused() {
        let full = 64 + STORED_CHUNK;
        let after_full = full + 1..=full + 20;
        for stored in (0..64).chain(65..=84).chain(after_full) {
            let refused = plain_size(stored);
            assert_eq!(refused, Err(BackupFileError::ImpossibleSize(stored)));
        }
        assert_eq!(plain_size(85), Ok(1));
        assert_eq!(plain_size(full), Ok(1 << 20));
        assert_eq!(plain_size(full + 21), Ok((1 << 20) + 1));
    }

    proptest! {
        #[test]
        fn sizes_round_trip(plain in 1..1_u64 << 50) {
            prop_assert_eq!(plain_size(stored_size(plain)), Ok(plain));
        }

        #[test]
        fn what_a_size_says_adds_up(stored: u64) {
            if let Ok(plain) = plain_size(stored) {
                prop_assert_eq!(stored_size(plain), stored);
            }
            let _ = stored_size(stored);
        }

        #[test]
        fn the_chunks_make_up_the_file(plain in 1..20_u64 << 20) {
            let layout = Layout::of(stored_size(plain)).unwrap();
            let sealed: usize = (0..layout.chunks).map(|index| layout.sealed_length(index)).sum();
            prop_assert_eq!(64 + 4 * layout.chunks + sealed as u64, layout.stored);
        }
    }
}
