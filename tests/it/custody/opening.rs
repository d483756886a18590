//! Any k custodians open an escrow: on one machine, on several, and with stock tools alone.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use assert_cmd::assert::Assert;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;

use super::bed::{bash, host_of_three, newest_manifest, object};
use crate::support::sandbox::{Host, SECRET_KEY, Sandbox, flip};

fn rehydrate(sandbox: &Sandbox, host: &Host<'_>, identities: &str) -> Assert {
    let target = sandbox.folder("srv").join("data");
    let target = target.display();
    let reading = host.reading();
    sandbox.run(&format!(
        "rehydrate {reading} --target {target} --files-only {identities}"
    ))
}

fn key_in_target(sandbox: &Sandbox) -> String {
    std::fs::read_to_string(sandbox.path("srv/data/secret.key")).unwrap()
}

#[test]
fn two_of_three_identities_on_one_machine_open_an_escrow() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    rehydrate(
        &sandbox,
        &host,
        "--identity ../carol.key --identity ../alice.key",
    )
    .success();
    assert_eq!(key_in_target(&sandbox), SECRET_KEY);
    let reading = host.reading();
    sandbox
        .run(&format!(
            "verify {reading} --identity ../bob.key --identity ../carol.key"
        ))
        .success()
        .stdout(contains("all as indexed"));
}

#[test]
fn one_identity_alone_opens_nothing_and_is_told_who_could_complete_it() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    for (who, others) in [("alice", "bob, carol"), ("carol", "alice, bob")] {
        rehydrate(&sandbox, &host, &format!("--identity ../{who}.key"))
            .code(12)
            .stderr(contains(format!("are those of {who}; 1 more of {others}")));
    }
    sandbox.identity("mallory");
    rehydrate(&sandbox, &host, "--identity ../mallory.key")
        .code(12)
        .stderr(contains("no custodian's identity is among those given"));
    assert!(!sandbox.path("srv/data").exists());
}

#[test]
fn the_manifest_names_every_pair_and_stock_age_opens_with_each() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    host.run("show")
        .success()
        .stdout(contains("any 2 of these together"));
    let manifest = newest_manifest(&sandbox);
    assert_eq!(manifest["custody"]["mode"], "k-of-n");
    assert_eq!(manifest["unlock"].as_array().unwrap().len(), 3);
    let payload = object(&sandbox, "payload.tar.zst.age");
    for pair in manifest["unlock"].as_array().unwrap() {
        let [outer, inner] = [0, 1].map(|at| pair["custodians"][at].as_str().unwrap());
        let unlock = sandbox.path("usb").join(pair["key"].as_str().unwrap());
        let home = sandbox.path("");
        let script = format!(
            "set -euo pipefail
             age -d -i <(age -d -i {outer}.key {unlock} | age -d -i {inner}.key) {payload} \
             | zstd -d | tar -x -O databasus-data/secret.key",
            unlock = unlock.display(),
            payload = payload.display(),
        );
        assert_eq!(
            bash(&home, &script).as_deref(),
            Ok(SECRET_KEY),
            "{outer}+{inner}"
        );
    }
}

#[test]
fn an_unlock_file_that_was_changed_is_never_opened() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    for end in ["alice+bob.age", "alice+carol.age", "bob+carol.age"] {
        flip(&object(&sandbox, end), 50);
    }
    rehydrate(
        &sandbox,
        &host,
        "--identity ../alice.key --identity ../bob.key",
    )
    .code(13)
    .stderr(contains("unlock file").and(contains("is not what the manifest says")));
}

/// Whoever holds other identities of the escrow's own, from the stock tools for one, goes on with
/// them.
#[test]
fn the_escrows_own_identity_opens_it_as_well() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    let unlock = object(&sandbox, "alice+bob.age");
    let script = format!(
        "umask 077; age -d -i alice.key {} | age -d -i bob.key > own.key",
        unlock.display()
    );
    bash(&sandbox.path(""), &script).unwrap();
    rehydrate(&sandbox, &host, "--identity ../own.key").success();
    assert_eq!(key_in_target(&sandbox), SECRET_KEY);
}

#[test]
fn two_people_on_two_machines_open_for_a_third_who_waits() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    let reading = host.reading();
    let target = sandbox.folder("srv").join("data");
    let mut waiting = sandbox
        .command(&format!(
            "rehydrate {reading} --target {} --files-only --unlock -",
            target.display()
        ))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let asked = BufReader::new(waiting.stderr.take().unwrap()).lines();
    let mut asked = asked.map(|line| line.unwrap().trim().to_owned());
    let one_time = asked.find(|line| line.starts_with("age1")).unwrap();
    sandbox
        .run(&format!(
            "custody open --step 1 {reading} --with carol --identity ../alice.key --output step-1"
        ))
        .success()
        .stderr(contains("hand the file on to carol"));
    let answer = sandbox
        .run(&format!(
            "custody open --step 2 step-1 {reading} --identity ../carol.key --to {one_time}"
        ))
        .success();
    let answer = answer.get_output().stdout.clone();
    assert!(answer.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----"));
    waiting.stdin.take().unwrap().write_all(&answer).unwrap();
    assert!(asked.last().is_some());
    assert!(waiting.wait().unwrap().success());
    assert_eq!(key_in_target(&sandbox), SECRET_KEY);
}

