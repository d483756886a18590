//! What an audit saw, as plain data.
//!
//! Whatever could not be seen is [`Seen::Unknown`], with the reason. That a fact is missing never
//! reads as a good one: a demand that rests on it is then unknown.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::past::Past;
use crate::base::digest::Digest;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::{CustodianName, EscrowId, SignerName, StoreName};
use crate::base::time::UtcTime;
use crate::model::drill;
use crate::model::finding::Finding;
use crate::model::lock::{Lock, LockState, ProbeRecord};
use crate::model::manifest::Custody;
use crate::model::mark::Mark;
use crate::model::proof::ProofRecord;

/// Something that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen<T> {
    /// What was seen.
    Known(T),
    /// It could not be seen, and why.
    Unknown(String),
}

impl<T> Seen<T> {
    /// Unknown for this reason.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown(why.into())
    }
}

/// How far a run was to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// At everything.
    Full,
    /// At the newest manifest alone, in few requests: what monitoring asks every few minutes.
    Head,
}

/// Everything that an audit rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// How far it was to be looked.
    pub scope: Scope,
    /// When it was looked.
    pub now: UtcTime,
    /// The chain of manifests, each verified.
    pub chain: Seen<ChainFacts>,
    /// Known where the chain holds the newest manifest that was known before.
    pub reached: Seen<()>,
    /// What became of earlier nights, and who could open their escrows.
    pub past: Seen<Past>,
    /// Payloads in each store, by what a listing told.
    pub copies: BTreeMap<StoreName, Seen<CopiesSeen>>,
    /// Parts that were read and hashed, in each store.
    pub parts: BTreeMap<StoreName, Seen<PartsSeen>>,
    /// Locks on the newest escrow, in each store.
    pub locks: BTreeMap<StoreName, Seen<LocksSeen>>,
    /// Recorded locks that do not hold any more, or could not be asked for.
    pub weakened: Seen<Vec<Finding>>,
    /// To whom the newest escrow is sealed, as its manifest says.
    pub custody: Seen<CustodySeen>,
    /// The newest escrow's age header, as a store gave it.
    pub header: Seen<HeaderSeen>,
    /// Unlock files and canaries of the newest escrow that are not as signed.
    pub custody_objects: Seen<Vec<Finding>>,
    /// When custodians last showed that they can open what is sealed to them.
    pub checkins: Seen<CheckinsSeen>,
    /// What others have seen of the chain.
    pub witnesses: Seen<WitnessesSeen>,
    /// Drills, of which reports are stored.
    pub drills: Seen<DrillsSeen>,
    /// Clusters of which each storage of Databasus holds backups.
    pub backups: BTreeMap<StoreName, Seen<BackupsSeen>>,
    /// By how many seconds each store's clock was ahead of the signer's when it got the newest
    /// manifest.
    pub clocks: BTreeMap<StoreName, Seen<i64>>,
}

/// What the chain of manifests tells. All of it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFacts {
    /// The newest manifest that was known before; none at first contact.
    pub mark: Option<Mark>,
    /// Whether every store answered, and gave what it had listed.
    pub is_complete: bool,
    /// How many manifests have a good signature. Of [`Scope::Head`] those that were looked at.
    pub verified: usize,
    /// What was found about the chain.
    pub findings: Vec<Finding>,
    /// The newest manifest.
    pub head: Option<HeadSeen>,
    /// The newest escrow, if there is any.
    pub newest: Seen<Option<EscrowSeen>>,
    /// Every escrow that retention keeps, the oldest first; empty of [`Scope::Head`].
    pub retained: Vec<Retained>,
    /// Every id of `secret.key` that the chain names, with the first manifest that does, in
    /// the order of the chain. One that comes back stands again.
    pub secret_key_ids: Vec<(u64, String)>,
    /// The same of PostgreSQL's system identifiers.
    pub system_identifiers: Vec<(u64, String)>,
    /// Manifests of escrows whose copy begins earlier in the log than that of the escrow before, of
    /// the same cluster.
    pub set_backs: Vec<u64>,
}

/// The newest manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadSeen {
    /// Which.
    pub mark: Mark,
    /// When it was signed.
    pub created_at: UtcTime,
    /// When the next escrow is due.
    pub next_due: UtcTime,
    /// Who signed it.
    pub signer: SignerName,
    /// With which key.
    pub key: Fingerprint,
}

/// The newest escrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscrowSeen {
    /// Which.
    pub id: EscrowId,
    /// Its manifest.
    pub mark: Mark,
    /// When its copy began.
    pub snapshot_at: UtcTime,
    /// With which key it was signed.
    pub key: Fingerprint,
    /// What was proven before it was signed.
    pub proof: Option<ProofRecord>,
}

/// An escrow that has to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    /// Which.
    pub id: EscrowId,
    /// Its place in the chain.
    pub seq: u64,
    /// When its copy began.
    pub snapshot_at: UtcTime,
    /// The lock on each store's copy, as manifests recorded it when they were signed.
    pub recorded_locks: BTreeMap<StoreName, Lock>,
}

/// What a store's listing tells of payloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopiesSeen {
    /// Each of them.
    pub by_escrow: BTreeMap<EscrowId, CopySeen>,
    /// What lies behind a delete, or beneath an overwrite.
    pub hidden: Vec<Finding>,
}

/// What a store's listing tells of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopySeen {
    /// It is there, with the signed size; and with the signed entity tag where the store keeps
    /// one that can be compared.
    AsSigned,
    /// It is not there.
    Missing,
    /// It has another size than was signed.
    OtherSize,
    /// The size is right, the entity tag another one than at the upload.
    OtherTag,
}

