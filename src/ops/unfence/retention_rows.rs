//! The rows that retention goes by, database by database.

use crate::databasus::retention::gfs::Gfs;
use crate::databasus::retention::logical::{Backup, Kind, Policy, Status};
use crate::databasus::retention::physical::{
    self, Full, Fulls, Incremental, Keep, Rows, Segment, cadence,
};
use crate::databasus::retention::{Micros, Period};
use crate::databasus::schema::{Generation, Schema};
use crate::postgres::sql::literal;
use crate::postgres::wire::{Connection, PgError, Row};
use uuid::Uuid;

/// A database that is backed up, and its policy.
pub(super) struct Enabled<P> {
    pub(super) id: String,
    pub(super) name: String,
    /// In Databasus' words.
    pub(super) words: String,
    /// None where the words are unknown.
    pub(super) policy: Option<P>,
}

/// The columns of a row, one after the other.
struct Columns(std::vec::IntoIter<Option<String>>);

impl Columns {
    fn of(row: Row) -> Self {
        Self(row.into_iter())
    }

    fn maybe(&mut self) -> Option<String> {
        self.0.next().flatten()
    }

    fn text(&mut self) -> String {
        self.maybe().unwrap_or_default()
    }

    fn number(&mut self) -> i64 {
        self.text().parse().unwrap_or(0)
    }

    fn gfs(&mut self) -> Gfs {
        Gfs {
            hours: self.number(),
            days: self.number(),
            weeks: self.number(),
            months: self.number(),
            years: self.number(),
        }
    }
}

/// Microseconds since 1970, exactly.
fn micros(column: &str) -> String {
    format!("(extract(epoch FROM {column}) * 1000000)::bigint::text")
}

/// Whether a schema has the policies that came with 3.15.
pub(super) fn has_policies(schema: &Schema, generation: Generation) -> bool {
    schema.has(generation.backup_configs(), "retention_policy_type")
}

/// What of a policy stands in the configurations since 3.15.
const POLICY: &[&str] = &[
    "retention_policy_type",
    "retention_time_period",
    "retention_count",
    "retention_gfs_hours",
    "retention_gfs_days",
    "retention_gfs_weeks",
    "retention_gfs_months",
    "retention_gfs_years",
];

/// And before.
const POLICY_BEFORE_315: &[&str] = &["store_period", "max_backups_total_size_mb"];

/// The same of physical backups.
const PHYSICAL_POLICY: &[&str] = &[
    "retention",
    "chains_retention_count",
    "full_backups_retention_policy",
    "full_backups_retention_count",
    "full_backups_retention_gfs_hours",
    "full_backups_retention_gfs_days",
    "full_backups_retention_gfs_weeks",
    "full_backups_retention_gfs_months",
    "full_backups_retention_gfs_years",
    "full_interval_type",
    "incremental_interval_type",
];

/// Databases that are backed up logically.
pub(super) fn logical(
    session: &mut Connection,
    schema: &Schema,
    generation: Generation,
) -> Result<Vec<Enabled<Policy>>, PgError> {
    let configs = generation.backup_configs();
    match has_policies(schema, generation) {
        true => switched_on(session, configs, POLICY, policy),
        false => switched_on(session, configs, POLICY_BEFORE_315, policy_before_315),
    }
}

/// Databases that are backed up physically.
pub(super) fn physical(
    session: &mut Connection,
    schema: &Schema,
) -> Result<Vec<Enabled<physical::Policy>>, PgError> {
    const CONFIGS: &str = "physical_backup_configs";
    match schema.has(CONFIGS, "is_backups_enabled") {
        true => switched_on(session, CONFIGS, PHYSICAL_POLICY, physical_policy),
        false => Ok(Vec::new()),
    }
}

