//! Schemas that no release wrote yet.

use databasus_escrow::databasus::fence::task::Task;
use databasus_escrow::databasus::fence::unknown::LooksLike;
use databasus_escrow::ops::fence::Stopped;

use super::bed::Bed;

#[test]
fn ssh_tunnels_are_closed() {
    let Some(bed) = Bed::of_august() else { return };
    let report = bed.fence().unwrap();
    for source in bed.sources() {
        bed.none(&format!(
            "{source} WHERE ssh_is_enabled OR ssh_host <> 'fenced.invalid'"
        ));
    }
    assert!(report.is_whole(), "{report:?}");
    let tunnels = report
        .tasks
        .iter()
        .find(|one| one.task == Task::Tunnels)
        .unwrap();
    assert_eq!(tunnels.stopped, Stopped::Harmless);
    assert_ne!(tunnels.rows, 0);
}

const LATER: &str = "
    INSERT INTO goose_db_version (version_id, is_applied) VALUES (20270101000000, true);
    CREATE TABLE mirrors (id uuid, is_mirroring_enabled boolean, target_host text, api_token text, note text);
    INSERT INTO mirrors VALUES (gen_random_uuid(), true, 'mirror.prod', 't', 'n');
    ALTER TABLE postgresql_logical_databases ADD proxy_url text, ADD is_zstd boolean, ADD host_note integer;
    ALTER TABLE physical_wal_streamers RENAME TO physical_streams;
    ALTER TABLE healthcheck_configs RENAME is_healthcheck_enabled TO is_probing_enabled;";

#[test]
fn a_later_schema_is_fenced_as_far_as_it_is_known_and_the_rest_is_named() {
    let Some(bed) = Bed::of_august() else { return };
    bed.server.psql(LATER);
    let report = bed.fence().unwrap();
    assert!(!report.is_whole() && !report.schema_is_known);
    bed.none("logical_backup_configs WHERE is_backups_enabled");
    bed.none("database_notifiers");
    bed.none("postgresql_physical_databases WHERE host <> 'fenced.invalid' OR ssh_is_enabled");
    bed.none("s3_storages WHERE s3_secret_key <> ''");
    assert_eq!(bed.count("mirrors WHERE is_mirroring_enabled"), 1);
    let unknown: Vec<_> = report.unknown.iter().collect();
    let named: Vec<(&str, &str, LooksLike)> = unknown
        .iter()
        .map(|one| (one.table.as_str(), one.column.as_str(), one.looks_like))
        .collect();
    assert_eq!(
        named,
        [
            (
                "healthcheck_configs",
                "is_probing_enabled",
                LooksLike::Switch
            ),
            ("mirrors", "api_token", LooksLike::HostOrCredential),
            ("mirrors", "is_mirroring_enabled", LooksLike::Switch),
            ("mirrors", "target_host", LooksLike::HostOrCredential),
            (
                "postgresql_logical_databases",
                "proxy_url",
                LooksLike::HostOrCredential
            ),
        ]
    );
    for task in [Task::WalStream, Task::HealthChecks] {
        let told = report.tasks.iter().find(|one| one.task == task).unwrap();
        assert_eq!(told.stopped, Stopped::Unknown, "{told:?}");
    }
    let slots = report
        .tasks
        .iter()
        .find(|one| one.task == Task::SlotCleanup)
        .unwrap();
    assert_eq!(slots.stopped, Stopped::Harmless);
}

#[test]
fn a_later_schema_without_anything_unknown_is_partial_all_the_same() {
    let Some(bed) = Bed::of_august() else { return };
    bed.server.psql(
        "INSERT INTO goose_db_version (version_id, is_applied) VALUES (20270101000000, true)",
    );
    let report = bed.fence().unwrap();
    assert_eq!(report.unknown, []);
    assert!(!report.is_whole());
}

/// Releases before 3.40 have no verification, those before 3.17 no agents.
#[test]
fn what_an_older_release_lacks_is_not_missed() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    bed.server.psql(
        "DROP TABLE backup_verification_configs, restore_verification_table_stats, restore_verifications,
           verification_agents CASCADE;
         ALTER TABLE databases DROP COLUMN agent_token, DROP COLUMN is_agent_token_generated;
         DELETE FROM goose_db_version WHERE version_id > 20260128115419",
    );
    let report = bed.fence().unwrap();
    bed.none("backup_configs WHERE is_backups_enabled");
    assert!(report.is_whole());
    let agents = report
        .tasks
        .iter()
        .find(|one| one.task == Task::VerificationAgents);
    assert_eq!(agents.unwrap().stopped, Stopped::Absent);
}
