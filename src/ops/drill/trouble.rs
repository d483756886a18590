//! Why a step of a drill did not end well, and how bad that is.

use std::io;

use crate::base::cancel::Interrupted;
use crate::base::file_error::FileError;
use crate::base::text::{self, printable};
use crate::databasus::backup_chain::Obstacle;
use crate::databasus::backup_chain::unreachable::{Unreachable, Why};
use crate::databasus::backup_chain::which::Unclear;
use crate::databasus::schema::SchemaError;
use crate::model::drill::Outcome;
use crate::ops::backup_object::BackupObjectError;
use crate::ops::fetch::is_damage;
use crate::ops::pitr::bases::BasesError;
use crate::ops::pitr::fault::Fault;
use crate::ops::pitr::restore::RestoreError;
use crate::ops::recover::RecoverError;
use crate::ops::recover::find::FindError;
use crate::ops::rehydrate::RehydrateError;
use crate::ops::stopped_instance::StoppedInstanceError;
use crate::postgres::initdb::InitdbError;
use crate::postgres::private_server::PrivateServerError;
use crate::postgres::program::ProgramError;
use crate::postgres::wire::PgError;
use crate::sealing::custody::UnlockError;
use crate::sealing::unpack::UnpackError;
use crate::store::StoreError;

use super::application::trouble::ApplicationTrouble;
use super::throwaway::ThrowawayError;
use super::verdict::Verdict;

