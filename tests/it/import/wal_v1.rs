//! `WAL_V1`: bases and segments without sidecars, known by their content alone.

use databasus_escrow::ops::import::ImportSettings;
use databasus_escrow::ops::import::report::Reason;

use super::bed::{Bed, reasons};

const BASE: &str = "pg18_standby-20261123-031058-5506a8ae-f345-469b-b314-bb997c50d51d";

fn forget_all(bed: &Bed) {
    bed.server
        .psql("DELETE FROM backups WHERE pg_wal_backup_type IS NOT NULL");
}

fn chain(bed: &Bed) -> Vec<String> {
    let rows = bed.server.psql(
        "SELECT concat_ws(' ', pg_wal_backup_type, pg_wal_start_segment, pg_wal_stop_segment, pg_wal_segment_name)
         FROM backups WHERE pg_wal_backup_type IS NOT NULL ORDER BY created_at, pg_wal_segment_name",
    );
    rows.lines().map(str::to_owned).collect()
}

#[test]
fn a_base_and_the_segments_behind_it_come_in_without_any_row() {
    let Some(bed) = Bed::new("real-3.42.0") else {
        return;
    };
    let before = bed.catalogue();
    forget_all(&bed);
    let report = bed.import();
    let mut expected =
        vec!["PG_FULL_BACKUP 000000010000000000000015 000000010000000000000015".to_owned()];
    expected.extend(
        ["15", "16", "17", "18", "19", "1A"]
            .map(|number| format!("PG_WAL_SEGMENT 0000000100000000000000{number}")),
    );
    assert_eq!(chain(&bed), expected, "{report:#?}");
    let after = bed.catalogue();
    for (id, row) in &after["backups"] {
        if let Some(known) = before["backups"].get(id) {
            for column in [
                "backup_size_mb",
                "encryption_salt",
                "encryption_iv",
                "database_id",
            ] {
                assert_eq!(row[column], known[column], "{column} of {id}");
            }
        }
    }
    // The segment before the base's start is of no use.
    let left_out = reasons(&report);
    let early = "pg18_standby-20261123-031108-4ec1121e-cf92-4a42-afaa-e5b697bafd0a";
    assert_eq!(left_out[early], Reason::Unreachable);
}

#[test]
fn segments_without_their_base_stay_out() {
    let Some(bed) = Bed::new("real-3.42.0") else {
        return;
    };
    forget_all(&bed);
    bed.remove(BASE);
    let report = bed.import();
    assert_eq!(chain(&bed), [""; 0]);
    let unreachable = reasons(&report).into_values();
    assert_eq!(
        unreachable
            .filter(|reason| *reason == Reason::Unreachable)
            .count(),
        7
    );
}

#[test]
fn a_known_base_carries_new_segments_though_no_known_segment_is_left() {
    let Some(bed) = Bed::new("real-3.42.0") else {
        return;
    };
    bed.server
        .psql("DELETE FROM backups WHERE pg_wal_backup_type = 'PG_WAL_SEGMENT'");
    bed.import();
    assert_eq!(chain(&bed).len(), 7);
}

#[test]
fn a_base_that_was_cut_is_damage() {
    let Some(bed) = Bed::new("real-3.42.0") else {
        return;
    };
    forget_all(&bed);
    let whole = std::fs::read(bed.object(BASE)).unwrap();
    // On the bound of a chunk, where the format itself shows nothing.
    std::fs::write(bed.object(BASE), &whole[..64 + 2 * (20 + (1 << 20))]).unwrap();
    let report = bed.import();
    assert_eq!(reasons(&report)[BASE], Reason::Damaged);
    assert_eq!(chain(&bed), [""; 0]);
}

#[test]
fn beside_a_later_release_they_are_listed_as_unreadable() {
    let Some(bed) = Bed::new("real-3.49.0") else {
        return;
    };
    let Some(older) = Bed::new("real-3.42.0") else {
        return;
    };
    bed.empty();
    for name in super::bed::names(older.bucket.path()) {
        std::fs::copy(older.object(&name), bed.object(&name)).unwrap();
    }
    let bed = Bed {
        keys: vec![older.fixture.secret_key()],
        ..bed
    };
    let report = bed.import();
    let unreadable = reasons(&report).into_iter();
    let unreadable = unreadable.filter(|(_, reason)| *reason == Reason::Unreadable);
    assert_eq!(unreadable.count(), 8);
}

#[test]
fn a_placeholder_takes_a_chain_whose_database_is_unknown() {
    let Some(bed) = Bed::new("real-3.42.0") else {
        return;
    };
    bed.server
        .psql("DELETE FROM databases WHERE name = 'pg18 standby'");
    let placeholders = ImportSettings {
        create_placeholders: true,
        ..ImportSettings::default()
    };
    let report = bed.import_with(&placeholders);
    assert_eq!(report.placeholders.len(), 1);
    assert_eq!(chain(&bed).len(), 7);
    let made = bed.server.psql(
        "SELECT d.name, d.type, p.backup_type, p.version, p.host FROM databases d
         JOIN postgresql_databases p ON p.database_id = d.id WHERE d.name = 'pg18_standby'",
    );
    assert_eq!(made, "pg18_standby|POSTGRES|WAL_V1|18|placeholder.invalid");
    let state = bed.state();
    bed.import_with(&placeholders);
    assert_eq!(bed.state(), state);
}
