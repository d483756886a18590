//! The tar of a base backup out of what Databasus has around it.

use std::io::{self, BufRead, Read};

use super::inflate::{MAX_WINDOW_LOG, Packing};
use super::sidecar::Compression;

/// How many first bytes tell how something is compressed.
const MAGIC: usize = 4;

/// The content is not compressed as its sidecar says.
#[derive(Debug, thiserror::Error)]
#[error("it should be {}, and is {}", words(self.told), words(self.found))]
pub struct OtherCompression {
    told: Compression,
    found: Compression,
}

fn words(compression: Compression) -> &'static str {
    match compression {
        Compression::Zstd => "compressed with zstd",
        Compression::Gzip => "compressed with gzip",
        Compression::None => "not compressed",
    }
}

/// What `source` is the packed form of. Its first bytes must agree with `told`.
///
/// Reading it to its end reads `source` to its end. What is cut, damaged or followed by anything
/// else is an error, save what is stored as it is: there a tar's own end tells. No frame may want
/// more than 32 MiB for its window.
pub fn unpack<'a>(
    mut source: impl BufRead + Send + 'a,
    told: Compression,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut beginning = Vec::with_capacity(MAGIC);
    source
        .by_ref()
        .take(MAGIC as u64)
        .read_to_end(&mut beginning)?;
    let found = match Packing::of(&beginning) {
        Packing::Zstd => Compression::Zstd,
        Packing::Gzip => Compression::Gzip,
        Packing::None => Compression::None,
    };
    if found != told {
        let differs = OtherCompression { told, found };
        return Err(io::Error::new(io::ErrorKind::InvalidData, differs));
    }
    let whole = io::Cursor::new(beginning).chain(source);
    Ok(match found {
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(whole)?;
            decoder.window_log_max(MAX_WINDOW_LOG)?;
            Box::new(decoder)
        }
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
        Compression::None => Box::new(whole),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    const ALL: [Compression; 3] = [Compression::Zstd, Compression::Gzip, Compression::None];

    fn packed(bytes: &[u8], compression: Compression) -> Vec<u8> {
        match compression {
            Compression::Zstd => zstd::encode_all(bytes, 3).unwrap(),
            Compression::Gzip => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Compression::None => bytes.to_vec(),
        }
    }

    fn read(bytes: &[u8], told: Compression) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        unpack(bytes, told)?.read_to_end(&mut all)?;
        Ok(all)
    }

    fn text() -> Vec<u8> {
        (0..50_000u32)
            .flat_map(|n| n.to_string().into_bytes())
            .collect()
    }

    #[test]
    fn what_is_packed_otherwise_than_told_is_refused() {
        for is in ALL {
            for told in ALL {
                let found = read(&packed(b"tar", is), told);
                assert_eq!(found.is_ok(), is == told, "{is:?} told as {told:?}");
            }
        }
        let message = read(b"tar", Compression::Zstd).unwrap_err().to_string();
        assert_eq!(
            message,
            "it should be compressed with zstd, and is not compressed"
        );
    }

    #[test]
    fn what_is_cut_or_goes_on_is_an_error() {
        for kind in [Compression::Zstd, Compression::Gzip] {
            let whole = packed(&text(), kind);
            for length in [whole.len() / 3, whole.len() - 1] {
                assert!(read(&whole[..length], kind).is_err(), "{kind:?} {length}");
            }
            assert!(read(&[whole.as_slice(), b"garbage"].concat(), kind).is_err());
        }
    }

    #[test]
    fn several_frames_are_one_stream() {
        for kind in [Compression::Zstd, Compression::Gzip] {
            let both = [packed(b"one", kind), packed(b" two", kind)].concat();
            assert_eq!(read(&both, kind).unwrap(), b"one two");
        }
    }

    #[test]
    fn a_window_larger_than_allowed_is_not_opened() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&[7; 100]).unwrap();
        assert!(read(&encoder.finish().unwrap(), Compression::Zstd).is_err());
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out(bytes: Vec<u8>, kind in 0..3usize) {
            let kind = ALL[kind];
            prop_assume!(kind != Compression::None || Packing::of(&bytes) == Packing::None);
            prop_assert_eq!(read(&packed(&bytes, kind), kind).unwrap(), bytes);
        }

        #[test]
        fn no_bytes_make_it_panic(kind in 0..3usize, bytes: Vec<u8>) {
            let kind = ALL[kind];
            let beginning = packed(b"", kind);
            let magic = &beginning[..beginning.len().min(4)];
            let _ = read(&[magic, &bytes].concat(), kind);
        }
    }
}
