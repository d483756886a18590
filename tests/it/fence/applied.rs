//! Every statement of the fence by its effect.

use std::collections::BTreeMap;

use databasus_escrow::databasus::fence::credentials::{
    StorageCredentials, StorageCredentialsState,
};
use databasus_escrow::databasus::fence::side_schema;
use databasus_escrow::databasus::fence::task::Task;
use databasus_escrow::databasus::fields::{is_sealed, open_field};
use databasus_escrow::databasus::schema::Generation;
use databasus_escrow::databasus::storages::S3Keys;
use databasus_escrow::ops::fence::{FenceReport, Stopped};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::bed::{Bed, FIXTURES, settings};

fn stopped(report: &FenceReport, task: Task) -> Stopped {
    let found = report.tasks.iter().find(|one| one.task == task);
    found.unwrap().stopped
}

/// DATABASUS.md §5.4, 1 to 6 and 8 to 15.
fn assert_stopped(bed: &Bed) {
    bed.none(&format!(
        "{} WHERE is_backups_enabled OR is_retry_if_failed",
        bed.configs()
    ));
    bed.none("healthcheck_configs WHERE is_healthcheck_enabled");
    bed.none("database_notifiers");
    bed.none(&format!("{} WHERE status = 'IN_PROGRESS'", bed.backups()));
    bed.none("restores WHERE status = 'IN_PROGRESS'");
    bed.none("download_tokens");
    for source in bed.sources() {
        bed.none(&format!("{source} WHERE host <> 'fenced.invalid'"));
        assert_ne!(
            bed.count(&format!("{source} WHERE host = 'fenced.invalid'")),
            0,
            "{source}"
        );
    }
    bed.none("backup_verification_configs WHERE is_scheduled_verification_enabled");
    bed.none("restore_verifications WHERE status IN ('PENDING', 'RUNNING')");
    bed.none("verification_agents WHERE deleted_at IS NULL");
    if !bed.is_new {
        bed.none("databases WHERE agent_token IS NOT NULL OR is_agent_token_generated");
        return;
    }
    bed.none(
        "physical_backup_configs WHERE is_backups_enabled OR force_full_requested_at IS NOT NULL",
    );
    bed.none("physical_backup_configs WHERE force_incremental_requested_at IS NOT NULL");
    for table in ["physical_full_backups", "physical_incremental_backups"] {
        bed.none(&format!("{table} WHERE status = 'IN_PROGRESS'"));
    }
    bed.none("physical_in_flight_backups");
    bed.none("physical_wal_streamers");
}

/// DATABASUS.md §5.4, 7.
fn assert_blank(bed: &Bed) {
    for row in [
        "s3_storages WHERE s3_access_key <> '' OR s3_secret_key <> ''",
        "ftp_storages WHERE password <> '' OR host <> 'fenced.invalid'",
        "nas_storages WHERE password <> '' OR host <> 'fenced.invalid'",
        "sftp_storages WHERE password <> '' OR private_key <> '' OR host <> 'fenced.invalid'",
        "azure_blob_storages WHERE connection_string <> '' OR account_key <> ''",
        "google_drive_storages WHERE client_secret <> '' OR token_json <> ''",
        "rclone_storages WHERE config_content <> ''",
    ] {
        bed.none(row);
    }
}

#[test]
fn every_statement_has_its_effect_on_every_known_schema() {
    for fixture in FIXTURES {
        let Some(bed) = Bed::busy(fixture) else {
            return;
        };
        let report = bed.fence().unwrap();
        assert_stopped(&bed);
        assert_blank(&bed);
        assert!(report.is_whole(), "{fixture}: {report:?}");
        assert_eq!(report.unknown, [], "{fixture}");
    }
}

