//! `recover --list`.

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use super::bed::{Bed, ID, KEY, OTHER_KEY, name, plaintext, sealed, sidecar};
use crate::support::sandbox::json;

const OTHER: &str = "68856a72-2ff0-4850-b70f-f7cb8e38dcf5";
const THIRD: &str = "0d81f8b3-ddd7-42fc-a068-ad1323e51384";

fn row<'v>(document: &'v Value, id: &str) -> &'v Value {
    let mut rows = document["backups"].as_array().unwrap().iter();
    rows.find(|row| row["id"] == id).unwrap()
}

#[test]
fn every_backup_is_listed_with_the_key_that_opens_it() {
    let bed = Bed::new();
    bed.put_dump(&name("shop", 10, ID), &plaintext(3000), KEY);
    bed.put_dump(&name("shop", 11, OTHER), &plaintext(4000), OTHER_KEY);
    let plain = name("plain", 12, THIRD);
    bed.put(&plain, plaintext(500));
    bed.put(
        &format!("{plain}.metadata"),
        sidecar(THIRD, None).to_string(),
    );
    let both = "--secret-key ../secret.key --secret-key ../other.key --instance demo";
    let document = json(&bed.recover_with(both, "--list --json").success());
    assert_eq!(row(&document, ID)["opened_by"]["source"], "../secret.key");
    assert_eq!(row(&document, ID)["size"], 3000);
    assert_eq!(row(&document, ID)["at"], "2026-11-23T03:10:00Z");
    assert_eq!(row(&document, OTHER)["opened_by"]["source"], "../other.key");
    let key_id = row(&document, OTHER)["opened_by"]["key_id"]
        .as_str()
        .unwrap();
    assert_eq!(key_id.len(), 32);
    assert_eq!(row(&document, THIRD)["encrypted"], false);
    bed.recover_with(both, "--list")
        .success()
        .stdout(contains("Key #1: ../secret.key").and(contains("not encrypted")));
    let one = json(&bed.recover("--list --json").success());
    assert_eq!(row(&one, OTHER)["opened_by"], Value::Null);
    assert!(
        row(&one, OTHER)["problem"]
            .as_str()
            .unwrap()
            .contains("none of the keys")
    );
}

#[test]
fn what_was_never_finished_is_listed_as_that() {
    let bed = Bed::new();
    let ids = [ID, OTHER, THIRD].map(str::to_owned);
    bed.put(&name("legacy", 10, &ids[0]), sealed(b"", KEY, &ids[0]));
    bed.put(&format!("{}.part000001", name("torn", 11, &ids[1])), "half");
    bed.put(
        &format!("{}.metadata", name("gone", 12, &ids[2])),
        sidecar(THIRD, None).to_string(),
    );
    let unproven = "3a541c8a-92ef-49c8-8dd6-d0d0f030834f";
    bed.put(unproven, sealed(&plaintext(900), KEY, unproven));
    let damaged = "454c21ae-13e2-45b9-8ef0-b0b69a9eb1ea";
    bed.put_dump(&name("cut", 13, damaged), &plaintext(900), KEY);
    let file = bed.bucket.join(name("cut", 13, damaged));
    std::fs::write(&file, &std::fs::read(&file).unwrap()[..70]).unwrap();
    let document = json(&bed.recover("--list --json").success());
    for (id, state) in [
        (ids[0].as_str(), "failed-dump"),
        (&ids[1], "incomplete"),
        (&ids[2], "content-missing"),
        (unproven, "unproven"),
        (damaged, "damaged"),
    ] {
        assert_eq!(row(&document, id)["state"], state);
    }
}

#[test]
fn what_a_sidecar_quotes_is_cut() {
    let bed = Bed::new();
    let name = name("shop", 10, ID);
    bed.put(&name, plaintext(500));
    let long = "x".repeat(50_000);
    bed.put(
        &format!("{name}.metadata"),
        format!(r#"{{"backupId": {ID:?}, "pgVersion": {long:?}}}"#),
    );
    let document = json(&bed.recover("--list --json").success());
    let problem = row(&document, ID)["problem"].as_str().unwrap();
    assert!(problem.contains("xxx") && problem.len() < 400, "{problem}");
    let ran = bed.recover(&format!("{name} -o -")).success();
    assert!(ran.get_output().stderr.len() < 1000);
}

#[test]
fn foreign_objects_are_counted_and_left_alone() {
    let bed = Bed::new();
    bed.put_dump(&name("shop", 10, ID), &plaintext(3000), KEY);
    bed.put(&format!("{OTHER}-test"), "x");
    std::fs::create_dir_all(bed.bucket.join("demo/manifest")).unwrap();
    bed.put("demo/manifest/0000000001.json", "{}");
    let document = json(&bed.recover("--list --json").success());
    assert_eq!(document["foreign_objects"], 2);
    assert_eq!(document["backups"].as_array().unwrap().len(), 1);
    bed.recover("--list")
        .success()
        .stdout(contains("2 objects there are not backups"));
}

#[test]
fn without_probing_nothing_is_said_of_keys() {
    let bed = Bed::new();
    bed.put_dump(&name("shop", 10, ID), &plaintext(3000), KEY);
    let document = json(&bed.recover_with("", "--list --no-probe --json").success());
    assert_eq!(document["probed"], false);
    let row = row(&document, ID);
    assert_eq!((&row["kind"], &row["size"]), (&"dump".into(), &3000.into()));
    assert_eq!(row["problem"], Value::Null);
    bed.recover_with("", "--list --no-probe")
        .success()
        .stdout(contains("encrypted"));
}

#[test]
fn an_empty_storage_is_10() {
    let bed = Bed::new();
    bed.recover("--list")
        .code(10)
        .stdout(contains("No backups in"));
}

#[test]
fn names_cannot_move_the_cursor() {
    let bed = Bed::new();
    let name = name("a\u{202e}b", 10, ID);
    bed.put(&name, plaintext(500));
    bed.recover("--list")
        .success()
        .stdout(contains("a\\u{202e}b"));
}