/// Starts `rehydrate`; its standard error up to and with the one-time recipient, which is last.
fn waiting(sandbox: &Sandbox, host: &Host<'_>, unlock: &str) -> (Child, Asked, Vec<String>) {
    let reading = host.reading();
    let target = sandbox.folder("srv").join("data");
    let mut waiting = sandbox
        .command(&format!(
            "rehydrate {reading} --target {} --files-only --unlock {unlock}",
            target.display()
        ))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut asked = BufReader::new(waiting.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    while !said
        .last()
        .is_some_and(|line: &String| line.starts_with("age1"))
    {
        said.push(asked.next().unwrap().unwrap().trim().to_owned());
    }
    (waiting, asked, said)
}

type Asked = std::io::Lines<BufReader<std::process::ChildStderr>>;

/// As it was printed: each runs the line that names them, with their own words in it.
#[test]
fn three_of_four_people_open_with_the_commands_that_were_printed() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(3)) else {
        return;
    };
    let dave = sandbox.recipient("dave");
    host.run(&format!("custody add dave={dave}")).success();
    host.snapshot();
    let answer = sandbox.path("box/answer.age");
    let (mut waiting, asked, said) = waiting(&sandbox, &host, &answer.display().to_string());
    let one_time = said.last().unwrap().clone();
    let steps = ["alice or bob;", "bob or carol;", "carol or dave;"];
    let others = ["carol", "dave"];
    for (number, (who, people)) in ["alice", "carol", "dave"].iter().zip(steps).enumerate() {
        let line = said
            .iter()
            .position(|line| line.starts_with(&format!("{}. {people}", number + 1)))
            .unwrap();
        let mut command = said[line + 2].clone();
        for other in others {
            command = command.replacen("NAME", other, 1);
        }
        let command = command
            .replace("databasus-escrow ", "")
            .replace("FILE", &format!("../{who}.key"))
            .replace("ONE-TIME", &one_time)
            .replace("SHA256:…", &host.fingerprint)
            .replace('\'', "");
        sandbox.run(&command).success();
    }
    assert!(asked.last().is_none_or(|line| line.is_ok()));
    assert!(waiting.wait().unwrap().success());
    assert_eq!(key_in_target(&sandbox), SECRET_KEY);
}

#[test]
fn an_answer_that_does_not_open_is_complained_of_and_the_next_one_waited_for() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    let answer = sandbox.path("answer.age");
    let (mut waiting, mut asked, said) = waiting(&sandbox, &host, "../answer.age");
    let one_time = said.last().unwrap().clone();
    let mut complaint = |about: &str| {
        let mut lines = asked.by_ref().map(|line| line.unwrap());
        assert!(lines.any(|line| line.contains(about)), "{about}");
    };
    std::fs::write(&answer, "-----BEGIN AGE ENCRYPTED FILE-----\nhalf of it\n").unwrap();
    complaint("is there, but is no answer, or not all of one");
    let reading = host.reading();
    let first = format!("custody open {reading} --with bob --identity ../alice.key --output one");
    sandbox.run(&first).success();
    let last = |to: &str| {
        let line = format!("custody open one {reading} --identity ../bob.key --to {to}");
        sandbox.run(&line).success().get_output().stdout.clone()
    };
    // Made for the run before.
    std::fs::write(&answer, last(&sandbox.recipient("mallory"))).unwrap();
    complaint("the answer does not open: no identity opens it");
    assert!(waiting.try_wait().unwrap().is_none());
    std::fs::write(&answer, last(&one_time)).unwrap();
    assert!(waiting.wait().unwrap().success());
    assert_eq!(key_in_target(&sandbox), SECRET_KEY);
}

#[test]
fn a_pasted_answer_that_does_not_open_may_be_followed_by_one_that_does() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    let wrong = format!(
        "age -a -r {} -o wrong.age bob.key",
        sandbox.recipient("bob")
    );
    bash(&sandbox.path(""), &wrong).unwrap();
    let wrong = std::fs::read_to_string(sandbox.path("wrong.age")).unwrap();
    let (mut waiting, asked, _) = waiting(&sandbox, &host, "-");
    let mut keyboard = waiting.stdin.take().unwrap();
    writeln!(keyboard, "Here it is:\n{wrong}{wrong}").unwrap();
    drop(keyboard);
    let said: Vec<String> = asked.map(|line| line.unwrap()).collect();
    let complaints = said.iter().filter(|line| line.contains("does not open"));
    assert_eq!(complaints.count(), 2, "{said:?}");
    assert!(
        said.iter()
            .any(|line| line.contains("standard input ended"))
    );
    assert_eq!(waiting.wait().unwrap().code(), Some(12));
}

