//! What is refused, and with which exit code.

use std::fs;

use databasus_escrow::databasus::backup_file::Header;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::json;

use super::bed::{
    Bed, ID, KEY, OTHER_KEY, name, plaintext, read_json, sealed, sealed_with, sidecar,
};
use crate::support::sandbox::{flip, json, replace};

const OTHER: &str = "68856a72-2ff0-4850-b70f-f7cb8e38dcf5";

#[test]
fn what_is_not_there_is_10() {
    let bed = Bed::new();
    bed.put_dump(&name("shop", 11, ID), b"PGDMP", KEY);
    for line in [
        OTHER.to_owned(),
        name("shop", 12, OTHER),
        "secret.key".to_owned(),
        "../bucket/x".to_owned(),
        "--latest sho".to_owned(),
    ] {
        bed.recover(&line)
            .code(10)
            .stdout("")
            .stderr(contains("--list"));
    }
    assert_eq!(bed.outputs(), Vec::<String>::new());
}

#[test]
fn a_name_without_its_object_is_10() {
    let bed = Bed::new();
    let name = name("shop", 11, ID);
    bed.put(&format!("{name}.metadata"), sidecar(ID, None).to_string());
    bed.recover(&name).code(10);
    // A sidecar alone commits nothing.
    bed.recover("--latest shop").code(10);
}

#[test]
fn keys_that_do_not_open_are_12() {
    let bed = Bed::new();
    bed.put_dump(&name("shop", 11, ID), b"PGDMP", KEY);
    bed.sandbox.file("newline.key", format!("{KEY}\n"));
    for keys in [
        // The first 32 bytes are right, which is all that the database's fields would show.
        "--secret-key ../other.key",
        "--secret-key ../newline.key",
        "--secret-key ../other.key --secret-key ../newline.key",
    ] {
        bed.recover_with(keys, ID)
            .code(12)
            .stderr(contains("opens it"));
    }
    bed.recover_with("", ID)
        .code(12)
        .stderr(contains("hint: give --secret-key"));
    let both = "--secret-key ../other.key --secret-key ../secret.key";
    let told = json(&bed.recover_with(both, &format!("{ID} --json")).success());
    assert_eq!(told["opened_by"]["source"], "../secret.key");
}

#[test]
fn keys_that_cannot_be_read_are_2() {
    let bed = Bed::new();
    bed.sandbox.file("empty.key", "");
    for keys in ["--secret-key ../nowhere", "--secret-key ../empty.key"] {
        bed.recover_with(keys, ID).code(2);
    }
    let nowhere = "recover --from /no/such/folder --list";
    bed.sandbox
        .run(nowhere)
        .code(2)
        .stderr(contains("no directory"));
}

#[test]
fn wal_without_its_sidecar_is_12_for_want_of_an_id() {
    let bed = Bed::new();
    let name = format!("{OTHER}-WAL-tl1-000000010000000000000024.zst");
    bed.put(&name, sealed(b"wal", KEY, ID));
    bed.recover(&name)
        .code(12)
        .stderr(contains("only its sidecar knows"));
}

#[test]
fn history_of_3_43_to_3_45_is_12_and_told_why() {
    let bed = Bed::new();
    let name = format!("{OTHER}-HIST-tl2.history.zst");
    let header = Header::random();
    bed.put(&name, sealed_with(b"history", KEY, OTHER, &header));
    let mut told = sidecar(ID, Some(&header));
    let fields = told.as_object_mut().unwrap();
    fields.remove("backupId");
    for (field, value) in [
        ("walHistoryFileId", json!(ID)),
        ("databaseId", json!(OTHER)),
        ("timelineId", json!(2)),
        ("historyFilename", json!("00000002.history")),
        ("compressedSizeBytes", json!(91)),
        ("createdAt", json!("2026-11-23T03:09:53.5Z")),
    ] {
        fields.insert(field.to_owned(), value);
    }
    bed.put(&format!("{name}.metadata"), told.to_string());
    bed.recover(&name).code(12).stderr(contains("643"));
    bed.put(&name, sealed_with(b"history", KEY, ID, &header));
    bed.recover(&format!("{name} -o good")).success();
    bed.put(&name, sealed_with(b"histor", KEY, ID, &header));
    bed.recover(&format!("{name} -o short"))
        .code(13)
        .stderr(contains("has 90 bytes, and its sidecar says 91"));
}

