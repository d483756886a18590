//! A drill: an escrow and the backups that it leads to, brought back in a throwaway place.
//!
//! # Order
//! Refuse a disk that is too small → rehydrate, fenced, with proofs up to level 3 → what the
//! catalogue knows → of each database its newest dump into a private PostgreSQL, of each cluster a
//! rewind, and what must hold in them → Databasus itself, where somebody runs it → teardown → the
//! report.
//!
//! One thing that does not come back says nothing of the others: the drill goes on to its end. A
//! signal ends it, and nothing is reported then.

mod answer;
mod application;
mod bring;
mod catalogue;
mod cluster;
mod database;
mod journal;
mod keep;
mod opened;
mod proofs;
mod report;
mod sentinels;
mod throwaway;
mod trouble;
mod verdict;
mod work;

use std::path::Path;
use std::sync::Arc;

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::digest::Digest;
use crate::base::names::SignerName;
use crate::base::text;
use crate::base::time::{Clock, UtcTime};
use crate::model::audit::drill_demands::DrillDemands;
use crate::model::drill::DrillReport;
use crate::model::manifest::Manifest;
use crate::ops::open::OnBytes;
use crate::ops::storages::OpenStorage;
use crate::postgres::binaries::Launcher;
use crate::postgres::restore_tool::RestoreTool;
use crate::sealing::identities::Identities;
use crate::store::Store;
use crate::target::access::free_room;

pub use application::{Application, ApplicationTrouble, CallError, Commands, Unreachable};
pub use journal::Entry;
pub use keep::{KeepError, Kept, keep};
pub use throwaway::{Throwaway, ThrowawayError};
pub use trouble::Trouble;
pub use verdict::Verdict;

use application::Asked;
use bring::Drill;
use journal::Journal;

/// The first step of every drill, and the only one whose bytes are counted.
pub const FIRST_STEP: &str = "rehydrate";

/// What is to be drilled.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The escrow.
    pub manifest: &'a Manifest,
    /// Its manifest's digest.
    pub manifest_sha256: Digest,
    /// Sequence number and digest of the chain's head.
    pub head: (u64, Digest),
    /// What has to come back.
    pub demands: &'a DrillDemands,
    /// The folder that the throwaway place is made in.
    pub scratch: &'a Path,
    /// PostgreSQL of the metadata's own major.
    pub launcher: &'a Launcher,
    /// Who signs the report.
    pub signer: &'a SignerName,
    /// Databasus itself, for level 5.
    pub application: Option<Application<'a>>,
}

/// What a drill stands on.
pub struct Ports<'a> {
    /// Where the escrow may be read from.
    pub stores: &'a [Arc<dyn Store>],
    /// What opens it.
    pub identities: &'a Identities,
    /// Where Databasus' backups are.
    pub storages: &'a dyn OpenStorage,
    /// Finds PostgreSQL for what is brought back.
    pub programs: &'a dyn FindPrograms,
    /// What reads tables of contents at level 3.
    pub restore_tool: Option<&'a RestoreTool>,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Ends everything.
    pub cancel: &'a Cancel,
    /// Hears what is begun.
    pub on_step: &'a dyn Fn(&'static str),
    /// Hears what a person has to do now.
    pub on_wait: &'a dyn Fn(&str),
    /// Hears of every byte of the escrow that arrived.
    pub on_bytes: OnBytes,
}

/// Finds PostgreSQL on this host.
pub trait FindPrograms {
    /// Of exactly this major: the only one that can run a cluster of it.
    fn exactly(&self, major: u32) -> Result<Launcher, String>;

    /// Of this major, or else of a later one: what a dump can be restored into.
    fn at_least(&self, major: u32) -> Result<Launcher, String>;
}

/// A drill that came to its end, well or badly.
pub struct Drilled {
    /// What is signed.
    pub report: DrillReport,
    /// Its steps with what is not for everybody's eyes.
    pub entries: Vec<Entry>,
    /// The worst of what went wrong.
    pub verdict: Verdict,
}

/// There was no drill, and there is nothing to report.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// There is no throwaway place.
    #[error(transparent)]
    Throwaway(#[from] ThrowawayError),
    /// Databasus is nowhere that a drill may speak to.
    #[error("cannot use --application")]
    Application(#[from] Unreachable),
    /// The disk is too small.
    #[error(
        "there is room for {} in {}, and the drill takes {}",
        text::bytes(*free),
        .place.display(),
        text::bytes(*needed)
    )]
    Room {
        /// Where it was to be.
        place: std::path::PathBuf,
        /// In bytes.
        free: u64,
        /// In bytes.
        needed: u64,
    },
}

/// What a drill takes, as far as that is known before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Outlook {
    /// The sealed bytes to fetch.
    pub to_fetch: u64,
    /// Room, in bytes: what the policy says, and at least what is sealed.
    pub room_needed: u64,
    /// Room that there is, in bytes.
    pub room_free: u64,
}

impl Request<'_> {
    /// What it takes; refused where the disk is too small. Nothing is changed.
    pub fn look(&self) -> Result<Outlook, DrillError> {
        let sealed = self.manifest.payload.size;
        let free = free_room(self.scratch).map_err(ThrowawayError::from)?;
        let outlook = Outlook {
            to_fetch: sealed,
            room_needed: self.demands.room.unwrap_or(0).max(sealed),
            room_free: free,
        };
        match outlook.room_needed > free {
            false => Ok(outlook),
            true => Err(DrillError::Room {
                place: self.scratch.to_owned(),
                free,
                needed: outlook.room_needed,
            }),
        }
    }
}

/// Drills. However it ends, nothing of what was brought back is left.
pub fn run(request: Request<'_>, ports: Ports<'_>) -> Result<Drilled, DrillError> {
    request.look()?;
    let application = request.application.map(Asked::new).transpose()?;
    let cancel = ports.cancel;
    let clock = ports.clock;
    let began = clock.now();
    let throwaway = Throwaway::make(request.scratch, &request.manifest.instance.slug)?;
    let mut journal = Journal::begin(ports.on_step);
    let drill = Drill {
        request,
        place: throwaway.path(),
        began,
        application: application.as_ref(),
        ports,
    };
    let subjects = drill.bring_back(&mut journal);
    let rto = journal.until_all_back();
    journal.time("teardown", None, None, || Ok(throwaway.remove()?));
    cancel.check()?;
    let ended = clock.now().max(began);
    let spans = report::Spans { began, ended, rto };
    let report = report::of(&request, &spans, &journal, subjects);
    Ok(Drilled {
        verdict: report::verdict(&report, &journal),
        report,
        entries: journal.into_entries(),
    })
}

/// How old something was when the drill began, in seconds; never negative.
fn age(began: UtcTime, as_of: UtcTime) -> u64 {
    u64::try_from(began.unix() - as_of.unix()).unwrap_or(0)
}
