//! The fence by hand.

use std::fs::File;
use std::process::{Command, Output};

use super::block;
use crate::support::needed;
use crate::support::postgres::TestPg;

fn sql(mark: &str) -> String {
    block("sql", &format!("-- {mark}"))
}

/// A server with the metadata that a running instance of `release` had.
fn instance(release: &str) -> Option<TestPg> {
    let fixtures = needed("ESCROW_TEST_FIXTURES")?;
    let server = TestPg::start()?;
    let dump = File::open(fixtures.join(format!("real-{release}/metadata.sql"))).unwrap();
    let output = psql(&server).stdin(dump).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    server.psql(WORK_IN_PROGRESS);
    Some(server)
}

/// What a quiet instance does not have: sources and storages of other kinds, unfinished work.
const WORK_IN_PROGRESS: &str = "
    INSERT INTO mysql_databases (database_id, version, host, port, username, password)
      SELECT id, '8', 'mysql.prod', 3306, 'u', 'p' FROM databases LIMIT 1;
    INSERT INTO mariadb_databases (database_id, version, host, port, username, password)
      SELECT id, '11', 'maria.prod', 3306, 'u', 'p' FROM databases LIMIT 1;
    INSERT INTO mongodb_databases (database_id, version, host, username, password, database)
      SELECT id, '7', 'mongo.prod', 'u', 'p', 'd' FROM databases LIMIT 1;
    INSERT INTO sftp_storages (storage_id, host, username, password, private_key)
      SELECT id, 'sftp.prod', 'u', 'p', 'k' FROM storages LIMIT 1;
    INSERT INTO nas_storages (storage_id, host, share, username, password)
      SELECT id, 'nas.prod', 's', 'u', 'p' FROM storages LIMIT 1;
    INSERT INTO verification_agents (name, token_hash) VALUES ('agent', 'hash');
    INSERT INTO backup_verification_configs (database_id, is_scheduled_verification_enabled)
      SELECT id, true FROM databases
      ON CONFLICT (database_id) DO UPDATE SET is_scheduled_verification_enabled = true;";

fn psql(server: &TestPg) -> Command {
    let mut command = server.command("psql");
    command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres"]);
    command
        .args(["-d", "databasus", "-h"])
        .arg(server.socket_dir());
    command.args(["-p", &server.port().to_string()]);
    command
}

/// Runs SQL that may fail; whether it did, and what was said.
fn try_sql(server: &TestPg, sql: &str) -> (bool, String) {
    let Output { status, stderr, .. } = psql(server).args(["-c", sql]).output().unwrap();
    (status.success(), String::from_utf8(stderr).unwrap())
}

/// Everything that a fence changes, as text.
fn state(server: &TestPg) -> String {
    server.psql(
        "SELECT string_agg(query_to_xml(format('SELECT * FROM %I.%I ORDER BY 1', table_schema, table_name),
           true, false, '')::text, '' ORDER BY table_schema, table_name)
         FROM information_schema.tables WHERE table_schema IN ('public', 'escrow_fence')",
    )
}

fn count(server: &TestPg, from: &str) -> u64 {
    server
        .psql(&format!("SELECT count(*) FROM {from}"))
        .parse()
        .unwrap()
}

