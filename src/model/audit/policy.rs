//! What an audit demands: a file of `policies/`. Not to be confused with the policy *object* of a
//! store ([`crate::model::policy`]), which says who is in force.
//!
//! Each table is a rule; one that is left out is off, and the report says so. Signatures and the
//! chain have no switch.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use super::drill_demands::DrillDemands;
use super::span::Span;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::{CustodianName, SignerName, StoreName};
use crate::base::text::printable;
use crate::model::lock::LockMode;
use crate::model::manifest::CustodyMode;
use crate::model::proof::Level;
use crate::model::recipients::Recipients;
use crate::model::suggest::UnknownKey;

/// The only version of the file that this release reads.
pub const VERSION: i64 = 1;

/// Largest policy file that is read, in bytes.
pub const MAX_BYTES: usize = 256 << 10;

/// What an audit demands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPolicy {
    /// How old the newest escrow may be.
    pub freshness: Option<FreshnessDemand>,
    /// What has to be known from before.
    pub mark: Option<MarkDemand>,
    /// What others must have seen.
    pub witness: Option<WitnessDemand>,
    /// Whose keys may sign.
    pub signers: Option<SignersDemand>,
    /// Stores that have to hold every escrow.
    pub stores: Vec<StoreDemand>,
    /// How many parts are read and hashed.
    pub parts: Option<PartsDemand>,
    /// To whom escrows are sealed.
    pub custody: Option<CustodyDemand>,
    /// How recently custodians must have shown that they can open them.
    pub checkins: Option<CheckinsDemand>,
    /// Which Databasus it is.
    pub instance: Option<InstanceDemand>,
    /// How far the key must be proven.
    pub proof: Option<ProofDemand>,
    /// What a drill has to bring back, and how recently one must have.
    pub drill: Option<DrillDemands>,
    /// Databasus' own backup chains, which have to reach the present.
    pub backups: Vec<BackupsDemand>,
    /// How far clocks may differ.
    pub clock: Option<ClockDemand>,
}

/// `[freshness]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreshnessDemand {
    /// Of the newest escrow, counted from the moment at which its copy began.
    pub max_age: Option<Span>,
    /// Whether the date that the newest manifest promises for the next escrow must not have
    /// passed.
    #[serde(default = "yes")]
    pub next_due: bool,
}

/// `[mark]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkDemand {
    /// Whether the first contact, which nothing protects against a rollback, is no pass.
    #[serde(default = "yes")]
    pub required: bool,
}

/// `[witness]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessDemand {
    /// So many signers must have seen the chain.
    #[serde(default = "one", deserialize_with = "at_least_one")]
    pub at_least: u32,
    /// When they last did.
    pub max_age: Span,
    /// Those who count; empty: everybody who may sign as a witness.
    #[serde(default)]
    pub by: Vec<SignerName>,
}

/// `[signers]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignersDemand {
    /// Fingerprints of the keys that may have signed the newest manifests.
    pub keys: Vec<Fingerprint>,
}

/// `[[store]]`: one that has to hold every escrow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreDemand {
    /// Its name, as the configuration or `--store` gives it.
    pub name: StoreName,
    /// How it must keep the newest escrow from being deleted.
    pub lock: Option<LockDemand>,
}

/// `[store.lock]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockDemand {
    /// At least so firm.
    pub mode: LockMode,
    /// The newest escrow stays locked for so long from now on.
    pub remaining: Span,
    /// When somebody last tried in vain to break a lock there (`doctor lock-probe`).
    pub probe_max_age: Option<Span>,
}

/// `[parts]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartsDemand {
    /// So many parts, chosen unpredictably over escrows and stores.
    #[serde(default)]
    pub sample: u32,
    /// All of them.
    #[serde(default)]
    pub full: bool,
}

/// `[custody]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustodyDemand {
    /// Each alone, or several together.
    pub mode: CustodyMode,
    /// How many together; at least.
    pub k: Option<u32>,
    /// A recipients file, by its path from the policy's folder.
    pub recipients_file: Option<PathBuf>,
    /// The same by names and fingerprints; what the file names is added.
    #[serde(default, rename = "recipient")]
    pub recipients: Vec<NamedRecipient>,
}

/// A custodian's recipient.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedRecipient {
    /// Who holds the identity.
    pub custodian: CustodianName,
    /// As `custody status` shows it.
    pub fingerprint: Fingerprint,
}

/// `[checkins]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckinsDemand {
    /// An older proof is remarked on.
    pub warn: Option<Span>,
    /// An older proof fails.
    pub fail: Span,
}

/// `[instance]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InstanceDemand {
    /// Ids of `secret.key` that are known; needed once it was changed.
    pub secret_key_ids: Vec<String>,
    /// PostgreSQL's system identifiers that are known; needed once it was changed.
    pub system_identifiers: Vec<String>,
    /// Manifests of escrows at which the cluster is known to have been set back.
    pub set_backs: Vec<u64>,
}

/// `[proof]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofDemand {
    /// Of the newest escrow.
    #[serde(deserialize_with = "proof_level")]
    pub min_level: Level,
}

/// `[[backups]]`: backup chains of clusters in a storage of Databasus.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupsDemand {
    /// Which storage, as `--backups` names it.
    pub storage: StoreName,
    /// The cluster, by its name or its id in Databasus; none: every one that is there.
    pub cluster: Option<String>,
    /// How long ago the newest WAL segment may have been stored.
    pub max_wal_age: Option<Span>,
    /// How long ago the newest base backup may have been stored.
    pub max_base_age: Option<Span>,
    /// Whether points in time that no chain reaches any more, with a later chain behind them, are
    /// remarked on only.
    #[serde(default)]
    pub allow_gaps: bool,
}

