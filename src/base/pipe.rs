//! A bounded in-memory pipe between two threads: backpressure, and errors that cross it.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The end that is written to. Dropping it without [`PipeWriter::finish`] is an error on the
/// reading side: a stream that stops is never taken for one that ended.
pub struct PipeWriter {
    chunks: SyncSender<io::Result<Vec<u8>>>,
    buffer: Vec<u8>,
    chunk_size: usize,
}

/// The end that is read from.
pub struct PipeReader {
    chunks: Receiver<io::Result<Vec<u8>>>,
    current: Vec<u8>,
    taken: usize,
    ended: bool,
}

/// Makes a pipe that holds at most `depth` chunks of `chunk_size` bytes.
pub fn pipe(chunk_size: usize, depth: usize) -> (PipeWriter, PipeReader) {
    let (sender, receiver) = sync_channel(depth);
    let writer = PipeWriter {
        chunks: sender,
        buffer: Vec::with_capacity(chunk_size),
        chunk_size,
    };
    let reader = PipeReader {
        chunks: receiver,
        current: Vec::new(),
        taken: 0,
        ended: false,
    };
    (writer, reader)
}

impl PipeWriter {
    /// Ends the stream: the reader sees its end after the last byte.
    pub fn finish(mut self) -> io::Result<()> {
        self.send_buffer()?;
        self.send(Ok(Vec::new()))
    }

    /// Ends the stream with an error, which the reader sees after the bytes before it.
    pub fn fail(self, error: io::Error) {
        let _ = self.chunks.send(Err(error));
    }

    fn send_buffer(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(self.chunk_size));
        self.send(Ok(full))
    }

    fn send(&self, chunk: io::Result<Vec<u8>>) -> io::Result<()> {
        self.chunks
            .send(chunk)
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.chunk_size - self.buffer.len();
        let taken = room.min(bytes.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == self.chunk_size {
            self.send_buffer()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send_buffer()
    }
}

impl Read for PipeReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.current.len() && !self.ended {
            let stopped = || io::Error::other("the stage before this one stopped");
            self.current = self.chunks.recv().map_err(|_| stopped())??;
            self.taken = 0;
            self.ended = self.current.is_empty();
        }
        let left = &self.current[self.taken..];
        let count = left.len().min(out.len());
        out[..count].copy_from_slice(&left[..count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_in_order_across_chunks() {
        let (mut writer, mut reader) = pipe(7, 2);
        let sent: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let expected = sent.clone();
        let producer = std::thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.finish().unwrap();
        });
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        producer.join().unwrap();
        assert_eq!(got, expected);
    }

    #[test]
    fn a_writer_that_vanishes_is_an_error_and_not_an_end() {
        let (mut writer, mut reader) = pipe(4, 4);
        writer.write_all(b"12345678").unwrap();
        drop(writer);
        let mut got = Vec::new();
        assert!(reader.read_to_end(&mut got).is_err());
        assert_eq!(got, b"12345678");
    }

    #[test]
    fn an_error_crosses_the_pipe() {
        let (writer, mut reader) = pipe(4, 4);
        writer.fail(io::Error::other("torn"));
        let error = reader.read(&mut [0; 4]).unwrap_err();
        assert_eq!(error.to_string(), "torn");
    }

    #[test]
    fn a_reader_that_vanishes_breaks_the_pipe() {
        let (mut writer, reader) = pipe(4, 1);
        drop(reader);
        assert_eq!(
            writer.write_all(b"12345").unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }
}
