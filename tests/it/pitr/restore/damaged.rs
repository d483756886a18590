//! Objects that are not what they must be: each is named, with exit 12 or 13, and nothing is left
//! behind.

use databasus_escrow::databasus::objects::sidecar::Compression;

use super::bed::Bed;
use crate::support::chains::Source;
use crate::support::chains::{Chain, How, Native, OTHER_KEY, TakenSegment, shared};

/// The segment of the fourth sentinel: behind every backup, and needed for the fifth.
fn needed_segment(chain: &Chain) -> TakenSegment {
    chain.segment(chain.segments.len() - 3)
}

/// Rewinding to the fifth sentinel must end so.
fn refuse(chain: &Chain, code: i32, says: &[&str]) {
    Bed::of(chain).refuse_time(chain.sentinel(5).newest_at, code, says);
}

/// The same after a segment in the middle was changed.
fn refuse_segment(edit: impl FnOnce(&mut Vec<u8>), says: &[&str]) {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = needed_segment(&chain);
    chain.rewrite_segment(&taken, How::default(), edit);
    let name = taken.segment.to_string();
    refuse(&chain, 13, &[&[name.as_str()], says].concat());
}

#[test]
fn a_full_backup_without_its_manifest() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let full = chain.first_full().object.clone();
    chain.remove_object(&format!("{full}.manifest"));
    refuse(&chain, 13, &[&full, "manifest"]);
}

#[test]
fn a_full_backup_that_was_cut_at_a_chunk() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let full = chain.first_full().object.clone();
    chain.cut_behind_chunk(&full, 1);
    refuse(&chain, 13, &[&full]);
}

/// Its sidecar was written by somebody who did not look either.
#[test]
fn a_full_backup_that_was_cut_at_a_chunk_and_whose_sidecar_agrees() {
    for compression in [Compression::Zstd, Compression::Gzip, Compression::None] {
        let Some(source) = Source::start() else {
            return;
        };
        let mut native = Native::of(&source, "shop");
        let how = How {
            compression,
            part: None,
            ..How::default()
        };
        let full = native.full_as(&source, how);
        source.sentinel();
        source.switch_wal();
        native.wal(&source);
        let mut chain = native.chain(&source);
        chain.cut_behind_chunk(&full.object, 2);
        chain.edit_sidecar(&full.object, |json| {
            json["compressedSizeBytes"] = (2 << 20).into()
        });
        Bed::of(&chain).refuse(&["--latest"], 13, &[&full.object]);
    }
}

#[test]
fn a_full_backup_with_a_changed_byte() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let full = chain.first_full().object.clone();
    chain.edit_stored(&full, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    refuse(&chain, 13, &[&full]);
}

#[test]
fn a_manifest_with_a_changed_byte() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let full = chain.first_full().object.clone();
    chain.edit_stored(&format!("{full}.manifest"), |bytes| bytes[2000] ^= 1);
    refuse(&chain, 13, &[&full, "manifest"]);
}

#[test]
fn an_incremental_backup_whose_parent_is_missing_and_needed() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let (parent, last) = (chain.bases[1].clone(), chain.bases[2].clone());
    chain.remove(&parent.object);
    // Without the log between them there is no other way.
    let start = last.range.start;
    let segments = chain.segments.clone();
    for taken in segments {
        if taken.segment.start(chain.segment_size).unwrap() < start {
            chain.remove(&taken.object);
        }
    }
    refuse(&chain, 13, &[&parent.id.to_string()]);
}

#[test]
fn a_segment_of_another_cluster() {
    let Some((mut chain, other)) = shared::native().zip(Source::start()) else {
        return;
    };
    let taken = needed_segment(&chain);
    let mut name = other.switch_wal();
    while name < taken.segment {
        name = other.switch_wal();
    }
    let (foreign, _) = other.wal_file(&taken.segment.to_string());
    chain.rewrite_segment(&taken, How::default(), |bytes| *bytes = foreign);
    refuse(&chain, 13, &[&taken.segment.to_string()]);
}

#[test]
fn a_segment_of_another_size() {
    refuse_segment(|bytes| bytes.truncate(bytes.len() / 2), &[]);
}

#[test]
fn a_segment_of_a_cluster_with_other_segments() {
    let Some((mut chain, other)) = shared::native().zip(Source::start_with_usual_segments()) else {
        return;
    };
    let (foreign, _) = other.wal_file(&other.switch_wal().to_string());
    let taken = needed_segment(&chain);
    chain.rewrite_segment(&taken, How::default(), |bytes| *bytes = foreign);
    refuse(&chain, 13, &[&taken.segment.to_string()]);
}

#[test]
fn a_segment_with_a_bad_page() {
    // The page's own position, which says where in the log it belongs.
    refuse_segment(|bytes| bytes[3 * 8192 + 8] ^= 1, &["page"]);
}

#[test]
fn a_segment_with_a_bad_record() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = needed_segment(&chain);
    // Behind the first page's header lies the record of the sentinel or one before it.
    chain.rewrite_segment(&taken, How::default(), |bytes| bytes[72] ^= 0x55);
    refuse(&chain, 13, &[]);
}

#[test]
fn a_segment_that_is_another_one_of_the_same_cluster() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = needed_segment(&chain);
    let other = chain.segment_content(&chain.segment(0));
    chain.rewrite_segment(&taken, How::default(), |bytes| *bytes = other);
    refuse(&chain, 13, &[&taken.segment.to_string()]);
}

#[test]
fn a_segment_that_was_cut() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = needed_segment(&chain);
    chain.edit_stored(&taken.object, |bytes| bytes.truncate(bytes.len() - 5));
    refuse(&chain, 13, &[&taken.segment.to_string()]);
}

#[test]
fn a_segment_that_is_stored_twice_with_different_content() {
    let Some(mut chain) = shared::wal_v1() else {
        return;
    };
    let taken = chain.segment(chain.segments.len() - 2);
    // A byte of a record, not of a page's header: both could be right.
    let copy = chain.duplicate_segment(&taken, |bytes| bytes[100] ^= 1);
    let to = chain.sentinel(3).newest_at;
    Bed::of(&chain).refuse_time(to, 13, &[&taken.object, &copy.object]);
}

#[test]
fn a_segment_that_is_stored_twice_with_the_same_content_is_no_damage() {
    let Some(mut chain) = shared::wal_v1() else {
        return;
    };
    let taken = chain.segment(chain.segments.len() - 2);
    chain.duplicate_segment(&taken, |_| ());
    Bed::of(&chain).rewind(chain.sentinel(3).newest_at, 3);
}

#[test]
fn a_segment_in_the_middle_under_another_key() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = needed_segment(&chain);
    chain.rewrite_segment(&taken, How::with_key(OTHER_KEY), |_| ());
    refuse(&chain, 12, &[&taken.segment.to_string()]);
}

#[test]
fn a_segment_under_another_key_that_is_given_too_is_no_damage() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = needed_segment(&chain);
    chain.rewrite_segment(&taken, How::with_key(OTHER_KEY), |_| ());
    let bed = Bed::of(&chain);
    let other = bed.sandbox.file("other.key", OTHER_KEY);
    let to = chain.sentinel(5).newest_at.to_string();
    bed.expect(&["--to", &to, "--secret-key", other.to_str().unwrap()], 5);
}

#[test]
fn everything_under_another_key() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain);
    bed.sandbox.file("secret.key", OTHER_KEY);
    bed.refuse(&["--latest"], 12, &[]);
}
