use std::io::Cursor;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::super::key::derive_bytes;
use super::super::tests::{ID, KEY, header, key, sealed};
use super::super::{CHUNK_BYTES, stored_size};
use super::*;

fn plain(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

/// What comes out before the end or the error, read in pieces of an odd size.
fn read(file: &[u8], stored: u64, threads: usize) -> (Vec<u8>, Result<(), BackupFileError>) {
    let source = Cursor::new(file.to_vec());
    let mut out = Vec::new();
    let read = BackupReader::open(source, stored, &key(KEY), ID, threads)
        .and_then(|mut reader| reader.read_to_end(&mut out));
    (out, read.map(drop).map_err(cause))
}

fn cause(error: io::Error) -> BackupFileError {
    let inner = error.into_inner().unwrap();
    *inner.downcast::<BackupFileError>().unwrap()
}

/// The same without deriving the key again, which does not depend on the nonce, for cases by the
/// hundred.
fn read_quickly(file: &[u8], stored: u64) -> Result<Vec<u8>, BackupFileError> {
    static BYTES: OnceLock<Zeroizing<[u8; 32]>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| derive_bytes(&key(KEY), ID, &header()));
    let layout = Layout::of(stored)?;
    let mut source = Cursor::new(file.to_vec());
    let header = read_header(&mut source, stored).map_err(cause)?;
    let sealed = Sealed::new(Box::new(source), layout);
    let mut out = Vec::new();
    BackupReader::new(header, sealed, BackupKey::of(bytes, &header), 1)
        .read_to_end(&mut out)
        .map_err(cause)?;
    Ok(out)
}

#[test]
fn sizes_around_the_bounds_of_chunks_round_trip() {
    for length in [
        1,
        CHUNK_BYTES - 1,
        CHUNK_BYTES,
        CHUNK_BYTES + 1,
        2 * CHUNK_BYTES,
    ] {
        let plain = plain(length);
        let file = sealed(&plain);
        assert_eq!(file.len() as u64, stored_size(length as u64));
        for threads in [1, 2, 3] {
            let (out, end) = read(&file, file.len() as u64, threads);
            assert_eq!(end, Ok(()));
            assert!(out == plain, "{length} bytes on {threads} threads");
        }
    }
}

#[test]
fn a_file_cut_between_two_chunks_ends_in_an_error() {
    let plain = plain(3 * CHUNK_BYTES);
    let file = sealed(&plain);
    let stored = file.len() as u64;
    for (chunks, rest) in [(1, 0), (2, 0), (2, 4), (2, 5)] {
        let cut = &file[..HEADER_BYTES + chunks * (CHUNK_BYTES + 20) + rest];
        for threads in [1, 2] {
            let (out, end) = read(cut, stored, threads);
            let place = Place::Chunk(chunks as u64);
            assert_eq!(end, Err(BackupFileError::Cut { place, stored }));
            assert!(out == plain[..chunks * CHUNK_BYTES]);
        }
    }
}

#[test]
fn a_file_that_goes_on_ends_in_an_error() {
    let mut file = sealed(&plain(CHUNK_BYTES + 1));
    let stored = file.len() as u64;
    file.push(0);
    for threads in [1, 2] {
        let (_, end) = read(&file, stored, threads);
        assert_eq!(end, Err(BackupFileError::Longer(stored)));
    }
}

#[test]
fn swapped_chunks_are_damage_and_nothing_of_them_comes_out() {
    let plain = plain(3 * CHUNK_BYTES);
    let mut file = sealed(&plain);
    let chunk = CHUNK_BYTES + 20;
    let (second, third) = file[HEADER_BYTES + chunk..].split_at_mut(chunk);
    second.swap_with_slice(third);
    for threads in [1, 2, 5] {
        let (out, end) = read(&file, file.len() as u64, threads);
        assert_eq!(end, Err(BackupFileError::Damaged(Place::Chunk(1))));
        assert!(out == plain[..CHUNK_BYTES]);
    }
}

