//! Fencing a rehydrated metadata database, in one transaction, with a report on every task of
//! Databasus and why it is harmless now.

mod originals;
mod report;

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::base::digest::Digest;
use crate::base::names::{EscrowId, Slug};
use crate::base::time::UtcTime;
use crate::databasus::fence::credentials::StorageCredentials;
use crate::databasus::fence::rules::{END, REMOVE, SET};
use crate::databasus::fence::side_schema::{self, FenceRecord, Fenced};
use crate::databasus::fence::statements::EXACT_TEXT;
use crate::databasus::fence::task::Task;
use crate::databasus::schema::{Generation, Schema, SchemaError};
use crate::databasus::secret_key::SecretKey;
use crate::postgres::wire::{Connection, PgError};

pub use originals::original_storages;
use report::Touched;
pub use report::{FenceReport, Stopped, TaskReport};

/// Who makes a fence, for its records.
pub const TOOL: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// What a fence is made with, and what it puts on record.
pub struct FenceSettings {
    /// What becomes of the storages' credentials.
    pub storage_credentials: StorageCredentials,
    /// The instance that this is a copy of.
    pub instance: Slug,
    /// The escrow that it comes from.
    pub escrow_id: EscrowId,
    /// Sequence number and digest of the newest manifest that is known: an unfence asks whether
    /// there is a newer one.
    pub head: (u64, Digest),
    /// The time.
    pub now: UtcTime,
}

/// The database was not fenced, and is as it was.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// It is not one that can be worked on.
    #[error("cannot fence this database")]
    Schema(#[from] SchemaError),
    /// A fence is there; another on top of it would keep the fence's values as originals.
    #[error("the metadata database is fenced already")]
    AlreadyFenced,
    /// So is one by hand.
    #[error("the metadata database was fenced by hand, after RESTORE.md")]
    FencedByHand,
    /// Read-only keys were given for a storage that there is none of.
    #[error("there is no S3 storage {0} to give read-only credentials to")]
    NoSuchStorage(Uuid),
    /// The session failed.
    #[error("the fence could not be made; nothing was changed")]
    Session(#[from] PgError),
}

/// Fences the database of a session that nobody else uses. Either all of it is done or nothing.
pub fn apply(
    session: &mut Connection,
    schema: &Schema,
    key: &SecretKey,
    settings: &FenceSettings,
) -> Result<FenceReport, FenceError> {
    let generation = match schema.generation() {
        // Never refused outright in a disaster: rules apply to what is there, the rest is unknown.
        Err(SchemaError::HalfMigrated(_)) if schema.is_newer_than_known() => Generation::From343,
        other => other?,
    };
    match side_schema::which(session)? {
        Fenced::No => {}
        Fenced::ByTool => return Err(FenceError::AlreadyFenced),
        Fenced::ByHand => return Err(FenceError::FencedByHand),
    }
    session.simple_query("BEGIN")?;
    let made = make(session, schema, generation, key, settings);
    let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = session.simple_query(end);
    let touched = made?;
    ended?;
    Ok(report::report(schema, generation, settings, touched))
}

fn make(
    session: &mut Connection,
    schema: &Schema,
    generation: Generation,
    key: &SecretKey,
    settings: &FenceSettings,
) -> Result<Touched, FenceError> {
    session.simple_query(EXACT_TEXT)?;
    check_storages(session, schema, &settings.storage_credentials)?;
    session.simple_query(side_schema::CREATE)?;
    session.simple_query(&record(schema, generation, settings).insert())?;
    let mut touched = Touched::default();
    for rule in SET.iter().filter(|rule| rule.fits(schema)) {
        let rows = count(session, &rule.change().statement())?;
        touched.cells(rule.stops, rows);
    }
    for change in settings.storage_credentials.changes(schema, key) {
        touched.cells(&[Task::UserDeletions], count(session, &change.statement())?);
    }
    for rule in REMOVE.iter().filter(|rule| schema.has_table(rule.table)) {
        touched.rows(rule.stops, count(session, &rule.statement())?);
    }
    for rule in END.iter().filter(|rule| rule.fits(schema)) {
        touched.rows(rule.stops, count(session, &rule.statement(schema))?);
    }
    if schema.has_table("secret_keys") {
        touched.legacy_keys = count(session, "SELECT count(*)::text FROM public.secret_keys")?;
    }
    Ok(touched)
}

/// A mistyped id must not leave the right storage blank without a word.
fn check_storages(
    session: &mut Connection,
    schema: &Schema,
    credentials: &StorageCredentials,
) -> Result<(), FenceError> {
    if credentials.replaced().next().is_none() {
        return Ok(());
    }
    let rows = match schema.has("s3_storages", "storage_id") {
        true => session.simple_query("SELECT storage_id::text FROM public.s3_storages")?,
        false => Vec::new(),
    };
    let there = rows.into_iter().flatten().flatten();
    let there: Vec<Uuid> = there.filter_map(|id| Uuid::try_parse(&id).ok()).collect();
    match credentials.replaced().find(|id| !there.contains(id)) {
        None => Ok(()),
        Some(missing) => Err(FenceError::NoSuchStorage(*missing)),
    }
}

fn record(schema: &Schema, generation: Generation, settings: &FenceSettings) -> FenceRecord {
    let (head_seq, head_sha256) = settings.head;
    FenceRecord {
        made_at: settings.now,
        tool: TOOL.to_owned(),
        instance: settings.instance.clone(),
        escrow_id: settings.escrow_id.clone(),
        head_seq,
        head_sha256,
        schema_version: schema.version,
        generation,
        storage_credentials: settings.storage_credentials.state(),
    }
}

/// The number that a statement answers with.
fn count(session: &mut Connection, sql: &str) -> Result<u64, PgError> {
    let rows = session.simple_query(sql)?;
    let count = rows.into_iter().flatten().flatten().next();
    let count = count.and_then(|text| text.parse().ok());
    count.ok_or_else(|| PgError::Protocol("a count that is no number".to_owned()))
}

/// Rows touched, by the task that they belong to.
pub(crate) type ByTask = BTreeMap<Task, u64>;
