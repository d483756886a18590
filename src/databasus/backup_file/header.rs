//! The first 64 bytes of a backup file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{BackupFileError, Place};

const MAGIC: &[u8; 8] = b"PGRSUS01";
const SALT_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// Length of a header, in bytes.
pub const HEADER_BYTES: usize = 64;

/// What a header says: with `secret.key` and the backup's id, all that decrypting needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Goes into the key, so that no two backups have the same.
    pub salt: [u8; SALT_BYTES],
    /// Its first four bytes begin the nonce of every chunk; Databasus uses the others for nothing.
    pub nonce: [u8; NONCE_BYTES],
}

impl Header {
    /// Reads it from the beginning of a file; what follows the 64 bytes is not looked at.
    pub fn parse(beginning: &[u8]) -> Result<Self, BackupFileError> {
        let magic = beginning.get(..MAGIC.len().min(beginning.len()));
        if magic != MAGIC.get(..MAGIC.len().min(beginning.len())) || beginning.is_empty() {
            return Err(BackupFileError::NotEncrypted);
        }
        let fields = beginning.get(MAGIC.len()..HEADER_BYTES);
        let fields = fields.ok_or(BackupFileError::Cut {
            place: Place::Header,
            stored: HEADER_BYTES as u64,
        })?;
        let (salt, rest) = fields.split_at(SALT_BYTES);
        let (nonce, reserved) = rest.split_at(NONCE_BYTES);
        if reserved.iter().any(|byte| *byte != 0) {
            return Err(BackupFileError::Reserved);
        }
        let mut header = Self {
            salt: [0; SALT_BYTES],
            nonce: [0; NONCE_BYTES],
        };
        header.salt.copy_from_slice(salt);
        header.nonce.copy_from_slice(nonce);
        Ok(header)
    }

    /// The header as it stands in a file.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let fields = MAGIC.iter().chain(&self.salt).chain(&self.nonce);
        for (byte, field) in bytes.iter_mut().zip(fields) {
            *byte = *field;
        }
        bytes
    }

    /// What the catalogue and sidecars hold of it, both in standard base64; none where either
    /// is not of its length.
    pub fn from_base64(salt: &str, nonce: &str) -> Option<Self> {
        let salt = STANDARD.decode(salt).ok()?.try_into().ok()?;
        let nonce = STANDARD.decode(nonce).ok()?.try_into().ok()?;
        Some(Self { salt, nonce })
    }

    /// One that nobody else has.
    pub fn random() -> Self {
        Self {
            salt: rand::random(),
            nonce: rand::random(),
        }
    }

    /// Compares it with the one in a catalogue row or sidecar, as Databasus does before it
    /// decrypts. It is all that notices a change in the unused bytes of the nonce.
    pub fn check(&self, expected: &Self) -> Result<(), BackupFileError> {
        if self.salt != expected.salt {
            return Err(BackupFileError::SaltMismatch);
        }
        if self.nonce != expected.nonce {
            return Err(BackupFileError::NonceMismatch);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reserved_bytes_that_are_not_zero_are_refused() {
        let header = Header::random();
        for place in 52..HEADER_BYTES {
            let mut bytes = header.to_bytes();
            bytes[place] = 1;
            assert_eq!(Header::parse(&bytes), Err(BackupFileError::Reserved));
        }
    }

    #[test]
    fn other_files_are_told_from_cut_headers() {
        let bytes = Header::random().to_bytes();
        for other in [&b""[..], b"PGDMP", b"pgrsus01", &[0; 64]] {
            assert_eq!(Header::parse(other), Err(BackupFileError::NotEncrypted));
        }
        for length in 1..HEADER_BYTES {
            let cut = Header::parse(&bytes[..length]);
            assert!(matches!(cut, Err(BackupFileError::Cut { .. })), "{length}");
        }
    }

    #[test]
    fn another_salt_or_nonce_is_named() {
        let header = Header::random();
        assert_eq!(header.check(&header), Ok(()));
        let mut salted = header;
        salted.salt[31] ^= 1;
        assert_eq!(header.check(&salted), Err(BackupFileError::SaltMismatch));
        let mut other = header;
        other.nonce[11] ^= 1;
        assert_eq!(header.check(&other), Err(BackupFileError::NonceMismatch));
    }

    #[test]
    fn base64_of_another_length_is_no_header() {
        let (salt, nonce) = (STANDARD.encode([1; 32]), STANDARD.encode([2; 12]));
        let header = Header::from_base64(&salt, &nonce).unwrap();
        assert_eq!((header.salt, header.nonce), ([1; 32], [2; 12]));
        assert_eq!(Header::from_base64(&nonce, &salt), None);
        assert_eq!(
            Header::from_base64(salt.trim_end_matches('='), &nonce),
            None
        );
        assert_eq!(Header::from_base64("", ""), None);
    }

    proptest! {
        #[test]
        fn headers_round_trip(salt: [u8; 32], nonce: [u8; 12]) {
            let header = Header { salt, nonce };
            prop_assert_eq!(Header::parse(&header.to_bytes()), Ok(header));
        }

        #[test]
        fn no_bytes_make_parsing_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Header::parse(&bytes);
        }
    }
}