#[test]
fn what_is_not_to_be_changed_is_not() {
    let Some(bed) = Bed::busy("real-3.49.0") else {
        return;
    };
    let untouched = "SELECT (SELECT string_agg(t::text, '' ORDER BY t::text) FROM logical_backups t
          WHERE status = 'COMPLETED'),
        (SELECT string_agg(storage_id::text, '' ORDER BY database_id) FROM logical_backup_configs),
        (SELECT string_agg(s3_bucket || s3_endpoint || s3_prefix, '') FROM s3_storages),
        (SELECT string_agg(t::text, '' ORDER BY t::text) FROM physical_wal_segments t),
        (SELECT string_agg(t::text, '' ORDER BY t::text) FROM webhook_notifiers t),
        (SELECT string_agg(password, '' ORDER BY id) FROM postgresql_logical_databases)";
    let before = bed.server.psql(untouched);
    bed.fence().unwrap();
    assert_eq!(bed.server.psql(untouched), before);
    assert_eq!(
        bed.count("verification_agents WHERE deleted_at = '2026-01-02 03:04:05.678901+00'"),
        1
    );
    assert_eq!(bed.count("sftp_storages WHERE password IS NULL"), 1);
}

/// Beside the rows, in the words of a session that writes times as nobody else does.
#[test]
fn originals_are_kept_exactly() {
    for fixture in FIXTURES {
        let Some(bed) = Bed::busy(fixture) else {
            return;
        };
        bed.server.psql(
            "CREATE SCHEMA before; DO $$ DECLARE t text; BEGIN
               FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
                 EXECUTE format('CREATE TABLE before.%I AS TABLE public.%I', t, t);
               END LOOP; END $$",
        );
        let report = bed.fence().unwrap();
        assert_eq!(report.cells, bed.count("escrow_fence.cells"));
        assert_eq!(report.rows, bed.count("escrow_fence.rows"));
        let checked = bed.server.psql(
            "SET TimeZone = 'UTC'; DO $$ DECLARE c record; kept record; key text; BEGIN
               FOR c IN SELECT * FROM escrow_fence.cells LOOP
                 key := (SELECT k FROM jsonb_object_keys(c.row_key) k);
                 EXECUTE format('SELECT b.%1$I::text IS NOT DISTINCT FROM $1 AND p.%1$I::text IS NOT DISTINCT FROM $2 AS same
                   FROM before.%2$I b JOIN public.%2$I p USING (%3$I) WHERE %3$I::text = $3',
                   c.column_name, c.table_name, key)
                   INTO kept USING c.original, c.fenced, c.row_key ->> key;
                 IF kept.same IS DISTINCT FROM true THEN RAISE EXCEPTION 'lost: %', c; END IF;
               END LOOP;
               FOR c IN SELECT * FROM escrow_fence.rows LOOP
                 EXECUTE format('SELECT count(*) AS n FROM before.%I b WHERE to_jsonb(b) = $1', c.table_name)
                   INTO kept USING c.row;
                 IF kept.n <> 1 THEN RAISE EXCEPTION 'lost: %', c; END IF;
               END LOOP; END $$; SELECT 'all'",
        );
        assert_eq!(checked, "all");
    }
}

#[test]
fn the_fence_is_on_record() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    let report = bed.fence().unwrap();
    let record = side_schema::read(&mut bed.connect()).unwrap();
    let wanted = settings(StorageCredentials::Blank);
    assert_eq!(record.instance, wanted.instance);
    assert_eq!(record.escrow_id, wanted.escrow_id);
    assert_eq!((record.head_seq, record.head_sha256), wanted.head);
    assert_eq!(record.made_at, wanted.now);
    assert_eq!(record.schema_version, Some(20_260_522_161_848));
    assert_eq!(record.generation, Generation::UpTo342);
    assert_eq!(record.storage_credentials, StorageCredentialsState::Blanked);
    assert!(record.tool.starts_with("databasus-escrow "));
    assert_eq!(report.schema_version, record.schema_version);
}

/// Databasus' start script looks names of tables up without regard to the schema.
#[test]
fn no_table_beside_is_named_like_one_of_databasus() {
    let Some(bed) = Bed::quiet("real-3.49.0") else {
        return;
    };
    bed.fence().unwrap();
    bed.none(
        "pg_tables beside JOIN pg_tables own USING (tablename)
         WHERE beside.schemaname = 'escrow_fence' AND own.schemaname = 'public'",
    );
}

