//! What a fence did, by the task that it stops.

use crate::databasus::fence::credentials::StorageCredentialsState;
use crate::databasus::fence::rules::{END, REMOVE, SET, Until};
use crate::databasus::fence::task::Task;
use crate::databasus::fence::unknown::{self, UnknownColumn};
use crate::databasus::schema::{Generation, NEWEST_KNOWN_MIGRATION, Schema};

use super::{ByTask, FenceSettings};

/// A finished fence.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FenceReport {
    /// The newest migration of the database.
    pub schema_version: Option<i64>,
    /// Which names its tables have.
    pub generation: Generation,
    /// Whether this release has read that schema: if not, its tasks are not all known.
    pub schema_is_known: bool,
    /// What became of the storages' credentials.
    pub storage_credentials: StorageCredentialsState,
    /// Every task of Databasus, and why it is harmless now.
    pub tasks: Vec<TaskReport>,
    /// Columns that look as if they could let this copy act, and that nothing is known about.
    pub unknown: Vec<UnknownColumn>,
    /// Values that were changed.
    pub cells: u64,
    /// Rows that were set aside or whose work was ended.
    pub rows: u64,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TaskReport {
    /// Which.
    pub task: Task,
    /// Whether it is harmless.
    pub stopped: Stopped,
    /// Why, or what is open.
    pub detail: String,
    /// Rows that were changed or set aside for it.
    pub rows: u64,
}

/// Whether a task can still do something to production.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    /// It is harmless.
    Harmless,
    /// This release of Databasus does not have it.
    Absent,
    /// No row of the database stops it; the start instructions do.
    ByStart,
    /// It was left able to act, as was asked for.
    Open,
    /// Nobody can tell.
    Unknown,
}

impl FenceReport {
    /// Whether nothing is left that could act unknown to this release.
    pub fn is_whole(&self) -> bool {
        let known = |task: &TaskReport| task.stopped != Stopped::Unknown;
        self.schema_is_known && self.unknown.is_empty() && self.tasks.iter().all(known)
    }
}

/// What was changed.
#[derive(Default)]
pub(super) struct Touched {
    by_task: ByTask,
    cells: u64,
    rows: u64,
    pub(super) legacy_keys: u64,
}

impl Touched {
    pub(super) fn cells(&mut self, tasks: &[Task], count: u64) {
        self.cells += count;
        self.note(tasks, count);
    }

    pub(super) fn rows(&mut self, tasks: &[Task], count: u64) {
        self.rows += count;
        self.note(tasks, count);
    }

    fn note(&mut self, tasks: &[Task], count: u64) {
        for task in tasks {
            *self.by_task.entry(*task).or_default() += count;
        }
    }
}

pub(super) fn report(
    schema: &Schema,
    generation: Generation,
    settings: &FenceSettings,
    touched: Touched,
) -> FenceReport {
    let state = settings.storage_credentials.state();
    let tasks = Task::ALL.map(|task| {
        let (stopped, detail) = match task {
            Task::UserDeletions => user_deletions(state),
            Task::LegacyKeys => legacy_keys(touched.legacy_keys),
            _ => judge(task, schema),
        };
        TaskReport {
            task,
            stopped,
            detail,
            rows: touched.by_task.get(&task).copied().unwrap_or(0),
        }
    });
    FenceReport {
        schema_version: schema.version,
        generation,
        schema_is_known: is_known(schema),
        storage_credentials: state,
        tasks: tasks.into(),
        unknown: unknown::columns(schema),
        cells: touched.cells,
        rows: touched.rows,
    }
}

/// A schema without migrations is none that Databasus made.
fn is_known(schema: &Schema) -> bool {
    schema
        .version
        .is_some_and(|version| version <= NEWEST_KNOWN_MIGRATION)
}

fn user_deletions(state: StorageCredentialsState) -> (Stopped, String) {
    let because = Task::UserDeletions.because();
    match state {
        StorageCredentialsState::Blanked => {
            (Stopped::Harmless, format!("{because}: they are blank"))
        }
        StorageCredentialsState::ReadOnly => (
            Stopped::Harmless,
            format!("{because}, if the keys given as read-only are; all others are blank"),
        ),
        StorageCredentialsState::Kept => (
            Stopped::Open,
            "the storages' credentials were kept: deleting a backup, a database or its storage \
             here deletes production's objects"
                .to_owned(),
        ),
    }
}

fn legacy_keys(rows: u64) -> (Stopped, String) {
    match rows {
        0 => (Stopped::Harmless, Task::LegacyKeys.because().to_owned()),
        _ => (
            Stopped::Unknown,
            format!("table secret_keys holds {rows} rows, one of which would replace secret.key"),
        ),
    }
}

/// By the rules that could be applied to this schema.
fn judge(task: Task, schema: &Schema) -> (Stopped, String) {
    let rules = Rules::of(task, schema);
    let because = task.because().to_owned();
    match task {
        Task::Migrations | Task::Telemetry => (Stopped::ByStart, because),
        Task::Housekeeping => (Stopped::Harmless, because),
        _ if !is_known(schema) && !rules.missing.is_empty() => (
            Stopped::Unknown,
            format!("this schema has no {}", rules.missing.join(", ")),
        ),
        _ if rules.applied == 0 => (Stopped::Absent, "not in this release".to_owned()),
        _ => (Stopped::Harmless, because),
    }
}

/// How many rules of a task a schema takes, and what it lacks that the newest one known has.
struct Rules {
    applied: usize,
    missing: Vec<String>,
}

impl Rules {
    fn of(task: Task, schema: &Schema) -> Self {
        let mut rules = Self {
            applied: 0,
            missing: Vec::new(),
        };
        for rule in SET.iter().filter(|rule| rule.stops.contains(&task)) {
            let name = || format!("{}.{}", rule.table, rule.column);
            rules.note(rule.fits(schema), rule.until, name);
        }
        for rule in REMOVE.iter().filter(|rule| rule.stops.contains(&task)) {
            let there = schema.has_table(rule.table);
            rules.note(there, Until::Now, || rule.table.to_owned());
        }
        for rule in END.iter().filter(|rule| rule.stops.contains(&task)) {
            let name = || format!("{}.status", rule.table);
            rules.note(rule.fits(schema), rule.until, name);
        }
        rules
    }

    fn note(&mut self, fits: bool, until: Until, name: impl FnOnce() -> String) {
        match (fits, until) {
            (true, _) => self.applied += 1,
            (false, Until::Now) => self.missing.push(name()),
            (false, Until::V342) => {}
        }
    }
}
