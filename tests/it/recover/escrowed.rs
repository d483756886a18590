//! Keys out of escrows, for backups of before and after a key was lost.

use std::fs;
use std::path::PathBuf;

use predicates::prelude::*;
use predicates::str::contains;

use super::bed::{Bed, ID, OTHER_KEY, name};
use crate::support::sandbox::{Host, SECRET_KEY, flip, json, objects, words};

const OLD: &str = "68856a72-2ff0-4850-b70f-f7cb8e38dcf5";

/// Two escrows with different keys, and a backup under each.
fn with_two_keys<'b>(bed: &'b Bed) -> Option<(Host<'b>, String)> {
    let host = bed.sandbox.frozen_host(&["usb"])?;
    let old = host.snapshot()["escrow_id"].as_str().unwrap().to_owned();
    bed.put_dump(&name("shop", 10, OLD), b"old", SECRET_KEY);
    bed.sandbox.file("databasus-data/secret.key", OTHER_KEY);
    host.run("snapshot --json");
    bed.put_dump(&name("shop", 11, ID), b"new", OTHER_KEY);
    Some((host, old))
}

fn keys(bed: &Bed, host: &Host<'_>, choices: &[&str]) -> String {
    let choices: Vec<String> = choices.iter().map(|choice| (*choice).to_owned()).collect();
    format!(
        "{} {} --identity {}",
        words("--secret-key", &choices),
        host.reading(),
        bed.sandbox.identity("alice").display()
    )
}

#[test]
fn the_newest_escrows_key_opens_what_is_new() {
    let bed = Bed::new();
    let Some((host, old)) = with_two_keys(&bed) else {
        return;
    };
    let newest = keys(&bed, &host, &["escrow"]);
    bed.recover_with(&newest, &format!("{ID} -o -"))
        .success()
        .stdout("new");
    bed.recover_with(&newest, OLD)
        .code(12)
        .stderr(contains("escrow:all"));
    let older = keys(&bed, &host, &[&format!("escrow:{old}")]);
    bed.recover_with(&older, &format!("{OLD} -o -"))
        .success()
        .stdout("old");
}

#[test]
fn all_escrowed_keys_open_all_and_each_is_named() {
    let bed = Bed::new();
    let Some((host, old)) = with_two_keys(&bed) else {
        return;
    };
    let all = keys(&bed, &host, &["escrow:all", "../secret.key"]);
    let listed = json(&bed.recover_with(&all, "--list --json").success());
    let rows = listed["backups"].as_array().unwrap();
    let source = |id: &str| {
        let row = rows.iter().find(|row| row["id"] == id).unwrap();
        row["opened_by"]["source"].as_str().unwrap().to_owned()
    };
    assert_eq!(source(OLD), format!("escrow {old}"));
    assert!(source(ID).starts_with("escrow ") && source(ID) != source(OLD));
    assert_eq!(listed["keys"].as_array().unwrap().len(), 3);
    assert!(
        rows.iter()
            .all(|row| row["opened_by"]["key_id"].is_string())
    );
}

#[test]
fn an_escrow_that_is_lost_or_damaged_keeps_no_key_of_the_others_back() {
    let bed = Bed::new();
    let Some((host, new)) = with_two_keys(&bed).map(|(host, _)| {
        let listed = host.snapshot();
        (host, listed["escrow_id"].as_str().unwrap().to_owned())
    }) else {
        return;
    };
    // The newest of one key is gone, which an older one holds as well.
    bed.sandbox.file("databasus-data/secret.key", SECRET_KEY);
    let again = json(&host.run("snapshot --json"));
    let damaged = again["escrow_id"].as_str().unwrap().to_owned();
    flip(&payload(&bed, &damaged), 500);
    fs::remove_file(payload(&bed, &new)).unwrap();
    let all = keys(&bed, &host, &["escrow:all"]);
    for (id, plain) in [(OLD, "old"), (ID, "new")] {
        bed.recover_with(&all, &format!("{id} -o -"))
            .success()
            .stdout(plain)
            .stderr(contains(&damaged).and(contains(&new)));
    }
}

#[test]
fn escrows_of_somebody_else_do_no_harm_beside_a_key() {
    let bed = Bed::new();
    let Some((host, _)) = with_two_keys(&bed) else {
        return;
    };
    let reading = host.reading();
    let mallory = bed.sandbox.identity("mallory");
    let line = |files: &str| {
        let identity = mallory.display();
        format!("--secret-key escrow:all {files} {reading} --identity {identity}")
    };
    bed.recover_with(&line("--secret-key ../other.key"), &format!("{ID} -o -"))
        .success()
        .stdout("new")
        .stderr(contains("no key from escrow"));
    bed.recover_with(&line(""), ID).code(12);
}

fn payload(bed: &Bed, escrow: &str) -> PathBuf {
    let is_its_payload = |path: &PathBuf| {
        let path = path.to_string_lossy();
        path.contains(escrow) && path.ends_with("payload.tar.zst.age")
    };
    let mut paths = objects(&bed.sandbox.path("usb")).into_iter();
    let path = paths.find_map(|(path, _)| is_its_payload(&path).then_some(path));
    path.unwrap()
}

#[test]
fn an_identity_that_opens_no_escrow_is_12() {
    let bed = Bed::new();
    let Some((host, _)) = with_two_keys(&bed) else {
        return;
    };
    let line = format!(
        "--secret-key escrow {} --identity {}",
        host.reading(),
        bed.sandbox.identity("mallory").display()
    );
    bed.recover_with(&line, ID).code(12);
    let none = format!("--secret-key escrow {}", host.reading());
    bed.recover_with(&none, ID)
        .code(2)
        .stderr(contains("no identity"));
}
