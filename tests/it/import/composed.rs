//! Cases that a healthy instance does not produce, each at what it has to become.

use databasus_escrow::ops::import::ImportSettings;
use databasus_escrow::ops::import::report::{Reason, StorageOutcome};
use serde_json::Value;

use super::bed::{Bed, reasons};
use crate::support::fixture::COMPOSED;

/// The object that the fixture describes so.
fn case(truth: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut cases = truth.as_array().unwrap().iter();
    cases.find(|case| wanted(case)).unwrap().clone()
}

fn described(truth: &Value, words: &str) -> Value {
    case(truth, |case| {
        let text = case["case"].as_str();
        text.is_some_and(|text| text.contains(words))
    })
}

fn id(case: &Value) -> &str {
    case["id"].as_str().unwrap()
}

fn row(bed: &Bed, id: &str) -> Option<Value> {
    bed.catalogue()[bed.backups()].get(id).cloned()
}

#[test]
fn a_backup_that_came_after_the_snapshot_comes_in() {
    for fixture in COMPOSED {
        let Some(bed) = Bed::new(fixture) else { return };
        let truth = bed.fixture.truth();
        bed.import();
        let orphans = truth.as_array().unwrap().iter();
        for orphan in orphans.filter(|case| case["orphan"] == true) {
            let row = row(&bed, id(orphan)).unwrap();
            assert_eq!(row["status"], "COMPLETED");
            assert_eq!(row["file_name"], orphan["file"]);
            assert_eq!(row["encryption"], "ENCRYPTED");
            let stamp = orphan["file"]
                .as_str()
                .unwrap()
                .rsplit('-')
                .nth(5)
                .unwrap()
                .to_owned();
            let created = row["created_at"].as_str().unwrap().replace([':', '-'], "");
            assert_eq!(created[9..15], stamp, "{created}");
            let name = bed.server.psql(&format!(
                "SELECT name FROM databases WHERE id = '{}'",
                row["database_id"].as_str().unwrap()
            ));
            assert_eq!(orphan["db"], name.as_str());
        }
    }
}

#[test]
fn a_row_that_a_crash_left_failed_is_completed_and_keeps_its_time() {
    for fixture in COMPOSED {
        let Some(bed) = Bed::new(fixture) else { return };
        let promoted = described(&bed.fixture.truth(), "promote");
        let before = row(&bed, id(&promoted)).unwrap();
        bed.server.psql(&format!(
            "UPDATE {} SET fail_message = 'restart', is_skip_retry = true WHERE id = '{}'",
            bed.backups(),
            id(&promoted)
        ));
        bed.import();
        let after = row(&bed, id(&promoted)).unwrap();
        assert_eq!(
            (&before["status"], &after["status"]),
            (&"FAILED".into(), &"COMPLETED".into())
        );
        assert_eq!(before["created_at"], after["created_at"]);
        assert_eq!(before["backup_duration_ms"], after["backup_duration_ms"]);
        assert_eq!(after["fail_message"], Value::Null);
        assert_eq!(after["is_skip_retry"], false);
        assert_eq!(after["encryption"], "ENCRYPTED");
        assert!(after["encryption_salt"].is_string() && after["encryption_iv"].is_string());
        // 6010 stored bytes are a header, one chunk and its overhead.
        let size = after["backup_size_mb"].as_f64().unwrap();
        assert_eq!(size * 1_048_576.0, f64::from(6010 - 64 - 20));
    }
}

#[test]
fn what_no_sidecar_commits_is_listed_and_stays_out() {
    for fixture in COMPOSED {
        let Some(bed) = Bed::new(fixture) else { return };
        let unproven = described(&bed.fixture.truth(), "unproven");
        let report = bed.import();
        let name = unproven["file"].as_str().unwrap();
        assert_eq!(reasons(&report)[name], Reason::Unproven);
        assert_eq!(row(&bed, id(&unproven)), None);
        assert!(!report.is_whole() && !report.has_damage());
    }
}

