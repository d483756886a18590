use proptest::prelude::*;

use super::*;

const A: &str = "shop-20261119-131727-b6a365a2-7489-4cbe-b4ff-0441bcb12bf6";
const B: &str = "shop-20261120-131727-de578af8-75ae-4758-8c41-c43f26fe24da";

fn group(objects: &[(&str, u64)]) -> Grouped {
    let mut grouping = Grouping::new();
    for (name, size) in objects {
        grouping.add(name, *size, None);
    }
    grouping.finish()
}

fn only(suffixes: &[(&str, u64)]) -> BackupGroup {
    let names: Vec<String> = suffixes
        .iter()
        .map(|(end, _)| format!("{A}{end}"))
        .collect();
    let sizes = suffixes.iter().map(|(_, size)| *size);
    let objects: Vec<_> = names.iter().map(String::as_str).zip(sizes).collect();
    let mut grouped = group(&objects);
    assert_eq!(grouped.backups.len(), 1);
    grouped.backups.remove(0)
}

#[test]
fn what_lies_together_is_one_backup() {
    let found = only(&[("", 5000), (".metadata", 174), (".manifest", 900)]);
    assert_eq!(found.content.layout(), Layout::Single { size: 5000 });
    assert_eq!(found.manifest.size(), Some(900));
    assert_eq!(found.standing(), Standing::Committed);
}

#[test]
fn parts_with_their_list_are_one_stream() {
    let found = only(&[(".part000001", 900), (".part000002", 100), (".parts", 587)]);
    assert_eq!(found.content.layout(), Layout::Chunked { size: 1000 });
    assert_eq!(found.standing(), Standing::Unproven);
}

#[test]
fn where_both_layouts_are_there_the_parts_count() {
    let found = only(&[("", 1), (".part000001", 900), (".parts", 587)]);
    assert_eq!(found.content.size(), Some(900));
}

#[test]
fn parts_without_their_list_and_lists_without_their_parts_are_incomplete() {
    for (suffixes, layout) in [
        (&[(".part000001", 900)][..], Layout::Unfinished),
        (&[(".parts", 587)], Layout::Gaps),
        (&[(".part000002", 900), (".parts", 587)], Layout::Gaps),
        (
            &[(".part000001", 9), (".part000003", 9), (".parts", 587)],
            Layout::Gaps,
        ),
    ] {
        let found = only(suffixes);
        assert_eq!(found.content.layout(), layout, "{suffixes:?}");
        assert_eq!(found.standing(), Standing::Incomplete);
        assert_eq!(found.content.size(), None);
    }
}

#[test]
fn a_manifest_can_be_in_parts_as_well() {
    let found = only(&[
        ("", 5000),
        (".manifest.part000001", 7),
        (".manifest.parts", 5),
    ]);
    assert_eq!(found.manifest.layout(), Layout::Chunked { size: 7 });
    assert_eq!(found.content.size(), Some(5000));
}

#[test]
fn nothing_but_a_header_is_a_failed_dump() {
    assert_eq!(only(&[("", 64)]).standing(), Standing::FailedDump);
    assert_eq!(only(&[("", 0)]).standing(), Standing::FailedDump);
    let zero = only(&[("", 0), (".metadata", 174)]);
    assert_eq!(zero.standing(), Standing::FailedDump);
    assert_eq!(only(&[("", 95)]).standing(), Standing::Unproven);
}

#[test]
fn a_sidecar_alone_commits_nothing() {
    let found = only(&[(".metadata", 174)]);
    assert_eq!(found.standing(), Standing::ContentMissing);
}

#[test]
fn foreign_objects_are_counted_and_the_first_are_named() {
    let mut grouping = Grouping::new();
    for number in 0..250 {
        grouping.add(&format!("heatwave-prod/escrow/{number}"), 10, None);
    }
    let foreign = grouping.finish().foreign;
    assert_eq!((foreign.count, foreign.bytes), (250, 2500));
    assert_eq!(foreign.names.len(), 100);
}

#[test]
fn backups_come_by_label_and_time() {
    let other = "a-20261130-000000-de578af8-75ae-4758-8c41-c43f26fe24da";
    let found = group(&[(B, 100), (A, 100), (other, 100)]);
    let names: Vec<String> = found.backups.iter().map(|b| b.name.to_string()).collect();
    assert_eq!(names, [other, A, B]);
}

#[test]
fn a_hundred_thousand_objects_take_little_memory() {
    let mut grouping = Grouping::new();
    for number in 0..50_000u32 {
        let name = format!(
            "warehouse-20261120-131727-{:08x}-75ae-4758-8c41-c43f26fe24da",
            number
        );
        grouping.add(&name, 5000, Some("0123456789abcdef0123456789abcdef"));
        grouping.add(
            &format!("{name}.metadata"),
            174,
            Some("0123456789abcdef0123456789abcdef"),
        );
    }
    let backups = grouping.finish().backups;
    assert_eq!(backups.len(), 50_000);
    // Beside the record itself: a label of 9 bytes and two tags of 32.
    assert!(size_of::<BackupGroup>() < 400);
}

proptest! {
    #[test]
    fn the_order_of_a_listing_does_not_matter(seed: u64, sizes in prop::collection::vec(1u64..5000, 8)) {
        let names = [
            A.to_owned(), format!("{A}.metadata"), format!("{B}.part000001"),
            format!("{B}.part000002"), format!("{B}.parts"), format!("{B}.manifest"),
            "x".to_owned(), format!("{A}.manifest.part000001"),
        ];
        let mut objects: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(sizes).collect();
        let sorted = group(&objects);
        let mut state = seed;
        for at in (1..objects.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            objects.swap(at, usize::try_from(state >> 33).unwrap() % (at + 1));
        }
        let shuffled = group(&objects);
        prop_assert_eq!(sorted.backups, shuffled.backups);
        prop_assert_eq!(sorted.foreign, shuffled.foreign);
    }
}
