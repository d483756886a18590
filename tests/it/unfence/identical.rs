//! What was fenced and unfenced is as it was.

use databasus_escrow::databasus::fence::credentials::StorageCredentials;
use databasus_escrow::databasus::storages::S3Keys;
use databasus_escrow::ops::unfence::UnfenceError;
use zeroize::Zeroizing;

use super::way::{decided, dump, unfence, unfence_wholly};
use crate::fence::bed::{Bed, FIXTURES};

/// Tables whose rows say what is going on.
const WORK: [&str; 9] = [
    "backups",
    "logical_backups",
    "physical_full_backups",
    "physical_incremental_backups",
    "restores",
    "restore_verifications",
    "download_tokens",
    "physical_in_flight_backups",
    "physical_wal_streamers",
];

/// Every row of those tables that there are, as an array of JSON texts.
fn work(bed: &Bed) -> Vec<(&'static str, String)> {
    let there = |table: &&str| bed.count(&format!("pg_tables WHERE tablename = '{table}'")) > 0;
    let tables = WORK.into_iter().filter(there);
    let rows = tables.map(|table| {
        let rows = bed.server.psql(&format!(
            "SET TimeZone = 'UTC';
             SELECT coalesce(array_agg(to_jsonb(t)::text)::text, '{{}}') FROM {table} t"
        ));
        (table, rows.replace('\'', "''"))
    });
    rows.collect()
}

#[test]
fn a_dump_of_every_fixture_is_the_same_but_for_work_in_progress() {
    for fixture in FIXTURES {
        let Some(bed) = Bed::busy(fixture) else {
            return;
        };
        bed.server
            .psql("ALTER DATABASE databasus SET TimeZone = 'UTC'");
        let (before, busy) = (dump(&bed, &WORK), work(&bed));
        let fenced = bed.fence().unwrap();
        assert_ne!(dump(&bed, &WORK), before);
        let report = unfence_wholly(&bed);
        assert_eq!(dump(&bed, &WORK), before, "{fixture}");
        assert_eq!(report.leftover, []);
        assert!(report.is_whole());
        assert_eq!(report.cells, fenced.cells);
        let aside: u64 = report.work_in_progress.iter().map(|one| one.rows).sum();
        assert_eq!(report.links + aside, fenced.rows);
        bed.none("pg_namespace WHERE nspname = 'escrow_fence'");
        for (table, before) in busy {
            let lost = bed.server.psql(&format!(
                "SET TimeZone = 'UTC'; SELECT count(*) FROM unnest('{before}'::text[]) AS b (r)
                 WHERE r NOT IN (SELECT to_jsonb(t)::text FROM {table} t)
                   AND r NOT IN (SELECT row::text FROM escrow_leftover.rows WHERE table_name = '{table}')"
            ));
            assert_eq!(lost, "0", "{table}");
        }
    }
}

#[test]
fn a_quiet_instance_leaves_no_trace_of_a_fence() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    let before = dump(&bed, &[]);
    bed.fence().unwrap();
    let report = unfence_wholly(&bed);
    assert_eq!(dump(&bed, &[]), before);
    assert_eq!(report.work_in_progress, []);
    bed.none("pg_namespace WHERE nspname LIKE 'escrow_%'");
}

#[test]
fn tunnels_are_given_back() {
    let Some(bed) = Bed::of_august() else { return };
    let before = dump(&bed, &WORK);
    bed.fence().unwrap();
    unfence_wholly(&bed);
    assert_eq!(dump(&bed, &WORK), before);
}

#[test]
fn read_only_keys_go_and_the_real_ones_come_back() {
    let Some(bed) = Bed::quiet("real-3.49.0") else {
        return;
    };
    let keys = "SELECT s3_access_key, s3_secret_key FROM s3_storages";
    let before = bed.server.psql(keys);
    let id = bed
        .server
        .psql("SELECT storage_id FROM s3_storages")
        .parse()
        .unwrap();
    let given = S3Keys {
        access_key_id: Zeroizing::new("READ".to_owned()),
        secret_access_key: Zeroizing::new("ONLY".to_owned()),
    };
    bed.fence_with(StorageCredentials::ReadOnly([(id, given)].into()))
        .unwrap();
    assert_ne!(bed.server.psql(keys), before);
    unfence_wholly(&bed);
    assert_eq!(bed.server.psql(keys), before);
}

#[test]
fn a_dry_run_tells_the_same_and_changes_nothing() {
    let Some(bed) = Bed::busy("real-3.49.0") else {
        return;
    };
    bed.fence().unwrap();
    let before = bed.state();
    let settings = decided();
    let dry = databasus_escrow::ops::unfence::UnfenceSettings {
        confirmed: None,
        dry_run: true,
        ..settings
    };
    let told = unfence(&bed, &dry).unwrap();
    assert_eq!(bed.state(), before);
    bed.none("pg_namespace WHERE nspname = 'escrow_leftover'");
    let done = unfence(&bed, &settings).unwrap();
    assert_eq!((told.cells, told.links), (done.cells, done.links));
    assert_eq!(told.work_in_progress, done.work_in_progress);
    assert_eq!(told.retention, done.retention);
}

/// An upgrade over 3.43 between fence and unfence, as Databasus' own migration renames.
#[test]
fn what_was_renamed_meanwhile_is_found_under_its_new_name() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    let enabled = bed.count("backup_configs WHERE is_backups_enabled");
    bed.fence().unwrap();
    bed.server.psql(
        "ALTER TABLE backups RENAME TO logical_backups;
         ALTER TABLE backup_configs RENAME TO logical_backup_configs;
         ALTER TABLE postgresql_databases RENAME TO postgresql_logical_databases;
         ALTER TABLE databases DROP agent_token, DROP is_agent_token_generated;
         CREATE TABLE physical_full_backups (id uuid);
         INSERT INTO goose_db_version (version_id, is_applied) VALUES (20260614221026, true)",
    );
    let report = unfence_wholly(&bed);
    assert_eq!(
        bed.count("logical_backup_configs WHERE is_backups_enabled"),
        enabled
    );
    bed.none("postgresql_logical_databases WHERE host = 'fenced.invalid'");
    let left: Vec<_> = report
        .leftover
        .iter()
        .filter_map(|one| one.column.as_deref())
        .collect();
    assert_eq!(left, ["agent_token", "is_agent_token_generated"]);
    assert_eq!(
        bed.count("escrow_leftover.cells WHERE original IS NOT NULL"),
        2
    );
    assert!(!report.is_whole());
}

#[test]
fn an_older_release_than_the_fenced_one_is_refused() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    bed.fence().unwrap();
    bed.server
        .psql("UPDATE escrow_fence.fence SET generation = 'from-3.43'");
    let before = bed.state();
    let error = unfence(&bed, &decided()).err().unwrap();
    assert!(
        matches!(error, UnfenceError::Downgraded { .. }),
        "{error:?}"
    );
    assert_eq!(bed.state(), before);
}
