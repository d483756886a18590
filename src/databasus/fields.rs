//! Databasus' encrypted columns: `enc:<nonce>:<ciphertext and tag>`, both in base64
//! (DATABASUS.md §2.3; `secret_key_field_encryptor.go`).
//!
//! AES-256-GCM under the first 32 bytes of `secret.key`: a field that opens proves those 32
//! bytes, and says nothing of the 40 after them. Releases before 3.38 derive the nonce from the
//! id of the row, later ones draw it; it stands in the field, so reading is the same.

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::secret_key::SecretKey;

const PREFIX: &str = "enc:";

/// Length of the AES key, in bytes.
const KEY_BYTES: usize = 32;

/// Length of the nonce, in bytes.
pub const NONCE_BYTES: usize = 12;

/// A column cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// It begins with `enc:` and goes on otherwise.
    #[error("not of the form enc:<nonce>:<ciphertext>")]
    Malformed,
    /// It does not authenticate under this key.
    #[error("does not open with this secret.key")]
    WrongKey,
    /// It opens to something that is not text.
    #[error("holds something that is not UTF-8")]
    NotText,
}

/// Whether Databasus wrote this value encrypted; others it takes as they are.
pub fn is_sealed(value: &str) -> bool {
    value.starts_with(PREFIX)
}

/// The text of a column; a value that is not encrypted is returned as it is, as Databasus does.
pub fn open_field(value: &str, key: &SecretKey) -> Result<Zeroizing<String>, FieldError> {
    let Some(sealed) = value.strip_prefix(PREFIX) else {
        return Ok(Zeroizing::new(value.to_owned()));
    };
    let (nonce, ciphertext) = sealed.split_once(':').ok_or(FieldError::Malformed)?;
    let nonce = STANDARD.decode(nonce).map_err(|_| FieldError::Malformed)?;
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| FieldError::Malformed)?;
    let ciphertext = STANDARD.decode(ciphertext);
    let ciphertext = ciphertext.map_err(|_| FieldError::Malformed)?;
    let opened = cipher(key).decrypt(Nonce::from_slice(&nonce), ciphertext.as_slice());
    let opened = Zeroizing::new(opened.map_err(|_| FieldError::WrongKey)?);
    let text = std::str::from_utf8(&opened).map_err(|_| FieldError::NotText)?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Encrypts a value as Databasus does. A nonce must never be used twice under one key.
pub fn seal_field(plain: &str, key: &SecretKey, nonce: [u8; NONCE_BYTES]) -> String {
    let sealed = cipher(key).encrypt(Nonce::from_slice(&nonce), plain.as_bytes());
    // It fails beyond 64 GiB alone.
    let sealed = sealed.unwrap_or_default();
    format!(
        "{PREFIX}{}:{}",
        STANDARD.encode(nonce),
        STANDARD.encode(sealed)
    )
}

/// A key of fewer than 32 bytes is filled up with zeros, as Go's conversion in Databasus leaves it.
fn cipher(key: &SecretKey) -> Aes256Gcm {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    let taken = key.expose().len().min(KEY_BYTES);
    bytes[..taken].copy_from_slice(&key.expose()[..taken]);
    Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(bytes.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "11111111-1111-4111-8111-11111111111122222222-2222-4222-8222-222222222222";

    fn key(text: &str) -> SecretKey {
        SecretKey::new(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn what_is_not_encrypted_is_taken_as_it_is() {
        let opened = open_field("plain:text", &key(KEY)).unwrap();
        assert_eq!(opened.as_str(), "plain:text");
    }

    #[test]
    fn only_the_first_32_bytes_of_the_key_matter() {
        let sealed = seal_field("AK", &key(KEY), [7; 12]);
        let same_beginning = key(&format!("{}{}", &KEY[..32], "x".repeat(40)));
        assert_eq!(open_field(&sealed, &same_beginning).unwrap().as_str(), "AK");
        let another = key(&KEY.replacen('1', "2", 1));
        assert_eq!(open_field(&sealed, &another), Err(FieldError::WrongKey));
    }

    /// Up to 3.37 the nonce is the beginning of HMAC-SHA256(key, id of the row) (DATABASUS.md
    /// §2.3); it stands in the field all the same. Computed with Python's `cryptography` for the
    /// id `33333333-3333-4333-8333-333333333333`.
    #[test]
    fn a_field_sealed_under_an_old_nonce_opens() {
        let sealed = "enc:1z1YbsWvm7vLgPck:qiiiWDYhY+uILp16j5rXxbpKg9+xIhq3";
        assert_eq!(open_field(sealed, &key(KEY)).unwrap().as_str(), "SKSKSKSK");
        let nonce = hex::decode("d73d586ec5af9bbbcb80f724").unwrap();
        let again = seal_field("SKSKSKSK", &key(KEY), nonce.try_into().unwrap());
        assert_eq!(again, sealed);
    }

    #[test]
    fn malformed_fields_are_told_from_foreign_ones() {
        for malformed in ["enc:", "enc:a", "enc:AAAA:AAAA", "enc:!!:!!", "enc:::"] {
            let refused = open_field(malformed, &key(KEY));
            assert_eq!(refused, Err(FieldError::Malformed), "{malformed}");
        }
    }

    proptest! {
        #[test]
        fn fields_round_trip_under_any_nonce(plain in ".*", nonce: [u8; 12]) {
            let sealed = seal_field(&plain, &key(KEY), nonce);
            prop_assert!(is_sealed(&sealed));
            let opened = open_field(&sealed, &key(KEY)).unwrap();
            prop_assert_eq!(opened.as_str(), plain.as_str());
        }

        #[test]
        fn no_text_makes_reading_panic(text in ".*") {
            let _ = open_field(&format!("enc:{text}"), &key(KEY));
        }
    }
}
