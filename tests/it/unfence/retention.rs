//! Whom retention would hurt at the first tick.

use databasus_escrow::ops::unfence::{
    Decision, Preview, Sort, UnfenceError, UnfenceReport, UnfenceSettings, Why,
};

use super::way::{decided, unfence};
use crate::fence::bed::Bed;

const DAY: i64 = 86_400;

/// So long after the fence. Two dumps of `heatwave` on one day are one too many for its own policy.
fn days_later(days: i64, accepted: &[String]) -> UnfenceSettings<'_> {
    let settings = decided();
    UnfenceSettings {
        now: settings.now.plus(days * DAY),
        accept_deletions: accepted,
        ..settings
    }
}

fn heatwave() -> [String; 1] {
    ["heatwave".to_owned()]
}

fn preview<'r>(report: &'r UnfenceReport, name: &str) -> &'r Preview {
    report
        .retention
        .iter()
        .find(|one| one.name == name)
        .unwrap()
}

/// `heatwave_versions` keeps a MONTH, and no last backup.
#[test]
fn after_a_long_outage_a_time_period_is_set_to_forever() {
    for (fixture, configs) in [
        ("real-3.42.0", "backup_configs"),
        ("real-3.49.0", "logical_backup_configs"),
    ] {
        let Some(bed) = Bed::quiet(fixture) else {
            return;
        };
        bed.fence().unwrap();
        let report = unfence(&bed, &days_later(60, &heatwave())).unwrap();
        let held = preview(&report, "heatwave_versions");
        assert_eq!(held.decision, Decision::HeldBack);
        assert_eq!(held.policy, "TIME_PERIOD MONTH");
        let loss = held.loss.unwrap();
        assert!(loss.newest && loss.deleted == loss.backups);
        assert_eq!(preview(&report, "heatwave").decision, Decision::Accepted);
        assert_eq!(preview(&report, "legacy").decision, Decision::Fine);
        let forever = format!(
            "{configs} WHERE is_backups_enabled AND retention_policy_type = 'TIME_PERIOD'
               AND retention_time_period = 'FOREVER'"
        );
        assert_eq!(bed.count(&forever), 1);
        assert_eq!(
            bed.server
                .psql("SELECT column_name, original FROM escrow_leftover.cells"),
            "retention_time_period|MONTH"
        );
        assert!(report.leftover.iter().all(|left| left.why == Why::HeldBack));
        assert!(!report.is_whole());
    }
}

#[test]
fn a_month_after_a_week_loses_nothing() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    bed.fence().unwrap();
    let report = unfence(&bed, &days_later(7, &heatwave())).unwrap();
    assert_eq!(
        preview(&report, "heatwave_versions").decision,
        Decision::Fine
    );
    assert!(report.is_whole());
}

#[test]
fn deletions_that_are_accepted_are_left_to_happen() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    bed.fence().unwrap();
    let accepted = ["heatwave_versions".to_owned(), "heatwave".to_owned()];
    let report = unfence(&bed, &days_later(60, &accepted)).unwrap();
    assert_eq!(
        preview(&report, "heatwave_versions").decision,
        Decision::Accepted
    );
    assert_eq!(
        bed.count("backup_configs WHERE retention_time_period = 'MONTH'"),
        1
    );
    assert!(report.is_whole());
}

#[test]
fn deletions_are_accepted_for_one_database_that_there_is() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    bed.fence().unwrap();
    let of = |name: &str| {
        let accepted = [name.to_owned()];
        let settings = UnfenceSettings {
            accept_deletions: &accepted,
            ..decided()
        };
        unfence(&bed, &settings).err().unwrap()
    };
    assert!(matches!(of("nobody"), UnfenceError::NoSuchDatabase(_)));
    bed.server
        .psql("UPDATE databases SET name = 'same' WHERE name IN ('heatwave', 'media')");
    assert!(matches!(of("same"), UnfenceError::SeveralDatabases(_)));
}

#[test]
fn a_count_that_would_take_most_is_held_back_and_switched_off_databases_are_not_looked_at() {
    let Some(bed) = Bed::quiet("databasus-3.42.0") else {
        return;
    };
    bed.server.psql(
        "UPDATE backup_configs SET retention_policy_type = 'COUNT', retention_count = 1;
         UPDATE backup_configs SET is_backups_enabled = false
           WHERE database_id = (SELECT id FROM databases WHERE name = 'warehouse')",
    );
    bed.fence().unwrap();
    let report = unfence(&bed, &decided()).unwrap();
    let names: Vec<&str> = report
        .retention
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["shop"]);
    let held = preview(&report, "shop");
    assert_eq!(
        (held.decision, held.loss.unwrap().newest),
        (Decision::HeldBack, false)
    );
}

