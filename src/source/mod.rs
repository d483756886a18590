//! Floor 3: where a snapshot comes from. The source is only ever read.

pub mod auto;
pub mod catalogue;
pub mod cold;
pub mod data_dir;
pub mod frozen;
pub mod online;
pub mod pgdata;
pub mod tree;

use std::io::Read;

use crate::base::time::UtcTime;
use crate::postgres::wire::Connection;

pub use crate::model::method::Method;

/// One entry of the data directory on its way into the payload.
pub struct SourceEntry<'a> {
    /// Relative to the data directory, `/`-separated: `pgdata/base/1/1259`.
    pub path: String,
    /// Permission bits (`0o600`).
    pub mode: u32,
    /// What it is.
    pub content: SourceContent<'a>,
}

/// What an entry holds.
pub enum SourceContent<'a> {
    /// A directory.
    Directory,
    /// A file of exactly `size` bytes.
    File {
        /// In bytes.
        size: u64,
        /// Its content; must yield exactly `size` bytes.
        reader: &'a mut dyn Read,
    },
}

/// Receives the entries of a snapshot, one after the other.
pub trait EntrySink {
    /// Takes one entry; an error stops the snapshot.
    fn entry(&mut self, entry: SourceEntry<'_>) -> Result<EntryReceipt, SinkError>;
}

/// What the sink made of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryReceipt {
    /// SHA-256 of a file's content; of nothing for a directory.
    pub sha256: crate::base::digest::Digest,
}

/// The sink could not take an entry: the payload's own end failed, or the entry's reader did.
#[derive(Debug, thiserror::Error)]
#[error("cannot seal {path}")]
pub struct SinkError {
    /// The entry's path.
    pub path: String,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// The part of the manifest's `source` field that the source itself knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgFacts {
    /// `17.10`, or the major alone where nothing but files was there to look at.
    pub pg_version: String,
    /// From `pg_control`.
    pub system_identifier: u64,
    /// Timeline of the checkpoint the copy starts from.
    pub timeline: u32,
    /// Where replay starts.
    pub start_lsn: Option<String>,
    /// Where replay is consistent; unknown for a crash-consistent copy.
    pub stop_lsn: Option<String>,
    /// Whether data checksums are on.
    pub data_checksums: bool,
    /// When the copy began.
    pub snapshot_at: UtcTime,
}

pub use crate::model::index::Catalogue;

/// A PostgreSQL data directory that can be copied consistently.
///
/// Calls come in the order `begin`, `catalogue`, `copy_pgdata`, `catalogue`, `copy_logical`,
/// `finish`; `finish` comes in every case, after failures and interruptions too.
pub trait Source {
    /// How the copy is made consistent.
    fn method(&self) -> Method;

    /// The data directory as this host sees it: where `secret.key` lies.
    fn data_dir(&self) -> &std::path::Path;

    /// Connects, or proves that the server is stopped, and refuses what must not be
    /// snapshotted. Returns an estimate of the size of `pgdata` in bytes.
    fn begin(&mut self) -> Result<u64, SourceError>;

    /// What the metadata database says of itself; none where no server answers.
    fn catalogue(&mut self) -> Result<Option<Catalogue>, SourceError>;

    /// A session with the metadata database, to look at; none where no server answers.
    fn metadata_session(&mut self) -> Option<&mut Connection> {
        None
    }

    /// Copies `pgdata`, directories before what they hold, `pgdata/backup_manifest` last where
    /// there is one.
    fn copy_pgdata(&mut self, sink: &mut dyn EntrySink) -> Result<PgFacts, SourceError>;

    /// Streams a logical copy (`pg_dump -Fc`) to `consume`; false where none can be made, with
    /// the reason left in the log.
    fn copy_logical(
        &mut self,
        consume: &mut dyn FnMut(&mut dyn Read) -> Result<(), SinkError>,
    ) -> Result<bool, SourceError>;

    /// Lets go of everything taken from the source: connections, slots, a frozen tree.
    fn finish(&mut self) -> Result<(), SourceError>;
}

/// The source could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] crate::base::cancel::Interrupted),
    /// The payload could not take what was read.
    #[error("the payload could not take an entry")]
    Sink(#[from] SinkError),
    /// The running server could not be reached, or failed.
    #[error(transparent)]
    Postgres(crate::postgres::wire::PgError),
    /// `BASE_BACKUP` as this tool needs it came with version 15.
    #[error("PostgreSQL {0} is too old for an online snapshot; 15 or later is needed")]
    TooOld(String),
    /// A standby's copy would not be the instance's own.
    #[error("the PostgreSQL server is in recovery, so it is not a running Databasus' own")]
    InRecovery,
    /// A rehydrated clone must never be taken for production.
    #[error("the metadata database holds the schema escrow_fence: it is a rehydrated clone")]
    Clone,
    /// Nor by its files.
    #[error("{} is there: the data directory is a rehydrated clone", .0.display())]
    MarkedClone(std::path::PathBuf),
    /// PostgreSQL's backup manifest is of no use.
    #[error(transparent)]
    BackupManifest(#[from] crate::postgres::backup_manifest::ManifestError),
    /// What arrived is not what PostgreSQL says it sent.
    #[error(transparent)]
    Mismatch(#[from] crate::postgres::backup_manifest::Mismatch),
    /// The logical copy failed.
    #[error(transparent)]
    Dump(#[from] crate::postgres::dump::DumpError),
    /// The files cannot be copied as they are, or did not hold still.
    #[error(transparent)]
    Tree(#[from] tree::TreeError),
    /// The directory is no cluster.
    #[error(transparent)]
    Pgdata(#[from] pgdata::PgdataError),
    /// The cluster's control file is unsound.
    #[error(transparent)]
    ControlFile(#[from] crate::postgres::control_file::ControlFileError),
    /// A server works on the files, or nobody can tell.
    #[error("the files cannot be copied while a server may be running")]
    NotStopped(#[from] crate::postgres::stopped::NotStopped),
    /// A frozen tree could not be made or let go.
    #[error(transparent)]
    Frozen(#[from] frozen::FrozenError),
    /// Neither the server nor its files can be copied.
    #[error(transparent)]
    NeitherWay(#[from] auto::NeitherWay),
}

/// Refuses a data directory that is marked as a fenced clone: files alone do not show the schema.
fn refuse_clone(data_dir: &std::path::Path) -> Result<(), SourceError> {
    if crate::databasus::fence::marker::is_marked(data_dir) {
        let marker = data_dir.join(crate::databasus::fence::marker::MARKER);
        return Err(SourceError::MarkedClone(marker));
    }
    Ok(())
}

impl From<crate::postgres::wire::PgError> for SourceError {
    fn from(error: crate::postgres::wire::PgError) -> Self {
        match error {
            crate::postgres::wire::PgError::Interrupted(signal) => Self::Interrupted(signal),
            other => Self::Postgres(other),
        }
    }
}
