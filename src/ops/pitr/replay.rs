//! Replay: from a base backup's files to the point that was asked for, proven, looked at,
//! disarmed and shut down in good order.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::file_error::{FileError, failed};
use crate::databasus::backup_chain::plan::{Plan, Target};
use crate::postgres::binaries::Launcher;
use crate::postgres::control_file::{ControlFile, ControlFileError, RecordedSettings};
use crate::postgres::private_server::{Options, PrivateServer, PrivateServerError};
use crate::postgres::program::User;
use crate::postgres::recovery::{Recovery, RecoveryTarget};
use crate::postgres::wal_spool::{self, Spool};
use crate::postgres::wire::PgError;
use crate::target::ownership::gives_away;

use super::checks::{self, CheckReport, Checks};
use super::disarm::{self, Armed, Finished};
use super::fault::Fault;
use super::open::Storage;
use super::proof::{NotProven, Proofs, Replayed};
use super::wal_feed::{self, Fed, WalFeed};
use super::wal_fetch::{Cluster, FetchError, Fetcher};

/// What the cluster's directory is called inside of the folder that all is made in.
pub const DATA: &str = "data";

/// Everything that a replay stands on.
#[derive(Clone, Copy)]
pub struct Replay<'a> {
    /// Where the WAL is.
    pub storage: Storage<'a>,
    /// What is replayed, and how far.
    pub plan: &'a Plan,
    /// How PostgreSQL is started.
    pub launcher: &'a Launcher,
    /// The folder that all is made in; the bases are in its `data`.
    pub folder: &'a Path,
    /// About the private server.
    pub options: &'a Options,
    /// What must hold afterwards.
    pub checks: &'a Checks,
    /// Ends everything.
    pub cancel: &'a Cancel,
}

/// What a replay came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rewound {
    /// That the point was reached.
    pub proofs: Proofs,
    /// What the queries gave.
    pub checks: CheckReport,
    /// What of the source could have acted.
    pub armed: Vec<Armed>,
    /// Objects that were passed over, because another one of the same segment was sound.
    pub passed_over: Vec<String>,
}

