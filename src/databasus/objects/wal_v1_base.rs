//! What a base backup of `WAL_V1` says of itself: all of it is in its content, for it has no
//! sidecar (DATABASUS.md §3.6).
//!
//! Where its replay begins stands at the tar's beginning, what it must reach at the very end: the
//! whole of it is read, once, and so a base that was cut is noticed.

use std::io::{self, Read};

use super::inflate::unpack_zstd;
use crate::postgres::backup_label::{BackupLabel, MAX_LABEL_BYTES};
use crate::postgres::backup_manifest::{BackupManifest, MAX_MANIFEST_BYTES, ManifestError};
use crate::postgres::lsn::Lsn;
use crate::postgres::wal_page::{FIRST_PAGE_HEADER, FirstPage};
use crate::postgres::wal_segment::{SegmentName, SegmentSize};

/// A base backup by the agent of 3.17 to 3.42.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalV1Base {
    /// The segment that its replay begins with.
    pub start: SegmentName,
    /// The segment that its replay must reach.
    pub stop: SegmentName,
    /// Of its cluster.
    pub system_identifier: u64,
    /// Of all segments of its cluster.
    pub segment_size: SegmentSize,
    /// The major release, where its WAL is of a known one.
    pub pg_major: Option<u32>,
}

/// A stream that is not a whole base backup.
#[derive(Debug, thiserror::Error)]
pub enum WalV1BaseError {
    /// It could not be read, decrypted or decompressed, or is no tar.
    #[error("the base backup cannot be read to its end")]
    Read(#[from] io::Error),
    /// Its manifest is damaged.
    #[error("the base backup's manifest is not sound")]
    Manifest(#[from] ManifestError),
    /// Something that every base has is not in it.
    #[error("the base backup has no {0}")]
    Missing(&'static str),
}

impl WalV1Base {
    /// Reads a base backup, the zstd of a tar, from its beginning to its end.
    pub fn read(source: impl Read) -> Result<Self, WalV1BaseError> {
        let mut decoder = unpack_zstd(source)?;
        let mut seen = Seen::default();
        let mut archive = tar::Archive::new(&mut decoder);
        // Raw: the names that matter are short, and long ones would be read into memory whole.
        for entry in archive.entries()?.raw(true) {
            seen.take(&mut entry?)?;
        }
        // Behind the tar's end comes padding, and the check that nothing was cut.
        io::copy(&mut decoder, &mut io::sink())?;
        seen.finish()
    }
}

#[derive(Default)]
struct Seen {
    label: Option<BackupLabel>,
    first_page: Option<FirstPage>,
    stop: Option<Lsn>,
}

impl Seen {
    fn take(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), WalV1BaseError> {
        let path = entry.path_bytes().into_owned();
        let path = path.strip_prefix(b"./").unwrap_or(&path);
        if path == b"backup_label" {
            let mut text = String::new();
            entry.take(MAX_LABEL_BYTES).read_to_string(&mut text)?;
            self.label = BackupLabel::parse(&text);
        } else if path == b"backup_manifest" {
            let mut bytes = Vec::new();
            entry.take(MAX_MANIFEST_BYTES).read_to_end(&mut bytes)?;
            let ranges = BackupManifest::wal_ranges_of(&bytes)?;
            self.stop = ranges.last().map(|range| range.end);
        } else if self.first_page.is_none() && path.starts_with(b"pg_wal/") {
            let mut page = Vec::new();
            entry
                .take(FIRST_PAGE_HEADER as u64)
                .read_to_end(&mut page)?;
            self.first_page = FirstPage::parse(&page);
        }
        Ok(())
    }

    fn finish(self) -> Result<WalV1Base, WalV1BaseError> {
        let missing = WalV1BaseError::Missing;
        let label = self.label.ok_or(missing("backup_label"))?;
        let page = self.first_page.ok_or(missing("WAL of its own"))?;
        let stop = self
            .stop
            .ok_or(missing("backup_manifest with WAL ranges"))?;
        // The range ends behind the last byte, which may be where the next segment begins.
        let last = Lsn(stop.0.saturating_sub(1));
        Ok(WalV1Base {
            start: label.start_segment,
            stop: SegmentName::at(label.timeline, last, page.segment_size),
            system_identifier: page.system_identifier,
            segment_size: page.segment_size,
            pg_major: page.pg_major,
        })
    }
}