/// Why a step did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The escrow was not rehydrated.
    #[error(transparent)]
    Rehydrate(#[from] RehydrateError),
    /// The rehydrated metadata cannot be read.
    #[error(transparent)]
    Instance(#[from] StoppedInstanceError),
    /// Nor does it have what a release of Databasus has.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Databasus knows no such database, or several.
    #[error("Databasus knows {count} databases called {}", printable(.name))]
    Databases {
        /// What was asked for.
        name: String,
        /// How many go by it.
        count: usize,
    },
    /// It is backed up in another way than the policy says.
    #[error("{} is backed up {how}", printable(.name))]
    OtherKind {
        /// The database.
        name: String,
        /// How.
        how: &'static str,
    },
    /// The catalogue knows no whole dump of it.
    #[error("the catalogue knows no completed dump of {}", printable(.0))]
    NoDump(String),
    /// Its storage was not opened.
    #[error("the storage of {} was not opened; the rehydrate says why", printable(.0))]
    Storage(String),
    /// The storage cannot be listed.
    #[error("cannot list the storage")]
    List(#[source] StoreError),
    /// The catalogue names an object that no backup has the name of.
    #[error("{} is not the name of a backup", printable(.0))]
    Name(String),
    /// The backup was not found.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The backup was not read.
    #[error(transparent)]
    Backup(#[from] RecoverError),
    /// It is no dump of PostgreSQL's custom format.
    #[error("the newest backup of {} is {what}", printable(.name))]
    NotADump {
        /// The database.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// There is no PostgreSQL to bring it back with.
    #[error("{0}")]
    NoPrograms(String),
    /// The disk is too small for it.
    #[error(
        "there is room for {}, and it takes at least {}",
        text::bytes(*free),
        text::bytes(*needed)
    )]
    Room {
        /// In bytes.
        free: u64,
        /// In bytes.
        needed: u64,
    },
    /// No new cluster could be made.
    #[error("cannot make a new cluster")]
    Initdb(#[from] InitdbError),
    /// A private server failed.
    #[error(transparent)]
    Server(#[from] PrivateServerError),
    /// A session with one failed.
    #[error("a session with the private server failed")]
    Session(#[from] PgError),
    /// The dump does not go in.
    #[error("the dump could not be restored")]
    Restore(#[from] ProgramError),
    /// There is no such cluster in the storage, or several.
    #[error(transparent)]
    Unclear(#[from] Unclear),
    /// Nothing reaches the point.
    #[error(transparent)]
    Unreachable(#[from] Box<Unreachable>),
    /// The point was not reached.
    #[error(transparent)]
    Rewind(#[from] Box<RestoreError>),
    /// What came back does not hold what the policy expects.
    #[error("{} of {of} sentinels do not hold", .failed)]
    Sentinels {
        /// How many do not.
        failed: usize,
        /// How many were asked.
        of: usize,
    },
    /// What came back could not be asked.
    #[error("{} of {of} sentinels could not be asked", .unknown)]
    Unasked {
        /// How many.
        unknown: usize,
        /// Of how many.
        of: usize,
    },
    /// Databasus itself did not do what it should.
    #[error(transparent)]
    Application(#[from] ApplicationTrouble),
    /// The throwaway place could not be removed.
    #[error(transparent)]
    Throwaway(#[from] ThrowawayError),
    /// The filesystem said no.
    #[error(transparent)]
    Io(#[from] FileError),
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Trouble {
    /// How bad it is.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Rehydrate(error) => of_rehydrate(error),
            Self::Instance(_) | Self::Schema(_) | Self::Session(_) => Verdict::Unmet,
            Self::Databases { .. } | Self::NoDump(_) | Self::Sentinels { .. } => Verdict::Unmet,
            Self::Restore(_) | Self::Server(_) | Self::Unclear(_) => Verdict::Unmet,
            Self::Throwaway(_) => Verdict::Unmet,
            Self::Application(error) => error.verdict(),
            Self::Find(error) => of_find(error),
            Self::Backup(error) => of_backup(error),
            Self::Unreachable(error) => of_unreachable(error),
            Self::Rewind(error) => of_rewind(error),
            Self::OtherKind { .. }
            | Self::Storage(_)
            | Self::List(_)
            | Self::Name(_)
            | Self::NotADump { .. }
            | Self::NoPrograms(_)
            | Self::Room { .. }
            | Self::Initdb(_)
            | Self::Unasked { .. }
            | Self::Io(_)
            | Self::Interrupted(_) => Verdict::Unknown,
        }
    }

    /// How its step ended.
    pub fn outcome(&self) -> Outcome {
        match self.verdict() {
            Verdict::Fine => Outcome::Proven,
            Verdict::Unknown => Outcome::Unknown,
            Verdict::Unmet | Verdict::NoIdentity | Verdict::Integrity => Outcome::Failed,
        }
    }

    /// What a report says of it, which lies in the open: no name of anybody's.
    pub fn sentence(&self) -> &'static str {
        match (self, self.verdict()) {
            (Self::Application(error), _) => error.sentence(),
            (_, Verdict::NoIdentity) => "no key opens it",
            (Self::Rehydrate(_), Verdict::Integrity) => "the escrow is not what was signed",
            (_, Verdict::Integrity) => "the backup is damaged",
            (Self::Rehydrate(_), _) => "the escrow could not be rehydrated",
            (Self::Instance(_) | Self::Schema(_), _) => "the metadata could not be read",
            (Self::Databases { .. }, _) => "Databasus does not know it",
            (Self::OtherKind { .. }, _) => "it is backed up in another way",
            (Self::NoDump(_), _) => "there is no completed backup",
            (Self::Storage(_) | Self::List(_), _) => "its storage could not be read",
            (Self::Find(_) | Self::Backup(_) | Self::Name(_), _) => "its backup could not be read",
            (Self::NotADump { .. }, _) => "it is no dump of PostgreSQL",
            (Self::NoPrograms(_), _) => "there is no PostgreSQL to bring it back with",
            (Self::Room { .. }, _) => "the disk is too small",
            (Self::Initdb(_) | Self::Server(_), _) => "the private server did not run",
            (Self::Session(_), _) => "the private server gave no answer",
            (Self::Restore(_), _) => "pg_restore failed",
            (Self::Unclear(_) | Self::Unreachable(_), _) => "no backups reach the point",
            (Self::Rewind(_), _) => "the point was not reached",
            (Self::Sentinels { .. }, _) => "a sentinel does not hold",
            (Self::Unasked { .. }, _) => "a sentinel could not be asked",
            (Self::Throwaway(_), _) => "something was left behind",
            (Self::Io(_), _) => "the drill box's filesystem failed",
            (Self::Interrupted(_), _) => "interrupted",
        }
    }
}

fn of_rehydrate(error: &RehydrateError) -> Verdict {
    match error {
        RehydrateError::Unpack(error) => of_unpack(error),
        RehydrateError::WrongKey { .. } | RehydrateError::NoKey => Verdict::Integrity,
        RehydrateError::Recover(_) | RehydrateError::Fence(_) => Verdict::Unmet,
        _ => Verdict::Unknown,
    }
}

fn of_unpack(error: &UnpackError) -> Verdict {
    match error {
        UnpackError::NoIdentity | UnpackError::Locked(UnlockError::QuorumNotMet { .. }) => {
            Verdict::NoIdentity
        }
        UnpackError::Locked(UnlockError::Unreadable { source, .. }) | UnpackError::Read(source) => {
            of_reading(source)
        }
        UnpackError::Entry { .. } => Verdict::Unknown,
        _ => Verdict::Integrity,
    }
}

/// A store that is merely away says nothing of what it holds.
fn of_reading(error: &io::Error) -> Verdict {
    match is_damage(error) {
        true => Verdict::Integrity,
        false => Verdict::Unknown,
    }
}

fn of_find(error: &FindError) -> Verdict {
    match error {
        FindError::List(_) | FindError::Sidecar { .. } => Verdict::Unknown,
        _ => Verdict::Unmet,
    }
}

fn of_backup(error: &RecoverError) -> Verdict {
    match error {
        RecoverError::Object { source, .. } => match source {
            BackupObjectError::Store(_) => Verdict::Unknown,
            // The catalogue names it.
            _ => Verdict::Integrity,
        },
        RecoverError::NoKey { .. } | RecoverError::NoId(_) => Verdict::NoIdentity,
        RecoverError::Damaged { .. }
        | RecoverError::Size { .. }
        | RecoverError::Unrecognised(_) => Verdict::Integrity,
        RecoverError::FailedDump(_) => Verdict::Unmet,
        RecoverError::Read { source, .. } => of_fault(Fault::of_reading(source)),
        RecoverError::Interrupted(_) | RecoverError::Write(_) => Verdict::Unknown,
    }
}

fn of_fault(fault: Fault) -> Verdict {
    match fault {
        Fault::NoKey => Verdict::NoIdentity,
        Fault::Damaged => Verdict::Integrity,
        Fault::Elsewhere => Verdict::Unknown,
    }
}

fn of_unreachable(error: &Unreachable) -> Verdict {
    match &error.why {
        Why::Obstacle(Obstacle::Spoilt { .. }) | Why::Spoilt(_) => Verdict::Integrity,
        _ => Verdict::Unmet,
    }
}

fn of_rewind(error: &RestoreError) -> Verdict {
    match error {
        RestoreError::Bases(BasesError::Tablespaces { .. }) => Verdict::Unknown,
        RestoreError::Bases(error) => of_fault(error.fault()),
        RestoreError::Combine(_) => Verdict::Unmet,
        RestoreError::Replay(error) => error.fault().map_or(Verdict::Unmet, of_fault),
        _ => Verdict::Unknown,
    }
}