#[test]
fn a_policy_in_unknown_words_is_held_back() {
    let Some(bed) = Bed::quiet("real-3.49.0") else {
        return;
    };
    bed.server.psql("UPDATE logical_backup_configs SET retention_time_period = 'FORTNIGHT', retention_policy_type = 'TIME_PERIOD'");
    bed.fence().unwrap();
    let report = unfence(&bed, &decided()).unwrap();
    let logical = report
        .retention
        .iter()
        .filter(|one| one.of == Sort::Logical);
    assert!(logical.clone().count() > 1);
    for held in logical {
        assert_eq!((held.loss, held.decision), (None, Decision::HeldBack));
    }
}

/// WAL without a FULL of its timeline: the sweep of orphans takes rows and objects.
#[test]
fn a_cluster_whose_wal_would_be_swept_stays_switched_off() {
    let Some(bed) = Bed::quiet("real-3.49.0") else {
        return;
    };
    bed.server
        .psql("UPDATE physical_wal_segments SET timeline_id = 2");
    bed.fence().unwrap();
    let report = unfence(&bed, &days_later(1, &heatwave())).unwrap();
    let held = report
        .retention
        .iter()
        .find(|one| one.of == Sort::Physical)
        .unwrap();
    assert_eq!(held.decision, Decision::HeldBack);
    assert_eq!(held.policy, "CHAINS 3");
    let loss = held.loss.unwrap();
    assert_eq!(
        (loss.segments, loss.deleted_segments, loss.deleted),
        (4, 4, 0)
    );
    bed.none("physical_backup_configs WHERE is_backups_enabled");
    assert_eq!(
        bed.server
            .psql("SELECT table_name, column_name, original FROM escrow_leftover.cells"),
        "physical_backup_configs|is_backups_enabled|true"
    );
}

#[test]
fn a_real_chain_goes_on() {
    let Some(bed) = Bed::quiet("real-3.49.0") else {
        return;
    };
    bed.fence().unwrap();
    let report = unfence(&bed, &days_later(365, &heatwave())).unwrap();
    let chain = report
        .retention
        .iter()
        .find(|one| one.of == Sort::Physical)
        .unwrap();
    assert_eq!(chain.decision, Decision::Fine);
    let loss = chain.loss.unwrap();
    assert_eq!(
        (
            loss.backups,
            loss.deleted,
            loss.segments,
            loss.deleted_segments
        ),
        (2, 0, 4, 0)
    );
    assert_eq!(
        bed.count("physical_backup_configs WHERE is_backups_enabled"),
        1
    );
}

/// Whose rules nobody has read.
#[test]
fn everybody_is_held_back_on_a_later_schema() {
    let Some(bed) = Bed::quiet("real-3.49.0") else {
        return;
    };
    bed.server.psql(
        "INSERT INTO goose_db_version (version_id, is_applied) VALUES (20270101000000, true)",
    );
    bed.fence().unwrap();
    let report = unfence(&bed, &decided()).unwrap();
    assert!(
        report
            .retention
            .iter()
            .all(|one| one.decision == Decision::HeldBack)
    );
}

/// The schema of 3.7 had a period and a size instead of a policy.
#[test]
fn before_3_15_the_period_is_set_to_forever_and_the_size_to_none() {
    let Some(bed) = Bed::quiet("real-3.42.0") else {
        return;
    };
    bed.server.psql(
        "ALTER TABLE backup_configs DROP retention_policy_type, DROP retention_time_period,
           ADD store_period text NOT NULL DEFAULT 'DAY', ADD max_backups_total_size_mb integer NOT NULL DEFAULT 5",
    );
    bed.fence().unwrap();
    let report = unfence(&bed, &decided()).unwrap();
    assert_eq!(preview(&report, "heatwave").policy, "DAY, at most 5 MiB");
    assert_eq!(preview(&report, "heatwave").decision, Decision::HeldBack);
    assert_ne!(
        bed.count(
            "backup_configs WHERE store_period = 'FOREVER' AND max_backups_total_size_mb = 0"
        ),
        0
    );
}
