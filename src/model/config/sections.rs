//! The smaller sections of `escrow.toml` and their defaults.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use crate::base::names::SignerName;
use crate::model::proof::Level;
use crate::model::retention::Rules;

/// What this box signs with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// An OpenSSH private key.
    pub key_file: PathBuf,
    /// Its principal in `allowed_signers`.
    pub signer: SignerName,
}

/// Whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// OpenSSH's format, read strictly.
    pub allowed_signers: PathBuf,
}

impl Default for Trust {
    fn default() -> Self {
        let allowed_signers = PathBuf::from("policies/allowed_signers");
        Self { allowed_signers }
    }
}

/// Who can open what is sealed here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipients {
    /// The custodians and their age recipients.
    pub file: PathBuf,
}

impl Default for Recipients {
    fn default() -> Self {
        let file = PathBuf::from("policies/recipients.toml");
        Self { file }
    }
}

/// How many custodians it takes to open an escrow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Custody {
    /// As many together; without it each of them alone. Whether the recipients file has as many
    /// is for [`crate::model::quorum::Quorum`] to say.
    pub k: Option<u32>,
}

/// What has to outlive a run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// A folder on a persistent volume.
    pub dir: PathBuf,
}

impl Default for State {
    fn default() -> Self {
        let dir = PathBuf::from("state");
        Self { dir }
    }
}

/// When the next escrow is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Hours between snapshots, 1 to 8760.
    #[serde(deserialize_with = "hours_between")]
    pub every_hours: u32,
    /// Hours a snapshot may be late, 0 to 8760.
    #[serde(deserialize_with = "hours_late")]
    pub grace_hours: u32,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            every_hours: 24,
            grace_hours: 2,
        }
    }
}

/// A year: a manifest that promises the next one later than that promises nothing.
const MOST_HOURS: i64 = 8_760;

fn hours_between<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    in_range(deserializer, 1, MOST_HOURS, "every_hours must be 1 to 8760")
}

fn hours_late<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    in_range(deserializer, 0, MOST_HOURS, "grace_hours must be 0 to 8760")
}

/// How hard payloads are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compression {
    /// Of zstd, 1 to 19; beyond lie the levels that zstd itself calls ultra.
    #[serde(deserialize_with = "zstd_level")]
    pub level: i32,
}

impl Default for Compression {
    fn default() -> Self {
        Self { level: 3 }
    }
}

fn zstd_level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    in_range(deserializer, 1, 19, "level must be 1 to 19")
}

fn in_range<'de, D: Deserializer<'de>, N: TryFrom<i64>>(
    deserializer: D,
    least: i64,
    most: i64,
    rule: &str,
) -> Result<N, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let narrow = N::try_from(number).ok();
    let found = narrow.filter(|_| (least..=most).contains(&number));
    found.ok_or_else(|| serde::de::Error::custom(rule))
}

/// How far it is proven at each snapshot that the key opens the instance's backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proof {
    /// The highest level that is tried.
    #[serde(deserialize_with = "proof_level")]
    pub level: Level,
}

impl Default for Proof {
    fn default() -> Self {
        Self {
            level: Level::FirstChunks,
        }
    }
}

fn proof_level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Level, D::Error> {
    let number = i64::deserialize(deserializer)?;
    Level::try_from(number).map_err(serde::de::Error::custom)
}

/// Which escrows `prune` keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// One for each of so many days.
    #[serde(deserialize_with = "slots")]
    pub daily: u32,
    /// One for each of so many weeks.
    #[serde(deserialize_with = "slots")]
    pub weekly: u32,
    /// One for each of so many months.
    #[serde(deserialize_with = "slots")]
    pub monthly: u32,
    /// So many at least.
    #[serde(deserialize_with = "floor")]
    pub floor: u32,
}

impl Default for Retention {
    fn default() -> Self {
        let rules = Rules::default();
        Self {
            daily: rules.daily,
            weekly: rules.weekly,
            monthly: rules.monthly,
            floor: rules.floor,
        }
    }
}

impl Retention {
    /// As they are planned with.
    pub fn rules(&self) -> Rules {
        let Self {
            daily,
            weekly,
            monthly,
            floor,
        } = *self;
        Rules {
            daily,
            weekly,
            monthly,
            floor,
        }
    }
}

fn slots<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    in_range(deserializer, 0, 9_999, "must be 0 to 9999")
}

fn floor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    in_range(deserializer, 1, 9_999, "floor must be 1 to 9999")
}

/// How escrows are opened on this box.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// An age identity.
    pub identity_file: PathBuf,
}