#[test]
fn every_task_is_told_and_those_of_another_release_are_absent() {
    let Some(bed) = Bed::busy("real-3.42.0") else {
        return;
    };
    let old = bed.fence().unwrap();
    let Some(bed) = Bed::busy("real-3.49.0") else {
        return;
    };
    let new = bed.fence().unwrap();
    for report in [&old, &new] {
        let told: Vec<Task> = report.tasks.iter().map(|one| one.task).collect();
        assert_eq!(told, Task::ALL);
        assert_eq!(stopped(report, Task::Telemetry), Stopped::ByStart);
        assert_eq!(stopped(report, Task::UserDeletions), Stopped::Harmless);
    }
    assert_eq!(stopped(&old, Task::SlotCleanup), Stopped::Absent);
    assert_eq!(stopped(&old, Task::WalAgents), Stopped::Harmless);
    assert_eq!(stopped(&new, Task::SlotCleanup), Stopped::Harmless);
    assert_eq!(stopped(&new, Task::WalAgents), Stopped::Absent);
    let slots = new.tasks.iter().find(|one| one.task == Task::SlotCleanup);
    assert_eq!(slots.unwrap().rows, 1);
}

#[test]
fn a_key_kept_in_the_database_leaves_the_fence_in_doubt() {
    let Some(bed) = Bed::quiet("real-3.49.0") else {
        return;
    };
    bed.server.psql("INSERT INTO secret_keys VALUES ('legacy')");
    let report = bed.fence().unwrap();
    assert_eq!(stopped(&report, Task::LegacyKeys), Stopped::Unknown);
    assert!(!report.is_whole());
}

fn keys() -> S3Keys {
    S3Keys {
        access_key_id: Zeroizing::new("READ".to_owned()),
        secret_access_key: Zeroizing::new("ONLY".to_owned()),
    }
}

#[test]
fn read_only_keys_are_sealed_in_place_of_the_real_ones() {
    let Some(bed) = Bed::busy("real-3.49.0") else {
        return;
    };
    bed.server.psql(
        "INSERT INTO storages (id, type, name) VALUES ('00000000-0000-4000-8000-000000000001', 'S3', 'other');
         INSERT INTO s3_storages (storage_id, s3_bucket, s3_region, s3_access_key, s3_secret_key)
           VALUES ('00000000-0000-4000-8000-000000000001', 'b', 'r', 'a', 's')",
    );
    let id = bed
        .server
        .psql("SELECT storage_id FROM s3_storages WHERE s3_bucket = 'prod'");
    let given = BTreeMap::from([(Uuid::try_parse(&id).unwrap(), keys())]);
    let report = bed.fence_with(StorageCredentials::ReadOnly(given)).unwrap();
    assert_eq!(
        report.storage_credentials,
        StorageCredentialsState::ReadOnly
    );
    let stored = bed.server.psql(&format!(
        "SELECT s3_access_key || ' ' || s3_secret_key FROM s3_storages WHERE storage_id = '{id}'"
    ));
    let (access, secret) = stored.split_once(' ').unwrap();
    for (sealed, plain) in [(access, "READ"), (secret, "ONLY")] {
        assert!(is_sealed(sealed));
        assert_eq!(open_field(sealed, &bed.key).unwrap().as_str(), plain);
    }
    assert_ne!(
        access.split(':').nth(1),
        secret.split(':').nth(1),
        "a nonce was used twice"
    );
    bed.none("s3_storages WHERE s3_bucket = 'b' AND (s3_access_key <> '' OR s3_secret_key <> '')");
    bed.none("rclone_storages WHERE config_content <> ''");
}

#[test]
fn kept_credentials_are_kept_and_the_report_says_what_that_means() {
    let Some(bed) = Bed::busy("real-3.42.0") else {
        return;
    };
    let storages = "SELECT s3_access_key, s3_secret_key, (SELECT host || password FROM nas_storages) FROM s3_storages";
    let before = bed.server.psql(storages);
    let report = bed.fence_with(StorageCredentials::Keep).unwrap();
    assert_eq!(bed.server.psql(storages), before);
    assert_stopped(&bed);
    assert_eq!(stopped(&report, Task::UserDeletions), Stopped::Open);
}
