//! Databasus' master key, `secret.key`: two UUIDs in one line, read by Databasus byte for byte.

use std::fmt;
use std::str::FromStr;

use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;
use zeroize::Zeroize;

use crate::base::names::Slug;

/// Length of a key that Databasus made itself: two UUIDs of 36 characters.
const LENGTH: usize = 72;

/// Separates the id from every other use of the key, see [`SecretKey::key_id`].
const ID_SALT: &[u8] = b"databasus-custody/v1";

/// The exact bytes of `secret.key`.
///
/// Nothing is trimmed or repaired: a newline at the end is part of the key to Databasus, and
/// backups made under it open with it only.
pub struct SecretKey(SecretSlice<u8>);

/// A file that cannot be anybody's key.
#[derive(Debug, thiserror::Error)]
#[error("secret.key is empty")]
pub struct EmptyKey;

/// Something unusual about a key. Databasus works with such a key all the same, so it is
/// escrowed as it is, and somebody should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWarning {
    /// Its length in bytes, where that is not 72.
    Length(usize),
    /// Not two lower-case UUIDs of version 4.
    NotTwoUuids,
    /// Ends with a newline.
    TrailingNewline,
    /// Holds white space elsewhere.
    Whitespace,
}

impl SecretKey {
    /// Takes the bytes of the file; the vector's own memory is wiped.
    pub fn new(mut bytes: Vec<u8>) -> Result<Self, EmptyKey> {
        let key = Self(SecretSlice::from(Box::<[u8]>::from(bytes.as_slice())));
        bytes.zeroize();
        if key.expose().is_empty() {
            return Err(EmptyKey);
        }
        Ok(key)
    }

    /// The bytes, for ciphers and for the payload.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// What is unusual about the key.
    pub fn check(&self) -> Vec<KeyWarning> {
        let bytes = self.expose();
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let findings = [
            (bytes.len() != LENGTH, KeyWarning::Length(bytes.len())),
            (!is_two_uuids(body), KeyWarning::NotTwoUuids),
            (body.len() != bytes.len(), KeyWarning::TrailingNewline),
            (
                body.iter().any(u8::is_ascii_whitespace),
                KeyWarning::Whitespace,
            ),
        ];
        let found = findings.into_iter().filter(|(holds, _)| *holds);
        found.map(|(_, warning)| warning).collect()
    }

    /// A name for the key that gives nothing of it away and differs between instances:
    /// HKDF-SHA256 (RFC 5869) over the exact bytes, 16 bytes long. The salt makes it
    /// independent of everything Databasus itself derives from the key.
    pub fn key_id(&self, instance: &Slug) -> SecretKeyId {
        let mut id = [0; 16];
        let info = [b"secret-key-id|", instance.as_str().as_bytes()];
        let expanded =
            Hkdf::<Sha256>::new(Some(ID_SALT), self.expose()).expand_multi_info(&info, &mut id);
        debug_assert!(expanded.is_ok(), "HKDF-SHA256 yields up to 8160 bytes");
        SecretKeyId(id)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

fn is_two_uuids(bytes: &[u8]) -> bool {
    bytes.len() == LENGTH && bytes.chunks(LENGTH / 2).all(is_uuid_v4)
}

/// Lower-case text form of RFC 9562 with version 4 and its variant.
fn is_uuid_v4(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(index, byte)| match index {
        8 | 13 | 18 | 23 => *byte == b'-',
        14 => *byte == b'4',
        19 => b"89ab".contains(byte),
        _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(byte),
    })
}

impl fmt::Display for KeyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(
                f,
                "secret.key is {length} bytes long; one made by Databasus has {LENGTH}"
            ),
            Self::NotTwoUuids => f.write_str(
                "secret.key is not two UUIDs in a row; somebody made or changed it by hand",
            ),
            Self::TrailingNewline => f.write_str(
                "secret.key ends with a newline, which Databasus counts as part of the key; a copy without it opens no backup",
            ),
            Self::Whitespace => f.write_str(
                "secret.key holds white space, which Databasus counts as part of the key; copy it byte for byte",
            ),
        }
    }
}

