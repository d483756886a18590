//! Chains of every shape that Databasus writes.

use databasus_escrow::databasus::objects::sidecar::Compression;

use super::bed::{Bed, NEWEST};
use crate::support::chains::Source;
use crate::support::chains::{How, Native, WalV1, shared};
use crate::support::sandbox::{json, stdout};

#[test]
fn every_moment_between_two_commits_is_reached() {
    let Some(chain) = shared::native() else {
        return;
    };
    for id in [3, 4, 5] {
        let document = Bed::of(&chain).rewind(chain.sentinel(id).newest_at, id);
        assert_eq!(document["exit"], 0);
    }
}

#[test]
fn before_the_incremental_backups_the_full_one_and_its_log_do() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain);
    let document = bed.rewind(chain.sentinel(2).newest_at, 2);
    assert_eq!(document["plan"]["bases"].as_array().unwrap().len(), 1);
}

#[test]
fn a_backup_of_its_own_needs_no_log() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    for taken in chain.segments.clone() {
        chain.remove(&taken.object);
    }
    let last = chain.bases.last().unwrap().id.to_string();
    Bed::of(&chain).expect(&["--backup", &last], 3);
}

#[test]
fn a_position_in_the_log_is_reached() {
    let Some(chain) = shared::native() else {
        return;
    };
    let last = chain.segments.last().unwrap().segment;
    let start = last.start(chain.segment_size).unwrap().to_string();
    Bed::of(&chain).expect(&["--to-lsn", &start], 5);
}

#[test]
fn the_end_of_the_log_is_reached() {
    let Some(chain) = shared::native() else {
        return;
    };
    Bed::of(&chain).expect(&["--latest"], 6);
}

#[test]
fn an_agents_chain_is_rewound() {
    let Some(chain) = shared::wal_v1() else {
        return;
    };
    Bed::of(&chain).rewind(chain.sentinel(3).newest_at, 3);
}

#[test]
fn an_agents_chain_of_postgresql_18_is_rewound() {
    let Some(chain) = shared::wal_v1_of_18() else {
        return;
    };
    Bed::of(&chain).rewind(chain.sentinel(3).newest_at, 3);
}

/// A full backup, taken so, and one sentinel behind it.
fn rewinds(how: How) {
    let Some(source) = Source::start() else {
        return;
    };
    source.load(20);
    let mut native = Native::of(&source, "shop");
    native.full_as(&source, how);
    let present = source.sentinel();
    source.sentinel();
    source.switch_wal();
    native.wal_as(&source, how);
    let chain = native.chain(&source);
    Bed::of(&chain).rewind(present.newest_at, present.id);
}

#[test]
fn a_payload_in_gzip_is_rewound() {
    rewinds(How::compressed(Compression::Gzip));
}

#[test]
fn an_uncompressed_and_unencrypted_payload_is_rewound() {
    rewinds(How {
        compression: Compression::None,
        ..How::plain()
    });
}

#[test]
fn a_full_backup_in_parts_is_rewound() {
    rewinds(How {
        compression: Compression::None,
        part: Some(9_000_000),
        ..How::default()
    });
}

#[test]
fn a_promotion_is_followed_by_its_history_file() {
    let Some(mut source) = Source::start() else {
        return;
    };
    let mut native = Native::of(&source, "shop");
    native.full(&source);
    source.sentinel();
    source.switch_wal();
    native.wal(&source);
    source.promote();
    let present = source.sentinel();
    source.sentinel();
    source.switch_wal();
    native.wal(&source);
    native.histories(&source);
    let document = Bed::of(&native.chain(&source)).rewind(present.newest_at, present.id);
    assert_eq!(document["plan"]["timeline"], 2);
}

/// The agent keeps no history files: what comes behind a promotion stands on a new base.
#[test]
fn an_agents_cluster_that_was_promoted_has_a_chain_on_either_side() {
    let Some(mut source) = Source::start() else {
        return;
    };
    let mut agent = WalV1::of(&source, "shop");
    agent.base(&source);
    let step = |agent: &mut WalV1, source: &Source| {
        let present = source.sentinel();
        source.sentinel();
        source.switch_wal();
        agent.wal(source);
        present
    };
    let before = step(&mut agent, &source);
    source.promote();
    agent.base(&source);
    let after = step(&mut agent, &source);
    let chain = agent.chain(&source);
    for present in [before, after] {
        Bed::of(&chain).rewind(present.newest_at, present.id);
    }
}

#[test]
fn the_timeline_that_was_left_can_be_chosen() {
    let Some(mut source) = Source::start() else {
        return;
    };
    let mut native = Native::of(&source, "shop");
    native.full(&source);
    source.sentinel();
    source.switch_wal();
    native.wal(&source);
    let other = source.promoted_copy();
    // Both go on, in segments of the same numbers.
    for cluster in [&source, &other] {
        cluster.sentinel();
        cluster.switch_wal();
    }
    let abandoned = source.sentinel();
    source.sentinel();
    source.switch_wal();
    native.wal(&source);
    native.wal(&other);
    native.histories(&other);
    let bed = Bed::of(&native.chain(&source));
    let to = abandoned.newest_at.to_string();
    let document = bed.expect(&["--to", &to, "--timeline", "1"], abandoned.id);
    assert_eq!(document["plan"]["timeline"], 1);
}

#[test]
fn a_database_that_was_renamed_half_way_is_one() {
    let Some(source) = Source::start() else {
        return;
    };
    let mut agent = WalV1::of(&source, "old name");
    agent.base(&source);
    let step = |agent: &mut WalV1| {
        let sentinel = source.sentinel();
        source.switch_wal();
        agent.wal(&source);
        sentinel
    };
    step(&mut agent);
    agent.rename("new name");
    let present = step(&mut agent);
    step(&mut agent);
    let chain = agent.chain(&source);
    Bed::of(&chain).rewind(present.newest_at, present.id);
}