#[test]
fn a_row_without_its_object_moves_aside_with_all_that_hangs_on_it() {
    for fixture in COMPOSED {
        let Some(bed) = Bed::new(fixture) else { return };
        let ghost = described(&bed.fixture.truth(), "ghost");
        let id = id(&ghost);
        bed.server.psql(&format!(
            "INSERT INTO restores (backup_id, status) VALUES ('{id}', 'COMPLETED');
             WITH v AS (INSERT INTO restore_verifications (database_id, backup_id, trigger)
               SELECT database_id, id, 'MANUAL' FROM {} WHERE id = '{id}' RETURNING id)
             INSERT INTO restore_verification_table_stats (restore_verification_id, schema_name, name, row_count)
               SELECT id, 'public', 't', 3 FROM v",
            bed.backups()
        ));
        let before = row(&bed, id).unwrap();
        let report = bed.import();
        assert_eq!(row(&bed, id), None);
        assert_eq!(
            report.databases.iter().map(|one| one.ghosts).sum::<u64>(),
            1
        );
        let kept = bed.server.psql(
            "SET TimeZone = 'UTC'; SELECT jsonb_object_agg(table_name, row) FROM escrow_leftover.ghosts WHERE why = 'ghost'",
        );
        let kept: Value = serde_json::from_str(&kept).unwrap();
        let kept = kept.as_object().unwrap();
        let tables: Vec<&String> = kept.keys().collect();
        let stats = "restore_verification_table_stats";
        let expected = [bed.backups(), "restore_verifications", stats, "restores"];
        let mut expected = expected.map(str::to_owned);
        expected.sort();
        assert_eq!(tables, expected.iter().collect::<Vec<_>>());
        assert_eq!(
            kept[bed.backups()]["backup_size_mb"],
            before["backup_size_mb"]
        );
        assert_eq!(kept[stats]["row_count"], 3);
        let state = bed.state();
        bed.import();
        assert_eq!(bed.state(), state);
    }
}

#[test]
fn of_a_fenced_database_rows_and_what_was_seen_go_into_the_fence() {
    for fixture in COMPOSED {
        let Some(bed) = Bed::new(fixture) else { return };
        bed.server.psql("CREATE SCHEMA escrow_fence");
        for _ in 0..2 {
            bed.import();
            assert_eq!(bed.count("escrow_fence.rows WHERE why = 'ghost'"), 1);
            let objects = super::bed::names(bed.bucket.path());
            let seen = bed.server.psql("SELECT string_agg(key, '|' ORDER BY key COLLATE \"C\") FROM escrow_fence.seen_objects");
            assert_eq!(seen, objects.join("|"));
        }
    }
}

#[test]
fn a_row_of_a_running_backup_stays_and_is_told() {
    for fixture in COMPOSED {
        let Some(bed) = Bed::new(fixture) else { return };
        let running = described(&bed.fixture.truth(), "IN_PROGRESS");
        let before = row(&bed, id(&running));
        let report = bed.import();
        assert_eq!(row(&bed, id(&running)), before);
        let told: Vec<String> = report
            .in_progress
            .iter()
            .map(|one| one.id.to_string())
            .collect();
        assert_eq!(told, [id(&running)]);
    }
}

#[test]
fn a_backup_in_three_parts_comes_in_where_the_release_reads_parts() {
    let Some(bed) = Bed::new("databasus-3.49.0") else {
        return;
    };
    let chunked = described(&bed.fixture.truth(), "chunked");
    let (name, id) = (chunked["file"].as_str().unwrap(), id(&chunked));
    let before = row(&bed, id).unwrap();
    let forget = format!("DELETE FROM logical_backups WHERE id = '{id}'");
    bed.server.psql(&forget);
    bed.import();
    let after = row(&bed, id).unwrap();
    for column in ["encryption_salt", "encryption_iv", "database_id"] {
        assert_eq!(before[column], after[column], "{column}");
    }
    // 2204925 stored bytes are a header, three chunks and their overhead.
    let size = after["backup_size_mb"].as_f64().unwrap();
    assert_eq!(size * 1_048_576.0, f64::from(2_204_925 - 64 - 3 * 20));
    bed.server.psql(&forget);
    bed.server
        .psql("UPDATE goose_db_version SET version_id = 20260617120000 WHERE version_id > 0");
    let report = bed.import();
    assert_eq!(reasons(&report)[name], Reason::Unreadable);
    assert_eq!(row(&bed, id), None);
}

