use super::*;
use proptest::prelude::*;

const NOW: Micros = 20_000 * DAY;

fn dump(days_ago: i64) -> Backup {
    Backup {
        created_at: NOW - days_ago * DAY,
        status: Status::Completed,
        size_mb: 10.0,
        kind: Kind::Dump,
    }
}

fn of(kind: Kind, days_ago: i64) -> Backup {
    Backup {
        kind,
        ..dump(days_ago)
    }
}

/// The places of those that go.
fn gone(policy: Policy, backups: &[Backup]) -> Vec<usize> {
    let deleted = deleted(&policy, backups, NOW);
    (0..backups.len()).filter(|row| deleted[*row]).collect()
}

fn period(text: &str) -> Policy {
    Policy::TimePeriod(Period::parse(text).unwrap())
}

#[test]
fn a_time_period_keeps_no_last_backup() {
    let backups = [dump(40), dump(35), dump(31)];
    assert_eq!(gone(period("MONTH"), &backups), [0, 1, 2]);
    let loss = loss(&period("MONTH"), &backups, NOW);
    assert!(loss.newest && loss.is_grave());
    assert!(gone(period("FOREVER"), &backups).is_empty());
    assert!(gone(period(""), &backups).is_empty());
}

#[test]
fn failed_rows_grow_old_too_and_are_no_loss() {
    let failed = Backup {
        status: Status::Ended,
        ..dump(40)
    };
    let backups = [failed, dump(1)];
    assert_eq!(gone(period("MONTH"), &backups), [0]);
    assert_eq!(loss(&period("MONTH"), &backups, NOW).deleted, 0);
}

#[test]
fn an_hour_of_grace_is_given() {
    let young = Backup {
        created_at: NOW - GRACE + 1,
        ..dump(0)
    };
    let old = Backup {
        created_at: NOW - GRACE,
        ..dump(0)
    };
    assert!(gone(Policy::Count(1), &[dump(0), young]).is_empty());
    assert_eq!(gone(Policy::Count(1), &[dump(0), old]), [1]);
}

#[test]
fn a_count_counts_completed_ones_and_zero_counts_nothing() {
    let failed = Backup {
        status: Status::Ended,
        ..dump(1)
    };
    let backups = [dump(4), failed, dump(3), dump(2)];
    assert_eq!(gone(Policy::Count(2), &backups), [0]);
    assert!(gone(Policy::Count(0), &backups).is_empty());
}

#[test]
fn gfs_is_safe_after_an_outage() {
    let gfs = Policy::Gfs(Gfs {
        days: 7,
        ..Gfs::default()
    });
    let backups: Vec<Backup> = (100..105).map(dump).collect();
    assert!(gone(gfs, &backups).is_empty());
    assert!(gone(Policy::Gfs(Gfs::default()), &backups).is_empty());
}

#[test]
fn a_base_takes_its_wal_with_it_and_the_newest_base_stays() {
    use Kind::{WalBase, WalSegment};
    let backups = [
        of(WalBase, 50),
        of(WalSegment, 49),
        of(WalBase, 45),
        of(WalSegment, 44),
        of(WalSegment, 60),
    ];
    assert_eq!(gone(period("MONTH"), &backups), [0, 1]);
    let loss = loss(&period("MONTH"), &backups, NOW);
    assert_eq!(
        (loss.deleted, loss.deleted_segments, loss.newest),
        (1, 1, false)
    );
}

#[test]
fn before_3_15_age_has_no_grace_and_size_takes_the_oldest() {
    let policy = |text: &str, max_total_mb| Policy::Before315 {
        period: Period::parse(text).unwrap(),
        max_total_mb,
    };
    let backups = [dump(3), dump(2), dump(1)];
    assert_eq!(gone(policy("FOREVER", 20.0), &backups), [0]);
    assert_eq!(gone(policy("FOREVER", 5.0), &backups), [0, 1, 2]);
    assert!(gone(policy("FOREVER", 0.0), &backups).is_empty());
    assert_eq!(gone(policy("DAY", 10.0), &backups), [0, 1]);
}

fn any_backup() -> impl Strategy<Value = Backup> {
    let status = prop_oneof![
        3 => Just(Status::Completed),
        1 => Just(Status::Ended),
        1 => Just(Status::InProgress)
    ];
    let kind = prop_oneof![
        Just(Kind::Dump),
        Just(Kind::WalBase),
        Just(Kind::WalSegment)
    ];
    (0..400i64, status, kind, 0..100u32).prop_map(|(hours_ago, status, kind, size)| Backup {
        created_at: NOW - hours_ago * 3_600 * crate::databasus::retention::SECOND,
        status,
        size_mb: f64::from(size),
        kind,
    })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let period = prop_oneof![Just(Period::Forever), (0..20i64).prop_map(Period::Days)];
    let gfs = (0..5i64, 0..5i64, 0..5i64).prop_map(|(hours, days, weeks)| Gfs {
        hours,
        days,
        weeks,
        ..Gfs::default()
    });
    prop_oneof![
        period.prop_map(Policy::TimePeriod),
        (-1..10i64).prop_map(Policy::Count),
        gfs.prop_map(Policy::Gfs),
    ]
}

proptest! {
    /// Whatever the policy since 3.15, what is younger than an hour stays.
    #[test]
    fn the_young_are_spared(policy in any_policy(), backups in prop::collection::vec(any_backup(), 0..40)) {
        for (row, gone) in backups.iter().zip(deleted(&policy, &backups, NOW)) {
            let with_its_base = row.kind == Kind::WalSegment;
            prop_assert!(!gone || with_its_base || NOW - row.created_at >= GRACE);
        }
    }

    #[test]
    fn count_and_gfs_never_take_the_newest(
        policy in any_policy(), backups in prop::collection::vec(any_backup(), 0..40)
    ) {
        prop_assume!(!matches!(policy, Policy::TimePeriod(_)));
        prop_assert!(!loss(&policy, &backups, NOW).newest);
    }

    #[test]
    fn the_order_of_rows_does_not_matter(
        policy in any_policy(), mut backups in prop::collection::vec(any_backup(), 0..20)
    ) {
        // Equal times have no order, in Databasus neither.
        backups.sort_by_key(|row| row.created_at);
        backups.dedup_by_key(|row| row.created_at);
        let forward = loss(&policy, &backups, NOW);
        backups.reverse();
        prop_assert_eq!(forward, loss(&policy, &backups, NOW));
    }

    #[test]
    fn what_is_deleted_once_leaves_nothing_to_delete(
        policy in any_policy(), mut backups in prop::collection::vec(any_backup(), 0..20)
    ) {
        prop_assume!(!matches!(policy, Policy::Gfs(_)));
        let gone = deleted(&policy, &backups, NOW);
        let mut kept = gone.iter();
        backups.retain(|_| !kept.next().unwrap());
        prop_assert!(!deleted(&policy, &backups, NOW).contains(&true));
    }
}
