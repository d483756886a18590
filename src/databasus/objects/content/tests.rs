use std::io::Write as _;

use proptest::prelude::*;

use super::*;

const LABEL: &str = "\
START WAL LOCATION: 0/23000028 (file 000000010000000000000023)
LABEL: nightly
START TIMELINE: 1
";

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 5).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn label_of(content: &Content) -> Option<&str> {
    match content {
        Content::BaseBackup { label, .. } => label.as_ref().map(|label| label.label.as_str()),
        other => panic!("not a base backup: {other:?}"),
    }
}

fn segment() -> Vec<u8> {
    let mut segment = vec![0; 16 << 20];
    segment[0..2].copy_from_slice(&0xD116u16.to_le_bytes());
    segment[2..4].copy_from_slice(&2u16.to_le_bytes());
    segment[4..8].copy_from_slice(&1u32.to_le_bytes());
    segment[8..16].copy_from_slice(&0x2400_0000u64.to_le_bytes());
    segment[24..32].copy_from_slice(&7u64.to_le_bytes());
    segment[32..36].copy_from_slice(&(16u32 << 20).to_le_bytes());
    segment[36..40].copy_from_slice(&8192u32.to_le_bytes());
    segment
}

#[test]
fn a_wal_segment_is_told_by_its_first_page() {
    let Content::WalSegment(page) = recognise(&zstd(&segment())) else {
        panic!("not recognised");
    };
    assert_eq!(page.segment.to_string(), "000000010000000000000024");
    assert_eq!(page.pg_major, Some(17));
}

#[test]
fn a_base_backup_is_told_in_every_packing() {
    let plain = tar(&[("backup_label", LABEL.as_bytes()), ("PG_VERSION", b"17\n")]);
    for (packed, expected) in [
        (zstd(&plain), Compression::Zstd),
        (gzip(&plain), Compression::Gzip),
        (plain.clone(), Compression::None),
    ] {
        let content = recognise(&packed);
        assert_eq!(label_of(&content), Some("nightly"));
        assert!(
            matches!(content, Content::BaseBackup { compression, .. } if compression == expected)
        );
    }
}

#[test]
fn a_label_is_found_under_either_name_and_behind_other_entries() {
    let entries = [
        ("base/1/1259", &[7; 9000][..]),
        ("./backup_label", LABEL.as_bytes()),
    ];
    assert_eq!(label_of(&recognise(&tar(&entries))), Some("nightly"));
    let none = tar(&[("base/1/1259", &[7; 9000])]);
    assert_eq!(label_of(&recognise(&none)), None);
    let cut = tar(&[
        ("base/1/1259", &[7; 9000]),
        ("backup_label", LABEL.as_bytes()),
    ]);
    assert_eq!(label_of(&recognise(&cut[..4000])), None);
}

#[test]
fn sql_names_its_database() {
    let text = "-- MySQL dump 10.13  Distrib 8.0.36\n--\n-- Host: db    Database: kunden\n--\n";
    let expected = Content::Sql {
        database: Some("kunden".to_owned()),
    };
    assert_eq!(recognise(&zstd(text.as_bytes())), expected);
    let bare = recognise(&zstd(b"/*!40101 SET NAMES utf8 */;"));
    assert_eq!(bare, Content::Sql { database: None });
}

#[test]
fn history_mongo_and_nothing_are_told() {
    let history = b"1\t0/5000000\tno recovery target specified\n";
    assert_eq!(recognise(&zstd(history)), Content::TimelineHistory);
    let archive = gzip(&[MONGO_ARCHIVE, &[0; 100]].concat());
    assert_eq!(recognise(&archive), Content::MongoArchive);
    assert_eq!(recognise(b""), Content::Empty);
}

#[test]
fn a_dump_whose_header_is_damaged_is_still_a_dump() {
    assert_eq!(
        recognise(b"PGDMP\x01\x10"),
        Content::UnreadPgDump(DumpHeaderError::Damaged)
    );
}

#[test]
fn everything_else_is_unknown() {
    for other in [
        b"PGRSUS01".to_vec(),
        vec![0; 512],
        b"SELECT 1".to_vec(),
        zstd(&[0xFF; 5000]),
        gzip(b"text"),
        zstd(b""),
    ] {
        assert_eq!(recognise(&other), Content::Unknown);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(kind in 0..4u8, bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = recognise(&match kind {
            0 => zstd(&bytes),
            1 => gzip(&bytes),
            2 => [&tar(&[("x", b"y")])[..512], &bytes].concat(),
            _ => bytes,
        });
    }

    #[test]
    fn a_flipped_byte_never_panics(at in 0usize..2048, to: u8) {
        let mut packed = tar(&[("backup_label", LABEL.as_bytes())]);
        if let Some(byte) = packed.get_mut(at) {
            *byte = to;
        }
        let _ = recognise(&packed);
    }
}
