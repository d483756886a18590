use std::io::Write;

use sha2::{Digest, Sha256};

use super::*;

pub(super) const KEY: &str =
    "11111111-1111-4111-8111-11111111111122222222-2222-4222-8222-222222222222";
pub(super) const ID: Uuid = Uuid::from_u128(0x3333_3333_3333_4333_8333_3333_3333_3333);

pub(super) fn key(text: &str) -> SecretKey {
    SecretKey::new(text.as_bytes().to_vec()).unwrap()
}

/// Salt 00 01 … 1f, nonce a0 a1 … ab, as in DATABASUS.md §2.1.
pub(super) fn header() -> Header {
    Header {
        salt: std::array::from_fn(|i| i as u8),
        nonce: std::array::from_fn(|i| 0xa0 + i as u8),
    }
}

pub(super) fn sealed(plain: &[u8]) -> Vec<u8> {
    let mut writer = BackupWriter::new(Vec::new(), &key(KEY), ID, &header()).unwrap();
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

fn first_chunk(file: &[u8]) -> Result<Zeroizing<Vec<u8>>, BackupFileError> {
    let beginning = &file[..file.len().min(FIRST_CHUNK_BYTES)];
    open_first_chunk(beginning, file.len() as u64, &key(KEY), ID)
}

/// Both files of DATABASUS.md §2.1, made by Databasus' own code.
#[test]
fn files_known_answers() {
    let small = sealed(b"PGDMP hello");
    assert_eq!(small.len(), 95);
    assert_eq!(&small[..8], b"PGRSUS01");
    assert_eq!(
        hex::encode(&small[HEADER_BYTES..]),
        "0000001bf4925834122c765d346571fc3f3d130e89b7822cd47294ba99a3db"
    );
    let plain: Vec<u8> = (0..2_621_440_u32).map(|i| (i * 7 % 256) as u8).collect();
    let large = sealed(&plain);
    assert_eq!(large.len(), 2_621_564);
    assert_eq!(
        hex::encode(Sha256::digest(&large)),
        "46914a71ab37406bc8d44596bda69c9d8b8062ede4dae851de63796f41a71b2d"
    );
}

#[test]
fn the_first_chunk_opens_from_the_beginning_of_a_file() {
    let plain: Vec<u8> = (0..CHUNK_BYTES + 5).map(|i| (i % 251) as u8).collect();
    let opened = first_chunk(&sealed(&plain)).unwrap();
    assert_eq!(opened.as_slice(), &plain[..CHUNK_BYTES]);
    let opened = first_chunk(&sealed(b"PGDMP hello")).unwrap();
    assert_eq!(opened.as_slice(), b"PGDMP hello");
}

#[test]
fn another_key_or_id_does_not_open_the_first_chunk() {
    let file = sealed(b"PGDMP hello");
    let tried = |key: &SecretKey, id| open_first_chunk(&file, file.len() as u64, key, id);
    let refused = Err(BackupFileError::DoesNotOpen);
    assert_eq!(tried(&key(&format!("{KEY}\n")), ID), refused);
    let half = key(&format!("{}{}", &KEY[..32], "x".repeat(40)));
    assert_eq!(tried(&half, ID), refused);
    assert_eq!(tried(&key(KEY), Uuid::nil()), refused);
}

#[test]
fn a_beginning_that_is_too_short_is_not_taken_for_the_file() {
    let file = sealed(b"PGDMP hello");
    for length in HEADER_BYTES..file.len() {
        let refused = open_first_chunk(&file[..length], file.len() as u64, &key(KEY), ID);
        assert!(matches!(refused, Err(BackupFileError::Cut { .. })));
    }
}

/// 10 GB claimed in 100 bytes, and every other lie, before anything is allocated.
#[test]
fn a_chunk_that_claims_another_length_is_refused() {
    let file = sealed(b"PGDMP hello");
    for claimed in [0_u32, 16, 26, 28, 1 << 20, (1 << 20) + 17, u32::MAX] {
        let mut lying = file.clone();
        lying[HEADER_BYTES..HEADER_BYTES + 4].copy_from_slice(&claimed.to_be_bytes());
        let refused = BackupFileError::ChunkLength {
            place: Place::Chunk(0),
            claimed,
            expected: 27,
        };
        assert_eq!(first_chunk(&lying), Err(refused));
    }
    let huge = open_first_chunk(&file, 10_000_000_000, &key(KEY), ID);
    assert!(matches!(huge, Err(BackupFileError::ChunkLength { .. })));
}

#[test]
fn a_header_alone_is_a_dump_that_failed() {
    let file = sealed(b"");
    assert_eq!(file.len(), HEADER_BYTES);
    assert_eq!(first_chunk(&file), Err(BackupFileError::HeaderOnly));
}
