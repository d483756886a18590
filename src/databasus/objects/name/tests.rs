use proptest::prelude::*;

use super::*;

const ID: &str = "7a4faa4c-adf4-4cf2-b5d3-7d537474402e";
const DATABASE: &str = "68856a72-2ff0-4850-b70f-f7cb8e38dcf5";

fn id() -> Uuid {
    Uuid::try_parse(ID).unwrap()
}

fn parse(name: &str) -> ObjectName {
    ObjectName::parse(name).unwrap_or_else(|| panic!("{name:?} is foreign"))
}

fn labelled(label: &str) -> BackupName {
    BackupName::Labelled {
        label: label.to_owned(),
        at: "2026-11-23T03:11:58Z".parse().unwrap(),
        id: id(),
    }
}

#[test]
fn every_role_of_a_backup_has_its_name() {
    let base = format!("heatwave-20261123-031158-{ID}");
    for (suffix, role) in [
        ("", Role::Content(Piece::Whole)),
        (".metadata", Role::Sidecar),
        (".parts", Role::Content(Piece::List)),
        (".part000001", Role::Content(Piece::Part(1))),
        (".part012345", Role::Content(Piece::Part(12_345))),
        (".manifest", Role::Manifest(Piece::Whole)),
        (".manifest.parts", Role::Manifest(Piece::List)),
        (".manifest.part000002", Role::Manifest(Piece::Part(2))),
    ] {
        let found = parse(&format!("{base}{suffix}"));
        assert_eq!(found.backup, labelled("heatwave"));
        assert_eq!(found.role, role, "{suffix}");
    }
}

#[test]
fn a_bare_name_is_the_id() {
    assert_eq!(parse(ID).backup, BackupName::Bare(id()));
    assert_eq!(parse(ID).backup.id(), Some(id()));
}

#[test]
fn labels_are_kept_whole_whatever_they_hold() {
    for label in [
        "Kunden_München",
        "a b",
        "x-FULL",
        "-",
        "20261123-031158",
        "café-20261123-031158-68856a72-2ff0-4850-b70f-f7cb8e38dcf5",
        ".parts",
        "a.metadata",
        "日本",
    ] {
        let found = parse(&format!("{label}-20261123-031158-{ID}.metadata"));
        assert_eq!(found.backup.label(), Some(label));
    }
}

#[test]
fn a_kind_at_the_end_of_a_label_is_only_offered() {
    let bare = |label: &str| {
        let name = labelled(label);
        let (bare, kind) = name.label_without_kind().unwrap();
        (bare.to_owned(), kind)
    };
    assert_eq!(bare("x-FULL"), ("x".to_owned(), Some(LabelKind::Full)));
    let incremental = ("x-FULL".to_owned(), Some(LabelKind::Incremental));
    assert_eq!(bare("x-FULL-INCR"), incremental);
    assert_eq!(bare("x"), ("x".to_owned(), None));
    assert_eq!(bare("-FULL"), ("-FULL".to_owned(), None));
}

#[test]
fn streamed_files_name_their_database_and_not_their_id() {
    let wal = parse(&format!(
        "{DATABASE}-WAL-tl10-0000000A00000000000000FF.zst.metadata"
    ));
    assert_eq!(wal.role, Role::Sidecar);
    assert_eq!(wal.backup.id(), None);
    assert_eq!(wal.backup.database(), Uuid::try_parse(DATABASE).ok());
    let BackupName::Wal { segment, .. } = wal.backup else {
        panic!("not WAL");
    };
    assert_eq!(segment.timeline, 10);

    let history = parse(&format!("{DATABASE}-HIST-tl2.history.zst"));
    let BackupName::History { timeline, .. } = history.backup else {
        panic!("not a history file");
    };
    assert_eq!(timeline, 2);
}

#[test]
fn everything_else_is_foreign() {
    let upper = ID.to_uppercase();
    for foreign in [
        "".to_owned(),
        "databasus-connection-test".to_owned(),
        format!("{ID}-test"),
        format!("heatwave-prod/escrow/{ID}"),
        format!("a/b-20261123-031158-{ID}"),
        format!("folder/{ID}"),
        upper.clone(),
        format!("shop-20261123-031158-{upper}"),
        format!("{{{ID}}}"),
        ID.replace('-', ""),
        format!("-20261123-031158-{ID}"),
        format!("shop-20261323-031158-{ID}"),
        format!("shop-20261123-031160-{ID}"),
        format!("shop-2026-11-23-031158-{ID}"),
        format!("shop-20261123-031158-{ID}.part000000"),
        format!("shop-20261123-031158-{ID}.part1"),
        format!("shop-20261123-031158-{ID}.part+00001"),
        format!("shop-20261123-031158-{ID}.partial"),
        format!("shop-20261123-031158-{ID}.metadata.metadata"),
        format!("shop-20261123-031158-{ID}.metadata.part000001"),
        format!("shop-20261123-031158-{ID} "),
        format!("{DATABASE}-WAL-tl1-0000000A00000000000000FF.zst"),
        format!("{DATABASE}-WAL-tl10-0000000a00000000000000ff.zst"),
        format!("{DATABASE}-WAL-tl010-0000000A00000000000000FF.zst"),
        format!("{DATABASE}-HIST-tl0.history.zst"),
        format!("{DATABASE}-HIST-tl+2.history.zst"),
        format!("{DATABASE}-HIST-tl2.history"),
        "é".repeat(40),
    ] {
        assert_eq!(ObjectName::parse(&foreign), None, "{foreign:?}");
    }
}

#[test]
fn names_are_sanitised_as_databasus_does() {
    assert_eq!(sanitise("pg18 standby"), "pg18_standby");
    assert_eq!(sanitise("a/b\\c:d*e?f\"g<h>i|j"), "a-b-c-d-e-f-g-h-i-j");
    assert_eq!(sanitise("Kunden München\t"), "Kunden_München\t");
}

proptest! {
    #[test]
    fn what_databasus_writes_is_read_back(
        label in "[^/]{1,40}",
        seconds in 0i64..4_000_000_000,
        id: u128,
        suffix in "(\\.manifest)?(\\.parts|\\.part00000[1-9])?|\\.metadata",
    ) {
        let at = UtcTime::from_unix(seconds);
        let backup = BackupName::Labelled { label, at, id: Uuid::from_u128(id) };
        let name = format!("{backup}{suffix}");
        let found = ObjectName::parse(&name).unwrap();
        prop_assert_eq!(&found.backup, &backup);
        prop_assert_eq!(found.to_string(), name);
    }

    #[test]
    fn what_is_read_writes_itself(name in "\\PC{0,80}|([0-9a-f-]|WAL|HIST|-tl1|\\.zst|\\.part){0,90}") {
        if let Some(found) = ObjectName::parse(&name) {
            prop_assert_eq!(found.to_string(), name);
        }
    }
}