#[test]
fn a_short_chunk_is_the_last() {
    let mut file = sealed(b"first");
    let second = sealed(b"second");
    file.extend_from_slice(&second[HEADER_BYTES..]);
    let (out, end) = read(&file, file.len() as u64, 1);
    assert!(matches!(end, Err(BackupFileError::ChunkLength { .. })));
    assert_eq!(out, b"");
}

#[test]
fn after_an_error_there_is_no_end() {
    let mut file = sealed(b"PGDMP hello");
    let last = file.len() - 1;
    file[last] ^= 1;
    for threads in [1, 2] {
        let (source, stored) = (Cursor::new(file.clone()), file.len() as u64);
        let mut reader = BackupReader::open(source, stored, &key(KEY), ID, threads).unwrap();
        for _ in 0..3 {
            assert!(reader.read(&mut [0; 4]).is_err());
        }
    }
}

#[test]
fn every_cut_of_a_file_is_refused_under_its_own_size_and_the_whole_ones() {
    let file = sealed(b"PGDMP hello");
    for length in 0..file.len() {
        assert!(read_quickly(&file[..length], file.len() as u64).is_err());
        // A shorter size that a file can have differs from what its chunk claims.
        assert!(read_quickly(&file[..length], length as u64).is_err());
    }
}

/// All but the salt, whose change makes another key, and the nonce's last eight bytes, which the
/// format never looks at: [`Header::check`] does.
#[test]
fn every_flipped_bit_is_refused() {
    let file = sealed(b"PGDMP hello");
    for bit in (0..file.len() * 8).filter(|bit| !(8..40).contains(&(bit / 8))) {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let read = read_quickly(&flipped, file.len() as u64);
        if (44..52).contains(&(bit / 8)) {
            let noticed = Header::parse(&flipped).unwrap().check(&header());
            assert_eq!(noticed, Err(BackupFileError::NonceMismatch), "bit {bit}");
        } else {
            assert!(read.is_err(), "bit {bit}");
        }
    }
}

#[test]
fn another_salt_is_another_key() {
    let mut file = sealed(b"PGDMP hello");
    file[8] ^= 1;
    let (out, end) = read(&file, file.len() as u64, 1);
    assert_eq!((out, end), (Vec::new(), Err(BackupFileError::DoesNotOpen)));
}

/// A source that is seen to be gone.
struct Watched {
    file: Cursor<Vec<u8>>,
    _alive: Arc<()>,
}

impl Read for Watched {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.file.read(out)
    }
}

#[test]
fn dropping_the_reader_early_ends_its_threads() {
    let file = sealed(&plain(12 * CHUNK_BYTES));
    let (stored, alive) = (file.len() as u64, Arc::new(()));
    let source = Watched {
        file: Cursor::new(file),
        _alive: alive.clone(),
    };
    let mut reader = BackupReader::open(source, stored, &key(KEY), ID, 2).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();
    assert_eq!(Arc::strong_count(&alive), 2);
    drop(reader);
    let deadline = Instant::now() + Duration::from_secs(30);
    while Arc::strong_count(&alive) > 1 {
        assert!(Instant::now() < deadline, "the reading thread goes on");
        std::thread::yield_now();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn what_is_written_is_read_again(
        length in prop_oneof![
            1..200_usize,
            CHUNK_BYTES - 2..CHUNK_BYTES + 3,
            2 * CHUNK_BYTES - 2..2 * CHUNK_BYTES + 3,
        ],
        threads in 1..4_usize,
    ) {
        let plain = plain(length);
        let file = sealed(&plain);
        let (out, end) = read(&file, file.len() as u64, threads);
        prop_assert_eq!(end, Ok(()));
        prop_assert!(out == plain);
    }

    #[test]
    fn no_bytes_make_reading_panic(
        body in prop::collection::vec(any::<u8>(), 0..200),
        stored in 0..400_u64,
    ) {
        let file = [header().to_bytes().as_slice(), &body].concat();
        prop_assert!(read_quickly(&file, stored).is_err());
    }
}
