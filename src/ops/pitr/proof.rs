//! Proof that replay reached the point that was asked for: what PostgreSQL's log says, and what
//! the server says when it is asked.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::databasus::backup_chain::plan::{Plan, Target};
use crate::postgres::control_file::ControlFile;
use crate::postgres::lsn::Lsn;
use crate::postgres::private_server::{PrivateServer, PrivateServerError};
use crate::postgres::recovery_log::RecoveryLog;
use crate::postgres::wire::PgError;

use super::disarm::ANY_DATABASE;
use super::fault::Fault;
use super::wal_feed::Fed;

/// How long the log of a running server may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proofs {
    /// Where replay was to end, in words.
    pub target: String,
    /// Where it stopped and why, in the words of PostgreSQL's log; none where it was to go to the
    /// end of the log.
    pub stopped: Option<String>,
    /// Where the last record that was replayed begins, by the log.
    #[serde(serialize_with = "optional_text")]
    pub last_record: Option<Lsn>,
    /// Behind the last record that was replayed, as the server says (`pg_last_wal_replay_lsn`).
    #[serde(serialize_with = "text")]
    pub replayed_to: Lsn,
    /// When the last transaction that was replayed ended, as the server says
    /// (`pg_last_xact_replay_timestamp`); none where none was replayed.
    #[serde(serialize_with = "optional_text")]
    pub last_transaction: Option<Timestamp>,
    /// The timeline of the base backup.
    pub timeline_before: u32,
    /// The one that the directory is on now.
    pub timeline_after: u32,
    /// How many segments came from the storage.
    pub segments: u64,
    /// Where the checkpoint of the clean shutdown lies, by `pg_control`.
    #[serde(serialize_with = "text")]
    pub shut_down_at: Lsn,
}

fn text<T: ToString, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

fn optional_text<T: ToString, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => text(value, serializer),
        None => serializer.serialize_none(),
    }
}

/// Replay did not end where it should.
#[derive(Debug, thiserror::Error)]
pub enum NotProven {
    /// All of the log was replayed, and nothing in it is later than the point that was asked for.
    #[error(
        "all WAL that there is was replayed, and it ends before {target}: {}",
        last(.last_transaction)
    )]
    NotReached {
        /// The point.
        target: String,
        /// When the last transaction ended.
        last_transaction: Option<Timestamp>,
    },
    /// The backup itself is later.
    #[error("{0} lies before the moment at which the backup is consistent")]
    BeforeConsistency(String),
    /// Replay ended before the last segment.
    #[error(
        "replay ended at {at}, before the end of the WAL that there is (segment {segment}): {}",
        why(.unreadable)
    )]
    EndedEarly {
        /// Where.
        at: String,
        /// The last segment of the plan.
        segment: String,
        /// What PostgreSQL could not read, in its words.
        unreadable: Option<String>,
    },
    /// A transaction was replayed that is later than the point.
    #[error("a transaction that ended at {found} was replayed, which is after {target}")]
    Beyond {
        /// The point.
        target: String,
        /// When it ended.
        found: Timestamp,
    },
    /// PostgreSQL's log does not say that replay stopped at the point.
    #[error("PostgreSQL's log does not say that replay stopped at {0}")]
    NoWord(String),
}

impl NotProven {
    /// What it says of what is stored; none where nothing there reaches the point.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::NotReached { .. } | Self::BeforeConsistency(_) => None,
            Self::EndedEarly { .. } => Some(Fault::Damaged),
            Self::Beyond { .. } | Self::NoWord(_) => Some(Fault::Elsewhere),
        }
    }

    /// Why a server that was to recover ended, where its log tells.
    pub(super) fn by_the_end(plan: &Plan, fed: &Fed, error: &PrivateServerError) -> Option<Self> {
        let PrivateServerError::Ended { log, .. } = error else {
            return None;
        };
        let log = RecoveryLog::read(log.iter().map(String::as_str));
        if log.target_before_consistency {
            return Some(Self::BeforeConsistency(words(plan.target)));
        }
        log.target_not_reached.then(|| {
            let ended = log.redo_done.unwrap_or(Lsn(0));
            early(plan, fed, &log, ended).unwrap_or(Self::NotReached {
                target: words(plan.target),
                last_transaction: log.last_transaction,
            })
        })
    }
}

fn last(transaction: &Option<Timestamp>) -> String {
    transaction.map_or_else(
        || "no transaction is in it".to_owned(),
        |time| format!("its last transaction ended at {time}"),
    )
}

fn why(unreadable: &Option<String>) -> &str {
    unreadable
        .as_deref()
        .unwrap_or("PostgreSQL's log says no more")
}

/// A target in words.
pub fn words(target: Target) -> String {
    match target {
        Target::Time(time) => time.to_string(),
        Target::Lsn(lsn) => lsn.to_string(),
        Target::Latest => "the end of the WAL".to_owned(),
        Target::Backup(id) => format!("backup {id}"),
    }
}

