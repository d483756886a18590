//! A custodian's signed answer to a canary: the proof, at a date, that they can open what is
//! sealed to them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::manifest::Manifest;
use super::strict_json::{self, StrictJsonError};
use crate::base::digest::Digest;
use crate::base::names::{CustodianName, EscrowId, Slug};
use crate::base::time::UtcTime;

/// The only format this version writes and reads.
pub const FORMAT: &str = "databasus-escrow-checkin/1";

/// Largest answer that is read, in bytes.
pub const MAX_BYTES: u64 = 16 << 10;

/// How far a custodian's clock may be ahead, in seconds.
pub const SKEW: i64 = 300;

/// What a custodian confirms with the signature.
pub const STATEMENT: &str = "I opened this canary with the identity that is mine as a custodian, I \
     keep that identity to myself, and I know what is asked of me.";

/// What was in a canary: known to nobody before its custodian opened it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; 32]);

/// An answer, as it was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkin {
    /// [`FORMAT`].
    pub format: String,
    /// Whose escrows.
    pub instance: Slug,
    /// Who answers.
    pub custodian: CustodianName,
    /// The escrow whose canary it is.
    pub escrow_id: EscrowId,
    /// Its manifest.
    pub manifest_sha256: Digest,
    /// What was in the canary.
    pub nonce: Nonce,
    /// When it was opened, by the custodian's clock.
    pub created_at: UtcTime,
    /// What is confirmed.
    pub statement: String,
}

/// A signed document that is no answer this version reads.
#[derive(Debug, thiserror::Error)]
pub enum CheckinError {
    /// Not strict JSON, or a field is missing.
    #[error("the check-in is malformed")]
    Malformed(#[from] StrictJsonError),
    /// A later version's format.
    #[error("check-in format {0:?} is not one this version reads")]
    UnknownFormat(String),
}

/// An answer that proves nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// For another instance, or another manifest.
    #[error("it answers for another escrow")]
    OtherEscrow,
    /// The escrow has no canary of theirs.
    #[error("the escrow holds no canary of {0}")]
    NoCanary(CustodianName),
    /// The canary was not opened.
    #[error("what it names was not in the canary of {0}")]
    WrongNonce(CustodianName),
    /// It confirms less than is asked, or something else.
    #[error("it does not confirm what a custodian confirms, word for word")]
    OtherStatement,
    /// Before there was a canary, or after now.
    #[error("it is dated {at}, and the canary is of {since}")]
    Misdated {
        /// By the answer.
        at: UtcTime,
        /// When the manifest that names the canary was signed.
        since: UtcTime,
    },
}

impl Checkin {
    /// Reads the bytes of an answer whose signature has been verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckinError> {
        let checkin: Self = strict_json::from_slice(bytes)?;
        if checkin.format != FORMAT {
            return Err(CheckinError::UnknownFormat(
                checkin.format.chars().take(80).collect(),
            ));
        }
        Ok(checkin)
    }

    /// Whether it answers a canary of this manifest, which was verified and has this digest. `since`
    /// is when the manifest that names the canary was signed: this one, or that of a later sealing.
    ///
    /// What is proven is proven as of `since`. Once an answer was published, the nonce is known to
    /// everybody, and says nothing of any later day, whatever day is written beside it.
    pub fn proves(
        &self,
        manifest: &Manifest,
        digest: &Digest,
        since: UtcTime,
        now: UtcTime,
    ) -> Result<(), Unproven> {
        if self.instance != manifest.instance.slug
            || self.escrow_id != manifest.escrow_id
            || self.manifest_sha256 != *digest
        {
            return Err(Unproven::OtherEscrow);
        }
        let mut canaries = manifest.canaries.iter();
        let canary = canaries
            .find(|canary| canary.custodian == self.custodian)
            .ok_or_else(|| Unproven::NoCanary(self.custodian.clone()))?;
        if self.nonce.sha256() != canary.nonce_sha256 {
            return Err(Unproven::WrongNonce(self.custodian.clone()));
        }
        if self.statement != STATEMENT {
            return Err(Unproven::OtherStatement);
        }
        // Both clocks may be a little off.
        let at = self.created_at;
        let is_after = at >= since.plus(-SKEW) && at <= now.plus(SKEW);
        is_after
            .then_some(())
            .ok_or(Unproven::Misdated { at, since })
    }
}