#[test]
fn a_step_opens_nothing_that_the_manifest_does_not_name() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    let reading = host.reading();
    let planted = format!("age -r {} -o planted alice.key", sandbox.recipient("bob"));
    bash(&sandbox.path(""), &planted).unwrap();
    let one_time = sandbox.recipient("mallory");
    for file in ["../planted", "../usb/demo"] {
        sandbox
            .run(&format!(
                "custody open --step 2 {file} {reading} --identity ../bob.key --to {one_time}"
            ))
            .failure()
            .stdout("");
    }
    sandbox
        .run(&format!(
            "custody open ../planted {reading} --identity ../bob.key --to {one_time}"
        ))
        .code(13)
        .stderr(contains("it was not decrypted"));
}

#[test]
fn a_file_that_is_gone_or_damaged_keeps_nobody_from_those_behind_it() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    let reading = host.reading();
    let open = |more: &str| {
        sandbox.run(&format!(
            "custody open --step 1 {reading} --identity ../bob.key {more}"
        ))
    };
    flip(&object(&sandbox, "alice+bob.age"), 50);
    std::fs::remove_file(object(&sandbox, "alice+carol.age")).unwrap();
    for with in ["", "--with carol"] {
        open(with)
            .success()
            .stderr(contains("hand the file on to carol"));
    }
    // What is wrong is told where nothing opens.
    open("--with alice")
        .code(13)
        .stderr(contains("is not what the manifest says"));
}

#[test]
fn the_last_step_never_shows_the_identity_in_clear() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    let reading = host.reading();
    let first = format!("custody open {reading} --with bob --identity ../alice.key --output one");
    sandbox.run(&first).success();
    sandbox
        .run(&format!("custody open one {reading} --identity ../bob.key"))
        .code(14)
        .stdout("")
        .stderr(contains("AGE-SECRET-KEY").not());
    sandbox
        .run(&format!(
            "custody open one {reading} --identity ../carol.key --to age1x"
        ))
        .code(2);
    // Of a kind that nobody makes for one time.
    sandbox
        .run(&format!(
            "custody open one {reading} --identity ../bob.key --to age1stub1vys8xar4vgsk56cc"
        ))
        .code(2)
        .stdout("")
        .stderr(contains("--to is no one-time recipient"));
    let to = sandbox.recipient("mallory");
    sandbox
        .run(&format!(
            "custody open one {reading} --identity ../carol.key --to {to}"
        ))
        .code(12)
        .stderr(contains("it is the turn of bob"));
    sandbox
        .run(&format!(
            "custody open --step 1 one {reading} --identity ../bob.key --to {to}"
        ))
        .code(2)
        .stderr(contains("this is the file for step 2"));
}

#[test]
fn a_store_that_lacks_what_custodians_need_is_told() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    host.run("verify").success();
    std::fs::remove_file(object(&sandbox, "alice+bob.age")).unwrap();
    host.run("verify")
        .code(3)
        .stdout(contains("custody-object-missing"));
    let canary = object(&sandbox, "canary/alice.age");
    std::fs::copy(object(&sandbox, "bob+carol.age"), canary).unwrap();
    host.run("verify")
        .code(13)
        .stdout(contains("custody-object-damaged"));
}

#[test]
fn quorums_that_cannot_be_are_refused_before_anything_is_sealed() {
    for (k, why) in [
        (1, "is no quorum"),
        (4, "4 custodians are to open an escrow, and there are 3"),
    ] {
        let sandbox = Sandbox::new();
        let Some(host) = host_of_three(&sandbox, Some(k)) else {
            return;
        };
        host.run("snapshot").code(2).stderr(contains(why));
        assert!(!sandbox.path("usb/demo/manifest").exists());
    }
}

#[test]
fn a_quorum_of_everybody_is_remarked_on() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(3)) else {
        return;
    };
    let findings = host.snapshot()["findings"].clone();
    let ids: Vec<&str> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert!(ids.contains(&"no-spare-custodian"), "{ids:?}");
}

#[test]
fn where_one_custodian_is_enough_nobody_is_waited_for() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, None) else {
        return;
    };
    host.snapshot();
    rehydrate(&sandbox, &host, "--unlock -")
        .code(2)
        .stderr(contains("is opened by each of its custodians alone"));
    let reading = host.reading();
    sandbox
        .run(&format!("custody open {reading} --identity ../alice.key"))
        .code(2)
        .stderr(contains("is opened by each of its custodians alone"));
}