fn assert_fenced(server: &TestPg, configs: &[&str], sources: &[&str]) {
    for table in configs {
        assert_eq!(
            count(server, &format!("{table} WHERE is_backups_enabled")),
            0,
            "{table}"
        );
        assert_ne!(
            count(
                server,
                &format!("escrow_fence.by_hand_{table} WHERE is_backups_enabled")
            ),
            0
        );
    }
    for table in sources {
        assert_eq!(
            count(server, &format!("{table} WHERE host NOT LIKE '%.invalid'")),
            0,
            "{table}"
        );
        assert_ne!(
            count(server, &format!("{table} WHERE host LIKE '%.invalid'")),
            0,
            "{table}"
        );
    }
    for nothing in [
        "database_notifiers",
        "download_tokens",
        "healthcheck_configs WHERE is_healthcheck_enabled",
        "backup_verification_configs WHERE is_scheduled_verification_enabled",
        "verification_agents WHERE deleted_at IS NULL",
        "s3_storages WHERE s3_access_key <> '' OR s3_secret_key <> ''",
        "sftp_storages WHERE password <> '' OR private_key <> ''",
        "information_schema.tables WHERE table_schema = 'escrow_fence' AND table_name NOT LIKE 'by_hand_%'",
    ] {
        assert_eq!(count(server, nothing), 0, "{nothing}");
    }
    assert_ne!(count(server, "escrow_fence.by_hand_database_notifiers"), 0);
    assert_ne!(
        count(
            server,
            "escrow_fence.by_hand_s3_storages WHERE s3_secret_key <> ''"
        ),
        0
    );
}

const OTHER_SOURCES: [&str; 5] = [
    "mysql_databases",
    "mariadb_databases",
    "mongodb_databases",
    "sftp_storages",
    "nas_storages",
];

#[test]
fn block_a_fences_3_42_and_pasting_it_twice_changes_nothing() {
    let Some(server) = instance("3.42.0") else {
        return;
    };
    server.psql(
        "UPDATE backups SET status = 'IN_PROGRESS' WHERE id = (SELECT id FROM backups LIMIT 1)",
    );
    assert_eq!(
        server.psql(&sql("WHICH")),
        "A (Databasus 3.42 or older), then D"
    );
    server.psql(&sql("BLOCK A"));
    let once = state(&server);
    assert_fenced(&server, &["backup_configs"], &OTHER_SOURCES);
    assert_fenced(&server, &[], &["postgresql_databases"]);
    assert_eq!(count(&server, "backups WHERE status = 'IN_PROGRESS'"), 0);
    assert_eq!(
        count(
            &server,
            "databases WHERE agent_token IS NOT NULL OR is_agent_token_generated"
        ),
        0
    );
    server.psql(&sql("BLOCK D"));
    server.psql(&sql("BLOCK A"));
    assert_eq!(state(&server), once);
}

/// What 3.7 to 3.39 lack is not missed.
#[test]
fn block_a_fences_releases_without_verification_and_agents() {
    let Some(server) = instance("3.42.0") else {
        return;
    };
    server.psql(
        "DROP TABLE backup_verification_configs, restore_verification_table_stats, restore_verifications,
           verification_agents CASCADE;
         ALTER TABLE databases DROP COLUMN agent_token, DROP COLUMN is_agent_token_generated",
    );
    server.psql(&sql("BLOCK A"));
    server.psql(&sql("BLOCK D"));
    assert_eq!(count(&server, "backup_configs WHERE is_backups_enabled"), 0);
}

#[test]
fn block_b_fences_3_49_and_pasting_it_twice_changes_nothing() {
    let Some(server) = instance("3.49.0") else {
        return;
    };
    server.psql(
        "UPDATE logical_backups SET status = 'IN_PROGRESS' WHERE status = 'FAILED';
         UPDATE physical_full_backups SET status = 'IN_PROGRESS';
         UPDATE physical_backup_configs SET force_full_requested_at = now()",
    );
    assert_eq!(
        server.psql(&sql("WHICH")),
        "B (Databasus 3.43 or newer), then D"
    );
    server.psql(&sql("BLOCK B"));
    let once = state(&server);
    assert_fenced(
        &server,
        &["logical_backup_configs", "physical_backup_configs"],
        &OTHER_SOURCES,
    );
    assert_fenced(
        &server,
        &[],
        &[
            "postgresql_logical_databases",
            "postgresql_physical_databases",
        ],
    );
    for nothing in [
        "logical_backups WHERE status = 'IN_PROGRESS'",
        "physical_full_backups WHERE status = 'IN_PROGRESS'",
        "physical_backup_configs WHERE force_full_requested_at IS NOT NULL",
        "physical_in_flight_backups",
        "physical_wal_streamers",
    ] {
        assert_eq!(count(&server, nothing), 0, "{nothing}");
    }
    server.psql(&sql("BLOCK D"));
    server.psql(&sql("BLOCK B"));
    assert_eq!(state(&server), once);
}