/// A directory was not taken to the point that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The WAL that replay needed could not be had.
    #[error("the WAL that replay needs cannot be had")]
    Wal(#[source] FetchError),
    /// The log holds no moment as late as the one that was asked for.
    #[error(transparent)]
    NotProven(#[from] NotProven),
    /// The server did not start, or did not stop.
    #[error(transparent)]
    Server(#[from] PrivateServerError),
    /// A session of the server failed.
    #[error("a session of the recovered server failed")]
    Session(#[from] PgError),
    /// The directory is not that of a cluster.
    #[error("the base backup has no sound control file")]
    ControlFile(#[from] ControlFileError),
    /// A cluster's segments have no such size.
    #[error("the base backup is of a cluster with segments of {0} bytes, which do not exist")]
    SegmentSize(u32),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something is still there that would make the next start another recovery.
    #[error("{0} is still there after a clean shutdown")]
    Leftover(&'static str),
}

impl ReplayError {
    /// What it says of what is stored; none where it says that nothing there reaches the point.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Wal(error) => Some(error.fault()),
            Self::NotProven(error) => error.fault(),
            Self::ControlFile(_) | Self::SegmentSize(_) => Some(Fault::Damaged),
            _ => Some(Fault::Elsewhere),
        }
    }
}

/// What is known of a directory before anything runs on it.
pub(super) struct Ground {
    pub(super) owner: User,
    pub(super) major: u32,
    pub(super) control: ControlFile,
    pub(super) cluster: Cluster,
}

impl Ground {
    pub(super) fn of(data: &Path) -> Result<Self, ReplayError> {
        let meta = fs::metadata(data).map_err(failed("open", data))?;
        let version = data.join("PG_VERSION");
        let text = fs::read_to_string(&version).map_err(failed("read", &version))?;
        let major = text.trim().parse().unwrap_or_default();
        let control = ControlFile::of(data)?;
        let size = control.wal_segment_size;
        Ok(Self {
            owner: User {
                uid: meta.uid(),
                gid: meta.gid(),
            },
            major,
            cluster: Cluster::of(&control, major).ok_or(ReplayError::SegmentSize(size))?,
            control,
        })
    }

    /// Whom files are given to, where they are somebody else's.
    pub(super) fn other_owner(&self) -> Option<User> {
        gives_away().then_some(self.owner)
    }
}

/// How a plan's target is told to PostgreSQL.
pub(super) fn recovery(plan: &Plan) -> Recovery {
    let target = match plan.target {
        Target::Time(time) => RecoveryTarget::Time(time),
        Target::Lsn(lsn) => RecoveryTarget::Lsn(lsn),
        Target::Latest => RecoveryTarget::Latest,
        Target::Backup(_) => RecoveryTarget::Immediate,
    };
    let is_other = plan.timeline != plan.last_base().timeline;
    Recovery {
        target,
        timeline: is_other.then_some(plan.timeline),
    }
}

impl Replay<'_> {
    /// Replays, looks, disarms and shuts down. Afterwards `data` is complete, but not synced.
    pub fn run(&self) -> Result<Rewound, ReplayError> {
        let data = &self.folder.join(DATA);
        let ground = Ground::of(data)?;
        let mut armed = disarm::files(data)?;
        disarm::configure(
            data,
            ground.owner,
            ground.major,
            &ground.control.settings,
            Finished::Replayed,
        )?;
        let (server, fed) = self.replayed(data, &ground)?;
        let replayed = Replayed::of(&server)?;
        let timeline = self.plan.last_base().timeline;
        let mut proofs = replayed.prove(self.plan, &fed, timeline)?;
        let checks = checks::run(&server, self.checks)?;
        disarm::catalogues(&server, &mut armed)?;
        let control = server.stop()?;
        proofs.take_shutdown(&control);
        let settings = larger(&ground.control.settings, &control.settings);
        disarm::configure(
            data,
            ground.owner,
            ground.major,
            &settings,
            Finished::Replayed,
        )?;
        check_nothing_left(data)?;
        Ok(Rewound {
            proofs,
            checks,
            armed,
            passed_over: fed.passed_over.into_iter().collect(),
        })
    }

    fn replayed(&self, data: &Path, ground: &Ground) -> Result<(PrivateServer, Fed), ReplayError> {
        let wal = self.folder.join(wal_spool::FOLDER);
        self.let_server_in(ground)?;
        let names = wal_feed::file_names(self.plan);
        let names = names.iter().map(String::as_str);
        let spool = Spool::create(&wal, ground.other_owner(), names)?;
        let fetcher = Fetcher {
            storage: self.storage,
            cluster: ground.cluster,
            cancel: self.cancel,
        };
        let feed = WalFeed::begin(&fetcher, self.plan, &spool).map_err(of_fetching)?;
        let (server, fed) = feed.during(|taken| {
            PrivateServer::recover(
                self.options.clone(),
                self.launcher,
                data,
                (&recovery(self.plan), &wal),
                || taken.load(std::sync::atomic::Ordering::Relaxed),
                self.cancel,
            )
        });
        self.cancel.check()?;
        // What the server makes of missing WAL is only the consequence.
        let fed = fed.map_err(of_fetching)?;
        match server {
            Ok(server) => Ok((server, fed)),
            Err(error) => Err(match NotProven::by_the_end(self.plan, &fed, &error) {
                Some(not_proven) => not_proven.into(),
                None => error.into(),
            }),
        }
    }

    /// The folder around the data is this process' own at first.
    fn let_server_in(&self, ground: &Ground) -> Result<(), FileError> {
        match ground.other_owner() {
            Some(User { uid, gid }) => std::os::unix::fs::chown(self.folder, Some(uid), Some(gid))
                .map_err(failed("give away", self.folder)),
            None => Ok(()),
        }
    }
}

/// An interruption stays one.
pub(super) fn of_fetching(error: FetchError) -> ReplayError {
    match error {
        FetchError::Interrupted(signal) => signal.into(),
        other => ReplayError::Wal(other),
    }
}

/// What either needs.
fn larger(one: &RecordedSettings, other: &RecordedSettings) -> RecordedSettings {
    RecordedSettings {
        max_connections: one.max_connections.max(other.max_connections),
        max_worker_processes: one.max_worker_processes.max(other.max_worker_processes),
        max_wal_senders: one.max_wal_senders.max(other.max_wal_senders),
        max_prepared_transactions: one
            .max_prepared_transactions
            .max(other.max_prepared_transactions),
        max_locks_per_transaction: one
            .max_locks_per_transaction
            .max(other.max_locks_per_transaction),
        track_commit_timestamp: one.track_commit_timestamp || other.track_commit_timestamp,
    }
}

fn check_nothing_left(data: &Path) -> Result<(), ReplayError> {
    let traces = [
        "recovery.signal",
        "standby.signal",
        "backup_label",
        "postmaster.pid",
    ];
    match traces.into_iter().find(|name| data.join(name).exists()) {
        Some(name) => Err(ReplayError::Leftover(name)),
        None => Ok(()),
    }
}
