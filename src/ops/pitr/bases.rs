//! The base backups of a plan as directories: full and incremental ones, each file compared with
//! the backup's own manifest.
//!
//! What a native backup has to hold is known before it is fetched: its manifest lies beside it,
//! and is the first thing that is read. A base of `WAL_V1` carries its manifest at its end.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::file_error::{FileError, failed};
use crate::base::parallel::for_each;
use crate::base::text::printable;
use crate::databasus::backup_chain::facts::Base;
use crate::databasus::backup_chain::plan::Plan;
use crate::databasus::objects::name::{Piece, Role};
use crate::postgres::backup_manifest::{ManifestError, Mismatch, WalRange};
use crate::postgres::control_file::ControlFile;
use crate::target::behind::Syncs;
use crate::target::ownership::{POSTGRES, give};

use super::fault::Fault;
use super::open::{OpenError, Storage};

mod combine;
mod contents;
mod damage;
mod extract;
mod manifests;
mod origin;
mod room;

pub use combine::{CombineBasesError, combine};
pub use damage::Damage;
pub use room::{DiskNeed, Replayed};

use extract::Source;
use manifests::Manifest;

/// Bases that are worked on at a time: while a full one is fetched, the incremental ones follow
/// each other beside it. Each takes some 40 MiB for what is fetched ahead, 3 MiB for each thread
/// that decrypts, up to 32 MiB of a zstd window, and its parsed manifest.
const AT_ONCE: usize = 2;

/// The base backups of a plan. Their manifests have been read, and belong to them.
pub struct Bases<'a> {
    storage: Storage<'a>,
    plan: &'a Plan,
    planned: Vec<Planned<'a>>,
    need: room::Need,
}

/// One of them.
struct Planned<'a> {
    base: &'a Base,
    /// Its object's.
    name: String,
    /// Where it goes below the staged directory.
    folder: String,
    /// None where it is in the tar.
    manifest: Option<Manifest>,
}

/// A base backup that lies in a directory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtractedBase {
    /// Its object's name.
    pub name: String,
    /// The directory.
    pub folder: PathBuf,
    /// Stored bytes that were fetched, its manifest included.
    pub fetched: u64,
    /// Bytes of files that were written.
    pub written: u64,
    /// How many files.
    pub files: u64,
    /// The WAL that its replay needs, by its manifest.
    pub wal: Vec<WalRange>,
    /// What it says of its cluster, its system identifier among it.
    pub control: ControlFile,
    /// The major release, by its `PG_VERSION`.
    pub pg_major: u32,
}

/// The base backups of a plan did not become directories.
#[derive(Debug, thiserror::Error)]
pub enum BasesError {
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// One of them, or its manifest, does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The object beside it is missing.
    #[error("{} has no .manifest beside it: nothing tells what belongs to it", printable(.0))]
    NoManifest(String),
    /// A manifest is damaged.
    #[error("the manifest of {} cannot be relied on", printable(.name))]
    Manifest {
        /// The base's object.
        name: String,
        /// Why not.
        #[source]
        source: ManifestError,
    },
    /// A base is not what its manifest or its sidecar says.
    #[error("{} is not what it should be", printable(.name))]
    Mismatch {
        /// Its object.
        name: String,
        /// In what.
        #[source]
        source: Mismatch,
    },
    /// A base has tablespaces, which Databasus refuses to back up.
    #[error("{} has tablespaces, which cannot be restored: {which}", printable(.name))]
    Tablespaces {
        /// Its object.
        name: String,
        /// Which, printable.
        which: String,
    },
    /// The stream of a base broke off or is damaged.
    #[error("cannot read {} to its end", printable(.name))]
    Read {
        /// Its object.
        name: String,
        /// Why; wraps a `BackupFileError` or a `BackupObjectError`.
        #[source]
        source: io::Error,
    },
    /// What came out of the stream is no base backup.
    #[error("{} is damaged", printable(.name))]
    Damaged {
        /// Its object.
        name: String,
        /// How.
        #[source]
        source: Damage,
    },
    /// The disk is full.
    #[error("there is no room left for {}", printable(.name))]
    NoRoom {
        /// Its object.
        name: String,
        /// What could not be written.
        #[source]
        source: FileError,
    },
    /// Something could not be written.
    #[error(transparent)]
    Write(FileError),
}