#[test]
fn physical_and_chunked_backups_are_listed_beside_an_older_catalogue() {
    let Some(bed) = Bed::new("databasus-3.42.0") else {
        return;
    };
    let Some(newer) = Bed::new("real-3.49.0") else {
        return;
    };
    for name in super::bed::names(newer.bucket.path()) {
        std::fs::copy(newer.object(&name), bed.object(&name)).unwrap();
    }
    let keys = std::iter::once(bed.fixture.secret_key()).chain([newer.fixture.secret_key()]);
    let bed = Bed {
        keys: keys.collect(),
        ..bed
    };
    let report = bed.import();
    let unreadable = reasons(&report).into_iter();
    let unreadable = unreadable.filter(|(_, reason)| *reason == Reason::Unreadable);
    // One full, two incremental, nine segments, and the one in parts.
    assert_eq!(unreadable.count(), 13);
}

#[test]
fn no_ghost_moves_where_it_is_not_certain() {
    for fixture in COMPOSED {
        let Some(bed) = Bed::new(fixture) else { return };
        let ghosts = |report: &databasus_escrow::ops::import::report::ImportReport| {
            report.databases.iter().map(|one| one.ghosts).sum::<u64>()
        };
        // The listing failed.
        let closed = super::bed::Folders {
            closed: true,
            ..bed.folders()
        };
        let report = bed
            .import_from(&closed, &ImportSettings::default())
            .unwrap();
        assert!(ghosts(&report) == 0 && !report.is_whole(), "{report:#?}");
        // What was listed is another place.
        let storage = bed.server.psql("SELECT id FROM storages").parse().unwrap();
        let moved = ImportSettings {
            moved_storages: vec![storage],
            ..ImportSettings::default()
        };
        assert_eq!(ghosts(&bed.import_with(&moved)), 0);
        // Nothing that is known is there.
        bed.empty();
        let report = bed.import();
        assert_eq!(ghosts(&report), 0);
        let StorageOutcome::Listed {
            ghosts_kept: Some(kept),
            ..
        } = &report.storages[0].outcome
        else {
            panic!("{report:#?}")
        };
        assert!(kept.rows > 5);
    }
}

#[test]
fn no_ghost_of_a_local_storage_moves_where_its_files_were_left_out() {
    for fixture in COMPOSED {
        let Some(bed) = Bed::new(fixture) else { return };
        bed.server.psql("UPDATE storages SET type = 'LOCAL'");
        let name = bed.server.psql("SELECT name FROM storages");
        let mut folders = bed.folders();
        folders.others.insert(name, bed.bucket.path().to_owned());
        let left_out = ImportSettings {
            local_files_left_out: true,
            ..ImportSettings::default()
        };
        let report = bed.import_from(&folders, &left_out).unwrap();
        assert!(report.imported() > 0);
        assert!(report.databases.iter().all(|one| one.ghosts == 0));
        let report = bed
            .import_from(&folders, &ImportSettings::default())
            .unwrap();
        assert_eq!(
            report.databases.iter().map(|one| one.ghosts).sum::<u64>(),
            1
        );
    }
}

#[test]
fn a_half_migrated_schema_is_refused_and_nothing_changes() {
    for fixture in COMPOSED {
        let Some(bed) = Bed::new(fixture) else { return };
        for table in ["backups", "logical_backups", "physical_full_backups"] {
            bed.server
                .psql(&format!("CREATE TABLE IF NOT EXISTS {table} (id uuid)"));
        }
        let state = bed.state();
        let refused = bed.import_from(&bed.folders(), &ImportSettings::default());
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("half-migrated"), "{refused}");
        assert_eq!(bed.state(), state);
    }
}

#[test]
fn storages_of_other_types_are_listed_with_what_to_do() {
    let Some(bed) = Bed::new("databasus-3.49.0") else {
        return;
    };
    bed.server.psql("UPDATE storages SET type = 'SFTP'");
    let report = bed.import();
    let StorageOutcome::NotListed { why, in_use, .. } = &report.storages[0].outcome else {
        panic!("{report:#?}")
    };
    assert!(why.contains("SFTP") && *in_use && !report.is_whole());
}
