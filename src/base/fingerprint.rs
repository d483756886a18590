//! Short names of public keys, in the form that `ssh-keygen -l` prints and a trust card carries.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::digest::Digest;

const PREFIX: &str = "SHA256:";

/// The SHA-256 of a public key, written `SHA256:` and 43 characters of unpadded Base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(Digest);

/// A text that is not a fingerprint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a key fingerprint: a character is wrong or missing after SHA256: (there are 43, as ssh-keygen -l prints them)"
)]
pub struct NotAFingerprint;

impl Fingerprint {
    /// The fingerprint of a key's public bytes: the wire encoding of an SSH key, the text of an
    /// age recipient.
    pub fn of(public: &[u8]) -> Self {
        Self(Digest::of(public))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD_NO_PAD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let encoded = text.strip_prefix(PREFIX).ok_or(NotAFingerprint)?;
        let bytes = STANDARD_NO_PAD.decode(encoded).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(|bytes| Self(Digest::from_bytes(bytes)))
            .ok_or(NotAFingerprint)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_answer() {
        // `printf abc | sha256sum`, in Base64.
        let text = "SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0";
        assert_eq!(Fingerprint::of(b"abc").to_string(), text);
        assert_eq!(text.parse(), Ok(Fingerprint::of(b"abc")));
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let good = Fingerprint::of(b"abc").to_string();
        let bad = [
            good.replace("SHA256:", "sha256:"),
            good.replace("SHA256:", "MD5:"),
            format!("{good}="),
            format!("{good} "),
            format!(" {good}"),
            good[..good.len() - 1].to_owned(),
            // The last character carries two bits that must be zero.
            format!("{}1", &good[..good.len() - 1]),
        ];
        for text in bad {
            assert_eq!(
                text.parse::<Fingerprint>(),
                Err(NotAFingerprint),
                "{text:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(bytes in any::<[u8; 32]>()) {
            let print = Fingerprint(Digest::from_bytes(bytes));
            prop_assert_eq!(print.to_string().parse(), Ok(print));
        }
    }
}
