//! Decoding a whole backup that is no dump of PostgreSQL, to see that it decodes.

use std::io::{self, BufReader, Read};

use super::inflate::{MAX_WINDOW_LOG, Packing};

/// What a backup decoded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Zstandard, to the end of its last frame.
    Zstd,
    /// Gzip, to the end of its last member.
    Gzip,
    /// A tar archive, entry by entry.
    Tar,
    /// Nothing that Databasus writes.
    Unknown,
}

/// Reads `backup` to its end through the decoder that its first bytes ask for. An error is the
/// decoder's, or the reader's own.
pub fn decode_all(mut backup: impl Read) -> io::Result<Decoded> {
    let mut beginning = Vec::with_capacity(TAR_BLOCK);
    let block = TAR_BLOCK as u64;
    backup.by_ref().take(block).read_to_end(&mut beginning)?;
    let packing = Packing::of(&beginning);
    let is_tar = beginning.get(257..262) == Some(b"ustar");
    let mut whole = BufReader::new(io::Cursor::new(beginning).chain(backup));
    let decoded = match packing {
        Packing::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(&mut whole)?;
            decoder.window_log_max(MAX_WINDOW_LOG)?;
            drain(&mut decoder).map(|()| Decoded::Zstd)
        }
        Packing::Gzip => {
            drain(&mut flate2::bufread::MultiGzDecoder::new(&mut whole)).map(|()| Decoded::Gzip)
        }
        Packing::None if is_tar => entries(&mut whole).map(|()| Decoded::Tar),
        Packing::None => Ok(Decoded::Unknown),
    }?;
    // What follows must be read too: the reader says only at its end whether all is well.
    drain(&mut whole)?;
    Ok(decoded)
}

/// Length of a block of tar, in bytes.
const TAR_BLOCK: usize = 512;

fn drain(reader: &mut impl Read) -> io::Result<()> {
    io::copy(reader, &mut io::sink()).map(drop)
}

fn entries(tar: &mut impl Read) -> io::Result<()> {
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let size = entry.size();
        if io::copy(&mut entry, &mut io::sink())? != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use proptest::prelude::*;

    fn examples() -> [(Vec<u8>, Decoded); 3] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&[7; 5000]).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(3000);
        tar.append_data(&mut header, "a", &[7; 3000][..]).unwrap();
        [
            (zstd::encode_all(&[7; 5000][..], 3).unwrap(), Decoded::Zstd),
            (gzip.finish().unwrap(), Decoded::Gzip),
            (tar.into_inner().unwrap(), Decoded::Tar),
        ]
    }

    #[test]
    fn what_databasus_writes_decodes() {
        for (bytes, expected) in examples() {
            assert_eq!(decode_all(bytes.as_slice()).unwrap(), expected);
        }
        assert_eq!(decode_all(&b"else"[..]).unwrap(), Decoded::Unknown);
        assert_eq!(decode_all(&b""[..]).unwrap(), Decoded::Unknown);
    }

    #[test]
    fn what_is_cut_does_not() {
        for (bytes, expected) in examples() {
            let cut = bytes.len() * 2 / 3;
            assert!(decode_all(&bytes[..cut]).is_err(), "{expected:?}");
        }
    }

    #[test]
    fn an_error_at_the_very_end_is_seen() {
        struct Fails;
        impl Read for Fails {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("cut"))
            }
        }
        for (bytes, expected) in examples() {
            assert!(
                decode_all(io::Cursor::new(bytes).chain(Fails)).is_err(),
                "{expected:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(which in 0..3_usize, at in 0..600_usize, byte: u8) {
            let (mut bytes, _) = examples()[which].clone();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = decode_all(bytes.as_slice());
        }
    }
}
