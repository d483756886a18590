//! Looking into the beginning of something compressed, without trusting what it says of its size.

use std::io::Read;

/// Frame magic of Zstandard (RFC 8878).
const ZSTD: &[u8] = &[0x28, 0xB5, 0x2F, 0xFD];

/// Magic of gzip (RFC 1952).
const GZIP: &[u8] = &[0x1F, 0x8B];

/// The largest window that is accepted, as a power of two: 32 MiB. A decoder may take that much
/// memory for a file of a few bytes; neither PostgreSQL nor Databasus' own writers use more.
pub(super) const MAX_WINDOW_LOG: u32 = 25;

/// How a file is compressed, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Zstd,
    Gzip,
    None,
}

impl Packing {
    pub(super) fn of(beginning: &[u8]) -> Self {
        match beginning {
            _ if beginning.starts_with(ZSTD) => Self::Zstd,
            _ if beginning.starts_with(GZIP) => Self::Gzip,
            _ => Self::None,
        }
    }
}

/// At most `limit` bytes of what `beginning` is the beginning of. Where the input ends in the
/// middle, or is damaged from some place on, that is what comes before.
pub(super) fn inflate(beginning: &[u8], limit: u64) -> Vec<u8> {
    match Packing::of(beginning) {
        Packing::Zstd => zstd_decoder(beginning).map_or_else(Vec::new, |found| up_to(found, limit)),
        Packing::Gzip => up_to(flate2::bufread::MultiGzDecoder::new(beginning), limit),
        Packing::None => up_to(beginning, limit),
    }
}

fn zstd_decoder(beginning: &[u8]) -> Option<impl Read> {
    let mut decoder = zstd::Decoder::with_buffer(beginning).ok()?;
    decoder.window_log_max(MAX_WINDOW_LOG).ok()?;
    Some(decoder)
}

/// All of something that zstd compressed: an error where it is cut or damaged.
pub(super) fn unpack_zstd(source: impl Read) -> std::io::Result<impl Read> {
    let mut decoder = zstd::Decoder::new(source)?;
    decoder.window_log_max(MAX_WINDOW_LOG)?;
    Ok(decoder)
}

fn up_to(reader: impl Read, limit: u64) -> Vec<u8> {
    let mut found = Vec::new();
    // An error is where the input ends: what came before it stays.
    let _ = reader.take(limit).read_to_end(&mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_cannot_grow() {
        let zeros = vec![0; 64 << 20];
        for bomb in [zstd::encode_all(zeros.as_slice(), 3).unwrap(), gzip(&zeros)] {
            assert_eq!(inflate(&bomb, 1 << 20).len(), 1 << 20);
        }
    }

    #[test]
    fn a_window_larger_than_allowed_is_not_opened() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&[7; 100]).unwrap();
        assert_eq!(inflate(&encoder.finish().unwrap(), 1 << 20), b"");
    }

    #[test]
    fn what_is_cut_gives_what_comes_before_the_cut() {
        let text: Vec<u8> = (0..500_000u32)
            .flat_map(|n| n.to_string().into_bytes())
            .collect();
        for packed in [zstd::encode_all(text.as_slice(), 3).unwrap(), gzip(&text)] {
            let found = inflate(&packed[..packed.len() / 2], 4 << 20);
            assert!(found.len() > 100_000 && text.starts_with(&found));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(kind in 0..3, bytes: Vec<u8>) {
            let magic = [ZSTD, GZIP, b""][usize::try_from(kind).unwrap()];
            let _ = inflate(&[magic, &bytes].concat(), 1000);
        }
    }
}