/// Reads columns by way of JSON: one that a release does not have reads as null.
fn switched_on<P>(
    session: &mut Connection,
    configs: &str,
    columns: &[&str],
    policy: fn(&mut Columns) -> (String, Option<P>),
) -> Result<Vec<Enabled<P>>, PgError> {
    let columns = columns.iter();
    let columns: Vec<String> = columns
        .map(|column| format!("to_jsonb(c) ->> {}", literal(column)))
        .collect();
    let rows = session.simple_query(&format!(
        "SELECT d.id::text, d.name, {} FROM public.{configs} AS c \
         JOIN public.databases AS d ON d.id = c.database_id \
         WHERE c.is_backups_enabled ORDER BY d.name, d.id",
        columns.join(", ")
    ))?;
    Ok(rows.into_iter().map(|row| enabled(row, policy)).collect())
}

fn enabled<P>(row: Row, policy: fn(&mut Columns) -> (String, Option<P>)) -> Enabled<P> {
    let mut columns = Columns::of(row);
    let (id, name) = (columns.text(), columns.text());
    let (words, policy) = policy(&mut columns);
    Enabled {
        id,
        name,
        words,
        policy,
    }
}

fn policy(columns: &mut Columns) -> (String, Option<Policy>) {
    let (kind, period) = (columns.text(), columns.text());
    let (count, gfs) = (columns.number(), columns.gfs());
    let policy = match kind.as_str() {
        "TIME_PERIOD" | "" => Period::parse(&period).map(Policy::TimePeriod),
        "COUNT" => Some(Policy::Count(count)),
        "GFS" => Some(Policy::Gfs(gfs)),
        _ => None,
    };
    let words = match kind.as_str() {
        "COUNT" => format!("COUNT {count}"),
        "GFS" => format!("GFS {}", gfs_words(&gfs)),
        other => format!("{other} {period}"),
    };
    (words.trim().to_owned(), policy)
}

fn gfs_words(gfs: &Gfs) -> String {
    let levels = [
        (gfs.hours, "hours"),
        (gfs.days, "days"),
        (gfs.weeks, "weeks"),
        (gfs.months, "months"),
        (gfs.years, "years"),
    ];
    let set = levels.into_iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = set.map(|(count, unit)| format!("{count} {unit}")).collect();
    words.join(", ")
}

fn policy_before_315(columns: &mut Columns) -> (String, Option<Policy>) {
    let (text, limit) = (columns.text(), columns.number());
    let policy = Period::parse(&text).map(|period| Policy::Before315 {
        period,
        max_total_mb: limit as f64,
    });
    let words = match limit {
        1.. => format!("{text}, at most {limit} MiB"),
        _ => text,
    };
    (words, policy)
}

/// The logical backups of a database.
pub(super) fn backups(
    session: &mut Connection,
    schema: &Schema,
    generation: Generation,
    database: &str,
) -> Result<Vec<Backup>, PgError> {
    let table = generation.backups();
    let kind = match schema.has(table, "pg_wal_backup_type") {
        true => "b.pg_wal_backup_type",
        false => "NULL",
    };
    let rows = session.simple_query(&format!(
        "SELECT {at}, b.status, b.backup_size_mb::text, {kind} FROM public.{table} AS b \
         WHERE b.database_id::text = {database}",
        at = micros("b.created_at"),
        database = literal(database)
    ))?;
    Ok(rows.into_iter().map(backup).collect())
}

fn backup(row: Row) -> Backup {
    let mut columns = Columns::of(row);
    Backup {
        created_at: columns.number(),
        status: match columns.text().as_str() {
            "COMPLETED" => Status::Completed,
            "IN_PROGRESS" => Status::InProgress,
            _ => Status::Ended,
        },
        size_mb: columns.text().parse().unwrap_or(0.0),
        kind: match columns.maybe().as_deref() {
            Some("PG_FULL_BACKUP") => Kind::WalBase,
            Some("PG_WAL_SEGMENT") => Kind::WalSegment,
            _ => Kind::Dump,
        },
    }
}

