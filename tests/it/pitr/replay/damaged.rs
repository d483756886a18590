//! WAL that is not what it should be. The target lies behind it, so replay needs it.

use std::fs;

use databasus_escrow::databasus::backup_chain::plan::Target;
use databasus_escrow::ops::pitr::fault::Fault;

use super::bed::Bed;
use crate::support::chains::{Chain, How, KEY, OTHER_KEY, shared};

/// The segment in the middle of those behind the last backup.
fn middle(chain: &Chain) -> crate::support::chains::TakenSegment {
    chain.segment(chain.segments.len() - 2)
}

/// What a damaged chain is refused with.
fn refusal(chain: &Chain) -> (Option<Fault>, String) {
    let bed = Bed::of(chain).unwrap();
    let plan = bed.plan(Target::Latest);
    let (error, told) = bed.refusal(&plan);
    let running = databasus_escrow::postgres::stopped::process_in(&bed.data());
    assert_eq!(running.unwrap(), None);
    (error.fault(), told)
}

#[test]
fn a_segment_of_another_cluster_is_named() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = middle(&chain);
    chain.rewrite_segment(&taken, How::default(), |content| content[24] ^= 1);
    let (fault, told) = refusal(&chain);
    assert_eq!(fault, Some(Fault::Damaged));
    assert!(
        told.contains(&taken.object) && told.contains("it is of cluster"),
        "{told}"
    );
}

#[test]
fn a_segment_of_another_size_is_named() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = middle(&chain);
    chain.rewrite_segment(&taken, How::default(), |content| {
        content[32..36].copy_from_slice(&(16u32 << 20).to_le_bytes());
    });
    let (fault, told) = refusal(&chain);
    assert_eq!(fault, Some(Fault::Damaged));
    assert!(
        told.contains("segments of 16777216 bytes instead of 1048576"),
        "{told}"
    );
}

#[test]
fn a_bad_page_is_named_by_its_place() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = middle(&chain);
    chain.rewrite_segment(&taken, How::default(), |content| content[8192] = 0x77);
    let (fault, told) = refusal(&chain);
    assert_eq!(fault, Some(Fault::Damaged));
    assert!(told.contains("the page at byte 8192 is bad"), "{told}");
}

#[test]
fn a_short_segment_is_named() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = middle(&chain);
    chain.rewrite_segment(&taken, How::default(), |content| content.truncate(500_000));
    let (fault, told) = refusal(&chain);
    assert_eq!(fault, Some(Fault::Damaged));
    assert!(
        told.contains("it has 500000 bytes instead of 1048576"),
        "{told}"
    );
}

#[test]
fn a_segment_that_no_key_opens_is_named() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = middle(&chain);
    chain.rewrite_segment(&taken, How::with_key(OTHER_KEY), |_| ());
    let (fault, told) = refusal(&chain);
    assert_eq!(fault, Some(Fault::NoKey));
    assert!(told.contains(&taken.object), "{told}");
}

#[test]
fn a_segment_that_was_cut_is_named() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = middle(&chain);
    chain.edit_stored(&taken.object, |stored| stored.truncate(stored.len() - 5));
    let (fault, told) = refusal(&chain);
    assert_eq!(fault, Some(Fault::Damaged));
    assert!(told.contains(&taken.object), "{told}");
}

#[test]
fn a_record_that_is_damaged_ends_in_an_error_and_not_in_an_early_end() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = middle(&chain);
    // Behind the header of the first page, where its first record is.
    chain.rewrite_segment(&taken, How::default(), |content| {
        for byte in &mut content[60..80] {
            *byte ^= 0x5A;
        }
    });
    let (fault, told) = refusal(&chain);
    assert_eq!(fault, Some(Fault::Damaged));
    assert!(told.contains("replay ended at"), "{told}");
}

#[test]
fn what_replay_does_not_come_to_does_not_matter() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let last = chain.segment(chain.segments.len() - 1);
    chain.rewrite_segment(&last, How::default(), |content| content[24] ^= 1);
    let bed = Bed::of(&chain).unwrap();
    let time = chain.sentinel(4).newest_at;
    let rewound = bed.rewind(Target::Time(time), "1,2,3,4");
    assert!(rewound.checks.all_hold(), "{:?}", rewound.checks);
}

#[test]
fn a_segment_stored_twice_must_be_the_same() {
    let Some(mut chain) = shared::wal_v1() else {
        return;
    };
    let taken = chain.segment(chain.segments.len() - 1);
    let same = chain.duplicate_segment(&taken, |_| ());
    let bed = Bed::of(&chain).unwrap();
    let plan = bed.plan(Target::Latest);
    assert_eq!(plan.wal.last().unwrap().len(), 2);
    bed.stage(&plan);
    assert!(bed.replay(&plan, "SELECT 1", "1").is_ok());

    chain.remove(&same.object);
    let other = chain.duplicate_segment(&taken, |content| content[300] ^= 1);
    let (fault, told) = refusal(&chain);
    assert_eq!(fault, Some(Fault::Damaged));
    let both = told.contains(&taken.object) && told.contains(&other.object);
    assert!(both && told.contains("different content"), "{told}");
}

#[test]
fn of_two_copies_the_sound_one_is_taken_and_the_other_told() {
    let Some(mut chain) = shared::wal_v1() else {
        return;
    };
    let taken = chain.segment(chain.segments.len() - 1);
    let other = chain.duplicate_segment(&taken, |content| content[8192 * 3] = 0x77);
    let bed = Bed::of(&chain).unwrap();
    let rewound = bed.rewind(Target::Latest, "1,2,3,4");
    assert!(rewound.checks.all_hold(), "{:?}", rewound.checks);
    assert_eq!(rewound.passed_over.len(), 1);
    assert!(rewound.passed_over[0].contains(&other.object));
}

#[test]
fn no_decrypted_segment_outlives_a_failed_run() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = middle(&chain);
    chain.rewrite_segment(&taken, How::with_key(KEY), |content| content[8192] = 0x77);
    let bed = Bed::of(&chain).unwrap();
    bed.refusal(&bed.plan(Target::Latest));
    fs::remove_dir_all(bed.home().join("staged")).unwrap();
    let left = fs::read_dir(bed.home()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["bucket"]);
}
