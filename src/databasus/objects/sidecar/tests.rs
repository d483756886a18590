use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const DATABASE: &str = "68856a72-2ff0-4850-b70f-f7cb8e38dcf5";
const SALT: &str = "GEq+4cCi15uLGHiu+kWnS9s10ViIO6kWp46sClHDRjw=";

/// As 3.42.0 and 3.49.0 wrote them, but for the name.
fn written(kind: &str) -> (Value, &'static str) {
    match kind {
        "dump" => (
            json!({"backupId": "7a4faa4c-adf4-4cf2-b5d3-7d537474402e", "encryptionSalt": SALT,
                   "encryptionIV": "1JZs+eneYj7LndCI", "encryption": "ENCRYPTED"}),
            "heatwave-20261123-031158-7a4faa4c-adf4-4cf2-b5d3-7d537474402e",
        ),
        "full" => (
            json!({"backupId": "a9b91706-0fb4-4894-b4a6-34b7325573ed", "databaseId": DATABASE,
                   "backupType": "FULL", "systemIdentifier": 18_446_744_073_709_551_557_u64,
                   "pgVersion": 170_000, "timelineId": 1, "startLsn": "0/23000028",
                   "stopLsn": "0/23000120", "uncompressedSizeBytes": 0,
                   "compressedSizeBytes": 5_885_396, "encryption": "ENCRYPTED",
                   "encryptionSalt": SALT, "encryptionIv": "uifFtbrQXw2+q+K9",
                   "compression": "ZSTD", "createdAt": "2026-11-23T03:09:08.544823Z",
                   "completedAt": "2026-11-23T03:09:09.185201961Z"}),
            "pg17_cluster-FULL-20261123-030908-a9b91706-0fb4-4894-b4a6-34b7325573ed",
        ),
        "incremental" => {
            let (mut value, _) = written("full");
            value["backupId"] = json!("f4112218-3497-44d0-b388-bc8432d33980");
            value["backupType"] = json!("INCREMENTAL");
            value["rootFullBackupId"] = json!("a9b91706-0fb4-4894-b4a6-34b7325573ed");
            let name = "pg17_cluster-INCR-20261123-031026-f4112218-3497-44d0-b388-bc8432d33980";
            (value, name)
        }
        "wal" => (
            json!({"walSegmentId": "10b6e8c6-7667-419b-957d-c114ebb58b40", "databaseId": DATABASE,
                   "timelineId": 1, "walFilename": "000000010000000000000024",
                   "startLsn": "0/24000000", "endLsn": "0/25000000",
                   "compressedSizeBytes": 72_965, "encryption": "ENCRYPTED",
                   "encryptionSalt": SALT, "encryptionIv": "Y9d0TxZJIo0bI69C",
                   "receivedAt": "2026-11-23T03:09:53.566265056Z"}),
            "68856a72-2ff0-4850-b70f-f7cb8e38dcf5-WAL-tl1-000000010000000000000024.zst",
        ),
        _ => (
            json!({"walHistoryFileId": "10b6e8c6-7667-419b-957d-c114ebb58b41",
                   "databaseId": DATABASE, "timelineId": 2, "historyFilename": "00000002.history",
                   "compressedSizeBytes": 60, "encryption": "NONE",
                   "createdAt": "2026-11-23T03:09:53.566265056Z"}),
            "68856a72-2ff0-4850-b70f-f7cb8e38dcf5-HIST-tl2.history.zst",
        ),
    }
}

const KINDS: [&str; 5] = ["dump", "full", "incremental", "wal", "history"];

fn parse(value: &Value, name: &str) -> Result<Sidecar, SidecarError> {
    let name = BackupName::parse(name).unwrap();
    Sidecar::parse(value.to_string().as_bytes(), &name)
}

fn with(kind: &str, field: &str, changed: Value) -> Result<Sidecar, SidecarError> {
    let (mut value, name) = written(kind);
    value[field] = changed;
    parse(&value, name)
}

#[test]
fn every_kind_is_told_by_its_fields() {
    let found = KINDS.map(|kind| {
        let (value, name) = written(kind);
        parse(&value, name).unwrap()
    });
    assert!(matches!(
        found,
        [
            Sidecar::Logical(_),
            Sidecar::Full(_),
            Sidecar::Incremental(_),
            Sidecar::Wal(_),
            Sidecar::History(_)
        ]
    ));
}

#[test]
fn numbers_and_times_are_exact() {
    let (value, name) = written("full");
    let Ok(Sidecar::Full(full)) = parse(&value, name) else {
        panic!("not a full backup");
    };
    assert_eq!(full.system_identifier, 18_446_744_073_709_551_557);
    let time = full.completed_at.to_string();
    assert_eq!(time, "2026-11-23T03:09:09.185201961Z");
    assert_eq!(full.stop_lsn.to_string(), "0/23000120");
}

#[test]
fn the_id_of_streamed_files_is_the_sidecars_own() {
    let (value, name) = written("wal");
    let found = parse(&value, name).unwrap();
    let id = "10b6e8c6-7667-419b-957d-c114ebb58b40";
    assert_eq!(found.id().to_string(), id);
    assert_eq!(found.database().unwrap().to_string(), DATABASE);
}

