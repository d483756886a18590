//! Writing a backup file.

use std::io::{self, Write};

use uuid::Uuid;

use super::{BackupKey, CHUNK_BYTES, Header, TAG_BYTES};
use crate::databasus::secret_key::SecretKey;

/// Encrypts what is written to it as Databasus does, one chunk in memory at a time.
///
/// Without [`BackupWriter::finish`] the last chunk is missing, and the file is cut.
pub struct BackupWriter<W> {
    sink: W,
    key: BackupKey,
    index: u64,
    chunk: Vec<u8>,
}

impl<W: Write> BackupWriter<W> {
    /// Begins a file. No two files of one key and id may have the same header.
    pub fn new(mut sink: W, key: &SecretKey, id: Uuid, header: &Header) -> io::Result<Self> {
        sink.write_all(&header.to_bytes())?;
        Ok(Self {
            sink,
            key: BackupKey::derive(key, id, header),
            index: 0,
            chunk: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES),
        })
    }

    /// Writes the last chunk and gives the sink back. Nothing written makes a header alone.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.chunk.is_empty() {
            self.write_chunk()?;
        }
        self.sink.flush()?;
        Ok(self.sink)
    }

    fn write_chunk(&mut self) -> io::Result<()> {
        let sealed = self.key.seal(self.index, &mut self.chunk);
        sealed.map_err(|_| io::Error::other("a chunk cannot be encrypted"))?;
        let length = u32::try_from(self.chunk.len()).map_err(io::Error::other)?;
        self.sink.write_all(&length.to_be_bytes())?;
        self.sink.write_all(&self.chunk)?;
        self.chunk.clear();
        self.index += 1;
        Ok(())
    }
}

impl<W: Write> Write for BackupWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() == CHUNK_BYTES {
            self.write_chunk()?;
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Chunks have one length, so what does not fill one waits for [`BackupWriter::finish`].
    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