/// Whether replay that was to use up the log ended before its end. `ended` may be where the last
/// record begins, or where it ends.
fn early(plan: &Plan, fed: &Fed, log: &RecoveryLog, ended: Lsn) -> Option<NotProven> {
    let segments = plan.wal.iter().enumerate();
    let firsts = segments.filter_map(|(place, copies)| Some((place, copies.first()?)));
    let last = firsts.clone().next_back()?.1;
    // The last record begins in the last segment in which one ends, or in the one before.
    let mut ending = firsts
        .rev()
        .filter(|(place, _)| !fed.within_one_record.contains(place));
    let (_, holds_end) = ending.next()?;
    let least = ending
        .next()
        .map_or(holds_end.start, |(_, before)| before.start);
    let is_early = log.unreadable.is_some() || ended < least;
    is_early.then(|| NotProven::EndedEarly {
        at: ended.to_string(),
        segment: last.name.to_string(),
        unreadable: log.unreadable.clone(),
    })
}

/// What a server says of the replay that it did.
pub(super) struct Replayed {
    log: RecoveryLog,
    last_transaction: Option<Timestamp>,
    replayed_to: Lsn,
}

impl Replayed {
    /// Asks a server that was just promoted.
    pub(super) fn of(server: &PrivateServer) -> Result<Self, PgError> {
        let mut session = server.connect(ANY_DATABASE)?;
        let sql = "SELECT to_char(pg_catalog.pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', \
             'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), pg_catalog.pg_last_wal_replay_lsn()";
        let row = session
            .simple_query(sql)?
            .into_iter()
            .next()
            .unwrap_or_default();
        let field = |at: usize| row.get(at).and_then(Option::as_deref);
        Ok(Self {
            last_transaction: field(0).and_then(|time| time.parse().ok()),
            replayed_to: field(1).and_then(|lsn| lsn.parse().ok()).unwrap_or(Lsn(0)),
            log: log_of(server),
        })
    }

    /// Holds it against the plan.
    pub(super) fn prove(self, plan: &Plan, fed: &Fed, before: u32) -> Result<Proofs, NotProven> {
        let target = words(plan.target);
        match plan.target {
            Target::Latest => {
                if let Some(early) = self.early(plan, fed) {
                    return Err(early);
                }
            }
            Target::Time(time) => self.within(time, &target)?,
            Target::Lsn(_) => self.stopped_with("after WAL location", &target)?,
            Target::Backup(_) => self.stopped_with("after reaching consistency", &target)?,
        }
        Ok(Proofs {
            target,
            stopped: self.log.stopped,
            last_record: self.log.redo_done,
            replayed_to: self.replayed_to,
            last_transaction: self.last_transaction,
            timeline_before: before,
            timeline_after: before,
            segments: fed.segments,
            shut_down_at: Lsn(0),
        })
    }

    /// The server knows where the last record ends: within the last segment, or behind it.
    fn early(&self, plan: &Plan, fed: &Fed) -> Option<NotProven> {
        let last = plan.wal.iter().enumerate().rev();
        let last = last.filter(|(place, _)| !fed.within_one_record.contains(place));
        let last = last.filter_map(|(_, copies)| copies.first()).next()?;
        if self.replayed_to <= last.start {
            let at = self.replayed_to.to_string();
            return Some(NotProven::EndedEarly {
                at,
                segment: last.name.to_string(),
                unreadable: self.log.unreadable.clone(),
            });
        }
        early(plan, fed, &self.log, self.replayed_to)
    }

    fn within(&self, time: Timestamp, target: &str) -> Result<(), NotProven> {
        let target = target.to_owned();
        let last = self.last_transaction.max(self.log.last_transaction);
        if let Some(found) = last.filter(|last| *last > time) {
            return Err(NotProven::Beyond { target, found });
        }
        self.stopped_with("before ", &target)
    }

    fn stopped_with(&self, word: &str, target: &str) -> Result<(), NotProven> {
        match &self.log.stopped {
            Some(stopped) if stopped.starts_with(word) => Ok(()),
            _ => Err(NotProven::NoWord(target.to_owned())),
        }
    }
}

impl Proofs {
    /// Adds what the control file says after the clean shutdown.
    pub(super) fn take_shutdown(&mut self, control: &ControlFile) {
        self.timeline_after = control.timeline;
        self.shut_down_at = control.checkpoint;
    }
}

/// The log comes through a pipe: what the server wrote before it was ready may still be in it.
fn log_of(server: &PrivateServer) -> RecoveryLog {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lines = server.log();
        let log = RecoveryLog::read(lines.iter().map(String::as_str));
        if log.redo_done.is_some() || Instant::now() > deadline {
            return log;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