#[test]
fn both_spellings_of_the_nonce_and_any_case_of_encryption_are_read() {
    let (mut value, name) = written("dump");
    let nonce = value["encryptionIV"].take();
    value.as_object_mut().unwrap().remove("encryptionIV");
    value["encryptionIv"] = nonce;
    value["encryption"] = json!("encrypted");
    let encryption = parse(&value, name).unwrap().encryption().clone();
    assert!(matches!(encryption, Encryption::Encrypted { .. }));
}

#[test]
fn an_unencrypted_dump_has_no_salt() {
    let name = format!("x-20261123-031158-{DATABASE}");
    let plain = json!({"backupId": DATABASE, "encryptionSalt": null, "encryptionIV": null,
                       "encryption": "NONE"});
    let found = parse(&plain, &name).unwrap();
    assert_eq!(found.encryption(), &Encryption::None);
    let salted = json!({"backupId": DATABASE, "encryptionSalt": SALT, "encryption": "NONE"});
    assert!(matches!(
        parse(&salted, &name),
        Err(SidecarError::Nonsense("encryption"))
    ));
}

#[test]
fn a_sidecar_of_another_backup_is_told() {
    let other = json!("7a4faa4c-adf4-4cf2-b5d3-7d5374744020");
    for (kind, field, changed, what) in [
        ("dump", "backupId", other.clone(), "backup id"),
        ("full", "backupId", other.clone(), "backup id"),
        ("wal", "databaseId", other.clone(), "database id"),
        ("history", "databaseId", other, "database id"),
    ] {
        let found = with(kind, field, changed);
        assert!(
            matches!(found, Err(SidecarError::Disagrees(about)) if about == what),
            "{kind} {field}: {found:?}"
        );
    }
    let (value, _) = written("dump");
    let (_, wal) = written("wal");
    assert!(matches!(
        parse(&value, wal),
        Err(SidecarError::Disagrees("kind of backup"))
    ));
}

#[test]
fn nonsense_is_refused() {
    for (kind, field, changed) in [
        ("dump", "encryption", json!("ROT13")),
        ("dump", "encryptionSalt", json!("c2hvcnQ=")),
        ("dump", "encryptionSalt", json!("%%%")),
        ("dump", "walSegmentId", json!(DATABASE)),
        ("full", "backupType", json!("DIFFERENTIAL")),
        ("full", "pgVersion", json!(17)),
        ("full", "timelineId", json!(0)),
        ("full", "startLsn", json!("0/23000120")),
        ("full", "stopLsn", json!("somewhere")),
        ("full", "compression", json!("LZ4")),
        ("full", "createdAt", json!("yesterday")),
        ("wal", "timelineId", json!(2)),
        ("full", "timelineId", json!(2_147_483_648u64)),
        ("full", "createdAt", json!("-000001-01-01T00:00:00Z")),
        ("full", "completedAt", json!("9000-01-01T00:00:00Z")),
        ("wal", "walFilename", json!("000000010000000000000025")),
        ("wal", "endLsn", json!("0/24000000")),
        ("wal", "endLsn", json!("0/27000000")),
        ("wal", "startLsn", json!("0/23000000")),
        ("history", "historyFilename", json!("../../etc/passwd")),
    ] {
        let found = with(kind, field, changed.clone());
        assert!(
            matches!(found, Err(SidecarError::Nonsense(_))),
            "{kind} {field} {changed}: {found:?}"
        );
    }
    for (field, changed) in [
        ("systemIdentifier", json!(7.5e18)),
        ("systemIdentifier", json!(-1)),
        ("compressedSizeBytes", json!("big")),
        ("backupId", json!("x")),
    ] {
        let found = with("full", field, changed);
        assert!(matches!(found, Err(SidecarError::Malformed(_))), "{field}");
    }
}

#[test]
fn what_its_kind_needs_must_be_there() {
    for kind in KINDS {
        let (value, name) = written(kind);
        for field in value.as_object().unwrap().keys() {
            let mut less = value.clone();
            less.as_object_mut().unwrap().remove(field);
            let refused = parse(&less, name).is_err();
            let may_go = field == "uncompressedSizeBytes";
            assert_eq!(refused, !may_go, "{kind} without {field}");
        }
        assert!(parse(&json!({}), name).is_err());
    }
}

#[test]
fn unknown_fields_of_later_releases_are_passed_over() {
    for kind in KINDS {
        assert!(with(kind, "checksum", json!({"sha256": "00"})).is_ok());
    }
}

#[test]
fn a_sidecar_is_bounded_before_it_is_read() {
    let name = BackupName::parse(DATABASE).unwrap();
    let found = Sidecar::parse(&vec![b' '; 65 << 10], &name);
    assert!(matches!(found, Err(SidecarError::TooLarge)));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let name = BackupName::parse(DATABASE).unwrap();
        let _ = Sidecar::parse(&bytes, &name);
    }
}