/// The columns that migrations of August 2026 add.
const TUNNELS: &str = "DO $$ DECLARE t text; BEGIN
    FOREACH t IN ARRAY ARRAY['postgresql_logical_databases', 'postgresql_physical_databases',
      'mysql_databases', 'mariadb_databases', 'mongodb_databases'] LOOP
      EXECUTE format('ALTER TABLE %I ADD ssh_is_enabled boolean NOT NULL DEFAULT false,
        ADD ssh_host text NOT NULL DEFAULT ''''', t);
      EXECUTE format('UPDATE %I SET ssh_is_enabled = true, ssh_host = ''bastion.prod''', t);
    END LOOP; END $$";

#[test]
fn block_c_closes_ssh_tunnels_and_needs_block_b_first() {
    let Some(server) = instance("3.49.0") else {
        return;
    };
    server.psql(TUNNELS);
    assert_eq!(
        server.psql(&sql("WHICH")),
        "B (Databasus 3.43 or newer), then C, then D"
    );
    let (done, words) = try_sql(&server, &sql("BLOCK C"));
    assert!(!done && words.contains("paste block B first"), "{words}");
    server.psql(&sql("BLOCK B"));
    let (done, words) = try_sql(&server, &sql("BLOCK D"));
    assert!(
        !done && words.contains("mongodb_databases.ssh_is_enabled in 1 row(s)"),
        "{words}"
    );
    server.psql(&sql("BLOCK C"));
    let once = state(&server);
    server.psql(&sql("BLOCK D"));
    server.psql(&sql("BLOCK C"));
    assert_eq!(state(&server), once);
    let saved = "escrow_fence.by_hand_mysql_databases WHERE ssh_host = 'bastion.prod'";
    assert_eq!(count(&server, saved), 1);
}

#[test]
fn the_wrong_block_refuses_and_changes_nothing() {
    for (release, wrong, words) in [
        ("3.42.0", "BLOCK B", "paste block A"),
        ("3.49.0", "BLOCK A", "paste block B"),
    ] {
        let Some(server) = instance(release) else {
            return;
        };
        let before = state(&server);
        let (done, said) = try_sql(&server, &sql(wrong));
        assert!(!done && said.contains(words), "{said}");
        assert_eq!(state(&server), before);
    }
}

#[test]
fn the_proof_names_whatever_can_still_act() {
    let Some(server) = instance("3.49.0") else {
        return;
    };
    let (done, words) = try_sql(&server, &sql("BLOCK D"));
    assert!(!done);
    for open in [
        "logical_backup_configs.is_backups_enabled",
        "physical_backup_configs.is_backups_enabled",
        "healthcheck_configs.is_healthcheck_enabled",
        "postgresql_physical_databases.host",
        "nas_storages.host",
        "database_notifiers is not empty",
    ] {
        assert!(words.contains(open), "{open} is missing from {words}");
    }
    server.psql(&sql("BLOCK B"));
    server.psql(
        "CREATE TABLE mirrors (is_mirroring_enabled boolean); INSERT INTO mirrors VALUES (true)",
    );
    server.psql("INSERT INTO secret_keys VALUES ('legacy')");
    let (done, words) = try_sql(&server, &sql("BLOCK D"));
    assert!(!done, "{words}");
    assert!(
        words.contains("mirrors.is_mirroring_enabled in 1 row(s)"),
        "{words}"
    );
    assert!(words.contains("secret_keys.secret in 1 row(s)"), "{words}");
}
