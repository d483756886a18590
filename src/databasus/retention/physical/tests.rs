use super::*;
use proptest::prelude::*;

const NOW: Micros = 20_000 * DAY;

/// Chains of one FULL, two INCREMENTALs and three segments each; the first is the oldest.
fn chains(days_ago: &[i64]) -> Rows {
    let mut rows = Rows::default();
    for (number, days) in days_ago.iter().enumerate() {
        let number = number as u64;
        let (id, start, at) = (
            Uuid::from_u128(number.into()),
            number * 100,
            NOW - days * DAY,
        );
        rows.fulls.push(Full {
            id,
            created_at: at,
            completed_at: Some(at + SECOND),
            timeline: 1,
            start,
        });
        for later in 2..4 {
            rows.incrementals.push(Incremental {
                root: id,
                completed_at: Some(at + later * SECOND),
                broke_chain: false,
            });
        }
        for part in 1..4 {
            rows.segments.push(Segment {
                timeline: 1,
                start: start + part,
                received_at: at + 5 * SECOND,
            });
        }
    }
    rows
}

fn loss(rows: &Rows, keep: Keep) -> Loss {
    rows.loss(&Policy { keep, cadence: DAY }, NOW)
}

#[test]
fn the_chain_that_goes_on_is_never_touched() {
    let rows = chains(&[100]);
    for keep in [
        Keep::Chains(1),
        Keep::Fulls(Fulls::Last(1)),
        Keep::Both(0, Fulls::Last(1)),
    ] {
        let loss = loss(&rows, keep);
        assert_eq!((loss.deleted, loss.deleted_segments), (0, 0), "{keep:?}");
    }
}

#[test]
fn chains_beyond_the_count_go_whole() {
    let rows = chains(&[40, 30, 20, 10]);
    let two_kept = loss(&rows, Keep::Chains(2));
    assert_eq!((two_kept.deleted, two_kept.deleted_segments), (3, 3));
    assert!(!two_kept.newest && !two_kept.is_grave());
    assert_eq!(loss(&rows, Keep::Chains(1)).deleted, 6);
    assert_eq!(loss(&rows, Keep::Chains(0)).deleted, 0);
}

#[test]
fn full_backups_that_are_kept_lose_what_rests_on_them() {
    let rows = chains(&[40, 30, 20, 10]);
    let kept = loss(&rows, Keep::Fulls(Fulls::Last(2)));
    // Two chains whole, and two INCREMENTALs of the third.
    assert_eq!((kept.deleted, kept.deleted_segments), (8, 9));
    assert!(kept.is_grave());
    assert_eq!(loss(&rows, Keep::Fulls(Fulls::Unset)).deleted, 0);
    assert_eq!(loss(&rows, Keep::Fulls(Fulls::Last(0))).deleted, 0);
}

#[test]
fn both_keeps_the_union_whole() {
    let rows = chains(&[40, 30, 20, 10]);
    assert_eq!(loss(&rows, Keep::Both(1, Fulls::Last(3))).deleted, 3);
    assert_eq!(loss(&rows, Keep::Both(0, Fulls::Unset)).deleted, 9);
}

#[test]
fn a_broken_chain_does_not_go_on() {
    let mut rows = chains(&[30, 10]);
    rows.incrementals.push(Incremental {
        root: Uuid::from_u128(1),
        completed_at: None,
        broke_chain: true,
    });
    let all = loss(&rows, Keep::Both(0, Fulls::Unset));
    assert!(all.newest);
    assert_eq!(all.deleted, 6);
}

#[test]
fn grace_is_twice_the_cadence() {
    let rows = chains(&[2, 1, 0]);
    assert_eq!(loss(&rows, Keep::Both(0, Fulls::Unset)).deleted, 0);
    let hourly = Policy {
        keep: Keep::Both(0, Fulls::Unset),
        cadence: cadence("HOURLY"),
    };
    assert_eq!(rows.loss(&hourly, NOW).deleted, 6);
}

#[test]
fn wal_without_a_full_before_it_is_swept() {
    let mut rows = chains(&[10]);
    let segment = |timeline, start| Segment {
        timeline,
        start,
        received_at: NOW,
    };
    rows.fulls[0].start = 50;
    rows.segments = vec![segment(1, 49), segment(1, 50), segment(2, 60)];
    assert_eq!(loss(&rows, Keep::Chains(1)).deleted_segments, 2);
}

#[test]
fn intervals_are_those_of_databasus() {
    assert_eq!(cadence("WEEKLY"), 7 * DAY);
    assert_eq!(cadence("CRON"), DAY);
    assert_eq!(cadence(""), DAY);
}

fn any_keep() -> impl Strategy<Value = Keep> {
    let fulls = prop_oneof![
        Just(Fulls::Unset),
        (0..5i64).prop_map(Fulls::Last),
        (0..5i64).prop_map(|days| Fulls::Gfs(Gfs {
            days,
            ..Gfs::default()
        }))
    ];
    prop_oneof![
        (0..5i64).prop_map(Keep::Chains),
        fulls.clone().prop_map(Keep::Fulls),
        (0..5i64, fulls).prop_map(|(count, fulls)| Keep::Both(count, fulls)),
    ]
}

proptest! {
    #[test]
    fn the_newest_backup_of_a_chain_that_goes_on_stays(
        keep in any_keep(), mut days in prop::collection::vec(0..400i64, 1..8)
    ) {
        days.sort_by(|a, b| b.cmp(a));
        days.dedup();
        prop_assert!(!loss(&chains(&days), keep).newest);
    }

    #[test]
    fn no_more_goes_than_there_is(keep in any_keep(), days in prop::collection::vec(0..400i64, 0..8)) {
        let loss = loss(&chains(&days), keep);
        prop_assert!(loss.deleted <= loss.backups && loss.deleted_segments <= loss.segments);
    }
}
