//! Drills that do not begin, and such as are stopped.

use std::path::PathBuf;

use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;
use rustix::process::Signal;

use super::bed::{Bed, DATABASE};
use crate::support::sandbox::{json, replace};

const NOTHING: Vec<PathBuf> = Vec::new();

fn policy() -> String {
    format!("[drill]\n{DATABASE}")
}

#[test]
fn a_plan_needs_no_identity_and_does_nothing() {
    let Some(bed) = Bed::new("real-3.49.0", "drill-plan") else {
        return;
    };
    bed.drill(&policy(), "--dry-run")
        .success()
        .stdout(contains(
            "bring the database heatwave back as new as there is",
        ))
        .stdout(contains("ask it 2 sentinels"))
        .stdout(contains("Nothing was done (--dry-run)"));
    let document = json(&bed.drill(&policy(), "--dry-run --json").success());
    assert_eq!(document["dry_run"], true);
    assert!(document["outlook"]["room_free"].as_u64() > Some(0));
    assert_eq!(bed.reports().len(), 0);
    assert_eq!(bed.litter(), NOTHING);
}

#[test]
fn a_disk_that_is_too_small_is_told_before_anything_is_fetched() {
    let Some(bed) = Bed::new("real-3.49.0", "drill-room") else {
        return;
    };
    let policy = policy().replace("[drill]", "[drill]\nroom_gib = 1000000");
    bed.drill(&policy, "")
        .code(14)
        .stderr(contains("the drill takes 977 TiB"))
        .stderr(contains("nothing was fetched"));
    assert_eq!(bed.reports().len(), 0);
    assert_eq!(bed.litter(), NOTHING);
}

#[test]
fn the_source_and_keys_that_would_not_count_are_refused_before_a_drill() {
    let Some(bed) = Bed::new("real-3.49.0", "drill-refused") else {
        return;
    };
    let line = bed.line(&policy(), "");
    let of_the_source = line.replace("drill-box/escrow.toml", "host/escrow.toml");
    bed.sandbox.run(&of_the_source).code(14);
    bed.drill("[clock]\nmax_skew = \"5m\"\n", "")
        .code(2)
        .stderr(contains("has no [drill]"));
    bed.drill("[drill]\nlevel = 9\n", "")
        .code(2)
        .stderr(contains("level must be 0 to 5"));
    let signers = bed.sandbox.path("drill-box/allowed_signers");
    replace(
        &signers,
        "escrow-drill@databasus",
        "escrow-witness@databasus",
    );
    bed.drill(&policy(), "")
        .code(2)
        .stderr(contains("may not sign").and(contains("namespaces=")));
    assert_eq!(bed.reports().len(), 0);
}

/// Until something of the kind is in the throwaway place.
fn interrupted(bed: &Bed, what: &str, signal: Signal) -> assert_cmd::assert::Assert {
    let mut running = bed.start(&policy());
    let scratch = bed.sandbox.path("scratch");
    running.wait_until(what, || {
        let places = std::fs::read_dir(&scratch).unwrap();
        places
            .flatten()
            .any(|place| place.path().join(what).exists())
    });
    running.signal(signal);
    running.end()
}

#[test]
fn a_drill_that_is_stopped_leaves_and_reports_nothing() {
    let Some(bed) = Bed::new("real-3.49.0", "drill-stopped") else {
        return;
    };
    for what in [
        ".databasus-data.databasus-escrow-partial",
        "restored/postmaster.pid",
    ] {
        interrupted(&bed, what, Signal::TERM).code(143);
        assert_eq!(bed.litter(), NOTHING, "{what}");
    }
    assert_eq!(bed.reports().len(), 0);
}

#[test]
fn what_a_killed_drill_leaves_is_closed_to_others_and_gone_after_the_next() {
    use std::os::unix::fs::MetadataExt as _;

    let Some(bed) = Bed::new("real-3.49.0", "drill-killed") else {
        return;
    };
    // Its server is up: initdb leaves no such file.
    interrupted(&bed, "restored/postmaster.opts", Signal::KILL);
    let left = bed.litter();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].metadata().unwrap().mode() & 0o777, 0o700);
    bed.drill(&policy(), "").success();
    assert_eq!(bed.litter(), NOTHING);
}
