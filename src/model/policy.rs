//! The policy object: the exact texts of the recipients file and of `allowed_signers` that were
//! in force when a manifest was signed. Its digest stands in the manifest.

use serde::{Deserialize, Serialize};

use super::strict_json::{self, StrictJsonError};
use crate::base::digest::Digest;

/// The only format this version writes and reads.
pub const FORMAT: &str = "databasus-escrow-policy/1";

/// Largest policy object that is read, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// Who can open the escrows, and who may sign for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// [`FORMAT`].
    pub format: String,
    /// The recipients file, byte for byte.
    pub recipients: String,
    /// The `allowed_signers` file, byte for byte.
    pub allowed_signers: String,
}

/// The bytes are not the policy that a manifest names.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Somebody changed or replaced the object.
    #[error("the policy object does not have the digest that the manifest names")]
    WrongDigest,
    /// Not strict JSON, or a field is missing.
    #[error("the policy object is malformed")]
    Malformed(#[from] StrictJsonError),
    /// A later version's format.
    #[error("policy format {0:?} is not one this version reads")]
    UnknownFormat(String),
}

impl Policy {
    /// The policy of these two files.
    pub fn new(recipients: String, allowed_signers: String) -> Self {
        Self {
            format: FORMAT.to_owned(),
            recipients,
            allowed_signers,
        }
    }

    /// The object's bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StrictJsonError> {
        strict_json::to_vec(self)
    }

    /// Reads the object that a verified manifest names by its digest.
    pub fn parse(bytes: &[u8], expected: &Digest) -> Result<Self, PolicyError> {
        if Digest::of(bytes) != *expected {
            return Err(PolicyError::WrongDigest);
        }
        let policy: Self = strict_json::from_slice(bytes)?;
        if policy.format != FORMAT {
            return Err(PolicyError::UnknownFormat(
                policy.format.chars().take(80).collect(),
            ));
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_survive_byte_for_byte() {
        let policy = Policy::new("# \u{e9}\r\n".to_owned(), "a\tb\n\n".to_owned());
        let bytes = policy.to_bytes().unwrap();
        assert_eq!(Policy::parse(&bytes, &Digest::of(&bytes)).unwrap(), policy);
    }

    #[test]
    fn another_policy_is_not_the_one_that_was_signed_for() {
        let bytes = Policy::new(String::new(), String::new())
            .to_bytes()
            .unwrap();
        assert!(matches!(
            Policy::parse(&bytes, &Digest::of(b"other")),
            Err(PolicyError::WrongDigest)
        ));
    }
}
