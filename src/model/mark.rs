//! The high-water mark: the newest manifest somebody has seen, kept so that a store cannot be
//! rolled back or rewritten unnoticed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;

/// The newest manifest seen of an instance, whoever signed it. As text: `7:<sha256>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Its sequence number.
    pub seq: u64,
    /// Its digest.
    pub manifest_sha256: Digest,
}

/// A text that is not a mark.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a mark; write SEQ:SHA256 as the trust card shows it")]
pub struct NotAMark(String);

impl FromStr for Mark {
    type Err = NotAMark;

    fn from_str(text: &str) -> Result<Self, NotAMark> {
        text.split_once(':')
            .and_then(|(seq, digest)| {
                Some(Self {
                    seq: seq.parse().ok().filter(|seq| *seq > 0)?,
                    manifest_sha256: digest.parse().ok()?,
                })
            })
            .ok_or_else(|| NotAMark(text.chars().take(90).collect()))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.manifest_sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        let mark = Mark {
            seq: 7,
            manifest_sha256: Digest::of(b"x"),
        };
        assert_eq!(mark.to_string().parse::<Mark>().ok(), Some(mark));
    }

    #[test]
    fn malformed_marks_are_refused() {
        for bad in ["", "7", "7:", "0:00", "seven:00", ":00"] {
            assert!(bad.parse::<Mark>().is_err(), "{bad:?}");
        }
    }
}
