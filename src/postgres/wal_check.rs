//! Whether a whole WAL segment is what it must be, looked at while its bytes pass by.
//!
//! Every page says of itself where in the log it belongs (`XLogPageHeaderData` of PostgreSQL's
//! `xlog_internal.h`); 24 bytes of each are looked at. What lies between is covered by the
//! checksum of each record, which replay itself verifies.

use super::lsn::Lsn;
use super::wal_page::{FIRST_PAGE_HEADER, FirstPage};
use super::wal_segment::{SegmentName, SegmentSize};

/// Length of the header of every page but the first, in bytes (`SizeOfXLogShortPHD`).
const PAGE_HEADER: usize = 24;

/// `XLP_LONG_HEADER`.
const LONG_HEADER: u16 = 0x0002;

/// `XLP_FIRST_IS_CONTRECORD`.
const CONTINUES: u16 = 0x0001;

/// `XLP_ALL_FLAGS` of releases up to 18.
const KNOWN_FLAGS: u16 = 0x000F;

/// What a segment must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its name in `pg_wal`.
    pub segment: SegmentName,
    /// Of the cluster.
    pub system_identifier: u64,
    /// Of all segments of the cluster.
    pub size: SegmentSize,
    /// The major release of the cluster.
    pub pg_major: u32,
}

/// A segment is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSegment {
    /// It does not begin as segments do.
    #[error("it does not begin with the header of a WAL segment")]
    NoHeader,
    /// It is of another cluster.
    #[error("it is of cluster {found}, not of {expected}")]
    OtherCluster {
        /// The system identifier that it names.
        found: u64,
        /// The one that it must have.
        expected: u64,
    },
    /// It is of a cluster with segments of another size.
    #[error("it is of a cluster with segments of {found} bytes instead of {expected}")]
    OtherSegmentSize {
        /// The size that it names.
        found: u64,
        /// The one that it must have.
        expected: u64,
    },
    /// Another release wrote it.
    #[error("PostgreSQL {found} wrote it, not {expected}")]
    OtherMajor {
        /// The major release of its magic number.
        found: u32,
        /// The one of the cluster.
        expected: u32,
    },
    /// It is another segment.
    #[error("it is segment {found}")]
    OtherSegment {
        /// The name that its first page gives it.
        found: SegmentName,
    },
    /// It ends too early.
    #[error("it has {found} bytes instead of {expected}")]
    Short {
        /// Its length.
        found: u64,
        /// What it must be.
        expected: u64,
    },
    /// It does not end where it should.
    #[error("it has more than {expected} bytes")]
    Long {
        /// What it must be.
        expected: u64,
    },
    /// A page within it is not the one that belongs there.
    #[error("the page at byte {offset} is bad: {what}")]
    Page {
        /// Where the page begins.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// What was found out about a sound segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sound {
    /// Whether no record ends in it, for all of it is the middle of one.
    pub within_one_record: bool,
}

/// Looks at the bytes of one segment, in whatever pieces they come.
pub struct SegmentCheck {
    expected: Expected,
    first: Option<First>,
    /// The beginning of the present page, as far as it has come.
    header: Vec<u8>,
    taken: u64,
    timeline: u32,
    /// From the first page on that holds nothing, all hold nothing: a switch of segments leaves
    /// the rest of one zero.
    empty: bool,
}

#[derive(Clone, Copy)]
struct First {
    page_bytes: u64,
    magic: u16,
    /// Of a record that began in an earlier segment, so many bytes are still to come.
    remaining: Option<u32>,
}

impl SegmentCheck {
    /// Begins with nothing seen.
    pub fn new(expected: Expected) -> Self {
        Self {
            expected,
            first: None,
            header: Vec::with_capacity(FIRST_PAGE_HEADER),
            taken: 0,
            timeline: 0,
            empty: false,
        }
    }

