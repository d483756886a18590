//! Checksums of files in the forms that a backup manifest knows (`pg_checksum_type` in
//! PostgreSQL's `src/include/common/checksum_helper.h`).

use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};

use crate::base::digest::Digest;

/// How a file's checksum is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    /// Not at all.
    None,
    /// CRC-32C, what PostgreSQL takes unless it is told otherwise.
    Crc32c,
    /// SHA-224.
    Sha224,
    /// SHA-256, what Databasus asks for.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// A file's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// There is none: nothing is known of the content but its length.
    None,
    /// CRC-32C. PostgreSQL prints it as it lies in the memory of a little-endian machine.
    Crc32c(u32),
    /// SHA-224.
    Sha224([u8; 28]),
    /// SHA-256.
    Sha256(Digest),
    /// SHA-384.
    Sha384([u8; 48]),
    /// SHA-512.
    Sha512([u8; 64]),
}

impl ChecksumAlgorithm {
    /// Reads the name that a manifest gives it.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "NONE" => Self::None,
            "CRC32C" => Self::Crc32c,
            "SHA224" => Self::Sha224,
            "SHA256" => Self::Sha256,
            "SHA384" => Self::Sha384,
            "SHA512" => Self::Sha512,
            _ => return None,
        })
    }

    /// The checksum that `digits` write: lower-case hexadecimal, two for each byte.
    pub(super) fn read(self, digits: &str) -> Option<Checksum> {
        if digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        Some(match self {
            Self::None => return None,
            Self::Crc32c => Checksum::Crc32c(u32::from_le_bytes(bytes(digits)?)),
            Self::Sha224 => Checksum::Sha224(bytes(digits)?),
            Self::Sha256 => Checksum::Sha256(Digest::from_bytes(bytes(digits)?)),
            Self::Sha384 => Checksum::Sha384(bytes(digits)?),
            Self::Sha512 => Checksum::Sha512(bytes(digits)?),
        })
    }
}

fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

impl Checksum {
    /// How it was computed.
    pub fn algorithm(&self) -> ChecksumAlgorithm {
        match self {
            Self::None => ChecksumAlgorithm::None,
            Self::Crc32c(_) => ChecksumAlgorithm::Crc32c,
            Self::Sha224(_) => ChecksumAlgorithm::Sha224,
            Self::Sha256(_) => ChecksumAlgorithm::Sha256,
            Self::Sha384(_) => ChecksumAlgorithm::Sha384,
            Self::Sha512(_) => ChecksumAlgorithm::Sha512,
        }
    }
}

/// Computes a checksum piece by piece.
pub struct Checksummer(State);

enum State {
    None,
    Crc32c(u32),
    Sha224(Sha224),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Checksummer {
    /// One that has seen nothing.
    pub fn new(algorithm: ChecksumAlgorithm) -> Self {
        Self(match algorithm {
            ChecksumAlgorithm::None => State::None,
            ChecksumAlgorithm::Crc32c => State::Crc32c(0),
            ChecksumAlgorithm::Sha224 => State::Sha224(Sha224::new()),
            ChecksumAlgorithm::Sha256 => State::Sha256(Sha256::new()),
            ChecksumAlgorithm::Sha384 => State::Sha384(Sha384::new()),
            ChecksumAlgorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::None => {}
            State::Crc32c(crc) => *crc = crc32c::crc32c_append(*crc, bytes),
            State::Sha224(sha) => sha.update(bytes),
            State::Sha256(sha) => sha.update(bytes),
            State::Sha384(sha) => sha.update(bytes),
            State::Sha512(sha) => sha.update(bytes),
        }
    }

    /// The checksum of everything taken.
    pub fn finish(self) -> Checksum {
        match self.0 {
            State::None => Checksum::None,
            State::Crc32c(crc) => Checksum::Crc32c(crc),
            State::Sha224(sha) => Checksum::Sha224(sha.finalize().into()),
            State::Sha256(sha) => Checksum::Sha256(Digest::from_bytes(sha.finalize().into())),
            State::Sha384(sha) => Checksum::Sha384(sha.finalize().into()),
            State::Sha512(sha) => Checksum::Sha512(sha.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Checksum {
        let mut checksummer = Checksummer::new(algorithm);
        checksummer.update(bytes);
        checksummer.finish()
    }

    /// `PG_VERSION` of a PostgreSQL 17, "17\n", as `pg_basebackup` 17.10 lists it with each
    /// `--manifest-checksums`.
    const KNOWN: [(&str, &str); 5] = [
        ("CRC32C", "64440205"),
        (
            "SHA224",
            "0dbaf25220884d979d512ab3eb6de75b173b405ff093d545ca164c72",
        ),
        (
            "SHA256",
            "54183f4323f377b737433a1e98229ead0fdc686f93bab057ecb612daa94002b5",
        ),
        (
            "SHA384",
            "dd1445d38c921b110adb75cf7bdd54ada33e9f77e7953f50e8f0d867093987c0\
             e3965e82f872d71cef1f92500000e22f",
        ),
        (
            "SHA512",
            "bab6e28496f30dee8cd801d436d896ac936b3019e2384f5b83eaf159f280cd76\
             bfadaf7e29b7d007610412cbe34e50abce2744c720c13e25480eb2dce1d8e64a",
        ),
    ];

    #[test]
    fn known_answers() {
        for (name, digits) in KNOWN {
            let algorithm = ChecksumAlgorithm::named(name).unwrap();
            assert_eq!(
                algorithm.read(digits),
                Some(of(algorithm, b"17\n")),
                "{name}"
            );
        }
    }

    #[test]
    fn nothing_is_computed_where_none_is_asked_for() {
        assert_eq!(of(ChecksumAlgorithm::None, b"17\n"), Checksum::None);
        assert_eq!(ChecksumAlgorithm::named("MD5"), None);
    }

    #[test]
    fn digits_have_one_form() {
        let crc = ChecksumAlgorithm::Crc32c;
        assert_eq!(crc.read("1e96b500"), Some(Checksum::Crc32c(0x00B5_961E)));
        for bad in ["1E96B500", "1e96b5", "1e96b50000", "1e96b5zz", ""] {
            assert_eq!(crc.read(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bytes: Vec<u8>, at: prop::sample::Index) {
            use ChecksumAlgorithm::{Crc32c, None, Sha224, Sha256, Sha384, Sha512};
            let (first, second) = bytes.split_at(at.index(bytes.len() + 1));
            for algorithm in [None, Crc32c, Sha224, Sha256, Sha384, Sha512] {
                let mut pieces = Checksummer::new(algorithm);
                pieces.update(first);
                pieces.update(second);
                prop_assert_eq!(pieces.finish(), of(algorithm, &bytes));
                prop_assert_eq!(of(algorithm, b"").algorithm(), algorithm);
            }
        }
    }
}
