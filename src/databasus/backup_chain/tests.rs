use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::chain::Chain;
use super::cluster::{Cluster, clusters, to_be_read_whole};
use super::facts::{Base, BaseKind, Facts, History, Seal, Segment, Spoilt, Stored, Switch};
use super::loose::{Apart, Loose};
use super::plan::{Plan, Target};
use super::unreachable::Why;
use super::{Obstacle, plan};
use crate::base::time::UtcTime;
use crate::databasus::objects::group::{BackupGroup, Listed, StoredStream};
use crate::databasus::objects::name::BackupName;
use crate::databasus::objects::sidecar::Compression;
use crate::postgres::lsn::Lsn;
use crate::postgres::wal_segment::{SegmentName, SegmentSize};

mod property_tests;

const SYSTEM: u64 = 77;
const DATABASE: Uuid = Uuid::from_u128(0xD);

fn size() -> SegmentSize {
    SegmentSize::new(1 << 20).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A position within a segment.
fn within(number: u64, offset: u64) -> Lsn {
    Lsn((number << 20) + offset)
}

fn listed(bytes: u64) -> StoredStream {
    StoredStream {
        whole: Some(Listed {
            size: bytes,
            etag: None,
        }),
        ..StoredStream::default()
    }
}

fn stored(name: BackupName, bytes: u64, manifest: bool) -> Stored {
    Stored {
        group: Arc::new(BackupGroup {
            name,
            content: listed(bytes),
            manifest: match manifest {
                true => listed(10),
                false => StoredStream::default(),
            },
            sidecar: None,
        }),
        seal: Seal::Plain,
    }
}

/// A backup whose start and end lie in one segment, as those of a quiet cluster do.
fn full(id: u128, number: u64, completed: i64) -> Base {
    let begun = completed - 1;
    let name = BackupName::Labelled {
        label: "shop-FULL".to_owned(),
        at: UtcTime::from_unix(begun),
        id: Uuid::from_u128(id),
    };
    Base {
        stored: stored(name, 1000, true),
        kind: BaseKind::Full,
        database: Some(DATABASE),
        label: "shop".to_owned(),
        system_identifier: Some(SYSTEM),
        pg_major: Some(17),
        timeline: 1,
        start: within(number, 0x28),
        stop: Some(within(number, 0x120)),
        compression: Compression::Zstd,
        begun: at(begun),
        completed: Some(at(completed)),
    }
}

fn incr(id: u128, root: u128, parent: Option<u128>, number: u64, completed: i64) -> Base {
    Base {
        kind: BaseKind::Incremental {
            root: Uuid::from_u128(root),
            parent: parent.map(Uuid::from_u128),
        },
        ..full(id, number, completed)
    }
}

fn wal_v1(id: u128, label: &str, number: u64, begun: i64) -> Base {
    let name = BackupName::Labelled {
        label: label.to_owned(),
        at: UtcTime::from_unix(begun),
        id: Uuid::from_u128(id),
    };
    Base {
        stored: stored(name, 1000, false),
        kind: BaseKind::WalV1,
        database: None,
        label: label.to_owned(),
        system_identifier: None,
        stop: None,
        completed: None,
        begun: at(begun),
        ..full(id, number, begun)
    }
}

fn segment(timeline: u32, number: u64, received: i64) -> Segment {
    let name = SegmentName::at(timeline, within(number, 0), size());
    let stored_name = BackupName::Wal {
        database: DATABASE,
        segment: name,
    };
    Segment {
        stored: stored(stored_name, 100, false),
        database: Some(DATABASE),
        label: None,
        name,
        start: within(number, 0),
        size: size(),
        system_identifier: None,
        pg_major: None,
        received: Some(at(received)),
    }
}

fn wal_v1_segment(id: u128, label: &str, system: u64, number: u64, received: i64) -> Segment {
    let name = BackupName::Labelled {
        label: label.to_owned(),
        at: UtcTime::from_unix(received),
        id: Uuid::from_u128(id),
    };
    Segment {
        stored: stored(name, 100, false),
        database: None,
        label: Some(label.to_owned()),
        system_identifier: Some(system),
        ..segment(1, number, received)
    }
}

fn history(timeline: u32, switches: &[(u32, Lsn)]) -> History {
    let name = BackupName::History {
        database: DATABASE,
        timeline,
    };
    let switch = |(timeline, at): &(u32, Lsn)| Switch {
        timeline: *timeline,
        at: *at,
    };
    History {
        stored: stored(name, 50, false),
        database: DATABASE,
        timeline,
        switches: Some(switches.iter().map(switch).collect()),
    }
}

/// Segments that arrive ten seconds after each other: number 5 at second 50.
fn wal(timeline: u32, numbers: impl IntoIterator<Item = u64>) -> Vec<Segment> {
    let numbers = numbers.into_iter();
    numbers
        .map(|number| segment(timeline, number, i64::try_from(number * 10).unwrap()))
        .collect()
}

fn facts(bases: Vec<Base>, segments: Vec<Segment>) -> Facts {
    Facts {
        bases,
        segments,
        ..Facts::default()
    }
}

fn only(facts: Facts) -> Cluster {
    let found = clusters(facts);
    assert_eq!(found.clusters.len(), 1, "{:?}", found.clusters);
    found.clusters.into_iter().next().unwrap()
}

fn ids(plan: &Plan) -> Vec<u128> {
    plan.bases()
        .map(|base| base.id().unwrap().as_u128())
        .collect()
}

fn numbers(plan: &Plan) -> Vec<(u32, u64)> {
    let segments = plan.wal.iter().map(|copies| &copies[0]);
    segments
        .map(|one| (one.name.timeline, one.start.0 >> 20))
        .collect()
}

fn spans(chain: &Chain) -> Vec<(i64, i64)> {
    let second = |edge: super::chain::Edge| edge.time.unwrap().at.as_second();
    let windows = chain.windows.iter();
    windows
        .map(|window| (second(window.from), second(window.to)))
        .collect()
}

fn to(second: i64) -> Target {
    Target::Time(at(second))
}

fn why(cluster: &Cluster, target: Target) -> Why {
    plan(cluster, target, None, &[]).unwrap_err().why
}

#[test]
fn a_chain_reaches_from_its_full_backup_to_its_last_segment() {
    let cluster = only(facts(vec![full(1, 4, 41)], wal(1, 5..9)));
    let chains = cluster.chains();
    assert_eq!(chains.len(), 1);
    assert_eq!(spans(&chains[0]), [(41, 80)]);
    assert_eq!((chains[0].segments, chains[0].wal_bytes), (4, 400));
    assert_eq!(cluster.loose(), []);
    let found = plan(&cluster, to(60), None, &[]).unwrap();
    assert_eq!(ids(&found), [1]);
    assert_eq!(numbers(&found), [(1, 5), (1, 6), (1, 7), (1, 8)]);
    // Up to the first that arrived at the target or later, and two more.
    assert_eq!(found.expected, 4);
    assert_eq!(found.bytes(), 1010 + 400);
}

#[test]
fn the_newest_full_and_incremental_backups_before_the_target_are_taken() {
    let bases = vec![
        full(1, 4, 41),
        incr(2, 1, None, 6, 61),
        incr(3, 1, Some(2), 8, 81),
        full(4, 10, 101),
    ];
    let cluster = only(facts(bases, wal(1, 4..14)));
    let chosen = |second| ids(&plan(&cluster, to(second), None, &[]).unwrap());
    assert_eq!(chosen(50), [1]);
    assert_eq!(chosen(61), [1, 2]);
    assert_eq!(chosen(100), [1, 2, 3]);
    assert_eq!(chosen(101), [4]);
    let left_out = [Uuid::from_u128(4).to_string()];
    let found = plan(&cluster, to(101), None, &left_out).unwrap();
    assert_eq!(ids(&found), [1, 2, 3]);
}

#[test]
fn a_gap_is_told_by_its_segments_and_the_points_around_it() {
    let segments = wal(1, [5, 6, 9, 10]);
    let cluster = only(facts(vec![full(1, 4, 41)], segments.clone()));
    let refusal = plan(&cluster, to(90), None, &[]).unwrap_err();
    assert!(matches!(refusal.why, Why::InGap(_)), "{refusal}");
    assert_eq!(
        refusal.to_string(),
        "nothing reaches 1970-01-01T00:01:30Z: WAL segments 000000010000000000000007 to \
         000000010000000000000008 are missing (2); nearest before it: 1970-01-01T00:01:00Z \
         (approximate)"
    );
    let loose = cluster.loose();
    let [Loose::Wal { wal, reason }] = loose.as_slice() else {
        panic!("{loose:?}");
    };
    assert_eq!((wal.count, *reason), (2, Apart::BehindAGap));
    // An incremental backup behind it makes the full one reach further.
    let bases = vec![full(1, 4, 41), incr(2, 1, None, 8, 82)];
    let cluster = only(facts(bases, segments));
    assert_eq!(spans(&cluster.chains()[0]), [(41, 60), (82, 100)]);
    assert_eq!(ids(&plan(&cluster, to(90), None, &[]).unwrap()), [1, 2]);
    let refusal = plan(&cluster, to(70), None, &[]).unwrap_err();
    let point =
        |point: Option<super::unreachable::Point>| point.unwrap().edge.time.unwrap().at.as_second();
    assert_eq!((point(refusal.before), point(refusal.after)), (60, 82));
    assert_eq!(cluster.loose(), []);
}

#[test]
fn before_the_first_backup_and_behind_the_last_segment_nothing_is_reached() {
    let cluster = only(facts(vec![full(1, 4, 41)], wal(1, 3..7)));
    assert_eq!(why(&cluster, to(40)), Why::BeforeFirst);
    assert_eq!(why(&cluster, to(61)), Why::AfterLast);
    assert_eq!(why(&cluster, Target::Lsn(within(7, 0))), Why::AfterLast);
    assert_eq!(why(&cluster, Target::Lsn(within(4, 0))), Why::BeforeFirst);
    let nobody = Uuid::from_u128(9);
    assert_eq!(
        why(&cluster, Target::Backup(nobody)),
        Why::NoSuchBackup(nobody)
    );
    assert!(matches!(
        cluster.loose().as_slice(),
        [Loose::Wal {
            reason: Apart::BeforeAnyBase,
            ..
        }]
    ));
}

#[test]
fn a_backup_without_wal_reaches_its_own_moment() {
    let bases = vec![full(1, 4, 41), incr(2, 1, None, 6, 61)];
    let cluster = only(facts(bases, Vec::new()));
    assert_eq!(spans(&cluster.chains()[0]), [(41, 41), (61, 61)]);
    let refusal = plan(&cluster, to(50), None, &[]).unwrap_err();
    assert_eq!(refusal.why, Why::NoWal);
    assert_eq!(refusal.before.unwrap().backup, Some(Uuid::from_u128(1)));
    let backup = |id| plan(&cluster, Target::Backup(Uuid::from_u128(id)), None, &[]).unwrap();
    assert_eq!(ids(&backup(1)), [1]);
    assert_eq!(ids(&backup(2)), [1, 2]);
    assert_eq!(
        ids(&plan(&cluster, Target::Latest, None, &[]).unwrap()),
        [1, 2]
    );
}

#[test]
fn an_incremental_backup_without_its_parent_is_passed_over_where_wal_does() {
    let bases = vec![full(1, 4, 41), incr(3, 1, Some(2), 8, 81)];
    let cluster = only(facts(bases.clone(), wal(1, 5..12)));
    let found = plan(&cluster, to(90), None, &[]).unwrap();
    assert_eq!(ids(&found), [1]);
    assert_eq!(found.remarks.len(), 1, "{:?}", found.remarks);
    assert!(found.remarks[0].contains("which is not there"));
    let cluster = only(facts(bases, wal(1, [5, 6, 9, 10])));
    let missing = Uuid::from_u128(2);
    match why(&cluster, to(90)) {
        Why::Obstacle(Obstacle::Missing { missing: found, .. }) => assert_eq!(found, missing),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_backup_without_manifest_gives_way_to_an_older_one() {
    let mut newer = full(2, 8, 81);
    newer.stored = stored(newer.stored.name().clone(), 1000, false);
    let cluster = only(facts(vec![full(1, 4, 41), newer.clone()], wal(1, 5..12)));
    let found = plan(&cluster, to(90), None, &[]).unwrap();
    assert_eq!(ids(&found), [1]);
    assert!(found.remarks[0].contains("has no manifest"));
    let cluster = only(facts(vec![newer], wal(1, 5..12)));
    assert!(matches!(
        why(&cluster, to(90)),
        Why::Obstacle(Obstacle::NoManifest(_))
    ));
    assert!(cluster.chains()[0].windows.is_empty());
}

#[test]
fn a_promotion_is_followed_by_its_history() {
    let segments = [wal(1, 5..12), wal(2, 8..14)].concat();
    let mut known = facts(vec![full(1, 4, 41)], segments);
    known.histories = vec![history(2, &[(1, within(8, 77))])];
    let cluster = only(known.clone());
    let chains = cluster.chains();
    let timelines: Vec<_> = chains.iter().map(|chain| chain.timelines.clone()).collect();
    assert_eq!(timelines, [vec![1], vec![1, 2]]);
    assert_eq!(spans(&chains[0]), [(41, 110)]);
    assert_eq!(spans(&chains[1]), [(41, 130)]);
    let newest = plan(&cluster, to(100), None, &[]).unwrap();
    assert_eq!(newest.timeline, 2);
    assert_eq!(newest.histories.len(), 1);
    let first = [(1, 5), (1, 6), (1, 7), (2, 8), (2, 9)];
    assert_eq!(numbers(&newest)[..5], first);
    let older = plan(&cluster, to(100), Some(1), &[]).unwrap();
    assert_eq!(numbers(&older).last(), Some(&(1, 11)));
    let refusal = plan(&cluster, to(100), Some(3), &[]).unwrap_err();
    assert_eq!(refusal.why, Why::NoSuchTimeline(3));
    // Without the file nothing leads into the second timeline.
    known.histories.clear();
    let cluster = only(known);
    assert_eq!(plan(&cluster, to(100), None, &[]).unwrap().timeline, 1);
    assert_eq!(why(&cluster, to(125)), Why::AfterLast);
    assert!(matches!(
        cluster.loose().as_slice(),
        [Loose::Wal {
            reason: Apart::OtherTimeline,
            ..
        }]
    ));
}

#[test]
fn a_promotion_behind_a_gap_is_not_entered() {
    let segments = [wal(1, 5..7), wal(2, 8..14)].concat();
    let mut known = facts(vec![full(1, 4, 41)], segments);
    known.histories = vec![history(2, &[(1, within(8, 77))])];
    let cluster = only(known);
    assert_eq!(cluster.chains().len(), 1);
    assert!(plan(&cluster, to(100), None, &[]).is_err());
}

#[test]
fn wal_v1_is_told_apart_by_its_content() {
    // One server renamed half-way, and another that got its first name.
    let segments = vec![
        wal_v1_segment(10, "shop", 7, 5, 50),
        wal_v1_segment(11, "store", 7, 6, 60),
        wal_v1_segment(12, "other", 8, 5, 50),
    ];
    let bases = vec![wal_v1(1, "shop", 4, 40), wal_v1(2, "other", 4, 40)];
    let known = facts(bases, segments);
    assert_eq!(to_be_read_whole(&known), Vec::<usize>::new());
    let found = clusters(known.clone());
    let labels: Vec<Vec<&str>> = found
        .clusters
        .iter()
        .map(|cluster| cluster.labels.iter().map(String::as_str).collect())
        .collect();
    assert_eq!(labels, [vec!["other"], vec!["shop", "store"]]);
    let renamed = &found.clusters[1];
    assert_eq!(
        numbers(&plan(renamed, Target::Latest, None, &[]).unwrap()).len(),
        2
    );

    let mut mixed = known;
    mixed.segments.push(wal_v1_segment(13, "shop", 8, 6, 60));
    assert_eq!(to_be_read_whole(&mixed), [0]);
    let found = clusters(mixed.clone());
    assert_eq!(found.unattributed.bases.len(), 1);
    mixed.bases[0].system_identifier = Some(8);
    assert!(clusters(mixed).unattributed.bases.is_empty());
}

#[test]
fn a_hole_behind_the_start_of_a_wal_v1_base_may_be_its_own() {
    let segments = [5, 8, 9].map(|number| {
        let received = i64::try_from(number * 10).unwrap();
        wal_v1_segment(u128::from(number), "shop", 7, number, received)
    });
    let known = facts(vec![wal_v1(1, "shop", 4, 40)], segments[1..].to_vec());
    let cluster = only(known);
    let chain = &cluster.chains()[0];
    assert_eq!(spans(chain), [(81, 90)]);
    assert!(chain.gaps[0].is_maybe_in_base);
    let found = plan(&cluster, Target::Latest, None, &[]).unwrap();
    assert!(found.remarks[0].contains("unless the base backup"));
    // Once its end is known, a hole is a hole.
    let mut base = wal_v1(1, "shop", 4, 40);
    base.stop = Some(within(4, 0x200));
    let cluster = only(facts(vec![base], segments.to_vec()));
    assert_eq!(spans(&cluster.chains()[0]), [(51, 51)]);
    assert!(!cluster.chains()[0].gaps[0].is_maybe_in_base);
}

#[test]
fn two_databases_on_one_server_stay_two() {
    let mut other = full(2, 4, 41);
    other.database = Some(Uuid::from_u128(0xE));
    let found = clusters(facts(vec![full(1, 4, 41), other], wal(1, 5..7)));
    let counts: Vec<_> = found.clusters.iter().map(|one| one.log.count()).collect();
    assert_eq!(counts, [2, 0]);
}

#[test]
fn wal_of_a_database_with_two_servers_has_to_be_looked_at() {
    let mut other = full(2, 4, 41);
    other.system_identifier = Some(78);
    let mut segments = wal(1, 5..7);
    segments[1].system_identifier = Some(78);
    let found = clusters(facts(vec![full(1, 4, 41), other], segments));
    assert_eq!(found.unattributed.segments.len(), 1);
    assert_eq!(found.clusters.len(), 2);
}

#[test]
fn a_segment_stored_twice_is_planned_with_both() {
    let segments = [5, 6, 6, 7].map(|number| {
        let id = u128::from(number) + 100;
        wal_v1_segment(id, "shop", 7, number, i64::try_from(number * 10).unwrap())
    });
    let cluster = only(facts(vec![wal_v1(1, "shop", 4, 40)], segments.to_vec()));
    let found = plan(&cluster, Target::Latest, None, &[]).unwrap();
    let copies: Vec<usize> = found.wal.iter().map(Vec::len).collect();
    assert_eq!(copies, [1, 2, 1]);
    assert_eq!(cluster.duplicates().count(), 1);
}

#[test]
fn a_segment_that_no_key_opens_is_named() {
    let segments = wal(1, 5..9);
    let spoilt = BTreeMap::from([(segments[2].stored.name().clone(), Spoilt::NoKey)]);
    let known = Facts {
        spoilt,
        ..facts(vec![full(1, 4, 41)], segments)
    };
    let cluster = only(known);
    match why(&cluster, to(75)) {
        Why::Spoilt(found) => assert_eq!(found.len(), 1),
        other => panic!("{other:?}"),
    }
    assert!(plan(&cluster, to(55), None, &[]).is_ok());
    let latest = plan(&cluster, Target::Latest, None, &[]).unwrap();
    assert!(latest.remarks[0].contains("no key opens"));
}

#[test]
fn segments_of_another_size_are_none_of_the_cluster() {
    let mut segments = wal(1, 5..9);
    let large = SegmentSize::DEFAULT;
    segments.push(Segment {
        name: SegmentName::at(1, Lsn(0x900_0000), large),
        start: Lsn(0x900_0000),
        size: large,
        ..segments[0].clone()
    });
    let cluster = only(facts(vec![full(1, 4, 41)], segments));
    assert_eq!(cluster.loose(), [Loose::OddSegment(0)]);
}

#[test]
fn commits_read_in_the_wal_make_the_ends_exact() {
    let mut cluster = only(facts(vec![full(1, 4, 41)], wal(1, 5..9)));
    let last = cluster.chains()[0].windows[0].wal.unwrap().last;
    cluster.evidence.ends.insert(last, at(73));
    cluster
        .evidence
        .beginnings
        .insert(Uuid::from_u128(1), at(38));
    let window = &cluster.chains()[0].windows[0];
    assert!(window.from.time.unwrap().exact && window.to.time.unwrap().exact);
    assert_eq!(spans(&cluster.chains()[0]), [(38, 73)]);
    assert!(plan(&cluster, to(39), None, &[]).is_ok());
    assert!(plan(&cluster, to(72), None, &[]).is_ok());
    // Replay to the time of the last commit finds no later one to stop at.
    let refusal = plan(&cluster, to(73), None, &[]).unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("just before 1970-01-01T00:01:13Z")
    );
}

#[test]
fn ten_thousand_backups_and_a_hundred_thousand_segments_are_little_work() {
    let bases = (0..10_000u64).map(|n| {
        let second = i64::try_from(n * 100 + 1).unwrap();
        match n % 10 {
            0 => full(u128::from(n), n * 10, second),
            _ => {
                let root = n - n % 10;
                let parent = (n - 1 != root).then(|| u128::from(n - 1));
                incr(u128::from(n), u128::from(root), parent, n * 10, second)
            }
        }
    });
    let known = facts(
        bases.collect(),
        wal(1, (0..100_000).filter(|n| n % 777 != 0)),
    );
    let begun = std::time::Instant::now();
    let cluster = only(known);
    let chains = cluster.chains();
    assert_eq!(chains.len(), 1000);
    // Between each hole and the next base behind it.
    assert!(cluster.loose().len() < 130);
    assert!(plan(&cluster, to(900_000), None, &[]).is_ok());
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}
