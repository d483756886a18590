//! Physical backups: full, incremental, WAL, in the order that Databasus demands.

use databasus_escrow::ops::import::ImportSettings;
use databasus_escrow::ops::import::report::Reason;

use super::bed::{Bed, reasons};

const CLUSTER: &str = "68856a72-2ff0-4850-b70f-f7cb8e38dcf5";
const FULL: &str = "pg17_cluster-FULL-20261123-030908-a9b91706-0fb4-4894-b4a6-34b7325573ed";
const FIRST: &str = "pg17_cluster-INCR-20261123-031005-1df8afdb-a7e6-4a5e-aaac-67458ff3079d";
const SECOND: &str = "pg17_cluster-INCR-20261123-031026-f4112218-3497-44d0-b388-bc8432d33980";

/// Rows of the chain: full, incremental, WAL.
fn rows(bed: &Bed) -> [u64; 3] {
    ["full_backups", "incremental_backups", "wal_segments"]
        .map(|table| bed.count(&format!("physical_{table}")))
}

fn forget_all(bed: &Bed) {
    bed.server.psql(
        "DELETE FROM physical_wal_segments; DELETE FROM physical_incremental_backups;
         DELETE FROM physical_full_backups",
    );
}

fn bed() -> Option<Bed> {
    Bed::new("real-3.49.0")
}

#[test]
fn a_whole_chain_comes_in_without_any_row_as_it_was() {
    let Some(bed) = bed() else { return };
    bed.import();
    let whole = bed.catalogue();
    forget_all(&bed);
    bed.import();
    let again = bed.catalogue();
    for (table, rows) in &whole {
        for (id, row) in rows {
            for (column, value) in row.as_object().unwrap() {
                if !["backup_duration_ms", "claimed_at"].contains(&column.as_str()) {
                    assert_eq!(value, &again[table][id][column], "{table} {column}");
                }
            }
        }
    }
}

#[test]
fn wal_stays_out_without_a_full_backup_of_its_timeline_before_it() {
    let Some(bed) = bed() else { return };
    forget_all(&bed);
    bed.remove(FULL);
    let report = bed.import();
    assert_eq!(rows(&bed), [0, 0, 0]);
    let unreachable = reasons(&report).into_values();
    // Two incremental backups and nine segments.
    assert_eq!(
        unreachable
            .filter(|reason| *reason == Reason::Unreachable)
            .count(),
        11
    );
}

#[test]
fn an_incremental_backup_stays_out_without_its_parent() {
    let Some(bed) = bed() else { return };
    forget_all(&bed);
    bed.remove(FIRST);
    let report = bed.import();
    assert_eq!(rows(&bed), [1, 0, 9]);
    assert_eq!(reasons(&report)[SECOND], Reason::Unreachable);
}

#[test]
fn what_hangs_on_a_full_backup_that_is_gone_moves_aside_with_it() {
    let Some(bed) = bed() else { return };
    bed.import();
    bed.remove(FULL);
    let report = bed.import();
    assert_eq!(rows(&bed), [0, 0, 0]);
    assert_eq!(
        report.databases.iter().map(|one| one.ghosts).sum::<u64>(),
        12
    );
    assert_eq!(bed.count("escrow_leftover.ghosts WHERE why = 'ghost'"), 12);
    let state = bed.state();
    bed.import();
    assert_eq!(bed.state(), state);
}

#[test]
fn a_row_that_a_restart_left_in_error_is_completed() {
    let Some(bed) = bed() else { return };
    let whole = bed.catalogue();
    bed.server.psql(
        "UPDATE physical_incremental_backups SET status = 'ERROR', error_reason = 'APPLICATION_RESTART',
           start_lsn = NULL, stop_lsn = NULL, backup_size_mb = NULL, completed_at = NULL,
           manifest_file_name = NULL, manifest_encryption_salt = NULL, manifest_encryption_iv = NULL,
           encryption_salt = NULL, encryption_iv = NULL, encryption = 'NONE'",
    );
    bed.import();
    let table = "physical_incremental_backups";
    for (id, row) in &whole[table] {
        assert_eq!(row, &bed.catalogue()[table][id]);
    }
}

#[test]
fn a_segment_whose_sidecar_puts_it_elsewhere_in_the_log_stays_out() {
    let Some(bed) = bed() else { return };
    bed.server.psql("DELETE FROM physical_wal_segments");
    let name = format!("{CLUSTER}-WAL-tl1-000000010000000000000024.zst");
    let sidecar = bed.object(&format!("{name}.metadata"));
    let text = std::fs::read_to_string(&sidecar).unwrap();
    // Where the next segment goes: the catalogue has one row for each place.
    let text = text.replace("\"0/25000000\"", "\"0/26000000\"");
    std::fs::write(&sidecar, text.replace("\"0/24000000\"", "\"0/25000000\"")).unwrap();
    let report = bed.import();
    assert_eq!(reasons(&report)[&*name], Reason::Damaged);
    assert_eq!(rows(&bed), [1, 2, 8], "the others come in");
}

#[test]
fn a_claim_of_wal_that_was_not_finished_is() {
    let Some(bed) = bed() else { return };
    let whole = bed.catalogue();
    let unfinish = "UPDATE physical_wal_segments SET file_name = NULL, compressed_size_mb = 0,
         encryption = 'NONE', encryption_salt = NULL, encryption_iv = NULL
         WHERE wal_filename = '000000010000000000000025'";
    bed.server.psql(unfinish);
    bed.import();
    let after = bed.catalogue();
    for (id, row) in &whole["physical_wal_segments"] {
        assert_eq!(row, &after["physical_wal_segments"][id]);
    }
    // One that came to be stored under another claim makes room.
    bed.server.psql(unfinish);
    bed.server
        .psql("UPDATE physical_wal_segments SET id = gen_random_uuid() WHERE file_name IS NULL");
    bed.import();
    assert_eq!(bed.catalogue(), after);
    assert_eq!(bed.count("escrow_leftover.ghosts"), 1);
}

