//! What somebody changed since the fence is theirs.

use databasus_escrow::databasus::fields::seal_field;
use databasus_escrow::ops::unfence::{Leftover, UnfenceError, UnfenceReport, UnfenceSettings, Why};

use super::way::{decided, unfence, unfence_wholly};
use crate::fence::bed::Bed;

fn why(report: &UnfenceReport, table: &str, column: Option<&str>) -> Vec<Why> {
    let of = |left: &&Leftover| left.table == table && left.column.as_deref() == column;
    report
        .leftover
        .iter()
        .filter(of)
        .map(|left| left.why)
        .collect()
}

#[test]
fn a_value_that_was_changed_is_left_and_its_original_kept() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    bed.fence().unwrap();
    bed.server
        .psql("UPDATE postgresql_databases SET host = 'new.host' WHERE database = 'billing'");
    let report = unfence_wholly(&bed);
    assert_eq!(bed.count("postgresql_databases WHERE host = 'new.host'"), 1);
    bed.none("postgresql_databases WHERE host = 'fenced.invalid'");
    assert_eq!(
        why(&report, "postgresql_databases", Some("host")),
        [Why::Changed]
    );
    assert_eq!(
        bed.server
            .psql("SELECT original, fenced, why FROM escrow_leftover.cells"),
        "127.0.0.1|fenced.invalid|changed since the fence"
    );
    assert!(!report.is_whole());
}

/// Databasus encrypts a blank value when somebody saves the storage's name.
#[test]
fn the_fences_own_value_counts_as_such_when_it_was_encrypted_since() {
    let Some(bed) = Bed::quiet("real-3.49.0") else {
        return;
    };
    let keys = "SELECT s3_access_key, s3_secret_key FROM s3_storages";
    let before = bed.server.psql(keys);
    bed.fence().unwrap();
    let sealed = seal_field("", &bed.key, [9; 12]);
    bed.server.psql(&format!(
        "UPDATE s3_storages SET s3_access_key = '{sealed}'"
    ));
    let report = unfence_wholly(&bed);
    assert_eq!(bed.server.psql(keys), before);
    assert_eq!(report.leftover, []);
}

#[test]
fn credentials_that_were_changed_are_left() {
    let Some(bed) = Bed::quiet("real-3.49.0") else {
        return;
    };
    bed.fence().unwrap();
    let sealed = seal_field("new", &bed.key, [9; 12]);
    bed.server.psql(&format!(
        "UPDATE s3_storages SET s3_secret_key = '{sealed}'"
    ));
    let report = unfence_wholly(&bed);
    assert_eq!(
        bed.count(&format!("s3_storages WHERE s3_secret_key = '{sealed}'")),
        1
    );
    assert_eq!(
        why(&report, "s3_storages", Some("s3_secret_key")),
        [Why::Changed]
    );
    assert_eq!(why(&report, "s3_storages", Some("s3_access_key")), []);
}

#[test]
fn rows_that_are_gone_and_links_without_an_end_are_told() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    bed.fence().unwrap();
    bed.server
        .psql("DELETE FROM databases WHERE name = 'media'");
    let report = unfence_wholly(&bed);
    assert_eq!(
        why(&report, "backup_configs", Some("is_backups_enabled")),
        [Why::RowGone]
    );
    assert_eq!(why(&report, "database_notifiers", None), [Why::EndGone]);
    assert_eq!(report.links, 4);
    assert_eq!(bed.count("database_notifiers"), 4);
    assert_eq!(
        bed.count("escrow_leftover.rows WHERE table_name = 'database_notifiers'"),
        1
    );
}

#[test]
fn a_link_that_was_made_again_is_no_trouble() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    bed.fence().unwrap();
    bed.server.psql(
        "INSERT INTO database_notifiers SELECT d.id, n.id FROM databases d, notifiers n LIMIT 1",
    );
    let report = unfence_wholly(&bed);
    assert_eq!(report.leftover, []);
    assert_eq!(bed.count("database_notifiers"), 5);
}

fn refused(bed: &Bed, settings: &UnfenceSettings<'_>) -> UnfenceError {
    let before = bed.state();
    let error = unfence(bed, settings).err().unwrap();
    assert_eq!(bed.state(), before, "{error}");
    error
}

#[test]
fn another_name_or_none_confirms_nothing() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    bed.fence().unwrap();
    for confirmed in [None, Some("heatwave"), Some("")] {
        let settings = UnfenceSettings {
            confirmed,
            ..decided()
        };
        let error = refused(&bed, &settings);
        assert!(matches!(error, UnfenceError::NotConfirmed(_)), "{error:?}");
    }
    let settings = UnfenceSettings {
        confirmed: Some("heatwave"),
        dry_run: true,
        ..decided()
    };
    assert!(matches!(
        refused(&bed, &settings),
        UnfenceError::NotConfirmed(_)
    ));
}

#[test]
fn what_is_not_fenced_or_was_by_hand_is_left() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    assert!(matches!(refused(&bed, &decided()), UnfenceError::NotFenced));
    bed.server.psql(
        "CREATE SCHEMA escrow_fence;
         CREATE TABLE escrow_fence.by_hand_backup_configs AS TABLE backup_configs",
    );
    assert!(matches!(
        refused(&bed, &decided()),
        UnfenceError::FencedByHand
    ));
}

#[test]
fn a_fence_of_a_later_format_is_refused() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    bed.fence().unwrap();
    bed.server.psql("UPDATE escrow_fence.fence SET format = 2");
    let error = refused(&bed, &decided());
    assert!(matches!(error, UnfenceError::Record(_)), "{error:?}");
}

#[test]
fn a_statement_that_fails_undoes_those_before_it() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    bed.fence().unwrap();
    bed.server.psql(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
         CREATE TRIGGER no BEFORE INSERT ON database_notifiers EXECUTE FUNCTION no()",
    );
    let error = refused(&bed, &decided());
    assert!(matches!(error, UnfenceError::Session(_)), "{error:?}");
}
