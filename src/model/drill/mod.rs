//! A signed drill report: that an escrow, and the backups that it leads to, were brought back at a
//! date, how long that took, and how old what came back was.
//!
//! It lies in the open beside the escrows, so it holds numbers, ids and sentences of this program
//! alone: no name of a database, no result of a query, no word of a server.

mod verdict;

use serde::{Deserialize, Serialize};

use super::manifest::Tool;
use super::strict_json::{self, StrictJsonError};
use crate::base::digest::Digest;
use crate::base::names::{EscrowId, SignerName, Slug};
use crate::base::text::{printable, shortened};
use crate::base::time::UtcTime;

pub use verdict::{HIGHEST_LEVEL, reached};

/// The only format this version writes and reads.
pub const FORMAT: &str = "databasus-escrow-drill/1";

/// Largest report that is read, in bytes.
pub const MAX_BYTES: u64 = 256 << 10;

/// A drill, as it was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillReport {
    /// [`FORMAT`].
    pub format: String,
    /// The program that ran it.
    pub tool: Tool,
    /// Whose escrow.
    pub instance: Slug,
    /// Which escrow.
    pub escrow_id: EscrowId,
    /// The manifest that it was opened by.
    pub manifest_sha256: Digest,
    /// Who signs the report.
    pub signer: SignerName,
    /// When it began, by the drill box's clock.
    pub began_at: UtcTime,
    /// When everything was torn down.
    pub ended_at: UtcTime,
    /// All of it together.
    pub outcome: Outcome,
    /// How far it was to go, and how far it came.
    pub level: LevelReached,
    /// From the beginning until everything was back, in seconds; the teardown is not part of it.
    pub rto: Measured,
    /// The age of the oldest of what came back, at the beginning, in seconds.
    pub rpo: Measured,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// Each database and cluster that was to come back.
    pub subjects: Vec<Subject>,
    /// Why it ended before its end; null where it did not.
    pub failure: Option<String>,
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Proven,
    /// It does not.
    Failed,
    /// It was not done.
    NotDone,
    /// It could not be told; also a word that a later release uses.
    #[serde(other)]
    Unknown,
}

/// How far a drill was to go, and how far it came (0 to 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelReached {
    /// By the policy.
    pub wanted: u8,
    /// The highest level such that it and all below it are proven; null where not even level 0 is.
    pub reached: Option<u8>,
}

/// A span that was measured, and the most that the policy allowed, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Null where there was nothing to measure.
    pub seconds: Option<u64>,
    /// Null where the policy sets none.
    pub limit: Option<u64>,
}

/// A step of a drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What was done.
    pub name: String,
    /// To which of the [`DrillReport::subjects`]; null where to none.
    pub subject: Option<String>,
    /// The level that it is part of; null where it counts for none.
    pub level: Option<u8>,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, in seconds, rounded up; null where it was part of another step.
    pub seconds: Option<u64>,
    /// The reason, where there is one.
    pub detail: String,
}

/// A database or a cluster that was to come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// As the policy labels it, else its place in the policy: `database-1`.
    pub name: String,
    /// What it is.
    pub kind: SubjectKind,
    /// As of when it came back: the newest transaction of a cluster, the beginning of a dump.
    pub as_of: Option<UtcTime>,
    /// What of the drill's time it took, in seconds.
    pub rto_seconds: Option<u64>,
    /// How old it was when the drill began, in seconds.
    pub rpo_seconds: Option<u64>,
    /// What was asked of it.
    pub sentinels: Vec<SentinelResult>,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// One database, out of a dump.
    Database,
    /// A cluster, out of a base backup and WAL.
    Cluster,
    /// A word that a later release uses.
    #[serde(other)]
    Unknown,
}

/// Whether what somebody expects of a database held. The answer itself is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentinelResult {
    /// As the policy calls it.
    pub name: String,
    /// What was expected.
    pub expects: Expectation,
    /// Proven: it held. Failed: it did not. Unknown: it was asked and gave no answer.
    pub outcome: Outcome,
}

/// The kind of an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// Exactly this answer.
    Equals,
    /// This number or more.
    AtLeast,
    /// A time no further back than this.
    NewerThan,
    /// A word that a later release uses.
    #[serde(other)]
    Unknown,
}

/// A signed document that is no report this version reads.
#[derive(Debug, thiserror::Error)]
pub enum DrillReportError {
    /// Not strict JSON, or a field is missing.
    #[error("the drill report is malformed")]
    Malformed(#[from] StrictJsonError),
    /// A later version's format.
    #[error("drill report format {0:?} is not one this version reads")]
    UnknownFormat(String),
    /// It ends before it begins.
    #[error("the drill report ends at {ended}, before it begins at {began}")]
    Misdated {
        /// The beginning.
        began: UtcTime,
        /// The end.
        ended: UtcTime,
    },
}

impl DrillReport {
    /// Reads the bytes of a report whose signature has been verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, DrillReportError> {
        let report: Self = strict_json::from_slice(bytes)?;
        if report.format != FORMAT {
            return Err(DrillReportError::UnknownFormat(
                report.format.chars().take(80).collect(),
            ));
        }
        if report.ended_at < report.began_at {
            return Err(DrillReportError::Misdated {
                began: report.began_at,
                ended: report.ended_at,
            });
        }
        Ok(report)
    }

    /// The bytes to sign and to store.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StrictJsonError> {
        strict_json::to_vec(self)
    }
}

impl Measured {
    /// Whether more was measured than is allowed; what was not measured exceeds nothing.
    pub fn exceeds(&self) -> bool {
        self.seconds
            .zip(self.limit)
            .is_some_and(|(seconds, limit)| seconds > limit)
    }

    /// Whether there is a limit and nothing to hold against it.
    pub fn is_unknown(&self) -> bool {
        self.limit.is_some() && self.seconds.is_none()
    }
}

/// A sentence as a report holds it: printable, and of a bounded length.
pub fn sentence(text: &str) -> String {
    shortened(&printable(text))
}

#[cfg(test)]
mod tests;
