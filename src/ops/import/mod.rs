//! Bringing the catalogue up to what the storages hold.
//!
//! A snapshot is hours old when it is needed, and a crash leaves rows of backups that were
//! complete as failed. The storages are the truth: what is committed there comes into the
//! catalogue, rows whose objects are gone leave it, and nothing is guessed (DATABASUS.md §4.6, §10).
//!
//! # Order
//! What the catalogue knows → list every storage → match by name → find ghosts → look at what is
//! new: sidecar, first chunk, size → whose is it, what does it stand on → one transaction.

pub mod attribution;
pub mod chains;
mod examine;
mod ghosts;
mod known;
mod matching;
mod outcome;
mod placeholders;
mod plan;
pub mod report;
mod survey;
mod wal_v1;
mod write;

use std::collections::HashSet;
use std::ops::ControlFlow;

use uuid::Uuid;

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::parallel;
use crate::databasus::catalogue_rows::{RowState, SideSchema, workspace_for};
use crate::databasus::schema::{Generation, Schema, SchemaError};
use crate::databasus::secret_key::SecretKey;
use crate::databasus::storages;
use crate::postgres::wire::{Connection, PgError};

use super::storages::OpenStorage;

use attribution::{AssignError, Assignments, Attribution};
use examine::{Examination, Examined, Refusal};
use ghosts::Ghosts;
use known::Known;
use matching::{At, Candidate, Matched};
use plan::{Plan, Planner};
use report::{ImportReport, LeftOut, Reason};
use survey::Survey;
use wal_v1::{Look, WalV1Chains};

/// Backups that are looked at at once: each waits for the network, and holds a MiB.
const AT_ONCE: usize = 8;

/// What a person has to say about an import.
#[derive(Clone, Debug, Default)]
pub struct ImportSettings {
    /// Pairs of an object's name, or of what objects' names begin with, and a database's name
    /// or id.
    pub assign: Vec<(String, String)>,
    /// Whether databases are made for backups of unknown ones.
    pub create_placeholders: bool,
    /// Whether nothing is to be written.
    pub dry_run: bool,
    /// Whether the escrow was made without the files of LOCAL storages: their absence says
    /// nothing then.
    pub local_files_left_out: bool,
    /// Storages that were opened elsewhere than their rows say.
    pub moved_storages: Vec<Uuid>,
}

/// How far an import has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Objects of the storage that is being listed, seen so far.
    Listed(usize),
    /// Backups looked at, and how many there are to look at.
    Examined {
        /// So far.
        done: usize,
        /// In all.
        of: usize,
    },
}

/// Hears how far an import has come.
pub type OnProgress<'a> = &'a dyn Fn(Progress);

/// What an import stands on.
pub struct Ports<'a> {
    /// A session with the metadata database.
    pub session: &'a mut Connection,
    /// What that database has.
    pub schema: &'a Schema,
    /// The key that Databasus has, then others that may open older backups. At least one.
    pub keys: &'a [&'a SecretKey],
    /// The places that the catalogue names.
    pub storages: &'a dyn OpenStorage,
    /// Whether to stop.
    pub cancel: &'a Cancel,
    /// Hears how far it has come.
    pub on_progress: OnProgress<'a>,
}

/// Nothing was imported, and nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The database is none that an import can work on.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A decision cannot be followed.
    #[error(transparent)]
    Assign(#[from] AssignError),
    /// There is no key.
    #[error("no secret.key was given")]
    NoKey,
    /// The metadata database failed.
    #[error("the metadata database failed")]
    Database(#[from] PgError),
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Imports what the storages hold. All of it happens, or none.
pub fn run(ports: Ports<'_>, settings: &ImportSettings) -> Result<ImportReport, ImportError> {
    let generation = ports.schema.generation()?;
    let key = ports.keys.first().ok_or(ImportError::NoKey)?;
    let known = Known::read(ports.session, ports.schema, generation)?;
    let rows = storages::read(ports.session, ports.schema)?;
    let survey = Survey::make(rows, ports.storages, key, ports.cancel, ports.on_progress)?;
    let examination = Examination::new(ports.keys, generation, ports.schema);
    let listening = Listening {
        cancel: ports.cancel,
        on_progress: ports.on_progress,
    };
    let mut decided = decide(&known, &survey, &examination, settings, &listening)?;
    for placeholder in &mut decided.plan.placeholders {
        placeholder.workspace = workspace_for(ports.session, placeholder.storage)?;
    }
    ports.cancel.check()?;
    if !settings.dry_run {
        let side = SideSchema::of(ports.session)?;
        let work = Work {
            schema: ports.schema,
            generation,
            side,
        };
        write::write(ports.session, &work, &decided, &survey)?;
    }
    Ok(outcome::report(settings, &known, &survey, decided))
}

/// Who may stop the work, and who hears of it.
struct Listening<'a> {
    cancel: &'a Cancel,
    on_progress: OnProgress<'a>,
}

/// Everything that is to happen, before any of it does.
struct Decided {
    matched: Matched,
    ghosts: Ghosts,
    plan: Plan,
}

/// Where it happens.
struct Work<'a> {
    schema: &'a Schema,
    generation: Generation,
    side: SideSchema,
}

