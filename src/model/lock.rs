//! Locks on single versions of objects, as S3's Object Lock has them: what is asked for, what
//! is read back, and what a manifest says of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::time::UtcTime;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// How firm a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Somebody with a permission of its own may lift it.
    Governance,
    /// Nobody may lift or shorten it before its date, whoever they are.
    Compliance,
}

impl LockMode {
    /// As S3 writes it, and the configuration in small letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Governance => "governance",
            Self::Compliance => "compliance",
        })
    }
}

/// A lock on one version of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// How firm it is.
    pub mode: LockMode,
    /// From this second on the version may be deleted.
    pub until: UtcTime,
}

impl Lock {
    /// Whether this lock keeps a version at least as firmly and as long as `other` would.
    pub fn is_at_least(&self, other: &Lock) -> bool {
        self.mode >= other.mode && self.until >= other.until
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} until {}", self.mode, self.until)
    }
}

/// What a store says of the lock on a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockState {
    /// It does not say. S3 leaves a lock out of its answers where the caller lacks the permission
    /// to see it, so silence is never taken for "unlocked".
    Unknown,
    /// It says that there is no lock.
    Unlocked,
    /// It says that there is this one.
    Locked(Lock),
}

/// How what a run writes into a store is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockPolicy {
    /// How firmly.
    pub mode: LockMode,
    /// Days that a payload, and what opens it, stays locked from the beginning of its upload.
    pub days: u32,
    /// Days that everything else stays locked: manifests, signatures, policies, instructions.
    /// They are small, and the proof of what there was.
    pub manifest_days: u32,
}

impl LockPolicy {
    /// The longest lock that can be asked for, in days: a hundred years.
    pub const MAX_DAYS: u32 = 36_500;

    /// Days of manifests where the configuration does not say: a year and a month.
    pub const MANIFEST_DAYS: u32 = 400;

    /// The lock for a payload that is written now.
    pub fn for_payload(&self, now: UtcTime) -> Lock {
        self.lasting(self.days, now)
    }

    /// The lock for documents that are written now.
    pub fn for_documents(&self, now: UtcTime) -> Lock {
        self.lasting(self.manifest_days, now)
    }

    /// By this host's clock: where it is off the store's by more than minutes, no request is
    /// answered at all.
    fn lasting(&self, days: u32, now: UtcTime) -> Lock {
        Lock {
            mode: self.mode,
            until: now.plus(i64::from(days) * DAY),
        }
    }
}

/// What a manifest says of the lock on a payload's copy: what the store told when it was asked,
/// after the upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRecord {
    /// How firm it is; null where the store told no lock, or nothing.
    pub mode: Option<LockMode>,
    /// Until when it holds; null with `mode`.
    pub retain_until: Option<UtcTime>,
    /// When the store was asked; null where it did not say whether there is a lock.
    pub read_back_at: Option<UtcTime>,
    /// What the last try to break a lock in this store found; null where none was made.
    pub probe: Option<ProbeRecord>,
}

impl LockRecord {
    /// What was read back at `now`, without a probe.
    pub fn read_back(state: LockState, now: UtcTime) -> Self {
        let lock = match state {
            LockState::Locked(lock) => Some(lock),
            LockState::Unlocked | LockState::Unknown => None,
        };
        Self {
            mode: lock.map(|lock| lock.mode),
            retain_until: lock.map(|lock| lock.until),
            read_back_at: (state != LockState::Unknown).then_some(now),
            probe: None,
        }
    }

    /// What the record says the store said.
    pub fn state(&self) -> LockState {
        match (self.mode, self.retain_until, self.read_back_at) {
            (Some(mode), Some(until), Some(_)) => LockState::Locked(Lock { mode, until }),
            (None, None, Some(_)) => LockState::Unlocked,
            _ => LockState::Unknown,
        }
    }
}

/// What came of the last try to break a lock in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRecord {
    /// When it was tried.
    pub at: UtcTime,
    /// What was found.
    pub result: LockVerdict,
}

/// Whether a store keeps to its locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockVerdict {
    /// Every try to get rid of a locked version was refused, and it was still there.
    Enforced,
    /// At least one try succeeded.
    NotEnforced,
    /// Not everything could be tried.
    Unknown,
}

impl fmt::Display for LockVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Enforced => "enforced",
            Self::NotEnforced => "not enforced",
            Self::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(mode: LockMode, until: i64) -> Lock {
        Lock {
            mode,
            until: UtcTime::from_unix(until),
        }
    }

    #[test]
    fn weaker_lock_is_of_a_softer_mode_or_ends_sooner() {
        use LockMode::{Compliance, Governance};
        let asked = lock(Compliance, 100);
        assert!(lock(Compliance, 100).is_at_least(&asked));
        assert!(lock(Compliance, 101).is_at_least(&asked));
        assert!(!lock(Compliance, 99).is_at_least(&asked));
        assert!(!lock(Governance, 200).is_at_least(&asked));
        assert!(lock(Compliance, 100).is_at_least(&lock(Governance, 100)));
    }

    #[test]
    fn documents_stay_longer_than_payloads() {
        let policy = LockPolicy {
            mode: LockMode::Compliance,
            days: 30,
            manifest_days: 400,
        };
        let now = UtcTime::from_unix(1_000_000);
        assert_eq!(policy.for_payload(now).until, now.plus(30 * 86_400));
        assert_eq!(policy.for_documents(now).until, now.plus(400 * 86_400));
    }

    #[test]
    fn record_tells_unlocked_from_unknown() {
        let now = UtcTime::from_unix(1_000_000);
        for state in [
            LockState::Unknown,
            LockState::Unlocked,
            LockState::Locked(lock(LockMode::Governance, 2_000_000)),
        ] {
            assert_eq!(LockRecord::read_back(state, now).state(), state);
        }
    }

    #[test]
    fn record_reads_as_it_is_written() {
        let record = LockRecord {
            probe: Some(ProbeRecord {
                at: UtcTime::from_unix(1_700_000_000),
                result: LockVerdict::NotEnforced,
            }),
            ..LockRecord::read_back(
                LockState::Locked(lock(LockMode::Compliance, 1_800_000_000)),
                UtcTime::from_unix(1_700_000_001),
            )
        };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(
            text,
            r#"{"mode":"compliance","retain_until":"2027-01-15T08:00:00Z","read_back_at":"2023-11-14T22:13:21Z","probe":{"at":"2023-11-14T22:13:20Z","result":"not-enforced"}}"#
        );
        assert_eq!(serde_json::from_str::<LockRecord>(&text).unwrap(), record);
    }
}
