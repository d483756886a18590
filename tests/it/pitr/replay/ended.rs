//! Targets that are not reached, and runs that are ended.

use std::time::{Duration, Instant};

use databasus_escrow::databasus::backup_chain::plan::{Plan, Target};
use databasus_escrow::ops::pitr::fault::Fault;
use databasus_escrow::ops::pitr::proof::NotProven;
use databasus_escrow::ops::pitr::replay::ReplayError;
use databasus_escrow::postgres::binaries::{Launcher, PgBinaries};
use databasus_escrow::postgres::private_server::PrivateServerError;
use databasus_escrow::postgres::stopped;
use jiff::SignedDuration;

use super::bed::{BEYOND, Bed};
use crate::support::chains::shared;
use crate::support::write_program;

/// The plan for the end of the log, with another target.
fn all_wal_for(bed: &Bed, target: Target) -> Plan {
    Plan {
        target,
        ..bed.plan(Target::Latest)
    }
}

#[test]
fn a_time_that_the_log_does_not_hold_is_told_with_the_last_that_it_does() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain).unwrap();
    let last = chain.sentinel(6).newest_at;
    let target = Target::Time(last + SignedDuration::from_hours(1));
    let (error, told) = bed.refusal(&all_wal_for(&bed, target));
    assert_eq!(error.fault(), None);
    assert!(
        told.contains("all WAL that there is was replayed"),
        "{told}"
    );
    let ReplayError::NotProven(NotProven::NotReached {
        last_transaction, ..
    }) = error
    else {
        panic!("{told}");
    };
    assert!(last_transaction.unwrap() <= last);
}

#[test]
fn a_position_that_the_log_does_not_hold_is_told() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain).unwrap();
    let (error, told) = bed.refusal(&all_wal_for(&bed, Target::Lsn(BEYOND)));
    assert_eq!(error.fault(), None, "{told}");
}

#[test]
fn a_target_before_the_backup_is_consistent_is_told() {
    let Some(source) = crate::support::chains::Source::start() else {
        return;
    };
    let mut native = crate::support::chains::Native::of(&source, "shop");
    let early = source.sentinel();
    source.sentinel();
    native.full(&source);
    source.switch_wal();
    native.wal(&source);
    let chain = native.chain(&source);
    let bed = Bed::of(&chain).unwrap();
    // The first record of the backup's WAL is already behind the position.
    let mut plan = all_wal_for(&bed, Target::Time(early.newest_at));
    plan.target = Target::Lsn(plan.full.start);
    let (error, told) = bed.refusal(&plan);
    assert_eq!(error.fault(), None, "{told}");
    assert!(
        told.contains("before the moment at which the backup is consistent"),
        "{told}"
    );
}

#[test]
fn a_segment_that_is_missing_from_the_plan_is_no_silent_end() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain).unwrap();
    let mut plan = bed.plan(Target::Latest);
    let place = plan.wal.len() - 2;
    plan.wal.remove(place);
    plan.expected -= 1;
    let (error, told) = bed.refusal(&plan);
    assert_eq!(error.fault(), Some(Fault::Damaged), "{told}");
    assert!(told.contains("replay ended at"), "{told}");
}

/// A `postgres` that never gets ready, or ends by itself.
fn impostor(bed: &Bed, script: &str) -> Launcher {
    let dir = bed.home().join("bin");
    std::fs::create_dir(&dir).unwrap();
    write_program(&dir.join("postgres"), &format!("#!/bin/sh\n{script}\n"));
    let version = "17.0".to_owned();
    Launcher::Local(PgBinaries { dir, version })
}

#[test]
fn a_server_that_is_killed_ends_the_run() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain).unwrap();
    let plan = bed.plan(Target::Latest);
    bed.stage(&plan);
    let launcher = impostor(&bed, "kill -9 $$");
    let bed = bed.launched_by(launcher);
    let error = bed.replay(&plan, "SELECT 1", "1").unwrap_err();
    assert!(
        matches!(error, ReplayError::Server(PrivateServerError::Ended { .. })),
        "{error}"
    );
}

#[test]
fn a_run_that_is_cancelled_ends_at_once_and_leaves_no_server() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain).unwrap();
    let plan = bed.plan(Target::Latest);
    bed.stage(&plan);
    let launcher = impostor(&bed, "touch \"$2/../up\"; exec sleep 600");
    let bed = bed.launched_by(launcher);
    let up = bed.home().join("staged/up");
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !up.exists() && begun.elapsed() < Duration::from_secs(30) {
                std::thread::sleep(Duration::from_millis(10));
            }
            bed.cancel.raise(15);
        });
        let error = bed.replay(&plan, "SELECT 1", "1").unwrap_err();
        assert!(matches!(error, ReplayError::Interrupted(_)), "{error}");
    });
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert_eq!(stopped::process_in(&bed.data()).unwrap(), None);
}
