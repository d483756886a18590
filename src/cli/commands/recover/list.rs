//! `recover --list`: what can be recovered, and with which key.

use std::sync::Arc;

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::text::{bytes, printable};
use crate::cli::args::{Global, Recover};
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::{Output, table};
use crate::cli::progress::Progress;
use crate::ops::recover::inventory::{self, Depth, Inventory, Kind, Row, State, Step};
use crate::ops::recover::keys::{KeyRing, KeySource};
use crate::store::Store;

#[derive(Serialize)]
struct Document<'a> {
    storage: String,
    keys: &'a [KeySource],
    /// Whether backups were looked into; else nothing is known of keys and kinds.
    probed: bool,
    #[serde(flatten)]
    inventory: &'a Inventory,
}

pub(super) fn run(
    args: &Recover,
    store: &Arc<dyn Store>,
    keys: &KeyRing,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let depth = match args.no_probe {
        true => Depth::Sidecars,
        false => Depth::Beginnings,
    };
    let progress = Progress::count(global, "objects");
    let (mut looked, mut all) = (0, 0);
    let mut on_step = |step| match step {
        Step::Listed(seen) => progress.reach(seen),
        Step::Backups(count) => {
            (looked, all) = (0, count);
            progress.say("backups looked at", all);
        }
        Step::Looked => {
            looked += 1;
            progress.reach(looked);
        }
    };
    let inventory =
        inventory::take(store, keys, depth, cancel, &mut on_step).map_err(hints::listing)?;
    drop(progress);
    let document = Document {
        storage: store.location(),
        keys: keys.sources(),
        probed: depth == Depth::Beginnings,
        inventory: &inventory,
    };
    output.result(&document, || text(&document))?;
    let is_unknown = |row: &Row| row.state == State::Unknown;
    Ok(match inventory.backups.as_slice() {
        [] => Exit::NotFound,
        rows if rows.iter().any(is_unknown) => Exit::Partial,
        _ => Exit::Done,
    })
}

fn text(document: &Document<'_>) -> String {
    let inventory = document.inventory;
    if inventory.backups.is_empty() {
        let location = printable(&document.storage);
        return format!("No backups in {location}.\n") + &foreign(inventory);
    }
    let heading = ["DATABASE", "TIME", "SIZE", "KIND", "STATE", "KEY", "ID"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(inventory.backups.iter().map(|row| line(row, document)));
    let mut out = table(&rows) + &legend(document.keys);
    let problems = inventory.backups.iter().filter_map(|row| {
        let problem = row.problem.as_deref()?;
        Some(format!(
            "\n{}: {}",
            printable(&row.name),
            printable(problem)
        ))
    });
    out.extend(problems);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out + &foreign(inventory)
}

/// What the numbers in the column of keys stand for.
fn legend(keys: &[KeySource]) -> String {
    let line = |(number, key): (usize, &KeySource)| {
        let id = key
            .key_id
            .map(|id| format!(", key id {id}"))
            .unwrap_or_default();
        format!("Key #{number}: {}{id}\n", printable(&key.source))
    };
    let lines: String = (1..).zip(keys).map(line).collect();
    match lines.is_empty() {
        true => lines,
        false => format!("\n{lines}"),
    }
}

fn foreign(inventory: &Inventory) -> String {
    match inventory.foreign_objects {
        0 => String::new(),
        count => format!("\n{count} objects there are not backups of Databasus.\n"),
    }
}

fn line(row: &Row, document: &Document<'_>) -> Vec<String> {
    let unknown = || "-".to_owned();
    let shown = |text: &str| printable(text).into_owned();
    let database = row.database.as_deref().map(shown);
    vec![
        database
            .or_else(|| row.database_id.map(|id| id.to_string()))
            .unwrap_or_else(unknown),
        row.at.map_or_else(unknown, |at| at.to_string()),
        row.size.or(row.stored_size).map_or_else(unknown, bytes),
        kind(row),
        state(row.state).to_owned(),
        key(row, document),
        row.id.map_or_else(|| shown(&row.name), |id| id.to_string()),
    ]
}

fn kind(row: &Row) -> String {
    let words = match row.kind {
        Kind::Dump => "dump",
        Kind::PgDump => "pg_dump",
        Kind::Sql => "SQL",
        Kind::Mongo => "mongodump",
        Kind::Full => "FULL",
        Kind::Incremental => "INCR",
        Kind::Wal => "WAL",
        Kind::History => "history",
        Kind::WalV1Base => "WAL_V1 base",
        Kind::WalV1Segment => "WAL_V1",
        Kind::Unknown => "-",
    };
    let place = match (&row.segment, &row.start_lsn, &row.stop_lsn) {
        (Some(segment), _, _) => Some(segment.clone()),
        (None, Some(start), Some(stop)) => Some(format!("{start} to {stop}")),
        (None, Some(start), None) => Some(format!("from {start}")),
        (None, None, _) => None,
    };
    match (place, &row.dumped_database) {
        (Some(place), _) => format!("{words} {place}"),
        (None, Some(database)) => format!("{words} of {}", printable(database)),
        (None, None) => words.to_owned(),
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Committed => "committed",
        State::ByContent => "by content",
        State::Unproven => "UNPROVEN",
        State::FailedDump => "FAILED DUMP",
        State::Incomplete => "INCOMPLETE",
        State::ContentMissing => "GONE",
        State::Damaged => "DAMAGED",
        State::Unknown => "UNKNOWN",
    }
}

fn key(row: &Row, document: &Document<'_>) -> String {
    let none = match document.probed && !document.keys.is_empty() {
        true => "NONE OPENS IT",
        false => "encrypted",
    };
    let number = |key: &KeySource| document.keys.iter().position(|known| known == key);
    match (&row.opened_by, row.encrypted) {
        (Some(key), _) => number(key).map_or_else(String::new, |place| format!("#{}", place + 1)),
        (None, Some(false)) => "not encrypted".to_owned(),
        (None, Some(true)) if row.state == State::FailedDump => "-".to_owned(),
        (None, Some(true)) => none.to_owned(),
        (None, None) => "-".to_owned(),
    }
}
