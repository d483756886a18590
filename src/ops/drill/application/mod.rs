//! Level 5: Databasus itself, on what was rehydrated, lists what its catalogue has and serves what
//! was backed up.
//!
//! Somebody starts it: a command, a person on the directory that the drill waits beside, or
//! anybody before the drill on a directory that was rehydrated earlier. In the last case it knows
//! nothing of what production backed up since, and a list that differs proves nothing.

use std::path::Path;
use std::time::Duration;

use crate::databasus::api::Address;
use crate::model::drill::{Outcome, Step};

mod bucket;
mod client;
mod command;
mod expected;
#[cfg(feature = "s3")]
mod http;
#[cfg(not(feature = "s3"))]
#[path = "no_http.rs"]
mod http;
mod listing;
mod recognising;
mod running;
mod serving;
pub(super) mod trouble;

pub use command::Commands;
pub use trouble::{ApplicationTrouble, CallError, Unreachable};

pub(super) use expected::Expected;

use super::journal::Journal;
use super::trouble::Trouble;
use super::verdict::Verdict;
use super::work::Work;
use super::{Ports, Request};
use bucket::Contents;
use client::{Api, Client};
use running::Running;

/// The level of Databasus itself.
pub(super) const LEVEL: u8 = 5;

/// A Databasus that a drill asks, and who starts it.
#[derive(Clone, Copy)]
pub struct Application<'a> {
    /// Where it answers.
    pub address: &'a Address,
    /// How long it may take until it does.
    pub wait: Duration,
    /// Starts it on what this drill rehydrated; none where somebody else does.
    pub commands: Option<Commands<'a>>,
}

/// The Databasus of one drill, looked for before anything is done.
pub(super) struct Asked<'a> {
    application: Application<'a>,
    client: Client,
    /// It ran before the drill began: on something else than what this drill rehydrates.
    was_running: bool,
}

impl<'a> Asked<'a> {
    /// Fails where it is nowhere that a drill may speak to.
    pub(super) fn new(application: Application<'a>) -> Result<Self, Unreachable> {
        let client = Client::new(application.address)?;
        let was_running = client.version().is_ok();
        Ok(Self {
            application,
            client,
            was_running,
        })
    }
}

/// All of level 5, in order; what cannot be done any more is noted too.
pub(super) struct Proving<'a> {
    pub(super) asked: &'a Asked<'a>,
    pub(super) request: &'a Request<'a>,
    pub(super) ports: Surroundings<'a>,
    pub(super) data_dir: &'a Path,
    pub(super) expected: &'a Expected,
    pub(super) work: &'a Work<'a>,
}

/// What of a drill's ports is needed here.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) clock: &'a dyn crate::base::time::Clock,
    pub(super) on_wait: &'a dyn Fn(&str),
}

impl<'a> Surroundings<'a> {
    pub(super) fn of(ports: &Ports<'a>) -> Self {
        Self {
            clock: ports.clock,
            on_wait: ports.on_wait,
        }
    }
}

