//! The key of one backup, and what it does to one chunk.

use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce, Tag};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{BackupFileError, Header, Place, TAG_BYTES};
use crate::databasus::secret_key::SecretKey;

/// Iterations of PBKDF2-HMAC-SHA256: some 30 ms, so a key is derived once per backup.
const ITERATIONS: u32 = 100_000;

/// Length of the AES key, in bytes.
const KEY_BYTES: usize = 32;

/// How much of the header's nonce goes into a chunk's.
const NONCE_PREFIX_BYTES: usize = 4;

/// The key of one backup. It wipes itself.
#[derive(Clone)]
pub struct BackupKey {
    cipher: Aes256Gcm,
    nonce_prefix: [u8; NONCE_PREFIX_BYTES],
}

impl BackupKey {
    /// Derives it from the exact bytes of `secret.key`, the id that Databasus used (DATABASUS.md
    /// §2.2: the row's, which is not always in the object's name) and the file's header.
    pub fn derive(key: &SecretKey, id: Uuid, header: &Header) -> Self {
        Self::of(&derive_bytes(key, id, header), header)
    }

    pub(super) fn of(bytes: &[u8; KEY_BYTES], header: &Header) -> Self {
        let [a, b, c, d, ..] = header.nonce;
        Self {
            cipher: Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(bytes)),
            nonce_prefix: [a, b, c, d],
        }
    }

    /// Decrypts a chunk in its place and cuts off its tag. What does not authenticate is wiped,
    /// so that no such byte can be used by mistake.
    pub(super) fn open(&self, index: u64, sealed: &mut Vec<u8>) -> Result<(), BackupFileError> {
        let length = sealed.len().saturating_sub(TAG_BYTES);
        let (body, tag) = sealed.split_at_mut(length);
        let nonce = self.nonce(index);
        let opened = tag.len() == TAG_BYTES
            && self
                .cipher
                .decrypt_in_place_detached(&nonce, b"", body, Tag::from_slice(tag))
                .is_ok();
        if !opened {
            sealed.clear();
            return Err(match index {
                0 => BackupFileError::DoesNotOpen,
                _ => BackupFileError::Damaged(Place::Chunk(index)),
            });
        }
        sealed.truncate(length);
        Ok(())
    }

    /// Encrypts a chunk in its place and appends its tag.
    pub(super) fn seal(&self, index: u64, plain: &mut Vec<u8>) -> Result<(), aes_gcm::Error> {
        let nonce = self.nonce(index);
        let tag = self.cipher.encrypt_in_place_detached(&nonce, b"", plain)?;
        plain.extend_from_slice(&tag);
        Ok(())
    }

    fn nonce(&self, index: u64) -> Nonce<aes_gcm::aead::consts::U12> {
        let mut nonce = Nonce::default();
        let (prefix, counter) = nonce.split_at_mut(NONCE_PREFIX_BYTES);
        prefix.copy_from_slice(&self.nonce_prefix);
        counter.copy_from_slice(&index.to_be_bytes());
        nonce
    }
}

pub(super) fn derive_bytes(
    key: &SecretKey,
    id: Uuid,
    header: &Header,
) -> Zeroizing<[u8; KEY_BYTES]> {
    let id = id.hyphenated().to_string();
    // In one piece, so that no vector grows and leaves a copy of the key behind.
    let password = Zeroizing::new([key.expose(), id.as_bytes()].concat());
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    pbkdf2::pbkdf2_hmac::<Sha256>(&password, &header.salt, ITERATIONS, bytes.as_mut_slice());
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ID, KEY, header, key};
    use super::*;

    /// DATABASUS.md §2.1, made by Databasus' own code.
    #[test]
    fn keys_known_answers() {
        let derived = |text: &str| hex::encode(*derive_bytes(&key(text), ID, &header()));
        assert_eq!(
            derived(KEY),
            "3981676ef092a473ead6ddcb9465a950c9cd12a5d8b77dca4190e6dd60696362"
        );
        assert_eq!(
            derived(&format!("{KEY}\n")),
            "5c274a350a5cb66756a2794f0f22efd71417fb2339e339e320b957c636f74480"
        );
    }

    #[test]
    fn what_does_not_authenticate_is_wiped() {
        let key = BackupKey::derive(&key(KEY), ID, &header());
        let mut chunk = b"plain".to_vec();
        key.seal(1, &mut chunk).unwrap();
        let refused = key.open(2, &mut chunk);
        assert_eq!(refused, Err(BackupFileError::Damaged(Place::Chunk(2))));
        assert_eq!(chunk, b"");
    }

    #[test]
    fn a_chunk_shorter_than_its_tag_does_not_open() {
        let key = BackupKey::derive(&key(KEY), ID, &header());
        for length in 0..=TAG_BYTES {
            let refused = key.open(0, &mut vec![0; length]);
            assert_eq!(refused, Err(BackupFileError::DoesNotOpen), "{length}");
        }
    }
}