#[test]
fn segments_of_the_usual_size_are_replayed() {
    let Some(source) = Source::start_with_usual_segments() else {
        return;
    };
    let mut agent = WalV1::of(&source, "shop");
    agent.base(&source);
    let present = source.sentinel();
    source.sentinel();
    source.switch_wal();
    agent.wal(&source);
    Bed::of(&agent.chain(&source)).rewind(present.newest_at, present.id);
}

#[test]
fn of_two_clusters_under_one_name_the_one_that_is_meant_is_rewound() {
    let (Some(mut chain), Some(source)) = (shared::native(), Source::start()) else {
        return;
    };
    let mut other = Native::of(&source, &chain.name);
    other.full(&source);
    let only = source.sentinel();
    source.switch_wal();
    other.wal(&source);
    chain.merge(&other.chain(&source));
    let mut bed = Bed::of(&chain);
    let ids = [chain.system_identifier, source.system_identifier()].map(|id| id.to_string());
    bed.refuse(&["--latest"], 14, &["--cluster", &ids[0], &ids[1]]);
    bed.expect(&["--latest", "--cluster", &ids[1]], only.id);
    std::fs::remove_dir_all(bed.output()).unwrap();
    bed.call_it(&chain.database.unwrap().to_string());
    bed.expect(&["--latest"], 6);
}

#[test]
fn an_incremental_backup_reaches_beyond_a_gap() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    // Between the full and the first incremental backup.
    let lost = chain.segment(0);
    chain.remove(&lost.object);
    Bed::of(&chain).rewind(chain.sentinel(5).newest_at, 5);
}

#[test]
fn an_incremental_backup_without_its_parent_is_passed_over_where_the_log_reaches() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let parent = chain.bases[1].object.clone();
    chain.remove(&parent);
    let document = Bed::of(&chain).rewind(chain.sentinel(5).newest_at, 5);
    assert_eq!(document["plan"]["bases"].as_array().unwrap().len(), 1);
    let remarks = document["plan"]["remarks"].as_array().unwrap();
    assert_eq!(remarks.len(), 1, "{remarks:?}");
}

#[test]
fn a_thousand_segments_are_replayed() {
    let Some(source) = Source::start() else {
        return;
    };
    let mut native = Native::of(&source, "shop");
    native.full(&source);
    source.many_segments(1000);
    let present = source.sentinel();
    source.sentinel();
    source.switch_wal();
    native.wal_as(&source, How::plain());
    let bed = Bed::of(&native.chain(&source));
    let to = present.newest_at.to_string();
    let fillers = ["--check", "SELECT count(*) FROM filler", "--expect", "1000"];
    bed.expect(&[&["--to", &to], &fillers[..]].concat(), present.id);
}

#[test]
fn a_dry_run_says_what_it_would_take_and_changes_nothing() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain);
    let to = chain.sentinel(5).newest_at.to_string();
    let ran = bed.restore(&["--to", &to, "--dry-run", "--json"]).success();
    let plan = &json(&ran)["plan"];
    assert_eq!(plan["bases"].as_array().unwrap().len(), 3);
    assert!(plan["bytes_to_fetch"].as_u64().unwrap() > 1 << 20);
    // The full backup, the incremental ones, and the cluster that they make.
    assert!(plan["disk_needed"].as_u64().unwrap() > 40 << 20);
    assert_eq!(bed.around(), [""; 0]);
}

#[test]
fn a_check_that_does_not_hold_keeps_the_directory_and_says_so() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain);
    let ran = bed.restore(&["--latest", "--check", NEWEST, "--expect", "7"]);
    let said = stdout(&ran.code(3));
    assert!(said.contains("gave 6 and not 7"), "{said}");
    assert!(said.contains("--check-database"), "{said}");
    assert_eq!(bed.around(), ["rewound"]);
}

#[test]
fn without_a_server_a_directory_is_prepared_that_replays_when_it_is_started() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain);
    let to = chain.sentinel(5).newest_at.to_string();
    bed.restore(&["--to", &to, "--prepare-only"]).success();
    assert!(bed.output().join("recovery.signal").exists());
    let server = bed.serve();
    // It takes connections before it has reached its target, and must be waited for.
    let writable = || server.psql_in("shop", "SELECT pg_is_in_recovery()") == "f";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !writable() {
        assert!(std::time::Instant::now() < deadline, "{}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(server.psql_in("shop", NEWEST), "5");
}

#[cfg(feature = "s3")]
#[test]
fn a_bucket_is_rewound_with_rights_to_read_alone() {
    use crate::support::seaweed::Seaweed;
    use secrecy::ExposeSecret as _;
    let Some((chain, server)) = shared::native().zip(Seaweed::start()) else {
        return;
    };
    chain.upload(&server, "pitr-restore", "backups/hw/");
    let mut bed = Bed::of(&chain);
    let who = server.read_only_credentials();
    let secret = who.secret_access_key.expose_secret();
    let variables = [
        ("ESCROW_FROM_ACCESS_KEY_ID", who.access_key_id.as_str()),
        ("ESCROW_FROM_SECRET_ACCESS_KEY", secret),
    ];
    for (name, value) in variables {
        bed.sandbox.set(name, value);
    }
    let endpoint = server.endpoint();
    bed.take_from(&format!(
        "s3://pitr-restore/backups/hw?endpoint={endpoint}&region=us-east-1&path_style=true"
    ));
    bed.rewind(chain.sentinel(5).newest_at, 5);
}