fn physical_policy(columns: &mut Columns) -> (String, Option<physical::Policy>) {
    let (retention, chains) = (columns.text(), columns.number());
    let (kind, count, gfs) = (columns.text(), columns.number(), columns.gfs());
    let fulls = match kind.as_str() {
        "LAST_N" => Some(Fulls::Last(count)),
        "GFS" => Some(Fulls::Gfs(gfs)),
        "" => Some(Fulls::Unset),
        _ => None,
    };
    let keep = match retention.as_str() {
        "CHAINS" => Some(Keep::Chains(chains)),
        "FULL_BACKUPS" => fulls.map(Keep::Fulls),
        "CHAINS_AND_FULL_BACKUPS" => fulls.map(|fulls| Keep::Both(chains, fulls)),
        _ => None,
    };
    let which = match kind.as_str() {
        "LAST_N" => format!(" LAST_N {count}"),
        "GFS" => format!(" GFS {}", gfs_words(&gfs)),
        other => format!(" {other}"),
    };
    let words = match retention.as_str() {
        "CHAINS" => format!("CHAINS {chains}"),
        "CHAINS_AND_FULL_BACKUPS" => format!("CHAINS {chains} and FULL_BACKUPS{which}"),
        other => format!("{other}{which}"),
    };
    let cadence = cadence(&columns.text()).max(cadence(&columns.text()));
    let policy = keep.map(|keep| physical::Policy { keep, cadence });
    (words.trim().to_owned(), policy)
}

/// The physical backups of a database.
pub(super) fn chains(session: &mut Connection, database: &str) -> Result<Rows, PgError> {
    let of_it = format!("database_id::text = {}", literal(database));
    let fulls = session.simple_query(&format!(
        "SELECT id::text, {created}, {completed}, timeline_id::text, \
             (coalesce(start_lsn, '0/0') - '0/0'::pg_lsn)::text \
         FROM public.physical_full_backups WHERE status = 'COMPLETED' AND {of_it}",
        created = micros("created_at"),
        completed = micros("completed_at"),
    ))?;
    let incrementals = session.simple_query(&format!(
        "SELECT root_full_backup_id::text, \
             CASE WHEN status = 'COMPLETED' THEN {completed} END, status \
         FROM public.physical_incremental_backups WHERE {of_it}",
        completed = micros("completed_at"),
    ))?;
    let segments = session.simple_query(&format!(
        "SELECT timeline_id::text, (start_lsn - '0/0'::pg_lsn)::text, {received} \
         FROM public.physical_wal_segments WHERE file_name IS NOT NULL AND {of_it}",
        received = micros("received_at"),
    ))?;
    Ok(Rows {
        fulls: fulls.into_iter().map(full).collect(),
        incrementals: incrementals.into_iter().map(incremental).collect(),
        segments: segments.into_iter().map(segment).collect(),
    })
}

fn id(text: &str) -> Uuid {
    Uuid::try_parse(text).unwrap_or_default()
}

fn time(text: Option<String>) -> Option<Micros> {
    text.and_then(|text| text.parse().ok())
}

fn full(row: Row) -> Full {
    let mut columns = Columns::of(row);
    Full {
        id: id(&columns.text()),
        created_at: columns.number(),
        completed_at: time(columns.maybe()),
        timeline: columns.number(),
        start: columns.text().parse().unwrap_or(0),
    }
}

fn incremental(row: Row) -> Incremental {
    let mut columns = Columns::of(row);
    Incremental {
        root: id(&columns.text()),
        completed_at: time(columns.maybe()),
        broke_chain: columns.text() == "CHAIN_BROKEN",
    }
}

fn segment(row: Row) -> Segment {
    let mut columns = Columns::of(row);
    Segment {
        timeline: columns.number(),
        start: columns.text().parse().unwrap_or(0),
        received_at: columns.number(),
    }
}