/// What reading parts of a store's payloads came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartsSeen {
    /// How many have the signed hash.
    pub whole: usize,
    /// Those that do not.
    pub damaged: Vec<String>,
    /// Those that could not be read.
    pub unread: Vec<String>,
}

/// Locks in a store, on what belongs to the newest escrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocksSeen {
    /// On its payload.
    pub payload: LockState,
    /// On its manifest.
    pub manifest: LockState,
    /// The last try to break a lock there, as the manifest tells of it.
    pub probe: Option<ProbeRecord>,
}

/// To whom an escrow is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustodySeen {
    /// How many of them it takes.
    pub custody: Custody,
    /// Each of them, and a short name for the recipient.
    pub recipients: Vec<(CustodianName, Fingerprint)>,
}

/// The header of the newest escrow's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderSeen {
    /// Whether these bytes are the signed ones.
    pub is_as_signed: bool,
    /// Types of the stanzas in it.
    pub stanzas: Vec<String>,
    /// The type that each recipient should have; none for plugins, whose stanzas have names of
    /// their own.
    pub expected: Vec<Option<&'static str>>,
}

/// Who has shown that they can open escrows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckinsSeen {
    /// Each custodian, and when they last did; none for never.
    pub proven: Vec<(CustodianName, Option<UtcTime>)>,
    /// How many custodians it takes.
    pub takes: usize,
    /// What was found on the way.
    pub findings: Vec<Finding>,
}

/// What signed witnesses say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WitnessesSeen {
    /// The newest good one of each signer.
    pub newest: Vec<WitnessSeen>,
    /// What could not be read, or is not signed by a witness.
    pub findings: Vec<Finding>,
}

/// The head that somebody saw, and signed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessSeen {
    /// Who.
    pub signer: SignerName,
    /// When.
    pub at: UtcTime,
    /// The head.
    pub mark: Mark,
    /// How it fits the chain.
    pub fits: Fit,
}

/// How a head that was seen before fits the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The chain has this manifest.
    Agrees,
    /// The chain has another one in its place.
    Contradicts,
    /// The chain has none in its place.
    Missing,
}

/// What stored drill reports say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrillsSeen {
    /// The newest that is signed by somebody who may.
    pub newest: Option<DrillSeen>,
    /// Some of those before it, the newest first. One that could not be read is left out: nothing
    /// rests on them.
    pub before: Vec<DrillSeen>,
    /// What could not be read, or is not signed.
    pub findings: Vec<Finding>,
}

/// A drill, as its signed report tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillSeen {
    /// When it ended.
    pub ended_at: UtcTime,
    /// Of which escrow.
    pub escrow: EscrowId,
    /// Digest of the report.
    pub sha256: Digest,
    /// By the labels of what came back, the sentinels that held.
    pub held: BTreeMap<String, BTreeSet<String>>,
    /// What it came to.
    pub outcome: drill::Outcome,
    /// The highest level that was reached, and the one that was wanted.
    pub level: drill::LevelReached,
    /// Seconds from the beginning until everything was back, and what its policy allowed.
    pub rto: drill::Measured,
    /// Age in seconds of the oldest of what came back, and what its policy allowed.
    pub rpo: drill::Measured,
}

/// What a storage of Databasus tells of backup chains, without any key: names, dates and sidecars.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupsSeen {
    /// Each cluster.
    pub clusters: Vec<ClusterSeen>,
    /// Objects that could not be read, by their names: what they are is unknown.
    pub unread: Vec<String>,
    /// How many objects have no sidecar, so that only a key tells what they are: WAL and base backups
    /// of releases up to 3.42 among them.
    pub closed: u64,
}

/// A cluster's backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSeen {
    /// For a person: its names, and what tells it from others.
    pub described: String,
    /// All that its database was called, as names of objects write it, and its id.
    pub names: Vec<String>,
    /// When the newest base backup that can be used was stored.
    pub newest_base: Option<UtcTime>,
    /// When the newest WAL segment was stored.
    pub newest_wal: Option<UtcTime>,
    /// The last point in time that a chain reaches, as far as dates tell.
    pub reaches: Option<UtcTime>,
    /// Whether that is all the WAL that there is.
    pub end: ChainEnd,
    /// Holes with a later chain behind them: what is missing.
    pub gaps: Vec<String>,
}

/// Whether the newest WAL can be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainEnd {
    /// A chain reaches its end.
    Reached,
    /// None does, and why.
    Cut(String),
    /// Only a key tells, and why.
    Unknown(String),
}

impl Facts {
    /// Nothing was looked at yet.
    pub fn none(scope: Scope, now: UtcTime) -> Self {
        Self {
            scope,
            now,
            chain: not_yet(),
            reached: not_yet(),
            past: not_yet(),
            copies: BTreeMap::new(),
            parts: BTreeMap::new(),
            locks: BTreeMap::new(),
            weakened: not_yet(),
            custody: not_yet(),
            header: not_yet(),
            custody_objects: not_yet(),
            checkins: not_yet(),
            witnesses: not_yet(),
            drills: not_yet(),
            backups: BTreeMap::new(),
            clocks: BTreeMap::new(),
        }
    }
}

/// How far ahead of the reader's clock a copy may be dated, in seconds.
const FUTURE_TOLERANCE: i64 = 300;

impl EscrowSeen {
    /// For how many seconds its copy has been there. None where that is dated more than five minutes
    /// ahead: how old it is, nobody knows then.
    pub fn age(&self, now: UtcTime) -> Option<u64> {
        let age = now.unix().saturating_sub(self.snapshot_at.unix());
        (age >= -FUTURE_TOLERANCE).then(|| age.max(0).unsigned_abs())
    }
}

fn not_yet<T>() -> Seen<T> {
    Seen::unknown("it was not looked at")
}
