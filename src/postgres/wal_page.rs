//! The first page of a WAL segment, which says what segment it is (DATABASUS.md §3.6;
//! PostgreSQL's `xlog_internal.h`, `XLogLongPageHeaderData`).

use super::lsn::Lsn;
use super::wal_segment::{SegmentName, SegmentSize};

/// Length of the long page header that a segment begins with, in bytes.
pub const FIRST_PAGE_HEADER: usize = 40;

/// `XLP_LONG_HEADER`.
const LONG_HEADER: u16 = 0x0002;

/// All bits that releases up to 18 set.
const KNOWN_FLAGS: u16 = 0x000F;

/// `XLOG_PAGE_MAGIC` of the releases that Databasus backs up.
const MAGICS: [(u16, u32); 9] = [
    (0xD097, 10),
    (0xD098, 11),
    (0xD101, 12),
    (0xD106, 13),
    (0xD10D, 14),
    (0xD110, 15),
    (0xD113, 16),
    (0xD116, 17),
    (0xD118, 18),
];

/// What every magic has in its upper byte so far.
const MAGIC_FAMILY: std::ops::RangeInclusive<u16> = 0xD0..=0xD1;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstPage {
    /// The name that the segment has in `pg_wal`.
    pub segment: SegmentName,
    /// The position of its first byte.
    pub start: Lsn,
    /// Of the cluster.
    pub system_identifier: u64,
    /// Of all segments of the cluster.
    pub segment_size: SegmentSize,
    /// The major release that wrote it; none if this tool does not know its magic number.
    pub pg_major: Option<u32>,
}

impl FirstPage {
    /// Reads the header that a segment begins with; none if these are not the first bytes of
    /// one. Little-endian machines only, which is where PostgreSQL runs today.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let magic = u16::from_le_bytes(field(bytes, 0)?);
        let info = u16::from_le_bytes(field(bytes, 2)?);
        let timeline = u32::from_le_bytes(field(bytes, 4)?);
        let start = u64::from_le_bytes(field(bytes, 8)?);
        let system_identifier = u64::from_le_bytes(field(bytes, 24)?);
        let segment_size = SegmentSize::new(u32::from_le_bytes(field(bytes, 32)?))?;
        let block_size = u32::from_le_bytes(field(bytes, 36)?);
        let is_first = MAGIC_FAMILY.contains(&(magic >> 8))
            && info & LONG_HEADER != 0
            && info & !KNOWN_FLAGS == 0
            && timeline > 0
            && start % segment_size.bytes() == 0
            && system_identifier > 0
            && block_size.is_power_of_two()
            && (1 << 10..=1 << 16).contains(&block_size);
        is_first.then(|| Self {
            segment: SegmentName::at(timeline, Lsn(start), segment_size),
            start: Lsn(start),
            system_identifier,
            segment_size,
            pg_major: major(magic),
        })
    }
}

fn major(magic: u16) -> Option<u32> {
    let known = MAGICS.iter().find(|(known, _)| *known == magic);
    known.map(|(_, major)| *major)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The first 40 bytes of a segment that PostgreSQL 18.6 wrote.
    fn page() -> Vec<u8> {
        let mut page = vec![0; FIRST_PAGE_HEADER];
        page[0..2].copy_from_slice(&0xD118u16.to_le_bytes());
        page[2..4].copy_from_slice(&7u16.to_le_bytes());
        page[4..8].copy_from_slice(&1u32.to_le_bytes());
        page[8..16].copy_from_slice(&0x1400_0000u64.to_le_bytes());
        page[24..32].copy_from_slice(&7_711_194_790_945_369_124u64.to_le_bytes());
        page[32..36].copy_from_slice(&(16u32 << 20).to_le_bytes());
        page[36..40].copy_from_slice(&8192u32.to_le_bytes());
        page
    }

    #[test]
    fn a_segment_says_its_name_and_its_cluster() {
        let found = FirstPage::parse(&page()).unwrap();
        assert_eq!(found.segment.to_string(), "000000010000000000000014");
        assert_eq!(found.start.to_string(), "0/14000000");
        assert_eq!(found.system_identifier, 7_711_194_790_945_369_124);
        assert_eq!(found.pg_major, Some(18));
    }

    #[test]
    fn a_later_release_is_still_a_segment() {
        let mut page = page();
        page[0..2].copy_from_slice(&0xD11Bu16.to_le_bytes());
        assert_eq!(FirstPage::parse(&page).unwrap().pg_major, None);
    }

    #[test]
    fn other_bytes_are_no_segment() {
        // One byte of each field that decides.
        for (at, value) in [
            (1, 0x28),
            (2, 5),
            (3, 1),
            (4, 0),
            (9, 1),
            (35, 0xFF),
            (36, 1),
        ] {
            let mut page = page();
            page[at] = value;
            assert_eq!(FirstPage::parse(&page), None, "byte {at}");
        }
        for length in 0..FIRST_PAGE_HEADER {
            assert_eq!(FirstPage::parse(&page()[..length]), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = FirstPage::parse(&bytes);
        }
    }
}
