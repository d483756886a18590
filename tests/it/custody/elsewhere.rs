//! `--unlock`: whoever needs an escrow waits, and custodians on other machines answer.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::process::Stdio;

use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};

use super::bed::{bash, host_of_three, object, without_source};
use super::checkins::{admit, commands};
use crate::recover::bed::{Bed, ID, OTHER_KEY, name};
use crate::support::chains::{KEY, shared};
use crate::support::sandbox::{Host, SECRET_KEY, Sandbox, files, json as document};

/// Runs a command that waits for answers, in a file or on its standard input, and has these two
/// custodians give each that it asks for.
fn answered(sandbox: &Sandbox, host: &Host<'_>, line: &str, pair: [&str; 2]) -> Assert {
    let mut waiting = sandbox
        .command(line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = waiting.stdin.take().unwrap();
    let mut said = String::new();
    let mut escrow = String::new();
    for told in BufReader::new(waiting.stderr.take().unwrap()).lines() {
        let told = told.unwrap();
        match told.split_whitespace().collect::<Vec<_>>()[..] {
            ["Escrow", id, ..] => id.clone_into(&mut escrow),
            [one_time] if one_time.starts_with("age1") => {
                let reading = format!("{} --escrow {escrow}", host.reading());
                let answer = answer(sandbox, &reading, one_time, pair);
                match line.ends_with("--unlock -") {
                    true => input.write_all(&answer).unwrap(),
                    false => drop(sandbox.file("answer", answer)),
                }
            }
            _ => said += &format!("{told}\n"),
        }
    }
    let mut output = waiting.wait_with_output().unwrap();
    output.stderr = said.into_bytes();
    Assert::new(output)
}

/// What two custodians, each on a machine of their own, make for a one-time recipient.
fn answer(sandbox: &Sandbox, reading: &str, one_time: &str, pair: [&str; 2]) -> Vec<u8> {
    let [first, second] = pair;
    let one = format!("custody open --step 1 {reading} --with {second} --identity ../{first}.key");
    let one = sandbox.run(&one).success();
    sandbox.file("step-1", &one.get_output().stdout);
    let two = format!("custody open --step 2 ../step-1 {reading} --identity ../{second}.key");
    let two = sandbox.run(&format!("{two} --to {one_time}")).success();
    two.get_output().stdout.clone()
}

#[test]
fn a_backup_is_recovered_with_the_key_that_two_custodians_open_elsewhere() {
    let bed = Bed::new();
    let Some(host) = host_of_three(&bed.sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    bed.put_dump(&name("shop", 10, ID), b"the backup", SECRET_KEY);
    for unlock in ["../answer", "-"] {
        let _ = fs::remove_file(bed.sandbox.path("answer"));
        let keys = format!("--secret-key escrow {}", host.reading());
        let line = bed.line(&keys, &format!("{ID} -o - --unlock {unlock}"));
        answered(&bed.sandbox, &host, &line, ["alice", "carol"])
            .success()
            .stdout("the backup");
    }
}

/// Each escrow has an identity of its own, and needs an answer of its own.
#[test]
fn every_escrow_is_asked_for_and_an_answer_serves_for_one() {
    let bed = Bed::new();
    let Some(host) = host_of_three(&bed.sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    bed.put_dump(&name("shop", 10, ID), b"of before", SECRET_KEY);
    bed.sandbox.file("databasus-data/secret.key", OTHER_KEY);
    host.run("snapshot");
    let keys = format!("--secret-key escrow:all {}", host.reading());
    for unlock in ["../answer", "-"] {
        let _ = fs::remove_file(bed.sandbox.path("answer"));
        let line = bed.line(&keys, &format!("{ID} -o - --unlock {unlock}"));
        answered(&bed.sandbox, &host, &line, ["bob", "carol"])
            .success()
            .stdout("of before");
    }
}

#[test]
fn a_cluster_is_listed_with_the_key_that_two_custodians_open_elsewhere() {
    let sandbox = Sandbox::new();
    let (Some(host), Some(chain)) = (host_of_three(&sandbox, Some(2)), shared::native()) else {
        return;
    };
    sandbox.file("databasus-data/secret.key", KEY);
    let escrow = host.snapshot()["escrow_id"].as_str().unwrap().to_owned();
    chain.write_to(&sandbox.folder("bucket"));
    let list = "pitr list --json --from ../bucket";
    let line = format!("{list} --secret-key escrow {} --unlock -", host.reading());
    let listed = document(&answered(&sandbox, &host, &line, ["bob", "carol"]).success());
    let known = sandbox.run(&format!("{list} --secret-key ../databasus-data/secret.key"));
    let known = document(&known.success());
    let first = |listed: &Value| listed["clusters"][0]["chains"][0].clone();
    assert_eq!(first(&listed)["windows"], first(&known)["windows"]);
    assert_ne!(first(&known)["windows"], json!([]));
    let opened_by = format!("escrow {escrow}");
    assert_eq!(first(&listed)["full"]["opened_by"], opened_by);
}

#[test]
fn an_escrow_is_sealed_again_by_the_answer_of_custodians_elsewhere() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    admit(&sandbox, &host, "alice");
    let escrow = host.snapshot()["escrow_id"].as_str().unwrap().to_owned();
    let config = without_source(&host, None);
    let rekey = format!("--config {} rekey", config.display());
    sandbox
        .run(&format!("{rekey} --unlock -"))
        .code(2)
        .stderr(contains("needs exactly one --escrow"));

    // What they answer with opens the escrow, and shows nothing of who will open the new one.
    let line = format!("{rekey} --escrow {escrow} --unlock -");
    answered(&sandbox, &host, &line, ["alice", "bob"])
        .code(14)
        .stderr(contains("nobody can be seen to hold an identity"));
    bash(&sandbox.folder("desk"), &commands(&sandbox, &host, "alice")).unwrap();
    host.run("custody checkin ../desk/checkin.json").success();
    answered(&sandbox, &host, &line, ["alice", "bob"])
        .success()
        .stdout(contains("sealed again, says manifest 2"));
    let payload = object(&sandbox, "payload.tar.zst.age");
    assert!(payload.to_str().unwrap().contains("/rekeyed-"));
    let reading = host.reading();
    for who in ["alice", "bob", "carol"] {
        sandbox
            .run(&format!("verify {reading} --identity ../{who}.key"))
            .success();
    }
}

#[test]
fn an_answer_to_another_run_opens_nothing() {
    let bed = Bed::new();
    let sandbox = &bed.sandbox;
    let Some(host) = host_of_three(sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    bed.put_dump(&name("shop", 10, ID), b"the backup", SECRET_KEY);
    let mallory = sandbox.recipient("mallory");
    let other = answer(sandbox, &host.reading(), &mallory, ["alice", "bob"]);
    let other = String::from_utf8(other).unwrap();
    let keys = format!("--secret-key escrow {}", host.reading());
    let unlock = format!("{ID} -o backup --unlock -");
    sandbox
        .run_with_input(&bed.line(&keys, &unlock), &other)
        .code(12)
        .stderr(contains("the answer does not open").and(contains("AGE-SECRET-KEY").not()));
    assert!(!bed.outputs().contains(&"backup".to_owned()));
    assert_eq!(files(&sandbox.path("tmp")), []);
}
