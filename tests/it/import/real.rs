//! What an import makes of the snapshot of a running instance, beside what its own catalogue was
//! when it died.

use std::collections::BTreeMap;

use databasus_escrow::ops::import::report::Reason;
use serde_json::Value;

use super::bed::{Bed, Catalogue, reasons};
use crate::support::fixture::REAL;

/// Columns of rows that come in whose values no object tells. In rows that are completed they
/// keep what they have.
const NOT_RECOVERABLE: [(&str, &[&str]); 4] = [
    (
        "backups",
        // How long it took, how large the database was, when the agent's upload ended.
        &[
            "backup_duration_ms",
            "backup_raw_db_size_mb",
            "upload_completed_at",
        ],
    ),
    (
        "logical_backups",
        &["backup_duration_ms", "backup_raw_db_size_mb"],
    ),
    ("physical_incremental_backups", &["backup_duration_ms"]),
    // Claimed some microseconds after it was received.
    ("physical_wal_segments", &["claimed_at"]),
];

/// Times that object names give to the second.
const TO_THE_SECOND: [(&str, &str); 2] =
    [("backups", "created_at"), ("logical_backups", "created_at")];

fn at_death(truth: &Value) -> Catalogue {
    let tables = truth["catalogue_at_death"].as_object().unwrap();
    tables
        .iter()
        .map(|(table, rows)| {
            let rows = rows.as_array().unwrap().iter();
            let by_id = rows.map(|row| (row["id"].as_str().unwrap().to_owned(), row.clone()));
            (table.clone(), by_id.collect())
        })
        .collect()
}

/// A row with what cannot be compared taken out, and every number as a double.
fn comparable(table: &str, row: &Value, is_new: bool) -> BTreeMap<String, Value> {
    let unknown = NOT_RECOVERABLE.iter().find(|(name, _)| *name == table);
    let unknown = unknown
        .filter(|_| is_new)
        .map_or(&[][..], |(_, columns)| columns);
    let columns = row.as_object().unwrap().iter();
    let kept = columns.filter(|(name, _)| !unknown.contains(&name.as_str()));
    kept.map(|(name, value)| {
        let cut = is_new && TO_THE_SECOND.contains(&(table, name.as_str()));
        let value = match value {
            Value::String(text) if cut => Value::from(&text[.."2026-11-23T03:12:47".len()]),
            Value::Number(number) => Value::from(number.as_f64().unwrap()),
            other => other.clone(),
        };
        (name.clone(), value)
    })
    .collect()
}

#[test]
fn an_import_into_the_snapshot_arrives_at_the_catalogue_at_death() {
    for fixture in REAL {
        let Some(bed) = Bed::new(fixture) else { return };
        let truth = bed.fixture.truth();
        let before = bed.catalogue();
        let report = bed.import();
        let after = bed.catalogue();
        for (table, expected) in at_death(&truth) {
            for (id, expected) in expected {
                if expected["status"] == "IN_PROGRESS" {
                    assert!(!after[&table].contains_key(&id), "{fixture}: {table} {id}");
                    continue;
                }
                let is_new = !before[&table].contains_key(&id);
                let found = after[&table].get(&id);
                let found = found.unwrap_or_else(|| panic!("{fixture}: {expected}"));
                assert_eq!(
                    comparable(&table, found, is_new),
                    comparable(&table, &expected, is_new),
                    "{fixture}: {table}"
                );
            }
        }
        let rows = |catalogue: &Catalogue| catalogue.values().map(BTreeMap::len).sum::<usize>();
        let dead = at_death(&truth);
        let running = dead.values().flat_map(BTreeMap::values);
        let running = running.filter(|row| row["status"] == "IN_PROGRESS").count();
        assert_eq!(rows(&after), rows(&dead) - running, "{fixture}");
        assert!(report.is_whole() && !report.has_damage(), "{report:#?}");
    }
}

#[test]
fn a_dump_that_failed_stays_failed() {
    for fixture in REAL {
        let Some(bed) = Bed::new(fixture) else { return };
        let report = bed.import();
        let failed: Vec<Reason> = reasons(&report).into_values().collect();
        assert_eq!(failed, [Reason::FailedDump]);
        let sql = format!("{} WHERE status = 'FAILED'", bed.backups());
        assert_eq!(bed.count(&sql), 1);
    }
}

#[test]
fn a_second_import_changes_nothing() {
    for fixture in REAL {
        let Some(bed) = Bed::new(fixture) else { return };
        let first = bed.import();
        assert!(first.imported() > 0);
        let state = bed.state();
        let second = bed.import();
        assert_eq!(second.imported(), 0);
        assert_eq!(bed.state(), state, "{fixture}");
    }
}

#[test]
fn a_dry_run_tells_the_same_and_changes_nothing() {
    for fixture in REAL {
        let Some(bed) = Bed::new(fixture) else { return };
        let state = bed.state();
        let settings = databasus_escrow::ops::import::ImportSettings {
            dry_run: true,
            ..Default::default()
        };
        let planned = bed.import_with(&settings);
        assert_eq!(bed.state(), state, "{fixture}");
        assert_eq!(planned.databases, bed.import().databases);
    }
}