impl Nonce {
    /// What a manifest says of it.
    pub fn sha256(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|_| serde::de::Error::custom("a nonce has 64 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::{Canary, tests::example};
    use proptest::prelude::*;

    const NONCE: Nonce = Nonce([7; 32]);

    fn manifest() -> Manifest {
        let mut manifest = example();
        manifest.canaries.push(Canary {
            custodian: "alice".parse().unwrap(),
            key: "x".to_owned(),
            sha256: Digest::of(b"the file"),
            nonce_sha256: NONCE.sha256(),
        });
        manifest
    }

    fn answer() -> Checkin {
        let manifest = manifest();
        Checkin {
            format: FORMAT.to_owned(),
            instance: manifest.instance.slug,
            custodian: "alice".parse().unwrap(),
            escrow_id: manifest.escrow_id,
            manifest_sha256: Digest::of(b"the manifest"),
            nonce: NONCE,
            created_at: manifest.created_at.plus(3600),
            statement: STATEMENT.to_owned(),
        }
    }

    fn judged(edit: impl FnOnce(&mut Checkin)) -> Result<(), Unproven> {
        let manifest = manifest();
        let mut answer = answer();
        edit(&mut answer);
        let now = manifest.created_at.plus(7200);
        let digest = Digest::of(b"the manifest");
        answer.proves(&manifest, &digest, manifest.created_at, now)
    }

    #[test]
    fn an_answer_of_this_format_reads_as_it_always_did() {
        let text = r#"{
          "format": "databasus-escrow-checkin/1",
          "instance": "heatwave-prod",
          "custodian": "alice",
          "escrow_id": "20260612T020000Z-0123456789abcdef",
          "manifest_sha256": "7dccdd35a5ead1f8ecb4f9e4e1c1d8d1a3c1f3ac3fe4f3ed6bd0b1c3d4b0d6f1",
          "nonce": "0707070707070707070707070707070707070707070707070707070707070707",
          "created_at": "2026-06-12T03:00:09Z",
          "statement": "I did.",
          "later": true
        }"#;
        let checkin = Checkin::parse(text.as_bytes()).unwrap();
        assert_eq!(
            (checkin.custodian.as_str(), checkin.nonce),
            ("alice", NONCE)
        );
        assert_eq!(
            NONCE.sha256().to_string(),
            "4bb06f8e4e3a7715d201d573d0aa423762e55dabd61a2c02278fa56cc6d294e0"
        );
    }

    #[test]
    fn who_names_what_was_in_the_canary_has_opened_it() {
        assert_eq!(judged(|_| {}), Ok(()));
    }

    #[test]
    fn anything_else_proves_nothing() {
        let alice: CustodianName = "alice".parse().unwrap();
        assert_eq!(
            judged(|a| a.nonce = Nonce([8; 32])),
            Err(Unproven::WrongNonce(alice))
        );
        let bob: CustodianName = "bob".parse().unwrap();
        assert_eq!(
            judged(|a| a.custodian = bob.clone()),
            Err(Unproven::NoCanary(bob.clone()))
        );
        for edit in [
            (|a: &mut Checkin| a.manifest_sha256 = Digest::of(b"another")) as fn(&mut Checkin),
            |a| a.instance = "staging".parse().unwrap(),
            |a| a.escrow_id = "20260612T020000Z-ffffffffffffffff".parse().unwrap(),
        ] {
            assert_eq!(judged(edit), Err(Unproven::OtherEscrow));
        }
        for seconds in [-3600 - SKEW - 1, 3600 + SKEW + 1] {
            let refused = judged(|a| a.created_at = a.created_at.plus(seconds));
            assert!(
                matches!(refused, Err(Unproven::Misdated { .. })),
                "{seconds}"
            );
        }
    }

    #[test]
    fn nothing_less_than_the_statement_is_confirmed() {
        for other in ["", "I did.", &STATEMENT[..STATEMENT.len() - 1]] {
            let refused = judged(|a| a.statement = other.to_owned());
            assert_eq!(refused, Err(Unproven::OtherStatement));
        }
    }

    #[test]
    fn other_formats_are_refused() {
        let mut answer = answer();
        let bytes = serde_json::to_vec(&answer).unwrap();
        assert_eq!(Checkin::parse(&bytes).unwrap(), answer);
        answer.format.push('0');
        let bytes = serde_json::to_vec(&answer).unwrap();
        assert!(matches!(
            Checkin::parse(&bytes),
            Err(CheckinError::UnknownFormat(_))
        ));
    }

    proptest! {
        #[test]
        fn other_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Checkin::parse(&bytes).is_err());
        }
    }
}
