use proptest::prelude::*;

use super::*;

const PAGE: usize = 8192;
const SIZE: usize = 1 << 20;
const CLUSTER: u64 = 7_711_194_790_945_369_124;

fn expected() -> Expected {
    Expected {
        segment: "000000020000000000000024".parse().unwrap(),
        system_identifier: CLUSTER,
        size: SegmentSize::new(SIZE as u32).unwrap(),
        pg_major: 17,
    }
}

/// A segment of which `used` pages hold something.
fn segment(used: usize) -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    for (number, page) in bytes.chunks_mut(PAGE).take(used).enumerate() {
        page.fill(0xA5);
        let flags: u16 = if number == 0 { 2 } else { 0 };
        let address = (0x24u64 << 20) + (number * PAGE) as u64;
        page[0..2].copy_from_slice(&0xD116u16.to_le_bytes());
        page[2..4].copy_from_slice(&flags.to_le_bytes());
        page[4..8].copy_from_slice(&2u32.to_le_bytes());
        page[8..16].copy_from_slice(&address.to_le_bytes());
        page[16..24].fill(0);
    }
    bytes[24..32].copy_from_slice(&CLUSTER.to_le_bytes());
    bytes[32..36].copy_from_slice(&(SIZE as u32).to_le_bytes());
    bytes[36..40].copy_from_slice(&(PAGE as u32).to_le_bytes());
    bytes
}

fn check(bytes: &[u8]) -> Result<Sound, BadSegment> {
    check_in_pieces(bytes, 100_000)
}

fn check_in_pieces(bytes: &[u8], piece: usize) -> Result<Sound, BadSegment> {
    let mut check = SegmentCheck::new(expected());
    for piece in bytes.chunks(piece) {
        check.take(piece)?;
    }
    check.finish()
}

#[test]
fn full_and_switched_segments_are_sound() {
    for used in [1, 2, 77, 128] {
        assert!(check(&segment(used)).is_ok(), "{used} pages");
    }
}

#[test]
fn a_segment_of_another_cluster_release_size_or_place_is_named() {
    type Change = fn(&mut [u8]);
    let cases: [(Change, &str); 6] = [
        (|s| s[24] ^= 1, "it is of cluster 7711194790945369125"),
        (|s| s[0] = 0x18, "PostgreSQL 18 wrote it, not 17"),
        (
            |s| s[32..36].copy_from_slice(&(2u32 << 20).to_le_bytes()),
            "segments of 2097152 bytes instead of 1048576",
        ),
        (|s| s[10] = 0x50, "it is segment 000000020000000000000025"),
        (|s| s[4] = 3, "it is segment 000000030000000000000024"),
        (|s| s[1] = 0, "does not begin with the header"),
    ];
    for (change, expected) in cases {
        let mut bytes = segment(9);
        change(&mut bytes);
        let told = check(&bytes).unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn the_first_segment_of_a_timeline_begins_with_pages_of_the_one_before() {
    let mut bytes = segment(9);
    for page in bytes.chunks_mut(PAGE).take(4) {
        page[4] = 1;
    }
    assert!(check(&bytes).is_ok());
    bytes[6 * PAGE + 4] = 1;
    let told = check(&bytes).unwrap_err();
    assert!(matches!(told, BadSegment::Page { offset: 49152, .. }));
}

#[test]
fn a_cut_segment_and_one_that_goes_on_are_told_apart() {
    let whole = segment(128);
    let short = BadSegment::Short {
        found: SIZE as u64 - 1,
        expected: SIZE as u64,
    };
    assert_eq!(check(&whole[..SIZE - 1]), Err(short));
    let long = [&whole[..], b"x"].concat();
    assert!(matches!(check(&long), Err(BadSegment::Long { .. })));
    assert!(matches!(check(&[]), Err(BadSegment::Short { .. })));
}

#[test]
fn a_page_that_is_used_again_after_an_empty_one_is_bad() {
    let mut bytes = segment(9);
    bytes[4 * PAGE..5 * PAGE].fill(0);
    let told = check(&bytes).unwrap_err().to_string();
    assert_eq!(
        told,
        "the page at byte 40960 is bad: it comes after an empty one"
    );
}

#[test]
fn what_follows_a_header_of_zeros_must_be_zero() {
    let mut bytes = segment(9);
    bytes[20 * PAGE + 5000] = 1;
    let told = check(&bytes).unwrap_err();
    assert!(matches!(
        told,
        BadSegment::Page {
            offset: 163_840,
            ..
        }
    ));
}

#[test]
fn a_segment_in_the_middle_of_a_huge_record_says_so() {
    let mut bytes = segment(128);
    bytes[2] |= 1;
    let payload = (SIZE - FIRST_PAGE_HEADER - 127 * PAGE_HEADER) as u32;
    for (remaining, within) in [(0, false), (payload, false), (payload + 1, true)] {
        bytes[16..20].copy_from_slice(&remaining.to_le_bytes());
        assert_eq!(check(&bytes).unwrap().within_one_record, within);
    }
}

proptest! {
    #[test]
    fn any_damage_to_what_a_header_must_say_is_seen_at_its_page(
        page in 1..100_usize, at in 0..16_usize, flip in 1..=255_u8, piece in 1..20_000_usize,
    ) {
        let mut bytes = segment(100);
        bytes[page * PAGE + at] ^= flip;
        let verdict = check_in_pieces(&bytes, piece);
        // Three of the flags may be set or not.
        if at == 2 && flip & !0b1101 == 0 {
            prop_assert!(verdict.is_ok());
        } else {
            let offset = (page * PAGE) as u64;
            let seen = matches!(verdict, Err(BadSegment::Page { offset: at, .. }) if at == offset);
            prop_assert!(seen, "{verdict:?}");
        }
    }

    #[test]
    fn the_verdict_does_not_depend_on_the_pieces(used in 1..=128_usize, piece in 1..20_000_usize) {
        prop_assert_eq!(check_in_pieces(&segment(used), piece), check(&segment(used)));
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..20_000), begun: bool, block in any::<u32>(),
    ) {
        let mut bytes = bytes;
        if begun {
            let mut head = segment(1)[..FIRST_PAGE_HEADER].to_vec();
            head[36..40].copy_from_slice(&block.to_le_bytes());
            bytes.splice(..0, head);
        }
        let _ = check_in_pieces(&bytes, 777);
    }
}