impl Proving<'_> {
    /// Notes every step.
    pub(super) fn prove(&self, journal: &mut Journal<'_>) {
        let cancel = self.work.cancel;
        let storages = self.work.opened.all();
        let read = || Contents::read(&storages, cancel);
        let before = journal.time("list storages", None, None, read);
        let started = journal.time("start Databasus", None, Some(LEVEL), || {
            Ok(Running::start(self)?)
        });
        let Some(running) = started else {
            journal.leave_out("list backups", None, LEVEL, NOT_RUNNING);
            journal.leave_out("download", None, LEVEL, NOT_RUNNING);
            return;
        };
        journal.say(&format!("it says that it is {}", running.version));
        self.version(&running, journal);
        self.ask(journal);
        let stopped = journal.time("stop Databasus", None, None, || Ok(running.stop()?));
        if stopped.is_none() {
            tracing::warn!("Databasus may still run");
        }
        let after = journal.time("list storages", None, None, read);
        if let Some((before, after)) = before.zip(after) {
            compare(&before, &after, journal);
        }
    }

    /// A build that was told no version says nothing by it, for or against. What it lists and
    /// serves does.
    fn version(&self, running: &Running<'_>, journal: &mut Journal<'_>) {
        let Some(recorded) = &self.request.manifest.source.databasus_version else {
            return;
        };
        let Err(trouble) = running::same_release(&running.version, recorded) else {
            journal.time("release", None, Some(LEVEL), || Ok(()));
            return;
        };
        match trouble {
            ApplicationTrouble::NoVersion(_) => {
                let step = step("release", Outcome::Unknown, trouble.sentence());
                journal.note(step, &trouble.to_string(), Verdict::Fine);
            }
            trouble => {
                journal.time("release", None, Some(LEVEL), || {
                    Err::<(), _>(trouble.into())
                });
            }
        }
    }

    fn ask(&self, journal: &mut Journal<'_>) {
        let api = journal.time("sign in", None, Some(LEVEL), || {
            let admin = self.expected.admin.ok_or(ApplicationTrouble::NoAdmin)?;
            let key = self.work.keys.get(0).map(|(key, _)| key);
            let key = key.ok_or(ApplicationTrouble::NoAdmin)?;
            Ok(Api::new(&self.asked.client, key, admin, self.ports.clock))
        });
        let Some(api) = api else {
            journal.leave_out("list backups", None, LEVEL, "nobody can sign in");
            journal.leave_out("download", None, LEVEL, "nobody can sign in");
            return;
        };
        let sign = journal.time("recognise", None, Some(LEVEL), || Ok(self.recognise(&api)?));
        let Some(sign) = sign else {
            journal.leave_out("list backups", None, LEVEL, UNRECOGNISED);
            journal.leave_out("download", None, LEVEL, UNRECOGNISED);
            return;
        };
        journal.say(&sign.words());
        self.list(&api, journal);
        self.download(&api, journal);
    }

    fn list(&self, api: &Api<'_>, journal: &mut Journal<'_>) {
        let databases = &self.expected.databases;
        let mut listed = 0;
        let done = journal.time("list backups", None, Some(LEVEL), || {
            let ask = |listing| api.backups(listing);
            let found = listing::compare(databases, &ask, self.work.cancel)?;
            listed = found.listed;
            match found.is_equal() {
                true => Ok(()),
                false => Err(ApplicationTrouble::Differs {
                    words: found.words(),
                    was_running: self.asked.was_running,
                }
                .into()),
            }
        });
        if done.is_some() {
            let count = databases.len();
            journal.say(&format!("{listed} backups of {count} databases"));
        }
    }

    fn download(&self, api: &Api<'_>, journal: &mut Journal<'_>) {
        if self.expected.newest.is_empty() {
            journal.leave_out("download", None, LEVEL, "no storage has a dump");
        }
        for dump in &self.expected.newest {
            let served = journal.time("download", None, Some(LEVEL), || {
                serving::serve(self.work, api, dump)
            });
            if let Some(served) = served {
                let storage = self.work.opened.name(dump.storage);
                journal.say(&format!("storage {storage}: {served}"));
            }
        }
    }
}

const NOT_RUNNING: &str = "Databasus does not answer";

const UNRECOGNISED: &str = "it may be production that answers";

/// Production may live on, so a difference is told and proves nothing.
fn compare(before: &Contents, after: &Contents, journal: &mut Journal<'_>) {
    match before.changes(after) {
        None => {
            let step = step("compare storages", Outcome::Proven, "");
            let words = format!("{} objects, none of them changed", before.count());
            journal.note(step, &words, Verdict::Fine);
        }
        Some(changes) => {
            let step = step("compare storages", Outcome::Unknown, CHANGED);
            let words = format!("production lives on, or the clone wrote: {changes}");
            journal.note(step, &words, Verdict::Fine);
        }
    }
}

const CHANGED: &str = "a storage changed meanwhile: production lives on, or the clone wrote";

/// One that counts for no level and was part of another.
fn step(name: &str, outcome: Outcome, detail: &str) -> Step {
    Step {
        name: name.to_owned(),
        subject: None,
        level: None,
        outcome,
        seconds: None,
        detail: detail.to_owned(),
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        ApplicationTrouble::from(error).into()
    }
}
