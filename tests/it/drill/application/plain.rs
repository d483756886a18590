//! Databasus' file format once more, so that what the stand-in serves was not made by what is
//! tested: PGRSUS01 as DATABASUS.md §2.1 describes it.

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};

const HEADER: usize = 64;

/// The plaintext of a whole encrypted file.
pub fn decrypt(file: &[u8], secret_key: &[u8], id: &str) -> Vec<u8> {
    let (header, mut rest) = file.split_at(HEADER);
    assert_eq!(&header[..8], b"PGRSUS01");
    let (salt, nonce) = (&header[8..40], &header[40..52]);
    let password = [secret_key, id.as_bytes()].concat();
    let key = pbkdf2::pbkdf2_hmac_array::<sha2::Sha256, 32>(&password, salt, 100_000);
    let cipher = Aes256Gcm::new(&key.into());
    let mut plain = Vec::new();
    let mut index = 0_u64;
    while !rest.is_empty() {
        let (length, more) = rest.split_at(4);
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let (sealed, more) = more.split_at(length);
        let mut chunk_nonce = [0; 12];
        chunk_nonce[..4].copy_from_slice(&nonce[..4]);
        chunk_nonce[4..].copy_from_slice(&index.to_be_bytes());
        let opened = cipher.decrypt(Nonce::from_slice(&chunk_nonce), sealed);
        plain.extend(opened.unwrap());
        index += 1;
        rest = more;
    }
    plain
}
