//! Reading a backup file.

use std::io::{self, BufRead, Read};

use uuid::Uuid;

use super::size::Layout;
use super::{BackupFileError, BackupKey, HEADER_BYTES, Header, LENGTH_BYTES, Place, check_length};
use crate::databasus::secret_key::SecretKey;

mod pipeline;

use pipeline::Pipeline;

/// The plaintext of a backup file.
///
/// Every byte that it returns was authenticated, and it ends without an error only after exactly
/// the stored size arrived: not one byte less or more. After an error it returns nothing but
/// errors. Its errors of kind [`io::ErrorKind::InvalidData`] carry a [`BackupFileError`].
///
/// Memory is constant: some three chunks of 1 MiB for each thread.
pub struct BackupReader {
    header: Header,
    plain_size: u64,
    chunks: Chunks,
    current: Vec<u8>,
    taken: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Failed,
}

/// Where opened chunks come from.
enum Chunks {
    Inline(Box<Sealed>, BackupKey),
    Pipeline(Pipeline),
}

impl BackupReader {
    /// Reads the header and derives the key. `stored` is the size of the whole file as the store
    /// or a `.parts` object says; `threads` decrypt beside the one that reads `source`, and with
    /// 1 all happens within `read`.
    ///
    /// The threads begin with the first read and end after a drop, once the read of `source`
    /// that they are in returns.
    pub fn open(
        mut source: impl Read + Send + 'static,
        stored: u64,
        key: &SecretKey,
        id: Uuid,
        threads: usize,
    ) -> io::Result<Self> {
        let layout = Layout::of(stored).map_err(invalid)?;
        let header = read_header(&mut source, stored)?;
        let key = BackupKey::derive(key, id, &header);
        let sealed = Sealed::new(Box::new(source), layout);
        Ok(Self::new(header, sealed, key, threads))
    }

    fn new(header: Header, sealed: Sealed, key: BackupKey, threads: usize) -> Self {
        let plain_size = sealed.layout.plain;
        let chunks = match threads {
            0 | 1 => Chunks::Inline(Box::new(sealed), key),
            _ => Chunks::Pipeline(Pipeline::new(sealed, key, threads)),
        };
        Self {
            header,
            plain_size,
            chunks,
            current: Vec::new(),
            taken: 0,
            state: State::Open,
        }
    }

    /// The file's header, to be compared with the catalogue's or the sidecar's.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many bytes it will return, if all is well.
    pub fn plain_size(&self) -> u64 {
        self.plain_size
    }

    /// Makes the next chunk the current one, or notes the end.
    fn advance(&mut self) -> io::Result<()> {
        let next = match &mut self.chunks {
            Chunks::Inline(sealed, key) => sealed.next().and_then(|chunk| open(key, chunk)),
            Chunks::Pipeline(pipeline) => pipeline.next(),
        };
        (self.current, self.taken) = (Vec::new(), 0);
        match next {
            Ok(Some(chunk)) => self.current = chunk,
            Ok(None) => self.state = State::Ended,
            Err(error) => {
                self.state = State::Failed;
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Read for BackupReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let left = self.fill_buf()?;
        let count = left.len().min(out.len());
        out[..count].copy_from_slice(&left[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// Whole chunks, without a copy.
impl BufRead for BackupReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.taken == self.current.len() {
            match self.state {
                State::Open => self.advance()?,
                State::Ended => break,
                State::Failed => return Err(io::Error::other("it failed before")),
            }
        }
        Ok(&self.current[self.taken..])
    }

    fn consume(&mut self, count: usize) {
        self.taken = self.current.len().min(self.taken.saturating_add(count));
    }
}

/// A chunk as it is stored, without its length.
struct SealedChunk {
    index: u64,
    bytes: Vec<u8>,
}

/// The chunks of a file in their order.
struct Sealed {
    source: Box<dyn Read + Send>,
    layout: Layout,
    index: u64,
}

impl Sealed {
    fn new(source: Box<dyn Read + Send>, layout: Layout) -> Self {
        Self {
            source,
            layout,
            index: 0,
        }
    }

    /// The next chunk; none after the last, if the source ends there too.
    fn next(&mut self) -> io::Result<Option<SealedChunk>> {
        let (index, stored) = (self.index, self.layout.stored);
        if index == self.layout.chunks {
            return match fill(&mut self.source, &mut [0])? {
                0 => Ok(None),
                _ => Err(invalid(BackupFileError::Longer(stored))),
            };
        }
        let place = Place::Chunk(index);
        let mut claimed = [0; LENGTH_BYTES];
        fill_all(&mut self.source, &mut claimed, place, stored)?;
        let length = self.layout.sealed_length(index);
        check_length(index, u32::from_be_bytes(claimed), length).map_err(invalid)?;
        let mut bytes = vec![0; length];
        fill_all(&mut self.source, &mut bytes, place, stored)?;
        self.index += 1;
        Ok(Some(SealedChunk { index, bytes }))
    }
}

fn open(key: &BackupKey, chunk: Option<SealedChunk>) -> io::Result<Option<Vec<u8>>> {
    let Some(mut chunk) = chunk else {
        return Ok(None);
    };
    key.open(chunk.index, &mut chunk.bytes).map_err(invalid)?;
    Ok(Some(chunk.bytes))
}

fn read_header(source: &mut impl Read, stored: u64) -> io::Result<Header> {
    let mut bytes = [0; HEADER_BYTES];
    let got = fill(source, &mut bytes)?;
    // Cut or not, what begins otherwise is first of all no backup file.
    let header = Header::parse(&bytes[..got]).map_err(|error| match error {
        BackupFileError::Cut { place, .. } => BackupFileError::Cut { place, stored },
        other => other,
    });
    header.map_err(invalid)
}

fn fill_all(source: &mut impl Read, bytes: &mut [u8], place: Place, stored: u64) -> io::Result<()> {
    if fill(source, bytes)? == bytes.len() {
        return Ok(());
    }
    Err(invalid(BackupFileError::Cut { place, stored }))
}

/// Reads until `bytes` are full or the source ends.
fn fill(source: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < bytes.len() {
        match source.read(&mut bytes[got..]) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

fn invalid(error: BackupFileError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
