//! Names that become object keys, file names and words on a terminal: parsed once, safe ever after.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::time::UtcTime;

/// A text that cannot serve as a name.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// The characters or the length are not allowed.
    #[error(
        "{kind} {text:?} must be 1 to 63 of a-z, 0-9, '.', '_', '-'{extra}, starting with a letter or digit"
    )]
    Characters {
        /// What the name was for.
        kind: &'static str,
        /// What was given.
        text: String,
        /// Characters this kind allows beyond the common ones.
        extra: &'static str,
    },
    /// Not an id of the form of [`EscrowId`].
    #[error("{kind} id {text:?} must look like 20260612T020000Z-0123456789abcdef")]
    Id {
        /// What the id was for.
        kind: &'static str,
        /// What was given.
        text: String,
    },
}

fn check(
    kind: &'static str,
    text: &str,
    extra: &'static str,
    allowed: &[u8],
) -> Result<(), NameError> {
    let ok_first = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let ok_rest = text.bytes().all(|b| {
        b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b) || allowed.contains(&b)
    });
    if ok_first && ok_rest && text.len() <= 63 && !text.contains("..") {
        return Ok(());
    }
    Err(NameError::Characters {
        kind,
        text: text.chars().take(80).collect(),
        extra,
    })
}

macro_rules! text_traits {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $extra:literal, $allowed:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check($kind, text, $extra, $allowed)?;
                Ok(Self(text.to_owned()))
            }
        }

        text_traits!($type);
    };
}

name_type!(
    /// One Databasus installation, as the configuration names it.
    Slug, "instance", "", b""
);
name_type!(
    /// A store, as the configuration names it (`r2`, `latitude`, `usb`).
    StoreName, "store", "", b""
);
/// The text of an id is a name: hexadecimal digits and hyphens.
impl From<uuid::Uuid> for StoreName {
    fn from(id: uuid::Uuid) -> Self {
        Self(id.to_string())
    }
}

name_type!(
    /// A person who holds an age identity.
    CustodianName, "custodian", " or '@'", b"@"
);
name_type!(
    /// An SSH key's principal in `allowed_signers`; also part of a signature's object key.
    SignerName, "signer", " or '@'", b"@"
);

macro_rules! id_type {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(String);

        impl $type {
            /// Makes an id from a time and 8 random bytes.
            pub fn new(at: UtcTime, random: [u8; 8]) -> Self {
                Self(format!("{}-{}", at.compact(), hex::encode(random)))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The time that it was made from, as the id itself says.
            pub fn at(&self) -> UtcTime {
                let stamp = self.0.split_once('-').map_or("", |(stamp, _)| stamp);
                UtcTime::from_compact(stamp).unwrap_or(UtcTime::from_unix(0))
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let parsed = text.split_once('-').and_then(|(stamp, random)| {
                    let mut bytes = [0; 8];
                    hex::decode_to_slice(random, &mut bytes).ok()?;
                    Some(Self::new(UtcTime::from_compact(stamp)?, bytes))
                });
                parsed.filter(|id| id.0 == text).ok_or_else(|| NameError::Id {
                    kind: $kind,
                    text: text.chars().take(80).collect(),
                })
            }
        }

        text_traits!($type);
    };
}

id_type!(
    /// One escrow: the second its snapshot began (UTC) and 8 random bytes, so that ids sort by
    /// time and two hosts never choose the same one.
    EscrowId, "escrow"
);
id_type!(
    /// One re-sealing of an escrow: the second it began (UTC) and 8 random bytes.
    RekeyId, "rekey"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slug_refuses_what_could_leave_its_prefix() {
        for bad in ["", ".", "..", "a..b", "../x", "a/b", "A", "a b", "é", "-a"] {
            assert!(bad.parse::<Slug>().is_err(), "{bad:?} was accepted");
        }
        assert_eq!(
            "heatwave-prod".parse::<Slug>().unwrap().as_str(),
            "heatwave-prod"
        );
    }

    #[test]
    fn at_sign_is_for_people_and_signers_only() {
        assert!("escrow@host1".parse::<SignerName>().is_ok());
        assert!("escrow@host1".parse::<Slug>().is_err());
    }

    #[test]
    fn escrow_id_round_trips_and_refuses_variants() {
        let text = "20260612T020000Z-0123456789abcdef";
        assert_eq!(text.parse::<EscrowId>().unwrap().to_string(), text);
        for bad in [
            "20260612T020000Z-0123456789ABCDEF",
            "20260612T020000Z-0123456789abcde",
            "20261312T020000Z-0123456789abcdef",
            "../0612T020000Z-0123456789abcdef",
        ] {
            assert!(bad.parse::<EscrowId>().is_err(), "{bad:?} was accepted");
        }
    }
}
