//! A signed word that somebody saw this head of the chain (FORMAT.md, "Witness"): whoever rewrites
//! history later, with whatever key, contradicts it.

use serde::{Deserialize, Serialize};

use super::manifest::Tool;
use super::mark::Mark;
use super::strict_json::{self, StrictJsonError};
use crate::base::digest::Digest;
use crate::base::names::{SignerName, Slug};
use crate::base::time::UtcTime;

/// The only format this version writes and reads.
pub const FORMAT: &str = "databasus-escrow-witness/1";

/// Largest witness that is read, in bytes.
pub const MAX_BYTES: u64 = 16 << 10;

/// A head that was seen, as it was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// [`FORMAT`].
    pub format: String,
    /// The program that looked.
    pub tool: Tool,
    /// Whose chain.
    pub instance: Slug,
    /// Who looked.
    pub signer: SignerName,
    /// The head's sequence number.
    pub seq: u64,
    /// Its digest.
    pub manifest_sha256: Digest,
    /// When it was seen, by the witness's clock.
    pub seen_at: UtcTime,
}

/// A signed document that is no witness this version reads.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// Not strict JSON, or a field is missing.
    #[error("the witness is malformed")]
    Malformed(#[from] StrictJsonError),
    /// A later version's format.
    #[error("witness format {0:?} is not one this version reads")]
    UnknownFormat(String),
}

impl Witness {
    /// A witness of this head.
    pub fn new(instance: &Slug, signer: &SignerName, head: Mark, seen_at: UtcTime) -> Self {
        Self {
            format: FORMAT.to_owned(),
            tool: Tool::this(),
            instance: instance.clone(),
            signer: signer.clone(),
            seq: head.seq,
            manifest_sha256: head.manifest_sha256,
            seen_at,
        }
    }

    /// Reads the bytes of a witness whose signature has been verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, WitnessError> {
        let witness: Self = strict_json::from_slice(bytes)?;
        if witness.format != FORMAT {
            return Err(WitnessError::UnknownFormat(
                witness.format.chars().take(80).collect(),
            ));
        }
        Ok(witness)
    }

    /// The bytes to sign and to store.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StrictJsonError> {
        strict_json::to_vec(self)
    }

    /// The head.
    pub fn mark(&self) -> Mark {
        Mark {
            seq: self.seq,
            manifest_sha256: self.manifest_sha256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn witness() -> Witness {
        let head = Mark {
            seq: 7,
            manifest_sha256: Digest::of(b"the head"),
        };
        let (instance, signer) = ("heatwave-prod".parse(), "auditor@office".parse());
        let at = "2026-06-12T09:00:00Z".parse().unwrap();
        Witness::new(&instance.unwrap(), &signer.unwrap(), head, at)
    }

    #[test]
    fn a_witness_of_this_format_reads_as_it_always_did() {
        let text = r#"{
          "format": "databasus-escrow-witness/1",
          "tool": {"name": "databasus-escrow", "version": "0.1.0"},
          "instance": "heatwave-prod",
          "signer": "auditor@office",
          "seq": 7,
          "manifest_sha256": "7dccdd35a5ead1f8ecb4f9e4e1c1d8d1a3c1f3ac3fe4f3ed6bd0b1c3d4b0d6f1",
          "seen_at": "2026-06-12T09:00:00Z",
          "later": true
        }"#;
        let read = Witness::parse(text.as_bytes()).unwrap();
        assert_eq!((read.seq, read.signer.as_str()), (7, "auditor@office"));
        assert_eq!(read.mark().seq, 7);
    }

    #[test]
    fn what_is_written_reads_back_and_other_formats_do_not() {
        let mut witness = witness();
        let bytes = witness.to_bytes().unwrap();
        assert_eq!(Witness::parse(&bytes).unwrap(), witness);
        witness.format.push('0');
        let bytes = witness.to_bytes().unwrap();
        let refused = Witness::parse(&bytes);
        assert!(matches!(refused, Err(WitnessError::UnknownFormat(_))));
    }

    proptest! {
        #[test]
        fn other_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Witness::parse(&bytes).is_err());
        }
    }
}
