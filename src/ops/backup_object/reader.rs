//! Reading a stored backup from its beginning to its end, ahead of whoever wants it.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::{Buf as _, Bytes};

use super::{BackupObject, BackupObjectError, Extent, PartDigests};
use crate::base::digest::Hasher;

/// How many bytes one request asks for.
const PIECE: u64 = 8 << 20;

/// Requests at once. Each holds one piece: with the one being read, 40 MiB.
const AHEAD: u64 = 4;

type Fetched = Result<Bytes, BackupObjectError>;

/// The bytes of a stored backup. Errors wrap a [`BackupObjectError`].
///
/// The end is reported only when the objects are still those that were seen at first, and every
/// part had its digest, where that is checked.
pub struct ObjectReader {
    object: BackupObject,
    lanes: Vec<Receiver<Fetched>>,
    current: Bytes,
    /// Pieces that were taken from the lanes.
    taken: u64,
    digests: Option<DigestCheck>,
    has_ended: bool,
}

impl ObjectReader {
    pub(super) fn new(object: BackupObject, digests: PartDigests) -> io::Result<Self> {
        let lanes = (0..AHEAD.min(pieces(&object)))
            .map(|lane| start_lane(object.clone(), lane))
            .collect::<io::Result<_>>()?;
        let digests = (digests == PartDigests::Check).then(DigestCheck::default);
        Ok(Self {
            object,
            lanes,
            current: Bytes::new(),
            taken: 0,
            digests,
            has_ended: false,
        })
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.current.is_empty() && !self.has_ended {
            if self.taken == pieces(&self.object) {
                self.object.check_unchanged().map_err(io::Error::other)?;
                self.has_ended = true;
            } else {
                self.current = self.next_piece()?;
            }
        }
        Ok(())
    }

    fn next_piece(&mut self) -> io::Result<Bytes> {
        let lane = usize::try_from(self.taken % AHEAD).unwrap_or(0);
        let lane = self.lanes.get(lane);
        let stopped = || io::Error::other("fetching stopped");
        let piece = lane.and_then(|lane| lane.recv().ok()).ok_or_else(stopped)?;
        let piece = piece.map_err(io::Error::other)?;
        self.taken += 1;
        if let Some(digests) = &mut self.digests {
            digests
                .update(&self.object.extents, &piece)
                .map_err(io::Error::other)?;
        }
        Ok(piece)
    }
}

impl Read for ObjectReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.fill_buf()?;
        let count = out.len().min(left.len());
        out[..count].copy_from_slice(&left[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// Whole pieces, without a copy.
impl BufRead for ObjectReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill()?;
        Ok(&self.current)
    }

    fn consume(&mut self, count: usize) {
        self.current.advance(count.min(self.current.len()));
    }
}

fn pieces(object: &BackupObject) -> u64 {
    object.size.div_ceil(PIECE)
}

/// A thread that fetches every `AHEAD`th piece and holds each until it is wanted. It ends with
/// the reader.
fn start_lane(object: BackupObject, lane: u64) -> io::Result<Receiver<Fetched>> {
    let (sender, receiver) = sync_channel(0);
    let fetch = move || {
        let mut at = lane * PIECE;
        while at < object.size {
            let piece = object.range(at..object.size.min(at + PIECE));
            let failed = piece.is_err();
            if sender.send(piece).is_err() || failed {
                return;
            }
            at += AHEAD * PIECE;
        }
    };
    let thread = std::thread::Builder::new().name(format!("fetch-{lane}"));
    thread.spawn(fetch)?;
    Ok(receiver)
}

/// Compares each part with its digest as the bytes go by.
#[derive(Default)]
struct DigestCheck {
    hasher: Hasher,
    extent: usize,
    /// Bytes of the extent that were seen.
    seen: u64,
}

impl DigestCheck {
    fn update(&mut self, extents: &[Extent], mut bytes: &[u8]) -> Result<(), BackupObjectError> {
        while let Some(extent) = extents.get(self.extent).filter(|_| !bytes.is_empty()) {
            let left = usize::try_from(extent.size - self.seen).unwrap_or(usize::MAX);
            let (own, rest) = bytes.split_at(left.min(bytes.len()));
            self.hasher.update(own);
            self.seen += own.len() as u64;
            if self.seen == extent.size {
                self.finish(extent)?;
            }
            bytes = rest;
        }
        Ok(())
    }

    fn finish(&mut self, extent: &Extent) -> Result<(), BackupObjectError> {
        let digest = std::mem::take(&mut self.hasher).finish();
        self.extent += 1;
        self.seen = 0;
        match extent.sha256 {
            Some(expected) if expected != digest => {
                Err(BackupObjectError::PartDigest(extent.key.clone()))
            }
            _ => Ok(()),
        }
    }
}
