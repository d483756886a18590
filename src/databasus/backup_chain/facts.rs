//! What is known of the objects that chains are made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use crate::databasus::objects::group::BackupGroup;
use crate::databasus::objects::name::BackupName;
use crate::databasus::objects::sidecar::Compression;
use crate::postgres::lsn::Lsn;
use crate::postgres::wal_segment::{SegmentName, SegmentSize};

/// All that is known of the physical backups in a storage, in any order.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Full and incremental backups.
    pub bases: Vec<Base>,
    /// WAL.
    pub segments: Vec<Segment>,
    /// History files.
    pub histories: Vec<History>,
    /// Which of them are of no use, and why. They are there, and nothing reaches past them.
    pub spoilt: BTreeMap<BackupName, Spoilt>,
}

/// Why an object that is there is of no use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Spoilt {
    /// None of the keys at hand opens it.
    #[error("no key opens it")]
    NoKey,
    /// It is cut, altered, or not what it says; the words say how.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It holds WAL of another cluster: its system identifier.
    #[error("it is of another cluster, with the system identifier {0}")]
    OtherCluster(u64),
    /// It holds another segment than its name says.
    #[error("it holds segment {0}")]
    OtherSegment(SegmentName),
    /// It holds a segment of another size: in bytes.
    #[error("it is of a cluster with segments of {0} bytes")]
    OtherSize(u64),
}

/// A stored backup, and what it takes to open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its objects, as they were listed.
    pub group: Arc<BackupGroup>,
    /// How its content opens. A manifest beside it has a header of its own, and the same id.
    pub seal: Seal,
}

/// How a stored backup opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// It is not encrypted.
    Plain,
    /// It is encrypted under the id of its row.
    Encrypted {
        /// The row's id.
        id: Uuid,
        /// The place of the key that opens it among those at hand; none where it was not tried.
        key: Option<usize>,
    },
}

/// A full or incremental backup of a whole cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Where it is.
    pub stored: Stored,
    /// Which kind.
    pub kind: BaseKind,
    /// `databases.id`; `WAL_V1` names none.
    pub database: Option<Uuid>,
    /// What its database was called, sanitised as in names of objects, without `-FULL`.
    pub label: String,
    /// Of the cluster; none for one of `WAL_V1` as long as only its beginning was read.
    pub system_identifier: Option<u64>,
    /// The major release, where it is known.
    pub pg_major: Option<u32>,
    /// It was begun on.
    pub timeline: u32,
    /// Where its replay begins.
    pub start: Lsn,
    /// Where it is consistent; none for one of `WAL_V1` as long as only its beginning was read.
    pub stop: Option<Lsn>,
    /// Around its tar.
    pub compression: Compression,
    /// When it was begun.
    pub begun: Timestamp,
    /// When it was stored; none for one of `WAL_V1`.
    pub completed: Option<Timestamp>,
}

/// Kinds of base backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseKind {
    /// A full backup by a release since 3.43, with a manifest beside it.
    Full,
    /// One that holds what changed since another.
    Incremental {
        /// The full backup it stands on in the end.
        root: Uuid,
        /// The incremental one that it stands on; none where that is the full one itself.
        parent: Option<Uuid>,
    },
    /// A full backup by an agent of 3.17 to 3.42, with its manifest inside.
    WalV1,
}

impl Stored {
    /// What its objects are named after.
    pub fn name(&self) -> &BackupName {
        &self.group.name
    }
}

impl Base {
    /// The id of its row.
    pub fn id(&self) -> Option<Uuid> {
        self.stored.group.name.id()
    }
}

/// A WAL segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it is.
    pub stored: Stored,
    /// `databases.id`; `WAL_V1` names none.
    pub database: Option<Uuid>,
    /// What its database was called, where its object's name tells: for `WAL_V1`.
    pub label: Option<String>,
    /// Its timeline and place.
    pub name: SegmentName,
    /// The position of its first byte.
    pub start: Lsn,
    /// Of all segments of its cluster.
    pub size: SegmentSize,
    /// Of its cluster; none where its content was not looked at.
    pub system_identifier: Option<u64>,
    /// The major release that wrote it, where its content was looked at and tells.
    pub pg_major: Option<u32>,
    /// When Databasus had it: no commit in it is later, clocks aside.
    pub received: Option<Timestamp>,
}

impl Segment {
    /// The position behind its last byte.
    pub fn end(&self) -> Lsn {
        Lsn(self.start.0.saturating_add(self.size.bytes()))
    }
}

/// A timeline history file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Where it is.
    pub stored: Stored,
    /// `databases.id`.
    pub database: Uuid,
    /// The timeline whose origin it tells.
    pub timeline: u32,
    /// Where each timeline before it was left, oldest first; none where it was not read.
    pub switches: Option<Vec<Switch>>,
}

/// The end of a timeline, as the history of a later one tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The timeline that was left.
    pub timeline: u32,
    /// Where.
    pub at: Lsn,
}
