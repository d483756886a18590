//! Points that nothing reaches: exit 10, the nearest ones on both sides, and nothing left behind.

use jiff::{Timestamp, ToSpan as _};

use super::bed::Bed;
use crate::support::chains::shared;

#[test]
fn a_time_before_the_first_backup_was_complete() {
    let Some(chain) = shared::native() else {
        return;
    };
    let completed = chain.first_full().completed;
    // The full backup's own second does not tell when it was consistent; one before it surely is
    // too early.
    let to = completed.checked_sub(60.seconds()).unwrap();
    let says = ["nothing reaches", "before the first", "nearest after it: "];
    let said = Bed::of(&chain).refuse_time(to, 10, &says);
    let (_, nearest) = said.split_once("nearest after it: ").unwrap();
    let mut words = nearest.split([' ', ',', '\n']);
    let nearest: Timestamp = words.find_map(|word| word.parse().ok()).unwrap();
    // Named to the microsecond, rounded up.
    let rounded = completed.checked_add(1.microsecond()).unwrap();
    assert!(to < nearest && nearest <= rounded, "{said}");
}

#[test]
fn a_time_in_a_gap_names_the_segment_that_is_missing() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    // The log behind the last backup without the segment of the fifth sentinel.
    let place = chain.segments.len() - 2;
    let lost = chain.segment(place);
    chain.remove(&lost.object);
    let missing = format!("WAL segment {} is missing", lost.segment);
    let to = chain.sentinel(5).newest_at;
    let bed = Bed::of(&chain);
    let said = bed.refuse_time(
        to,
        10,
        &["nothing reaches", &missing, "nearest before it: "],
    );
    assert!(!said.contains("nearest after it"), "{said}");
    bed.rewind(chain.sentinel(3).newest_at, 3);
}

#[test]
fn a_time_in_a_gap_before_another_backup_has_a_nearest_point_on_both_sides() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    // What lies between the full backup and the first incremental one.
    for place in [0, 1] {
        let lost = chain.segment(place);
        chain.remove(&lost.object);
    }
    let to = chain.sentinel(2).newest_at;
    let says = [
        "nothing reaches",
        "nearest before it: ",
        "nearest after it: ",
    ];
    Bed::of(&chain).refuse_time(to, 10, &says);
}

#[test]
fn a_time_behind_the_end_of_the_log() {
    let Some(chain) = shared::native() else {
        return;
    };
    let to = chain.sentinel(6).newest_at.checked_add(1.hour()).unwrap();
    Bed::of(&chain).refuse_time(to, 10, &["nothing reaches", "nearest before it: "]);
}

/// The last segment was received after this time, and yet nothing in it is: only replay tells.
#[test]
fn a_time_behind_the_last_commit_is_found_by_replay() {
    let Some(chain) = shared::native() else {
        return;
    };
    let to = chain.sentinel(6).newest_at;
    Bed::of(&chain).refuse_time(to, 10, &["2"]);
}

#[test]
fn a_time_without_a_zone_is_refused_with_what_it_could_mean() {
    let Some(chain) = shared::native() else {
        return;
    };
    let mut bed = Bed::of(&chain);
    bed.sandbox.set("TZ", "Europe/Berlin");
    let says = ["2026-06-12T14:31:59Z", "2026-06-12T14:31:59+02:00"];
    bed.refuse(&["--to", "2026-06-12 14:31:59"], 2, &says);
}

#[test]
fn a_database_that_is_not_there() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    chain.name = "somebody".to_owned();
    Bed::of(&chain).refuse(&["--latest"], 10, &["somebody"]);
}

#[test]
fn an_empty_storage() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    chain.objects.clear();
    Bed::of(&chain).refuse(&["--latest"], 10, &[]);
}

#[test]
fn log_of_a_new_timeline_without_its_history_file() {
    let Some(chain) = promoted_without_history() else {
        return;
    };
    let last = chain.sentinels.len();
    let to = chain.sentinels[last - 2].newest_at;
    Bed::of(&chain).refuse_time(to, 10, &["nothing reaches"]);
}

fn promoted_without_history() -> Option<crate::support::chains::Chain> {
    use crate::support::chains::{Native, Source};
    let mut source = Source::start()?;
    let mut native = Native::of(&source, "shop");
    native.full(&source);
    source.sentinel();
    source.switch_wal();
    native.wal(&source);
    source.promote();
    source.sentinel();
    source.sentinel();
    source.switch_wal();
    native.wal(&source);
    Some(native.chain(&source))
}
