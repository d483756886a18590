//! The order of a rewind: what can be refused is refused first; bases, log and checks follow
//! beside the output, which appears by one rename.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::file_error::FileError;
use crate::base::text;
use crate::databasus::backup_chain::plan::Plan;
use crate::postgres::binaries::Launcher;
use crate::postgres::private_server::Options;
use crate::target::access::{NoAccess, check_access, free_room};
use crate::target::{StagedTarget, TargetError};

use super::bases::{self, Bases, BasesError, CombineBasesError, DiskNeed, Replayed};
use super::checks::Checks;
use super::open::Storage;
use super::prepare::{self, Prepared};
use super::replay::{DATA, Replay, ReplayError, Rewound};

/// What is to be made of a plan, and where.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Where the backups are.
    pub storage: Storage<'a>,
    /// What reaches the target.
    pub plan: &'a Plan,
    /// The directory that is to appear.
    pub output: &'a Path,
    /// PostgreSQL of the cluster's major; without it, a full backup can be prepared.
    pub launcher: Option<&'a Launcher>,
    /// How far to go.
    pub ending: Ending<'a>,
    /// How many threads decrypt a base backup.
    pub threads: usize,
    /// Ends everything.
    pub cancel: &'a Cancel,
}

/// How far a rewind goes.
#[derive(Clone, Copy)]
pub enum Ending<'a> {
    /// Replay to the target, proofs, a clean shutdown.
    Replayed {
        /// About the private server.
        options: &'a Options,
        /// What must hold afterwards.
        checks: &'a Checks,
    },
    /// A directory that replays when somebody starts it.
    Prepared,
}

/// What a rewind takes, known before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// On disk, at most at any moment.
    pub needed: DiskNeed,
    /// What there is, in bytes.
    pub free: u64,
}

/// A rewind that was looked at and not refused.
pub struct Prospect<'a> {
    request: Request<'a>,
    bases: Bases<'a>,
    /// What it takes.
    pub outlook: Outlook,
}

/// What came of a rewind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restored {
    /// The point was reached.
    Rewound(Rewound),
    /// It will be when it is started.
    Prepared(Prepared),
}

/// What a rewind is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes of base backups were fetched.
    Fetched(u64),
    /// All of them lie there, and are made one cluster.
    Combining,
    /// The log is replayed, or laid ready.
    Log,
}

/// Nothing was rewound.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The output cannot be made there.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// PostgreSQL's user cannot get there.
    #[error(transparent)]
    Access(#[from] NoAccess),
    /// The disk is too small.
    #[error(
        "there is room for {} in {place}, and it takes {}{}",
        text::bytes(*free),
        if *is_lower_bound { "at least " } else { "" },
        text::bytes(*needed)
    )]
    Room {
        /// Where the output is to be.
        place: PathBuf,
        /// In bytes.
        free: u64,
        /// In bytes.
        needed: u64,
        /// Whether it may take more than that.
        is_lower_bound: bool,
    },
    /// Incremental backups need PostgreSQL's own program.
    #[error(
        "the plan has incremental backups, which only pg_combinebackup of the same PostgreSQL puts \
         together"
    )]
    NoPrograms,
    /// The disk could not be looked at.
    #[error(transparent)]
    File(#[from] FileError),
    /// A base backup is no good, or could not be had.
    #[error(transparent)]
    Bases(#[from] BasesError),
    /// The base backups were not put together.
    #[error(transparent)]
    Combine(#[from] CombineBasesError),
    /// The point was not reached.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

impl<'a> Request<'a> {
    /// Finds out what it takes; fetches manifests and nothing else, and changes nothing.
    pub fn look(self) -> Result<Prospect<'a>, RestoreError> {
        let place = StagedTarget::check(self.output)?;
        if let Some(Launcher::Local(programs)) = self.launcher {
            check_access(programs, &place)?;
        }
        if self.launcher.is_none() && !self.plan.incrementals.is_empty() {
            return Err(RestoreError::NoPrograms);
        }
        let bases = Bases::look(self.storage, self.plan, self.cancel)?;
        let needed = bases.needed(match self.ending {
            Ending::Replayed { .. } => Replayed::Here,
            Ending::Prepared => Replayed::Later,
        });
        let free = free_room(&place)?;
        if needed.total() > free {
            return Err(RestoreError::Room {
                place,
                free,
                needed: needed.total(),
                is_lower_bound: needed.is_lower_bound,
            });
        }
        Ok(Prospect {
            request: self,
            bases,
            outlook: Outlook { needed, free },
        })
    }
}

impl Prospect<'_> {
    /// The stored bytes of the base backups: what [`Step::Fetched`] counts up to.
    pub fn to_fetch(&self) -> u64 {
        self.bases.to_fetch()
    }

    /// Makes the output. After an error nothing is there, and nothing beside it.
    pub fn restore(
        self,
        on_step: &(dyn Fn(Step) + Sync),
    ) -> Result<(PathBuf, Restored), RestoreError> {
        let request = &self.request;
        let staged = StagedTarget::begin(request.output)?;
        let fetched = |bytes| on_step(Step::Fetched(bytes));
        let extracted =
            self.bases
                .extract(staged.path(), request.threads, request.cancel, &fetched)?;
        on_step(Step::Combining);
        let cancel = request.cancel;
        bases::combine(request.launcher, staged.path(), &extracted, DATA, cancel)?;
        on_step(Step::Log);
        let restored = self.log(staged.path())?;
        Ok((staged.commit_part(DATA)?, restored))
    }

    fn log(&self, folder: &Path) -> Result<Restored, RestoreError> {
        let Request {
            storage,
            plan,
            cancel,
            ..
        } = self.request;
        match (self.request.ending, self.request.launcher) {
            (Ending::Replayed { options, checks }, Some(launcher)) => {
                let replay = Replay {
                    storage,
                    plan,
                    launcher,
                    folder,
                    options,
                    checks,
                    cancel,
                };
                Ok(Restored::Rewound(replay.run()?))
            }
            (Ending::Replayed { .. }, None) => Err(RestoreError::NoPrograms),
            (Ending::Prepared, _) => {
                let prepared = prepare::prepare(storage, plan, folder, cancel)?;
                Ok(Restored::Prepared(prepared))
            }
        }
    }
}