fn decide(
    known: &Known,
    survey: &Survey,
    examination: &Examination<'_>,
    settings: &ImportSettings,
    listening: &Listening<'_>,
) -> Result<Decided, ImportError> {
    let attribution = attribution(known, settings)?;
    let matched = Matched::new(known, survey);
    let mut chains = known.chains();
    let ghosts = Ghosts::find(known, survey, &matched, settings, &mut chains);
    let (examined, refused) = examine_all(examination, &matched, survey, listening)?;
    let mut wal_v1 = WalV1Chains::default();
    let look = Look {
        survey,
        examination,
    };
    wal_v1.add_known(known, &matched, &ghosts, &look, &examined);
    let planner = Planner {
        known,
        survey,
        attribution,
        chains,
        wal_v1,
        placeholders: settings.create_placeholders,
        taken: HashSet::new(),
        plan: Plan::default(),
    };
    let mut plan = planner.plan(examined);
    for (candidate, refusal) in refused {
        plan.left_out
            .push(left_out(survey, known, candidate, refusal));
    }
    plan.left_out.extend(matched.damaged.iter().cloned());
    Ok(Decided {
        matched,
        ghosts,
        plan,
    })
}

fn attribution(known: &Known, settings: &ImportSettings) -> Result<Attribution, AssignError> {
    let assignments = Assignments::resolve(&settings.assign, &known.databases)?;
    let mut attribution = Attribution::new(known.databases.clone(), assignments);
    known.rows.iter().for_each(|row| attribution.remember(row));
    Ok(attribution)
}

type Looked = (Vec<(At, Examined)>, Vec<(Candidate, Refusal)>);

fn examine_all(
    examination: &Examination<'_>,
    matched: &Matched,
    survey: &Survey,
    listening: &Listening<'_>,
) -> Result<Looked, Interrupted> {
    let candidates = &matched.candidates;
    let mut done = 0;
    let job = |index: usize| {
        let candidate = candidates[index];
        let place = &survey.places[candidate.at.place];
        examination.of(&place.store, &place.held.backups[candidate.at.group])
    };
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    parallel::for_each(candidates.len(), AT_ONCE, job, |index, result| {
        done += 1;
        let of = candidates.len();
        (listening.on_progress)(Progress::Examined { done, of });
        match result {
            Ok(examined) => good.push((candidates[index].at, examined)),
            Err(refusal) => bad.push((candidates[index], refusal)),
        }
        match listening.cancel.check() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    listening.cancel.check()?;
    bad.sort_by_key(|(candidate, _)| candidate.at);
    Ok((good, bad))
}

fn left_out(survey: &Survey, known: &Known, candidate: Candidate, refusal: Refusal) -> LeftOut {
    let place = &survey.places[candidate.at.place];
    let group = &place.held.backups[candidate.at.group];
    let size = group.content.size().unwrap_or(group.content.parts.bytes);
    let failed = candidate
        .row
        .is_some_and(|row| known.rows[row].state == RowState::Failed);
    let (reason, detail) = match refusal.reason {
        Reason::Unproven if failed => (
            Reason::FailedDump,
            "the catalogue knows that it failed, and nothing says otherwise".to_owned(),
        ),
        reason => (reason, refusal.detail),
    };
    LeftOut::new(place.first(), &group.name.to_string(), size, reason, detail)
}

#[cfg(test)]
mod tests;
