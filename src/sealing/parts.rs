//! The payload cut into equal parts: hashed on the way out, verified on the way in.

use std::io::{self, Read, Write};

use bytes::{Bytes, BytesMut};
use md5::{Digest as _, Md5};

use crate::base::digest::{Digest, Hasher};
use crate::model::manifest::Payload;

/// A payload can have this many parts (S3's limit), each of at least [`SMALLEST_PART`].
const MAX_PARTS: u64 = 10_000;
const SMALLEST_PART: u64 = 8 << 20;

/// The smallest of 8, 16, 32 … MiB that fits so many bytes into 10,000 parts.
pub fn part_size(estimate: u64) -> u64 {
    let mut size = SMALLEST_PART;
    while size.saturating_mul(MAX_PARTS) < estimate {
        size *= 2;
    }
    size
}

/// A part of the sealed payload on its way to the stores.
#[derive(Clone, Debug)]
pub struct SealedPart {
    /// Counted from 1.
    pub number: u32,
    /// All parts but the last have the same length.
    pub bytes: Bytes,
    /// For Content-MD5, and for the ETag of the whole.
    pub md5: [u8; 16],
}

/// Takes parts in order.
pub trait PartSink {
    /// Takes the next part; an error stops the sealing.
    fn part(&mut self, part: SealedPart) -> io::Result<()>;
}

/// Cuts a stream into parts and computes every digest the manifest needs.
pub struct PartWriter<S> {
    sink: S,
    part_size: usize,
    buffer: BytesMut,
    whole: Hasher,
    size: u64,
    parts: Vec<Digest>,
    md5s: Md5,
    header: HeaderHash,
}

impl<S: PartSink> PartWriter<S> {
    /// Cuts into parts of `part_size` bytes.
    pub fn new(sink: S, part_size: usize) -> Self {
        Self {
            sink,
            part_size,
            buffer: BytesMut::with_capacity(part_size),
            whole: Hasher::new(),
            size: 0,
            parts: Vec::new(),
            md5s: Md5::new(),
            header: HeaderHash::default(),
        }
    }

    /// Hands over the last part; returns the sink and the `payload` field of the manifest.
    pub fn finish(mut self) -> io::Result<(S, Payload)> {
        if !self.buffer.is_empty() {
            self.cut()?;
        }
        let age_header_sha256 = self
            .header
            .digest
            .ok_or_else(|| io::Error::other("the sealed stream has no age header"))?;
        let payload = Payload {
            size: self.size,
            sha256: self.whole.finish(),
            part_size: self.part_size as u64,
            md5_etag: format!("{}-{}", hex::encode(self.md5s.finalize()), self.parts.len()),
            parts: self.parts,
            age_header_sha256,
        };
        Ok((self.sink, payload))
    }

    fn cut(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.buffer).freeze();
        let md5: [u8; 16] = Md5::digest(&bytes).into();
        self.md5s.update(md5);
        self.parts.push(Digest::of(&bytes));
        let number = u32::try_from(self.parts.len()).map_err(io::Error::other)?;
        self.sink.part(SealedPart { number, bytes, md5 })
    }
}

impl<S: PartSink> Write for PartWriter<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(self.part_size);
        }
        let taken = (self.part_size - self.buffer.len()).min(bytes.len());
        let bytes = &bytes[..taken];
        self.whole.update(bytes);
        self.size += taken as u64;
        self.header.take(bytes);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() == self.part_size {
            self.cut()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes an age header: everything up to and including the line of its MAC, which is the first
/// that begins with `---` (age.md, "Header").
#[derive(Default)]
struct HeaderHash {
    seen: Vec<u8>,
    digest: Option<Digest>,
}

impl HeaderHash {
    /// Longer headers than this do not exist: it would take thousands of recipients.
    const LIMIT: usize = 8 << 20;

    fn take(&mut self, bytes: &[u8]) {
        if self.digest.is_some() || self.seen.len() > Self::LIMIT {
            return;
        }
        self.seen.extend_from_slice(bytes);
        if let Some(length) = header_length(&self.seen) {
            self.digest = Some(Digest::of(&self.seen[..length]));
            self.seen = Vec::new();
        }
    }
}

/// Length in bytes of the age header at the beginning of `file`, if it is there in full.
pub fn header_length(file: &[u8]) -> Option<usize> {
    let mac = file.windows(4).position(|window| window == b"\n---")? + 1;
    let line = file[mac..].iter().position(|byte| *byte == b'\n')?;
    Some(mac + line + 1)
}

/// A part whose SHA-256 is the one that a signed manifest names. There is no other way to make
/// one, and nothing but these may be opened.
pub struct VerifiedPart(Bytes);

/// The bytes are not those that were signed for.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// No such part.
    #[error("the payload has no part {0}")]
    NoSuchPart(usize),
    /// Too short or too long.
    #[error("part {number} has {actual} bytes instead of {expected}")]
    Length {
        /// Counted from 1.
        number: usize,
        /// In bytes, by the manifest.
        expected: u64,
        /// In bytes, as read.
        actual: u64,
    },
    /// Changed.
    #[error("part {number} does not have the SHA-256 that the manifest names")]
    Hash {
        /// Counted from 1.
        number: usize,
    },
}

impl VerifiedPart {
    /// Accepts part `index` (from 0) of `payload` if it is what the manifest says.
    pub fn check(payload: &Payload, index: usize, bytes: Bytes) -> Result<Self, PartError> {
        let expected = payload
            .parts
            .get(index)
            .ok_or(PartError::NoSuchPart(index + 1))?;
        let range = payload.part_range(index);
        let length = range.end - range.start;
        let number = index + 1;
        if bytes.len() as u64 != length {
            return Err(PartError::Length {
                number,
                expected: length,
                actual: bytes.len() as u64,
            });
        }
        if Digest::of(&bytes) != *expected {
            return Err(PartError::Hash { number });
        }
        Ok(Self(bytes))
    }

