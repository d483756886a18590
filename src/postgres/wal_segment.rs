//! Names of WAL segment files: timeline and place in the log as 24 hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use super::lsn::Lsn;

/// The bounds of `initdb --wal-segsize`; every size is a power of two.
const SEGMENT_BYTES: std::ops::RangeInclusive<u32> = 1 << 20..=1 << 30;

/// The name of a segment, `000000010000000000000024`: timeline, then the segment's number in the
/// log, split at the 4 GiB boundaries of log positions (PostgreSQL, `xlog_internal.h`,
/// `XLogFileName`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// Counted from 1.
    pub timeline: u32,
    log: u32,
    segment: u32,
}

/// A text that names no segment.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a WAL segment, such as 000000010000000000000024")]
pub struct NotASegment;

/// The size of a cluster's segments in bytes: a power of two from 1 MiB to 1 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSize(u32);

impl SegmentSize {
    /// What `initdb` takes unless it is told otherwise: 16 MiB.
    pub const DEFAULT: Self = Self(16 << 20);

    /// A size that a cluster can have.
    pub fn new(bytes: u32) -> Option<Self> {
        let possible = bytes.is_power_of_two() && SEGMENT_BYTES.contains(&bytes);
        possible.then_some(Self(bytes))
    }

    /// In bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.0)
    }

    fn per_log(self) -> u64 {
        (1 << 32) / self.bytes()
    }
}

impl SegmentName {
    /// The segment that holds the byte at `position`.
    pub fn at(timeline: u32, position: Lsn, size: SegmentSize) -> Self {
        let number = position.0 / size.bytes();
        // Both halves fit: positions have 64 bits.
        let half = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Self {
            timeline,
            log: half(number / size.per_log()),
            segment: half(number % size.per_log()),
        }
    }

    /// The position of its first byte; none where a cluster with segments of this size has no
    /// such segment.
    pub fn start(self, size: SegmentSize) -> Option<Lsn> {
        let within = u64::from(self.segment) < size.per_log();
        let offset = u64::from(self.segment) * size.bytes();
        within.then(|| Lsn((u64::from(self.log) << 32) | offset))
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            timeline,
            log,
            segment,
        } = self;
        write!(f, "{timeline:08X}{log:08X}{segment:08X}")
    }
}

impl FromStr for SegmentName {
    type Err = NotASegment;

    fn from_str(text: &str) -> Result<Self, NotASegment> {
        let digits = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
        if text.len() != 24 || !text.bytes().all(digits) {
            return Err(NotASegment);
        }
        let part = |at: usize| {
            let digits = text.get(at..at + 8).ok_or(NotASegment)?;
            u32::from_str_radix(digits, 16).map_err(|_| NotASegment)
        };
        let name = Self {
            timeline: part(0)?,
            log: part(8)?,
            segment: part(16)?,
        };
        (name.timeline > 0).then_some(name).ok_or(NotASegment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_says_where_the_segment_begins() {
        let name: SegmentName = "00000002000000AB000000FE".parse().unwrap();
        assert_eq!(name.timeline, 2);
        let start = name.start(SegmentSize::DEFAULT).unwrap();
        assert_eq!(start.to_string(), "AB/FE000000");
        let last = Lsn(start.0 + SegmentSize::DEFAULT.bytes() - 1);
        assert_eq!(SegmentName::at(2, last, SegmentSize::DEFAULT), name);
    }

    #[test]
    fn a_segment_beyond_the_log_has_no_beginning() {
        let name: SegmentName = "000000010000000000000100".parse().unwrap();
        assert_eq!(name.start(SegmentSize::DEFAULT), None);
        assert!(name.start(SegmentSize::new(1 << 20).unwrap()).is_some());
    }

    #[test]
    fn other_files_of_pg_wal_are_no_segments() {
        for other in [
            "",
            "00000001000000000000002",
            "00000001000000000000002a",
            "000000000000000000000024",
            "000000010000000000000024.partial",
            "00000002.history",
            "0000000100000000000000é",
        ] {
            assert_eq!(other.parse::<SegmentName>(), Err(NotASegment), "{other:?}");
        }
    }

    #[test]
    fn only_sizes_that_initdb_takes_are_sizes() {
        assert!(SegmentSize::new(64 << 20).is_some());
        for bad in [0, 1, 512 << 10, 3 << 20, 1 << 31] {
            assert_eq!(SegmentSize::new(bad), None);
        }
    }

    proptest! {
        #[test]
        fn positions_and_names_agree(timeline in 1u32.., position: u64, power in 20u32..=30) {
            let size = SegmentSize::new(1 << power).unwrap();
            let name = SegmentName::at(timeline, Lsn(position), size);
            let start = name.start(size).unwrap();
            prop_assert!(start.0 <= position && position - start.0 < size.bytes());
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }
    }
}