#[test]
fn a_segment_that_another_instance_wrote_is_a_conflict() {
    let Some(bed) = bed() else { return };
    let name = format!("{CLUSTER}-WAL-tl1-000000010000000000000025.zst");
    bed.server.psql(&format!(
        "UPDATE physical_wal_segments SET id = gen_random_uuid(), file_name = 'another name' WHERE file_name = '{name}'"
    ));
    bed.server.psql("UPDATE storages SET type = 'S3'");
    let report = bed.import_with(&ImportSettings {
        // The row of another name has no object: it must not leave for this test's sake.
        local_files_left_out: true,
        moved_storages: vec![bed.server.psql("SELECT id FROM storages").parse().unwrap()],
        ..ImportSettings::default()
    });
    assert_eq!(reasons(&report)[&name], Reason::Conflict);
}

#[test]
fn a_full_backup_whose_manifest_is_gone_is_damaged() {
    let Some(bed) = bed() else { return };
    forget_all(&bed);
    std::fs::remove_file(bed.object(&format!("{FULL}.manifest"))).unwrap();
    let report = bed.import();
    assert_eq!(reasons(&report)[FULL], Reason::Damaged);
    assert_eq!(rows(&bed), [0, 0, 0]);
}

#[test]
fn a_size_that_differs_from_the_sidecar_is_damage() {
    let Some(bed) = bed() else { return };
    forget_all(&bed);
    let name = format!("{CLUSTER}-WAL-tl1-000000010000000000000025.zst");
    let whole = std::fs::read(bed.object(&name)).unwrap();
    std::fs::write(bed.object(&name), &whole[..whole.len() / 2]).unwrap();
    let report = bed.import();
    assert_eq!(reasons(&report)[&name], Reason::Damaged);
    assert!(report.has_damage());
    assert_eq!(rows(&bed), [1, 2, 8]);
}

#[test]
fn a_database_that_is_unknown_gets_a_placeholder_by_its_own_id() {
    let Some(bed) = bed() else { return };
    bed.server.psql(
        "DELETE FROM physical_wal_segments; DELETE FROM physical_incremental_backups;
         DELETE FROM databases WHERE name = 'pg17 cluster'",
    );
    let report = bed.import();
    assert_eq!(reasons(&report)[FULL], Reason::UnknownDatabase);
    let placeholders = ImportSettings {
        create_placeholders: true,
        ..ImportSettings::default()
    };
    bed.import_with(&placeholders);
    assert_eq!(rows(&bed), [1, 2, 9]);
    let made = bed.server.psql(&format!(
        "SELECT d.name, d.type, d.workspace_id IS NOT NULL, p.version, p.host, p.system_identifier, c.is_backups_enabled,
           h.is_healthcheck_enabled
         FROM databases d JOIN postgresql_physical_databases p ON p.database_id = d.id
         JOIN physical_backup_configs c ON c.database_id = d.id
         JOIN healthcheck_configs h ON h.database_id = d.id WHERE d.id = '{CLUSTER}'"
    ));
    let expected =
        "pg17_cluster|POSTGRES_PHYSICAL|t|17|placeholder.invalid|7711194790945369124|f|f";
    assert_eq!(made, expected);
    let state = bed.state();
    bed.import_with(&placeholders);
    assert_eq!(bed.state(), state);
}

#[test]
fn a_history_file_comes_in_once() {
    let Some(bed) = bed() else { return };
    let (id, key) = (uuid(0x1234), bed.fixture.secret_key());
    let text = zstd::encode_all(&b"1\t0/2D000000\tno recovery target specified\n"[..], 3).unwrap();
    let mut file = Vec::new();
    let header = databasus_escrow::databasus::backup_file::Header {
        salt: [7; 32],
        nonce: [9; 12],
    };
    let mut writer =
        databasus_escrow::databasus::backup_file::BackupWriter::new(&mut file, &key, id, &header)
            .unwrap();
    std::io::Write::write_all(&mut writer, &text).unwrap();
    writer.finish().unwrap();
    let name = format!("{CLUSTER}-HIST-tl2.history.zst");
    std::fs::write(bed.object(&name), &file).unwrap();
    let sidecar = serde_json::json!({"walHistoryFileId": id, "databaseId": CLUSTER, "timelineId": 2,
        "historyFilename": "00000002.history", "compressedSizeBytes": file.len(),
        "encryption": "ENCRYPTED", "encryptionSalt": base64(&[7; 32]), "encryptionIv": base64(&[9; 12]),
        "createdAt": "2026-11-23T03:10:50.123456789Z"});
    std::fs::write(bed.object(&format!("{name}.metadata")), sidecar.to_string()).unwrap();
    for _ in 0..2 {
        bed.import();
        let row = bed.server.psql(
            "SELECT id, timeline_id, history_filename, file_name, compressed_size_mb * 1048576,
               created_at AT TIME ZONE 'UTC' FROM physical_wal_history_files",
        );
        let size = file.len();
        assert_eq!(
            row,
            format!("{id}|2|00000002.history|{name}|{size}|2026-11-23 03:10:50.123456")
        );
    }
}

fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}
