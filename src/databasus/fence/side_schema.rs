//! The schema `escrow_fence`: what was changed and what it was, beside Databasus' own tables.
//!
//! None of its tables is named like one of Databasus': its start script looks names up without
//! regard to the schema (DATABASUS.md §1).

use super::credentials::StorageCredentialsState;
use crate::base::digest::Digest;
use crate::base::names::{EscrowId, Slug};
use crate::base::time::UtcTime;
use crate::databasus::schema::Generation;
use crate::postgres::sql::{literal, nullable};
use crate::postgres::wire::{Connection, PgError, Row};

/// Its name. A database that has it is taken for a clone, and never snapshotted.
pub const SCHEMA: &str = "escrow_fence";

/// What the layout below is called on record.
pub const FORMAT: u32 = 1;

/// What fences made by hand after RESTORE.md keep originals in.
pub const BY_HAND: &str = "by_hand_";

/// Makes the tables. `rows` may be there: the catalogue import keeps ghosts in it.
pub const CREATE: &str = "\
CREATE SCHEMA IF NOT EXISTS escrow_fence; \
CREATE TABLE escrow_fence.fence ( \
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), \
    format integer NOT NULL, made_at timestamptz NOT NULL, tool text NOT NULL, \
    instance text NOT NULL, escrow_id text NOT NULL, \
    head_seq bigint NOT NULL, head_sha256 text NOT NULL, \
    schema_version bigint, generation text NOT NULL, storage_credentials text NOT NULL); \
CREATE TABLE escrow_fence.cells ( \
    table_name text NOT NULL, row_key jsonb NOT NULL, column_name text NOT NULL, \
    original text, fenced text, PRIMARY KEY (table_name, column_name, row_key)); \
CREATE TABLE IF NOT EXISTS escrow_fence.rows ( \
    id bigserial PRIMARY KEY, table_name text NOT NULL, row jsonb NOT NULL, why text NOT NULL)";

/// The one row of `escrow_fence.fence`: which fence this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceRecord {
    /// When it was made.
    pub made_at: UtcTime,
    /// Name and version of the tool that made it.
    pub tool: String,
    /// The instance that the data directory is a copy of.
    pub instance: Slug,
    /// The escrow that it comes from.
    pub escrow_id: EscrowId,
    /// Sequence number of the newest manifest that was known then.
    pub head_seq: u64,
    /// Digest of that manifest.
    pub head_sha256: Digest,
    /// The newest migration, where there is a table of them.
    pub schema_version: Option<i64>,
    /// Which names its tables had.
    pub generation: Generation,
    /// What became of the storages' credentials.
    pub storage_credentials: StorageCredentialsState,
}

/// Which fence a database has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// None.
    No,
    /// One that this tool made.
    ByTool,
    /// One made by hand, after RESTORE.md.
    ByHand,
}

const WHICH: &str = "\
SELECT (to_regclass('escrow_fence.fence') IS NOT NULL)::text, \
    EXISTS (SELECT FROM pg_catalog.pg_class c \
        WHERE c.relnamespace = pg_catalog.to_regnamespace('escrow_fence') \
          AND starts_with(c.relname::text, 'by_hand_'))::text";

/// Which fence there is. One made by hand is told even where there is one of the tool's too.
pub fn which(session: &mut Connection) -> Result<Fenced, PgError> {
    let rows = session.simple_query(WHICH)?;
    let row: Vec<_> = rows.into_iter().flatten().collect();
    let is = |column: usize| row.get(column).cloned().flatten().as_deref() == Some("true");
    Ok(match (is(0), is(1)) {
        (_, true) => Fenced::ByHand,
        (true, false) => Fenced::ByTool,
        (false, false) => Fenced::No,
    })
}

impl FenceRecord {
    /// Puts it on record.
    pub fn insert(&self) -> String {
        let version = self.schema_version.map(|version| version.to_string());
        let values = [
            FORMAT.to_string(),
            literal(&self.made_at.to_string()),
            literal(&self.tool),
            literal(self.instance.as_str()),
            literal(self.escrow_id.as_str()),
            self.head_seq.to_string(),
            literal(&self.head_sha256.to_string()),
            nullable(version.as_deref()),
            literal(self.generation.as_str()),
            literal(self.storage_credentials.as_str()),
        ];
        format!(
            "INSERT INTO escrow_fence.fence (format, made_at, tool, instance, escrow_id, head_seq, \
             head_sha256, schema_version, generation, storage_credentials) VALUES ({})",
            values.join(", ")
        )
    }
}

const READ: &str = "\
SELECT format::text, to_char(made_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), tool, \
    instance, escrow_id, head_seq::text, head_sha256, schema_version::text, generation, \
    storage_credentials FROM escrow_fence.fence";

/// The record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] PgError),
    /// A later release of this tool made the fence.
    #[error("the fence is of format {0}, and this release knows format {FORMAT} only")]
    Format(String),
    /// A value is not what this tool writes.
    #[error("escrow_fence.fence is damaged: its {0} is not what was written")]
    Damaged(&'static str),
}

/// Reads the record of a fence that this tool made.
pub fn read(session: &mut Connection) -> Result<FenceRecord, RecordError> {
    let rows = session.simple_query(READ)?;
    let row = rows.into_iter().next();
    record_of(row.ok_or(RecordError::Damaged("only row"))?)
}

fn record_of(row: Row) -> Result<FenceRecord, RecordError> {
    let mut columns = row.into_iter();
    let mut next = || columns.next().flatten();
    let format = next().unwrap_or_default();
    if format != FORMAT.to_string() {
        let shown = crate::base::text::printable(&format).into_owned();
        return Err(RecordError::Format(shown));
    }
    Ok(FenceRecord {
        made_at: parsed(next(), "time")?,
        tool: next().unwrap_or_default(),
        instance: parsed(next(), "instance")?,
        escrow_id: parsed(next(), "escrow id")?,
        head_seq: parsed(next(), "sequence number")?,
        head_sha256: parsed(next(), "manifest digest")?,
        schema_version: match next() {
            None => None,
            version => Some(parsed(version, "schema version")?),
        },
        generation: next()
            .and_then(|text| Generation::parse(&text))
            .ok_or(RecordError::Damaged("generation"))?,
        storage_credentials: next()
            .and_then(|text| StorageCredentialsState::parse(&text))
            .ok_or(RecordError::Damaged("state of storage credentials"))?,
    })
}

fn parsed<T: std::str::FromStr>(
    text: Option<String>,
    what: &'static str,
) -> Result<T, RecordError> {
    let value = text.and_then(|text| text.parse().ok());
    value.ok_or(RecordError::Damaged(what))
}