impl BasesError {
    /// What it says of what is stored.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Open(error) => error.fault(),
            Self::Read { source, .. } => Fault::of_reading(source),
            Self::NoManifest(_)
            | Self::Manifest { .. }
            | Self::Mismatch { .. }
            | Self::Tablespaces { .. }
            | Self::Damaged { .. } => Fault::Damaged,
            Self::Interrupted(_) | Self::NoRoom { .. } | Self::Write(_) => Fault::Elsewhere,
        }
    }

    /// Of a failed write for the base called `name`.
    fn writing(name: &str, source: FileError) -> Self {
        match source.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoRoom {
                name: name.to_owned(),
                source,
            },
            _ => Self::Write(source),
        }
    }
}

/// What ends the work on a base before its own end.
#[derive(Clone, Copy)]
struct Halt<'a> {
    cancel: &'a Cancel,
    /// Another base failed.
    failed: &'a AtomicBool,
}

impl Halt<'_> {
    fn check_io(&self) -> io::Result<()> {
        if self.failed.load(Ordering::Relaxed) {
            return Err(io::Error::other("another base backup failed"));
        }
        self.cancel.check_io()
    }
}

impl<'a> Bases<'a> {
    /// Fetches the manifests that lie beside the bases, and refuses what they already tell to
    /// be useless: damaged ones, those of other backups, tablespaces.
    pub fn look(storage: Storage<'a>, plan: &'a Plan, cancel: &Cancel) -> Result<Self, BasesError> {
        let mut planned = Vec::new();
        let mut need = room::Need::default();
        for (number, base) in plan.bases().enumerate() {
            cancel.check()?;
            let name = base.stored.group.name.object(Role::Content(Piece::Whole));
            let manifest = Manifest::beside(storage, plan, base, &name)?;
            need.add(
                plan,
                base,
                manifest.as_ref().map(|(raw, read)| (raw.size(), read)),
            );
            planned.push(Planned {
                base,
                name,
                folder: folder(number),
                manifest: manifest.map(|(raw, _)| raw),
            });
        }
        Ok(Self {
            storage,
            plan,
            planned,
            need,
        })
    }

    /// What the bases, the cluster made of them and its replay take on disk.
    pub fn needed(&self, replayed: Replayed) -> DiskNeed {
        self.need.total(self.plan, replayed)
    }

    /// Stored bytes to fetch, as they were listed; what [`Bases::extract`] reports its progress
    /// in.
    pub fn to_fetch(&self) -> u64 {
        let sizes = self
            .planned
            .iter()
            .map(|planned| content_size(planned.base));
        sizes.sum()
    }

    /// Makes a directory of each base below `staged`, which is for this alone: `full`, then
    /// `incr-1` and so on. As root, they and `staged` itself are given to the user whom images
    /// of PostgreSQL run it as. `threads` decrypt each base; `progress` is told how many bytes
    /// were read since it was last called.
    ///
    /// Nothing is removed after a failure: `staged` is of no use then.
    pub fn extract(
        &self,
        staged: &Path,
        threads: usize,
        cancel: &Cancel,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<ExtractedBase>, BasesError> {
        let root = File::open(staged).and_then(|root| give(&root, POSTGRES));
        root.map_err(|error| BasesError::Write(failed("give away", staged)(error)))?;
        let another_failed = AtomicBool::new(false);
        let halt = Halt {
            cancel,
            failed: &another_failed,
        };
        let syncs = match self.planned.len() {
            1 => Syncs::Early,
            // What is combined is removed.
            _ => Syncs::Never,
        };
        let job = |index: usize| {
            let planned = self.planned.get(index)?;
            let source = Source {
                storage: self.storage,
                threads,
                halt,
                progress,
            };
            Some(extract::extract(planned, self.plan, staged, syncs, &source))
        };
        let mut done = Vec::new();
        let mut failure = None;
        for_each(self.planned.len(), AT_ONCE, job, |index, result| {
            match result {
                Some(Ok(base)) => done.push((index, base)),
                Some(Err(error)) => {
                    another_failed.store(true, Ordering::Relaxed);
                    failure = Some(error);
                    return ControlFlow::Break(());
                }
                None => {}
            }
            ControlFlow::Continue(())
        });
        cancel.check()?;
        if let Some(error) = failure {
            return Err(error);
        }
        done.sort_by_key(|(index, _)| *index);
        Ok(done.into_iter().map(|(_, base)| base).collect())
    }
}

/// `full`, `incr-1`, `incr-2` …
fn folder(number: usize) -> String {
    match number {
        0 => "full".to_owned(),
        number => format!("incr-{number}"),
    }
}

fn content_size(base: &Base) -> u64 {
    base.stored.group.content.size().unwrap_or(0)
}