#[test]
fn failed_dumps_are_14() {
    let bed = Bed::new();
    let (header_only, empty) = (name("legacy", 11, ID), name("legacy", 12, OTHER));
    bed.put(&header_only, sealed(b"", KEY, ID));
    bed.put(&empty, "");
    for name in [&header_only, &empty] {
        bed.recover(name)
            .code(14)
            .stderr(contains("dump that failed"));
    }
    // A sidecar does not make a backup of a header.
    bed.put(
        &format!("{empty}.metadata"),
        sidecar(OTHER, None).to_string(),
    );
    bed.recover(&empty).code(14);
    assert_eq!(bed.outputs(), Vec::<String>::new());
}

#[test]
fn sizes_that_no_backup_has_are_13() {
    let bed = Bed::new();
    let name = name("shop", 11, ID);
    let whole = sealed(&plaintext((1 << 20) + 500), KEY, ID);
    for length in [65, 80, 64 + (1 << 20) + 25] {
        bed.put(&name, &whole[..length]);
        bed.recover(&name).code(13);
    }
    let mut longer = whole.clone();
    longer.extend([0; 7]);
    bed.put(&name, &longer);
    bed.recover(&name).code(13);
    assert_eq!(bed.outputs(), Vec::<String>::new());
}

#[test]
fn ten_gigabytes_claimed_in_a_hundred_bytes_are_13() {
    let bed = Bed::new();
    let name = name("shop", 11, ID);
    let mut lie = sealed(&[7; 16], KEY, ID);
    lie[64..68].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(lie.len(), 100);
    bed.put(&name, &lie);
    bed.recover(&name)
        .code(13)
        .stderr(contains("claims 4294967295 bytes"));
}

#[test]
fn a_cut_that_only_the_sidecar_shows_is_13() {
    let bed = Bed::new();
    let name = name("cluster-FULL", 9, ID);
    let header = Header::random();
    let whole = sealed_with(&plaintext((1 << 20) + 500), KEY, ID, &header);
    put_full_sidecar(&bed, &name, &header, (1 << 20) + 500);
    bed.put(&name, &whole);
    bed.recover(&format!("{name} -o whole")).success();
    // Exactly behind the first chunk: the format itself has no mark of its end.
    bed.put(&name, &whole[..64 + 20 + (1 << 20)]);
    bed.recover(&format!("{name} -o cut"))
        .code(13)
        .stderr(contains("its sidecar says 1049076"));
    assert_eq!(bed.outputs(), ["whole"]);
    let listed = json(&bed.recover("--list --json").success());
    assert_eq!(listed["backups"][0]["state"], "damaged");
    let unprobed = json(&bed.recover("--list --no-probe --json").success());
    assert_eq!(unprobed["backups"][0]["state"], "damaged");
    let problem = unprobed["backups"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("its sidecar says 1049076"), "{problem}");
}

/// What commits an encrypted physical backup of this length.
fn put_full_sidecar(bed: &Bed, name: &str, header: &Header, size: u64) {
    let mut told = sidecar(ID, Some(header));
    let more = json!({
        "databaseId": OTHER, "backupType": "FULL", "systemIdentifier": 7, "pgVersion": 170_000,
        "timelineId": 1, "startLsn": "0/23000028", "stopLsn": "0/23000120",
        "compressedSizeBytes": size, "compression": "ZSTD",
        "createdAt": "2026-11-23T03:09:08Z", "completedAt": "2026-11-23T03:09:09Z",
    });
    let fields = told.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    bed.put(&format!("{name}.metadata"), told.to_string());
}