    /// Takes the next bytes.
    pub fn take(&mut self, mut bytes: &[u8]) -> Result<(), BadSegment> {
        let size = self.expected.size.bytes();
        if size - self.taken < bytes.len() as u64 {
            return Err(BadSegment::Long { expected: size });
        }
        while !bytes.is_empty() {
            let taken = match self.missing_of_header() {
                0 => self.take_body(bytes)?,
                missing => self.take_header(bytes, missing)?,
            };
            self.taken += taken as u64;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// The verdict once all bytes have been taken.
    pub fn finish(self) -> Result<Sound, BadSegment> {
        let size = self.expected.size.bytes();
        let Some(first) = self.first.filter(|_| self.taken == size) else {
            return Err(BadSegment::Short {
                found: self.taken,
                expected: size,
            });
        };
        let pages = size / first.page_bytes;
        let headers = FIRST_PAGE_HEADER as u64 + (pages - 1) * PAGE_HEADER as u64;
        let within = |remaining| u64::from(remaining) > size - headers;
        Ok(Sound {
            within_one_record: first.remaining.is_some_and(within),
        })
    }

    /// Where in the present page the next byte lies.
    fn in_page(&self) -> u64 {
        self.first
            .map_or(self.taken, |first| self.taken % first.page_bytes)
    }

    fn missing_of_header(&self) -> usize {
        let length = match self.first {
            None => FIRST_PAGE_HEADER,
            Some(first) if self.taken < first.page_bytes => 0,
            Some(_) if self.in_page() < PAGE_HEADER as u64 => PAGE_HEADER,
            Some(_) => 0,
        };
        length.saturating_sub(self.header.len())
    }

    fn take_header(&mut self, bytes: &[u8], missing: usize) -> Result<usize, BadSegment> {
        let taken = missing.min(bytes.len());
        self.header
            .extend_from_slice(bytes.get(..taken).unwrap_or_default());
        if taken == missing {
            match self.first {
                None => self.first = Some(self.judge_first()?),
                Some(first) => self.judge_page(first)?,
            }
            self.header.clear();
        }
        Ok(taken)
    }

    /// Takes what belongs to the present page behind its header.
    fn take_body(&self, bytes: &[u8]) -> Result<usize, BadSegment> {
        let page = self.first.map_or(1, |first| first.page_bytes);
        let left = usize::try_from(page - self.in_page()).unwrap_or(usize::MAX);
        let body = bytes.get(..left).unwrap_or(bytes);
        if self.empty && body.iter().any(|byte| *byte != 0) {
            return Err(self.bad_page("it has no header, yet it is not empty"));
        }
        Ok(body.len())
    }

    fn judge_first(&mut self) -> Result<First, BadSegment> {
        let page = FirstPage::parse(&self.header).ok_or(BadSegment::NoHeader)?;
        let Expected {
            segment,
            system_identifier,
            size,
            pg_major,
        } = self.expected;
        if page.system_identifier != system_identifier {
            return Err(BadSegment::OtherCluster {
                found: page.system_identifier,
                expected: system_identifier,
            });
        }
        if page.segment_size != size {
            return Err(BadSegment::OtherSegmentSize {
                found: page.segment_size.bytes(),
                expected: size.bytes(),
            });
        }
        if let Some(found) = page.pg_major.filter(|found| *found != pg_major) {
            let expected = pg_major;
            return Err(BadSegment::OtherMajor { found, expected });
        }
        // The first segment of a timeline begins with a copy of what the one before it held.
        let found = page.segment;
        if segment.start(size) != Some(page.start) || found.timeline > segment.timeline {
            return Err(BadSegment::OtherSegment { found });
        }
        self.timeline = found.timeline;
        let flags = self.u16_at(2);
        let page_bytes = u64::from(self.u32_at(36)).max(1);
        Ok(First {
            page_bytes,
            magic: self.u16_at(0),
            remaining: (flags & CONTINUES != 0).then(|| self.u32_at(16)),
        })
    }

    fn judge_page(&mut self, first: First) -> Result<(), BadSegment> {
        if self.header.iter().all(|byte| *byte == 0) {
            self.empty = true;
            return Ok(());
        }
        if self.empty {
            return Err(self.bad_page("it comes after an empty one"));
        }
        if self.u16_at(0) != first.magic {
            return Err(self.bad_page("its magic number is not that of the first page"));
        }
        let flags = self.u16_at(2);
        if flags & (LONG_HEADER | !KNOWN_FLAGS) != 0 {
            return Err(self.bad_page("its flags make no sense"));
        }
        if self.expected_address() != Some(Lsn(self.u64_at(8))) {
            return Err(self.bad_page("it belongs elsewhere in the log"));
        }
        let timeline = self.u32_at(4);
        if !(self.timeline..=self.expected.segment.timeline).contains(&timeline) {
            return Err(self.bad_page("it is of another timeline"));
        }
        self.timeline = timeline;
        Ok(())
    }

    fn page_start(&self) -> u64 {
        let page = self.first.map_or(1, |first| first.page_bytes);
        self.taken - self.taken % page
    }

    fn expected_address(&self) -> Option<Lsn> {
        let start = self.expected.segment.start(self.expected.size)?;
        start.0.checked_add(self.page_start()).map(Lsn)
    }

    fn bad_page(&self, what: &'static str) -> BadSegment {
        let offset = self.page_start();
        BadSegment::Page { offset, what }
    }

    fn u16_at(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.field(at))
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.field(at))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.field(at))
    }

    /// A field of the collected header; zeros beyond its end, where no caller asks.
    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        let field = self.header.get(at..at + N);
        field
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or([0; N])
    }
}

#[cfg(test)]
mod tests;