    /// The same part on its way to another store.
    pub fn forward(self, number: u32) -> SealedPart {
        SealedPart {
            number,
            md5: Md5::digest(&self.0).into(),
            bytes: self.0,
        }
    }
}

/// Verified parts as one stream. It ends only after the last part: a missing one is an error
/// that the iterator must report.
pub struct VerifiedStream<I> {
    parts: I,
    current: Bytes,
    whole: Hasher,
    left: u64,
    expected: Digest,
    cleared: bool,
}

impl<I: Iterator<Item = io::Result<VerifiedPart>>> VerifiedStream<I> {
    /// The stream of all parts of `payload`, in order.
    pub fn new(payload: &Payload, parts: I) -> Self {
        Self {
            parts,
            current: Bytes::new(),
            whole: Hasher::new(),
            left: payload.size,
            expected: payload.sha256,
            cleared: false,
        }
    }

    fn end(&mut self) -> io::Result<usize> {
        if self.left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !self.cleared {
            self.cleared = true;
            if std::mem::take(&mut self.whole).finish() != self.expected {
                return Err(io::Error::other(
                    "the payload does not have the SHA-256 that the manifest names",
                ));
            }
        }
        Ok(0)
    }
}

impl<I: Iterator<Item = io::Result<VerifiedPart>>> Read for VerifiedStream<I> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if self.current.is_empty() {
            match self.parts.next() {
                None => return self.end(),
                Some(part) => self.current = part?.0,
            }
            self.whole.update(&self.current);
            self.left = self.left.saturating_sub(self.current.len() as u64);
        }
        let count = self.current.len().min(out.len());
        out[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Collected(Vec<SealedPart>);

    impl PartSink for Collected {
        fn part(&mut self, part: SealedPart) -> io::Result<()> {
            self.0.push(part);
            Ok(())
        }
    }

    const HEADER: &[u8] = b"age-encryption.org/v1\n-> X25519 x\ny\n--- mac\n";

    fn cut(body: &[u8], part_size: usize) -> (Vec<SealedPart>, Payload) {
        let mut writer = PartWriter::new(Collected::default(), part_size);
        writer.write_all(HEADER).unwrap();
        writer.write_all(body).unwrap();
        let (sink, payload) = writer.finish().unwrap();
        (sink.0, payload)
    }

    fn reread(payload: &Payload, parts: &[SealedPart]) -> io::Result<Vec<u8>> {
        let verified = parts.iter().enumerate().map(|(index, part)| {
            VerifiedPart::check(payload, index, part.bytes.clone()).map_err(io::Error::other)
        });
        let mut out = Vec::new();
        VerifiedStream::new(payload, verified).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn header_hash_covers_the_mac_line_and_nothing_after_it() {
        let (_, payload) = cut(b"\n---body", 16);
        assert_eq!(payload.age_header_sha256, Digest::of(HEADER));
    }

    /// The rule of S3's multipart ETag: MD5 over the parts' MD5s.
    #[test]
    fn etag_is_the_one_s3_computes() {
        let (_, payload) = cut(&[0; 20], HEADER.len() + 20);
        let inner = Md5::digest([HEADER, &[0; 20]].concat());
        let expected = format!("{}-1", hex::encode(Md5::digest(inner)));
        assert_eq!(payload.md5_etag, expected);
    }

    #[test]
    fn a_missing_last_part_is_an_error() {
        let (parts, payload) = cut(&[7; 100], 32);
        assert!(reread(&payload, &parts[..parts.len() - 1]).is_err());
    }

    #[test]
    fn swapped_parts_are_refused() {
        let (mut parts, payload) = cut(&(0..100).collect::<Vec<u8>>(), 32);
        parts.swap(1, 2);
        assert!(reread(&payload, &parts).is_err());
    }

    proptest! {
        #[test]
        fn parts_fit_the_limit_and_are_not_larger_than_needed(estimate in 0u64..(5 << 40)) {
            let size = part_size(estimate);
            prop_assert!(size * MAX_PARTS >= estimate);
            prop_assert!(size == SMALLEST_PART || (size / 2) * MAX_PARTS < estimate);
            prop_assert!((size / SMALLEST_PART).is_power_of_two());
        }

        #[test]
        fn parts_are_equal_and_reread_exactly(
            body in prop::collection::vec(any::<u8>(), 0..2000),
            part_size in 1usize..300,
        ) {
            let (parts, payload) = cut(&body, part_size);
            let whole = [HEADER, &body].concat();
            prop_assert!(parts[..parts.len() - 1].iter().all(|p| p.bytes.len() == part_size));
            prop_assert_eq!(payload.sha256, Digest::of(&whole));
            prop_assert_eq!(payload.size, whole.len() as u64);
            prop_assert_eq!(payload.parts.len() as u64, payload.size.div_ceil(payload.part_size));
            prop_assert_eq!(reread(&payload, &parts).unwrap(), whole);
        }

        #[test]
        fn any_flipped_bit_is_refused(
            body in prop::collection::vec(any::<u8>(), 1..500),
            at: prop::sample::Index,
            bit in 0u8..8,
        ) {
            let (mut parts, payload) = cut(&body, 64);
            let part = at.index(parts.len());
            let mut bytes = parts[part].bytes.to_vec();
            let byte = at.index(bytes.len());
            bytes[byte] ^= 1 << bit;
            parts[part].bytes = bytes.into();
            prop_assert!(reread(&payload, &parts).is_err());
        }
    }
}