/// Names a key without telling it, see [`SecretKey::key_id`]: 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretKeyId([u8; 16]);

/// A text that is not 32 lower-case hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("not a secret key id in 32 lower-case hexadecimal digits")]
pub struct NotAKeyId;

impl fmt::Display for SecretKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SecretKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SecretKeyId {
    type Err = NotAKeyId;

    fn from_str(text: &str) -> Result<Self, NotAKeyId> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NotAKeyId);
        }
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAKeyId)?;
        Ok(Self(bytes))
    }
}

impl Serialize for SecretKeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretKeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "11111111-1111-4111-8111-11111111111122222222-2222-4222-8222-222222222222";

    fn key(bytes: impl Into<Vec<u8>>) -> SecretKey {
        SecretKey::new(bytes.into()).unwrap()
    }

    fn id(bytes: impl Into<Vec<u8>>, slug: &str) -> String {
        key(bytes).key_id(&slug.parse().unwrap()).to_string()
    }

    /// Computed with OpenSSL 3.0:
    /// `openssl kdf -keylen 16 -kdfopt digest:SHA256 -kdfopt key:"$KEY"
    /// -kdfopt salt:databasus-custody/v1 -kdfopt 'info:secret-key-id|heatwave-prod' HKDF`
    #[test]
    fn key_id_known_answer() {
        assert_eq!(id(KEY, "heatwave-prod"), "b4d6cbf9e403d5d46a5baf6246e325b8");
    }

    #[test]
    fn a_trailing_newline_is_another_key() {
        assert_eq!(
            id(format!("{KEY}\n"), "heatwave-prod"),
            "a41ffe2b9718fe0e3eba1c3696da666b"
        );
        assert_ne!(
            id(KEY, "heatwave-prod"),
            id(format!("{KEY}\n"), "heatwave-prod")
        );
    }

    #[test]
    fn one_key_has_another_id_in_every_instance() {
        assert_ne!(id(KEY, "heatwave-prod"), id(KEY, "heatwave-test"));
    }

    #[test]
    fn databasus_own_keys_raise_no_warning() {
        assert_eq!(key(KEY).check(), []);
    }

    #[test]
    fn unusual_keys_are_named_for_what_they_are() {
        let newline = format!("{KEY}\n");
        assert_eq!(
            key(newline).check(),
            [KeyWarning::Length(73), KeyWarning::TrailingNewline]
        );
        assert_eq!(
            key("secret").check(),
            [KeyWarning::Length(6), KeyWarning::NotTwoUuids]
        );
        assert_eq!(
            key(KEY.replace("-4111-", "-1111-")).check(),
            [KeyWarning::NotTwoUuids]
        );
        assert_eq!(
            key(KEY.replace('1', "A")).check(),
            [KeyWarning::NotTwoUuids]
        );
        let spaced = KEY.replacen('1', " ", 1);
        assert_eq!(
            key(spaced).check(),
            [KeyWarning::NotTwoUuids, KeyWarning::Whitespace]
        );
    }

    #[test]
    fn an_empty_file_is_no_key() {
        assert!(SecretKey::new(Vec::new()).is_err());
    }

    #[test]
    fn debug_output_hides_the_key() {
        assert_eq!(format!("{:?}", key(KEY)), "SecretKey");
    }

    #[test]
    fn ids_have_one_text_form() {
        let text = "00112233445566778899aabbccddeeff";
        assert_eq!(text.parse::<SecretKeyId>().unwrap().to_string(), text);
        assert!(text.to_uppercase().parse::<SecretKeyId>().is_err());
        assert!(text[1..].parse::<SecretKeyId>().is_err());
    }

    proptest! {
        #[test]
        fn ids_round_trip_through_json(bytes in any::<[u8; 16]>()) {
            let id = SecretKeyId(bytes);
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<SecretKeyId>(&json).ok(), Some(id));
        }

        #[test]
        fn any_key_is_checked_without_panic(bytes in prop::collection::vec(any::<u8>(), 1..100)) {
            let _ = key(bytes).check();
        }
    }
}
