//! Where a recovered backup goes, and that nothing half-written stays.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use databasus_escrow::base::digest::Digest;
use predicates::prelude::*;
use predicates::str::contains;
use rustix::process::Signal;

use super::bed::{Bed, ID, KEY, name, plaintext};
use crate::support::sandbox::{flip, json, stderr};

const MIB: usize = 1 << 20;

/// A bed with one committed dump of three chunks, its name, and its plaintext.
fn one_dump() -> (Bed, String, Vec<u8>) {
    let bed = Bed::new();
    let name = name("shop", 11, ID);
    let plain = plaintext(2 * MIB + 100);
    bed.put_dump(&name, &plain, KEY);
    (bed, name, plain)
}

#[test]
fn a_backup_goes_into_a_file_that_only_its_owner_reads() {
    let (bed, name, plain) = one_dump();
    let ran = bed
        .recover("--latest shop --output out.dump --json")
        .success();
    let file = bed.output("out.dump");
    assert!(fs::read(&file).unwrap() == plain);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let document = json(&ran);
    assert_eq!(document["name"], name);
    assert_eq!(document["id"], ID);
    assert_eq!(document["committed"], true);
    assert_eq!(document["size"], plain.len());
    assert_eq!(document["sha256"], Digest::of(&plain).to_string());
    assert_eq!(document["opened_by"]["source"], "../secret.key");
    assert_eq!(bed.outputs(), ["out.dump"]);
}

#[test]
fn without_a_name_the_file_is_called_after_the_backup() {
    let (bed, name, plain) = one_dump();
    bed.recover(ID)
        .success()
        .stdout(contains("every byte is authentic"));
    let file = bed.output(&format!("{name}.dump"));
    assert!(fs::read(file).unwrap() == plain);
}

#[test]
fn standard_output_holds_the_backup_and_nothing_else() {
    let (bed, name, plain) = one_dump();
    let ran = bed.recover(&format!("{name} -o -")).success();
    assert!(ran.get_output().stdout == plain);
    assert!(stderr(&ran).contains(&Digest::of(&plain).to_string()));
    let ran = bed
        .recover(&format!("{name} -o - --json --threads 1"))
        .success();
    assert!(ran.get_output().stdout == plain);
    let report: serde_json::Value = serde_json::from_str(&stderr(&ran)).unwrap();
    assert_eq!(report["output"], "-");
}

#[test]
fn a_file_that_exists_stays_unless_it_is_to_be_replaced() {
    let (bed, _, plain) = one_dump();
    fs::write(bed.output("out"), "mine").unwrap();
    bed.recover("--latest shop --output out")
        .code(14)
        .stderr(contains("out exists").and(contains("--force")));
    assert_eq!(fs::read(bed.output("out")).unwrap(), b"mine");
    bed.recover("--latest shop --output out --force").success();
    assert!(fs::read(bed.output("out")).unwrap() == plain);
    bed.recover("--latest shop --output no/such/folder/out")
        .code(1);
}

#[test]
fn what_does_not_authenticate_leaves_no_file() {
    let (bed, name, _) = one_dump();
    flip(&bed.bucket.join(&name), 2 * MIB + 150);
    for line in ["--latest shop", "--latest shop --threads 1"] {
        bed.recover(line)
            .code(13)
            .stdout("")
            .stderr(contains("chunk 2 is damaged"));
    }
    assert_eq!(bed.outputs(), Vec::<String>::new());
    fs::write(bed.output("old"), "old").unwrap();
    bed.recover("--latest shop --output old --force").code(13);
    assert_eq!(fs::read(bed.output("old")).unwrap(), b"old");
}

#[test]
fn a_stream_that_breaks_off_says_that_it_must_not_be_used() {
    let (bed, name, plain) = one_dump();
    flip(&bed.bucket.join(&name), 2 * MIB + 150);
    let ran = bed.recover("--latest shop --output -").code(13);
    let written = &ran.get_output().stdout;
    assert!(plain.starts_with(written) && written.len() < plain.len());
    assert!(stderr(&ran).contains("must not be used"));
}

#[test]
fn a_reader_that_goes_away_is_an_error_and_no_panic() {
    let (bed, name, _) = one_dump();
    let line = bed.line("--secret-key ../secret.key", &format!("{name} --output -"));
    let mut child = bed
        .sandbox
        .command(&line)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("stopped before the end"), "{said}");
}

#[test]
fn a_run_that_is_stopped_leaves_nothing() {
    let bed = Bed::new();
    let name = name("large", 9, ID);
    let sparse = fs::File::create(bed.bucket.join(&name)).unwrap();
    sparse.set_len(8 << 30).unwrap();
    let mut run = bed
        .sandbox
        .start(&bed.line("", &format!("{name} --output out --force")));
    run.wait_until("the file is begun", || !bed.outputs().is_empty());
    run.signal(Signal::TERM);
    run.end().code(143);
    assert_eq!(bed.outputs(), Vec::<String>::new());
}

#[test]
fn a_manifest_is_recovered_by_its_own_name() {
    let bed = Bed::new();
    let name = name("cluster-FULL", 9, ID);
    let manifest = br#"{ "PostgreSQL-Backup-Manifest-Version": 2 }"#;
    bed.put(&name, super::bed::sealed(b"tar", KEY, ID));
    let sealed = super::bed::sealed(manifest, KEY, ID);
    bed.put_parts(&format!("{name}.manifest"), &sealed, 50);
    let ran = bed.recover(&format!("{name}.manifest -o -")).success();
    assert_eq!(ran.get_output().stdout, manifest);
}

#[test]
fn parts_are_read_as_one() {
    let bed = Bed::new();
    let name = name("media", 10, ID);
    let plain = plaintext(3 * MIB);
    bed.put_parts(&name, &super::bed::sealed(&plain, KEY, ID), 900_000);
    bed.recover(&format!("{name} -o out")).success();
    assert!(fs::read(bed.output("out")).unwrap() == plain);
}

#[test]
fn every_kind_of_name_is_found() {
    let bed = Bed::new();
    let bare = "3a541c8a-92ef-49c8-8dd6-d0d0f030834f";
    bed.put(bare, super::bed::sealed(b"3.7", KEY, bare));
    let spaced = name("a b Kunden_München-FULL", 12, ID);
    bed.put(&spaced, super::bed::sealed(b"spaced", KEY, ID));
    let plain_id = "0d81f8b3-ddd7-42fc-a068-ad1323e51384";
    let unencrypted = name("plain", 13, plain_id);
    bed.put(&unencrypted, plaintext(5000));
    let run = |what: &str| {
        let ran = bed.recover(&format!("{what} -o -")).success();
        ran.get_output().stdout.clone()
    };
    assert_eq!(run(bare), b"3.7");
    assert_eq!(run(ID), b"spaced");
    assert!(run(&unencrypted) == plaintext(5000));
    // Not even a key is needed for it, and nothing says that it is whole.
    bed.recover_with("", &format!("{unencrypted} -o -"))
        .success()
        .stderr(contains("no sidecar"));
}
