//! Points in time and in the log, reached and proven.

use databasus_escrow::databasus::backup_chain::plan::Target;
use databasus_escrow::postgres::binaries::Launcher;
use databasus_escrow::postgres::control_file::{ClusterState, ControlFile};

use super::bed::{Bed, SENTINELS, truth};
use crate::support::chains::{Native, Source, shared};
use crate::support::{docker, needed};

#[test]
fn the_cluster_of_3_49_is_taken_to_both_of_its_times() {
    for place in 0..2 {
        let Some(bed) = Bed::of_fixture("real-3.49.0", "ESCROW_TEST_PG_BIN") else {
            return;
        };
        let (time, sentinels) = truth("real-3.49.0").swap_remove(place);
        let rewound = bed.rewind(Target::Time(time), &sentinels);
        assert!(rewound.checks.all_hold(), "{:?}", rewound.checks);
        let proofs = &rewound.proofs;
        assert!(
            proofs
                .stopped
                .as_ref()
                .unwrap()
                .starts_with("before commit of transaction")
        );
        assert!(proofs.last_transaction.unwrap() <= time);
        assert_eq!((proofs.timeline_before, proofs.timeline_after), (1, 2));
        assert!(proofs.segments > 0);
        let control = ControlFile::of(&bed.data()).unwrap();
        assert_eq!(control.state, ClusterState::ShutDown);
        assert_eq!(bed.ask("shop", SENTINELS), sentinels);
    }
}

#[test]
fn the_cluster_of_3_42_is_taken_to_both_of_its_times() {
    for place in 0..2 {
        let Some(bed) = Bed::of_fixture("real-3.42.0", "ESCROW_TEST_PG18_BIN") else {
            return;
        };
        let (time, sentinels) = truth("real-3.42.0").swap_remove(place);
        let rewound = bed.rewind(Target::Time(time), &sentinels);
        assert!(rewound.checks.all_hold(), "{:?}", rewound.checks);
        assert!(rewound.proofs.last_transaction.unwrap() <= time);
    }
}

#[test]
fn every_moment_of_a_chain_has_what_was_committed_by_then() {
    let Some(chain) = shared::native() else {
        return;
    };
    for (newest, sentinels) in [(2, "1,2"), (4, "1,2,3,4"), (5, "1,2,3,4,5")] {
        let bed = Bed::of(&chain).unwrap();
        let time = chain.sentinel(newest).newest_at;
        let rewound = bed.rewind(Target::Time(time), sentinels);
        assert!(rewound.checks.all_hold(), "{:?}", rewound.checks);
    }
}

#[test]
fn the_end_of_the_log_is_reached_to_its_last_segment() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain).unwrap();
    let rewound = bed.rewind(Target::Latest, "1,2,3,4,5,6");
    assert!(rewound.checks.all_hold(), "{:?}", rewound.checks);
    let end = bed.plan(Target::Latest).wal.last().unwrap()[0].end();
    assert_eq!(rewound.proofs.replayed_to, end);
    assert_eq!(rewound.proofs.stopped, None);
}

#[test]
fn a_backup_is_reached_with_the_wal_that_it_carries() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain).unwrap();
    let backup = Target::Backup(chain.bases[1].id);
    let rewound = bed.rewind(backup, "1,2");
    assert!(rewound.checks.all_hold(), "{:?}", rewound.checks);
    assert_eq!(
        rewound.proofs.stopped.as_deref(),
        Some("after reaching consistency")
    );
    assert_eq!(rewound.proofs.segments, 0);
}

#[test]
fn a_position_in_the_log_is_reached() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain).unwrap();
    let plan = bed.plan(Target::Latest);
    let position = plan.wal.last().unwrap()[0].start;
    let rewound = bed.rewind(Target::Lsn(position), "1,2,3,4,5");
    assert!(rewound.checks.all_hold(), "{:?}", rewound.checks);
    assert!(rewound.proofs.last_record.unwrap() >= position);
}

#[test]
fn a_promotion_is_followed_by_its_history() {
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
    let chain = native.chain(&source);
    let bed = Bed::of(&chain).unwrap();
    let rewound = bed.rewind(Target::Time(present.newest_at), "1,2");
    assert!(rewound.checks.all_hold(), "{:?}", rewound.checks);
    let proofs = rewound.proofs;
    assert_eq!((proofs.timeline_before, proofs.timeline_after), (1, 3));
}

#[test]
fn many_segments_are_fed_ahead_of_replay() {
    let Some(source) = Source::start() else {
        return;
    };
    let mut native = Native::of(&source, "shop");
    native.full(&source);
    source.many_segments(200);
    let present = source.sentinel();
    source.sentinel();
    source.switch_wal();
    native.wal(&source);
    let chain = native.chain(&source);
    let bed = Bed::of(&chain).unwrap();
    let rewound = bed.rewind(Target::Time(present.newest_at), "1");
    assert!(rewound.checks.all_hold(), "{:?}", rewound.checks);
    assert!(rewound.proofs.segments >= 200, "{:?}", rewound.proofs);
}

#[test]
fn a_server_in_a_container_has_the_wal_mounted_beside_its_data() {
    let Some(chain) = shared::native() else {
        return;
    };
    let (bed, bin) = (
        Bed::of(&chain).unwrap(),
        needed("ESCROW_TEST_PG_BIN").unwrap(),
    );
    let plan = bed.plan(Target::Latest);
    bed.stage(&plan);
    let notes = bed.home().join("notes");
    let launcher = Launcher::Docker {
        docker: docker::stand_in(bed.home(), &bin, &notes),
        image: "postgres:17".to_owned(),
        major: 17,
    };
    let bed = bed.launched_by(launcher);
    let rewound = bed.replay(&plan, SENTINELS, "1,2,3,4,5,6").unwrap();
    assert!(rewound.checks.all_hold(), "{:?}", rewound.checks);
    let notes = std::fs::read_to_string(notes).unwrap();
    let wal = std::fs::canonicalize(bed.home())
        .unwrap()
        .join("staged/wal");
    let mount = format!("--volume={}:/escrow/wal\n", wal.display());
    assert!(notes.contains(&mount), "{notes}");
}