#[test]
fn a_plain_manifest_beside_an_encrypted_backup_is_13() {
    let bed = Bed::new();
    let name = name("cluster-FULL", 9, ID);
    let header = Header::random();
    put_full_sidecar(&bed, &name, &header, 5000);
    bed.put(&name, sealed_with(&plaintext(5000), KEY, ID, &header));
    let manifest = br#"{ "PostgreSQL-Backup-Manifest-Version": 2 }"#;
    let own = format!("{name}.manifest");
    bed.put(&own, manifest);
    for force in ["", "--force"] {
        bed.recover(&format!("{own} {force}"))
            .code(13)
            .stderr(contains("damaged"));
    }
    // Its salt is its own.
    bed.put(&own, sealed(manifest, KEY, ID));
    let ran = bed.recover(&format!("{own} -o -")).success();
    assert_eq!(ran.get_output().stdout, manifest);
}

#[test]
fn what_nothing_says_to_be_a_backup_is_13_unless_it_is_wanted_all_the_same() {
    let bed = Bed::new();
    let (dump, manifest) = (name("shop", 11, ID), name("cluster-FULL", 9, OTHER));
    let manifest = format!("{manifest}.manifest");
    for name in [&dump, &manifest] {
        let path = bed.put(name, sealed(&plaintext(5000), KEY, ID));
        flip(&path, 0);
        bed.recover(name)
            .code(13)
            .stderr(contains("damaged beginning").and(contains("--force")));
        assert_eq!(bed.outputs(), Vec::<String>::new());
        let ran = bed.recover(&format!("{name} --force -o -")).success();
        assert_eq!(ran.get_output().stdout, fs::read(&path).unwrap());
    }
    bed.put(&manifest, r#"{"PostgreSQL-Backup-Manifest-Version": 2 }"#);
    bed.recover(&format!("{manifest} -o -")).success();
    // Of an unencrypted one no more is known than that it is.
    bed.put(&dump, "who knows");
    let told = sidecar(ID, None).to_string();
    bed.put(&format!("{dump}.metadata"), told);
    bed.recover(&format!("{dump} -o -")).success();
}

#[test]
fn parts_that_are_not_what_their_list_says_are_13() {
    let bed = Bed::new();
    let name = name("plain", 9, ID);
    bed.put_parts(&name, &plaintext(3000), 1000);
    bed.recover(&format!("{name} -o good")).success();
    let part = bed.bucket.join(format!("{name}.part000002"));
    flip(&part, 5);
    bed.recover(&format!("{name} -o hash"))
        .code(13)
        .stderr(contains("SHA-256"));
    fs::write(&part, "short").unwrap();
    bed.recover(&format!("{name} -o size"))
        .code(13)
        .stderr(contains("5 bytes and not 1000"));
    fs::remove_file(&part).unwrap();
    bed.recover(&format!("{name} -o gone"))
        .code(13)
        .stderr(contains("missing"));
    assert_eq!(bed.outputs(), ["good"]);
}

#[test]
fn a_list_that_names_foreign_objects_is_13() {
    let bed = Bed::new();
    let name = name("plain", 9, ID);
    bed.put_parts(&name, &plaintext(3000), 1000);
    let list = bed.bucket.join(format!("{name}.parts"));
    let foreign = format!("{name}.part000002");
    replace(&list, &foreign, "somebody-elses-secret");
    bed.recover(&name)
        .code(13)
        .stderr(contains("something else"));
    let mut lie = read_json(&list);
    lie["totalSize"] = json!(10_000_000_000_u64);
    fs::write(&list, lie.to_string()).unwrap();
    bed.recover(&name).code(13);
    fs::write(&list, "{}").unwrap();
    bed.recover(&name).code(13);
}

#[test]
fn a_sidecar_that_does_not_belong_is_told_and_the_name_counts() {
    let bed = Bed::new();
    let name = name("shop", 11, ID);
    bed.put(&name, sealed(b"PGDMP", KEY, ID));
    for bad in [
        sidecar(OTHER, None).to_string(),
        "{".to_owned(),
        "null".to_owned(),
    ] {
        bed.put(&format!("{name}.metadata"), bad);
        bed.recover(&format!("{name} -o -"))
            .success()
            .stderr(contains("nothing says that it is complete"));
        bed.recover("--latest shop").code(10);
    }
}

#[test]
fn a_header_that_differs_from_its_sidecar_is_told() {
    let bed = Bed::new();
    let name = name("shop", 11, ID);
    bed.put_dump(&name, b"PGDMP", KEY);
    bed.put(&name, sealed(b"PGDMP again", KEY, ID));
    let ran = bed.recover(&format!("{name} -o -")).success();
    assert_eq!(ran.get_output().stdout, b"PGDMP again");
    let said = String::from_utf8_lossy(&ran.get_output().stderr).into_owned();
    assert!(said.contains("Databasus itself would refuse"), "{said}");
}

#[test]
fn a_sidecar_that_promises_encryption_and_a_plain_object_are_13() {
    let bed = Bed::new();
    let name = name("shop", 11, ID);
    bed.put_dump(&name, b"PGDMP", KEY);
    bed.put(&name, plaintext(5000));
    bed.recover(&name).code(13);
}

#[test]
fn the_latest_is_the_newest_that_is_committed() {
    let bed = Bed::new();
    let third = "0d81f8b3-ddd7-42fc-a068-ad1323e51384";
    bed.put_dump(&name("my_shop", 10, ID), b"older", KEY);
    bed.put_dump(&name("my_shop", 11, OTHER), b"newer", OTHER_KEY);
    bed.put(&name("my_shop", 12, third), sealed(b"torn", KEY, third));
    let both = "--secret-key ../other.key --secret-key ../secret.key";
    let latest = bed.sandbox.command(&bed.line(both, "-o - --latest"));
    let mut latest = assert_cmd::Command::from_std(latest);
    latest
        .arg("my shop")
        .assert()
        .success()
        .stdout("newer")
        .stderr(contains("1 newer objects").and(contains(third)));
}

#[test]
fn a_name_that_fits_several_databases_is_14() {
    let bed = Bed::new();
    let (dump, full) = (name("x", 10, ID), name("x-FULL", 11, OTHER));
    bed.put_dump(&dump, b"dump of x", KEY);
    // A database that is really called so has the sidecar of a dump: no question about x.
    bed.put_dump(&full, b"dump of x-FULL", KEY);
    let stdout = |line: &str| bed.recover(line).success().get_output().stdout.clone();
    assert_eq!(stdout("--latest x -o -"), b"dump of x");
    assert_eq!(stdout("--latest x-FULL -o -"), b"dump of x-FULL");
    let mut told = read_json(&bed.bucket.join(format!("{full}.metadata")));
    let more = json!({
        "databaseId": OTHER, "backupType": "FULL", "systemIdentifier": 7, "pgVersion": 170_000,
        "timelineId": 1, "startLsn": "0/23000028", "stopLsn": "0/23000120",
        "compressedSizeBytes": 14, "compression": "ZSTD",
        "createdAt": "2026-11-23T03:09:08Z", "completedAt": "2026-11-23T03:09:09Z",
    });
    let fields = told.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    bed.put(&format!("{full}.metadata"), told.to_string());
    bed.recover("--latest x")
        .code(14)
        .stderr(contains(dump).and(contains(full)));
}

#[test]
fn arguments_that_do_not_go_together_are_2() {
    let bed = Bed::new();
    for line in [
        "",
        "--list --latest shop",
        "--list --output x",
        "--no-probe --latest shop",
        "--latest shop some-name",
    ] {
        bed.recover(line).code(2);
    }
    bed.recover_with("--secret-key escrow:nonsense", "--list")
        .code(2);
    bed.recover_with("--secret-key escrow", "--list").code(2);
}