/// `[clock]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockDemand {
    /// Between the date that the newest manifest bears and the one at which a store got it.
    pub max_skew: Span,
}

/// A policy that cannot be used, and where.
#[derive(Debug)]
pub struct AuditPolicyError {
    /// Counted from 1; none where something is missing altogether.
    pub line: Option<usize>,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a policy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not TOML, a missing key, or a value of the wrong type or range.
    #[error("{0}")]
    Value(String),
    /// A key that nothing reads.
    #[error("{0}")]
    UnknownKey(UnknownKey),
    /// Another version of the format.
    #[error("version {0} is not one this release reads; it reads version {VERSION}")]
    Version(i64),
    /// A store stands twice.
    #[error("store {0} stands twice")]
    RepeatedStore(StoreName),
    /// How many custodians it takes is said in one mode only.
    #[error("[custody] needs `k` of 2 or more in mode \"k-of-n\", and none in mode \"any\"")]
    Custody,
    /// A warning that comes after the failure never comes.
    #[error("[checkins] `warn` must be shorter than `fail`")]
    Checkins,
    /// Nothing would be read.
    #[error("[parts] needs `sample` of 1 or more, or `full = true`")]
    Parts,
    /// Nothing is demanded.
    #[error("the policy demands nothing; name at least one rule")]
    Nothing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "version")]
    _version: i64,
    freshness: Option<FreshnessDemand>,
    mark: Option<MarkDemand>,
    witness: Option<WitnessDemand>,
    signers: Option<SignersDemand>,
    #[serde(default, rename = "store")]
    stores: Vec<StoreDemand>,
    parts: Option<PartsDemand>,
    custody: Option<CustodyDemand>,
    checkins: Option<CheckinsDemand>,
    instance: Option<InstanceDemand>,
    proof: Option<ProofDemand>,
    drill: Option<DrillDemands>,
    #[serde(default)]
    backups: Vec<BackupsDemand>,
    clock: Option<ClockDemand>,
}

/// What stands in every version of the file.
#[derive(Deserialize)]
struct AnyVersion {
    version: Option<i64>,
}

impl AuditPolicy {
    /// Reads a policy file. A recipients file that it names is for the caller to read, see
    /// [`AuditPolicy::add_recipients`].
    pub fn parse(text: &str) -> Result<Self, AuditPolicyError> {
        let any: AnyVersion = toml::from_str(text).map_err(|error| refused(text, &error))?;
        if let Some(version) = any.version.filter(|version| *version != VERSION) {
            return Err(Problem::Version(version).into());
        }
        let document: Document = toml::from_str(text).map_err(|error| refused(text, &error))?;
        let policy = Self::from(document);
        policy.check()?;
        Ok(policy)
    }

    /// Takes in what a recipients file names that the policy refers to.
    pub fn add_recipients(&mut self, file: &Recipients) {
        if let Some(custody) = &mut self.custody {
            custody
                .recipients
                .extend(file.iter().map(|spec| NamedRecipient {
                    custodian: spec.custodian.clone(),
                    fingerprint: spec.fingerprint,
                }));
        }
    }

    /// The file of recipients that the policy refers to.
    pub fn recipients_file(&self) -> Option<&PathBuf> {
        self.custody.as_ref()?.recipients_file.as_ref()
    }

    fn check(&self) -> Result<(), Problem> {
        if *self == Self::default() {
            return Err(Problem::Nothing);
        }
        for (at, store) in self.stores.iter().enumerate() {
            if self
                .stores
                .iter()
                .skip(at + 1)
                .any(|other| other.name == store.name)
            {
                return Err(Problem::RepeatedStore(store.name.clone()));
            }
        }
        if self
            .parts
            .is_some_and(|parts| parts.sample == 0 && !parts.full)
        {
            return Err(Problem::Parts);
        }
        if self
            .checkins
            .is_some_and(|ages| ages.warn.is_some_and(|warn| warn >= ages.fail))
        {
            return Err(Problem::Checkins);
        }
        let fits = |custody: &CustodyDemand| match custody.mode {
            CustodyMode::Any => custody.k.is_none(),
            CustodyMode::KOfN => custody.k.is_some_and(|k| k >= 2),
        };
        match self.custody.as_ref().is_none_or(fits) {
            true => Ok(()),
            false => Err(Problem::Custody),
        }
    }
}

impl From<Document> for AuditPolicy {
    fn from(document: Document) -> Self {
        Self {
            freshness: document.freshness,
            mark: document.mark,
            witness: document.witness,
            signers: document.signers,
            stores: document.stores,
            parts: document.parts,
            custody: document.custody,
            checkins: document.checkins,
            instance: document.instance,
            proof: document.proof,
            drill: document.drill,
            backups: document.backups,
            clock: document.clock,
        }
    }
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = u32::deserialize(deserializer)?;
    let some = (number > 0).then_some(number);
    some.ok_or_else(|| serde::de::Error::custom("at_least must be 1 or more"))
}

fn proof_level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Level, D::Error> {
    let number = i64::deserialize(deserializer)?;
    Level::try_from(number).map_err(serde::de::Error::custom)
}

fn refused(text: &str, error: &toml::de::Error) -> AuditPolicyError {
    let problem = match UnknownKey::from_serde(error.message()) {
        Some(unknown) => Problem::UnknownKey(unknown),
        None => Problem::Value(printable(&error.message().replace('\n', ", ")).into_owned()),
    };
    let line = error.span().map(|Range { start, .. }| {
        let before = text.as_bytes().get(..start).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    });
    AuditPolicyError { line, problem }
}

impl From<Problem> for AuditPolicyError {
    fn from(problem: Problem) -> Self {
        Self {
            line: None,
            problem,
        }
    }
}

impl fmt::Display for AuditPolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for AuditPolicyError {}

#[cfg(test)]
mod tests;
