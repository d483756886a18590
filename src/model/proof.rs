//! How far it is proven that an escrow's key, metadata and backups belong together.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much is tried. Each level means more than the one below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// 0: the key has the id that the manifest names.
    KeyId,
    /// 1: every encrypted field of the metadata opens. That takes the first 32 bytes of the key.
    Fields,
    /// 2: of every storage and database the newest encrypted backup begins with a chunk that
    /// authenticates, which takes all of the key, and has the size that it should have.
    FirstChunks,
    /// 3: of every storage a whole backup decrypts, and its table of contents reads.
    WholeBackups,
}

/// Not the number of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a proof level is 0, 1, 2 or 3")]
pub struct NoSuchLevel;

impl Level {
    /// All of them, from the lowest.
    pub const ALL: [Self; 4] = [
        Self::KeyId,
        Self::Fields,
        Self::FirstChunks,
        Self::WholeBackups,
    ];

    /// Its number, as people and documents name it.
    pub fn number(self) -> u8 {
        match self {
            Self::KeyId => 0,
            Self::Fields => 1,
            Self::FirstChunks => 2,
            Self::WholeBackups => 3,
        }
    }
}

impl TryFrom<i64> for Level {
    type Error = NoSuchLevel;

    fn try_from(number: i64) -> Result<Self, NoSuchLevel> {
        let mut levels = Self::ALL.into_iter();
        levels
            .find(|level| i64::from(level.number()) == number)
            .ok_or(NoSuchLevel)
    }
}

impl FromStr for Level {
    type Err = NoSuchLevel;

    fn from_str(text: &str) -> Result<Self, NoSuchLevel> {
        let number: i64 = text.parse().map_err(|_| NoSuchLevel)?;
        Self::try_from(number)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// What trying came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Proven,
    /// It does not.
    Failed,
    /// It could not be tried, or there was nothing to try; also a word that a later release uses.
    #[serde(other)]
    Unknown,
}

/// How many things were tried, and what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// What holds.
    pub proven: u64,
    /// What does not.
    pub failed: u64,
    /// What could not be tried.
    pub unknown: u64,
}

impl Tally {
    /// Adds a thing.
    pub fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Proven => self.proven += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Unknown => self.unknown += 1,
        }
    }

    /// What they come to together: one failure fails all, and nothing is proven while something
    /// could not be tried, or nothing was there to be tried.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self { failed: 1.., .. } => Outcome::Failed,
            Self {
                proven: 1..,
                unknown: 0,
                ..
            } => Outcome::Proven,
            _ => Outcome::Unknown,
        }
    }
}

/// What a manifest says of the proof made before it was signed. It stands in the open, so it
/// holds numbers and no names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofRecord {
    /// The level that was wanted.
    pub wanted: u8,
    /// The highest level such that it and all below it are proven; null where not even level 0 is.
    pub reached: Option<u8>,
    /// Each level that was tried, from 0.
    pub levels: Vec<LevelRecord>,
}

/// See [`ProofRecord`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelRecord {
    /// Its number.
    pub level: u8,
    /// What trying came to.
    pub outcome: Outcome,
    /// How many things hold: fields at level 1, backups above.
    pub proven: u64,
    /// How many do not.
    pub failed: u64,
    /// How many could not be tried.
    pub unknown: u64,
}

impl ProofRecord {
    /// The record of tallies for the levels from 0 on.
    pub fn new(wanted: Level, tallies: &[(Level, Tally)]) -> Self {
        let mut reached = None;
        for (level, tally) in tallies {
            if tally.outcome() != Outcome::Proven {
                break;
            }
            reached = Some(level.number());
        }
        let record = |(level, tally): &(Level, Tally)| LevelRecord {
            level: level.number(),
            outcome: tally.outcome(),
            proven: tally.proven,
            failed: tally.failed,
            unknown: tally.unknown,
        };
        Self {
            wanted: wanted.number(),
            reached,
            levels: tallies.iter().map(record).collect(),
        }
    }

    /// Whether something was tried and does not hold.
    pub fn has_failed(&self) -> bool {
        let mut levels = self.levels.iter();
        levels.any(|level| level.outcome == Outcome::Failed)
    }

    /// Whether a level came out as with a wrong key: something was tried and nothing held. One
    /// backup of several that is damaged or gone says nothing of the key.
    pub fn speaks_against_the_key(&self) -> bool {
        let mut levels = self.levels.iter();
        levels.any(|level| level.outcome == Outcome::Failed && level.proven == 0)
    }

    /// Whether `level` and all below it are proven.
    pub fn reaches(&self, level: Level) -> bool {
        self.reached
            .is_some_and(|reached| reached >= level.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROVEN: Tally = Tally {
        proven: 3,
        failed: 0,
        unknown: 0,
    };

    fn tally(proven: u64, failed: u64, unknown: u64) -> Tally {
        Tally {
            proven,
            failed,
            unknown,
        }
    }

    #[test]
    fn one_backup_of_several_that_does_not_hold_says_nothing_of_the_key() {
        let record = |tally| ProofRecord::new(Level::FirstChunks, &[(Level::FirstChunks, tally)]);
        let some = record(Tally {
            failed: 1,
            ..PROVEN
        });
        assert!(some.has_failed() && !some.speaks_against_the_key());
        let none = record(Tally {
            proven: 0,
            failed: 1,
            unknown: 2,
        });
        assert!(none.speaks_against_the_key());
    }

    #[test]
    fn one_failure_fails_and_one_unknown_proves_nothing() {
        assert_eq!(PROVEN.outcome(), Outcome::Proven);
        assert_eq!(tally(3, 1, 1).outcome(), Outcome::Failed);
        assert_eq!(tally(3, 0, 1).outcome(), Outcome::Unknown);
        assert_eq!(tally(0, 0, 0).outcome(), Outcome::Unknown);
    }

    #[test]
    fn a_level_counts_only_above_proven_ones() {
        let unknown = tally(0, 0, 1);
        let record = ProofRecord::new(
            Level::FirstChunks,
            &[
                (Level::KeyId, PROVEN),
                (Level::Fields, unknown),
                (Level::FirstChunks, PROVEN),
            ],
        );
        assert_eq!(record.reached, Some(0));
        assert!(record.reaches(Level::KeyId) && !record.reaches(Level::Fields));
        assert!(!record.has_failed());
        let none = ProofRecord::new(Level::KeyId, &[(Level::KeyId, tally(0, 1, 0))]);
        assert_eq!(none.reached, None);
        assert!(none.has_failed());
    }

    #[test]
    fn words_of_later_releases_are_unknown() {
        let json = r#"{"wanted": 9, "reached": 0, "more": 1, "levels":
            [{"level": 9, "outcome": "postponed", "proven": 0, "failed": 0, "unknown": 1, "x": 2}]}"#;
        let record: ProofRecord = serde_json::from_str(json).unwrap();
        assert_eq!(record.levels[0].outcome, Outcome::Unknown);
        assert!(!record.has_failed());
    }

    #[test]
    fn levels_go_by_their_numbers() {
        for level in Level::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert_eq!("4".parse::<Level>(), Err(NoSuchLevel));
        assert_eq!(Level::try_from(-1), Err(NoSuchLevel));
    }

    proptest! {
        #[test]
        fn records_round_trip(proven: u64, failed: u64, unknown: u64) {
            let record = ProofRecord::new(Level::Fields, &[(Level::KeyId, tally(proven, failed, unknown))]);
            let json = serde_json::to_string(&record).unwrap();
            prop_assert_eq!(serde_json::from_str::<ProofRecord>(&json).unwrap(), record);
        }
    }
}
