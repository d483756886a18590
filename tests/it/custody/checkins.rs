//! Custodians show, with stock tools and for nothing else, that their identities open.

use std::fs;

use predicates::str::contains;

use super::bed::{bash, document, host_of_three, newest_manifest, object};
use crate::support::sandbox::{Host, Sandbox, files, stdout};

/// Gives a custodian an SSH key that may check in, and commits it with a snapshot.
pub(super) fn admit(sandbox: &Sandbox, host: &Host<'_>, who: &str) {
    let home = sandbox.path("");
    bash(
        &home,
        &format!("ssh-keygen -q -t ed25519 -N '' -C '' -f {who}.ssh"),
    )
    .unwrap();
    let public = fs::read_to_string(home.join(format!("{who}.ssh.pub"))).unwrap();
    let line = format!("{who} namespaces=\"escrow-checkin@databasus\" {public}");
    let signers = host
        .config
        .with_file_name("policies")
        .join("allowed_signers");
    let text = fs::read_to_string(&signers).unwrap();
    fs::write(signers, text + &line).unwrap();
}

/// The printed commands, with a custodian's own two files in them.
pub(super) fn commands(sandbox: &Sandbox, host: &Host<'_>, who: &str) -> String {
    let printed = stdout(&host.run(&format!("custody challenge {who}")).success());
    let home = sandbox.path("");
    printed
        .replace(
            "KEY=identity.txt",
            &format!("KEY={}/{who}.key", home.display()),
        )
        .replace(
            "SIGN=$HOME/.ssh/id_ed25519",
            &format!("SIGN={}/{who}.ssh", home.display()),
        )
}

#[test]
fn a_custodian_who_answers_is_proven_from_then_on() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    admit(&sandbox, &host, "alice");
    host.snapshot();
    let before = document(&host, "custody status");
    assert_eq!(
        before["custodians"][0]["proven_at"],
        serde_json::Value::Null
    );
    assert_eq!(
        (&before["may_be_lost"], &before["exit"]),
        (&1.into(), &3.into())
    );
    let desk = sandbox.folder("desk");
    bash(&desk, &commands(&sandbox, &host, "alice")).unwrap();
    host.run("custody checkin ../desk/checkin.json")
        .success()
        .stdout(contains(
            "alice has shown that their identity opens a canary of",
        ));
    let after = document(&host, "custody status");
    let made_at = &newest_manifest(&sandbox)["created_at"];
    assert_eq!(&after["custodians"][0]["proven_at"], made_at);
    assert_eq!(after["custodians"][1]["proven_at"], serde_json::Value::Null);
    assert_eq!(after["proven_may_be_lost"], serde_json::Value::Null);
    assert_eq!(files(&sandbox.path("usb/demo/checkin/alice")).len(), 1);
    // Kept once, however often it comes in.
    host.run("custody checkin ../desk/checkin.json").success();
    assert_eq!(files(&sandbox.path("usb/demo/checkin/alice")).len(), 1);
}

#[test]
fn a_new_store_gets_the_answers_and_nothing_that_was_planted_among_them() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    admit(&sandbox, &host, "alice");
    host.snapshot();
    let desk = sandbox.folder("desk");
    bash(&desk, &commands(&sandbox, &host, "alice")).unwrap();
    host.run("custody checkin ../desk/checkin.json").success();
    let planted = sandbox.path("usb/demo/checkin/alice/29990101T000000Z.json");
    fs::write(&planted, "{}").unwrap();
    let disk = sandbox.folder("disk");
    let store = format!(
        "\n[[store]]\nname = \"disk\"\ntype = \"dir\"\npath = \"{}\"\n",
        disk.display()
    );
    let config = fs::read_to_string(&host.config).unwrap();
    fs::write(&host.config, config + &store).unwrap();
    host.run("replicate").success();
    assert_eq!(files(&disk.join("demo/checkin/alice")).len(), 1);
    host.run("replicate")
        .success()
        .stdout(contains("Nothing had to be copied"));
    fs::remove_dir_all(sandbox.path("usb")).unwrap();
    fs::create_dir(sandbox.path("usb")).unwrap();
    let status = document(&host, "custody status");
    assert!(status["custodians"][0]["proven_at"].is_string(), "{status}");
}

#[test]
fn a_custodian_compares_the_commands_or_prints_them_on_a_machine_of_her_own() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    let mailed = host.run("custody challenge alice").success();
    sandbox.file("for-alice.sh", stdout(&mailed));
    let digest = bash(&sandbox.path(""), "sha256sum for-alice.sh | cut -c 1-64").unwrap();
    mailed.stderr(contains(format!("before running them: {}", digest.trim())));
    let hers = host.run_elsewhere("custody challenge alice").success();
    sandbox.file("hers.sh", stdout(&hers));
    bash(&sandbox.path(""), "cmp for-alice.sh hers.sh").unwrap();
    let told = document(&host, "custody challenge alice");
    assert_eq!(told["commands_sha256"], digest.trim());
    let page = stdout(&hers);
    assert!(
        page.contains("custody challenge alice, with --instance")
            && page.contains("sha256sum FILE")
    );
}

/// The attack: a custodian who believes to answer a canary opens an unlock file, and hands on what
/// is inside.
#[test]
fn an_unlock_file_in_a_canarys_place_is_not_opened_by_the_printed_commands() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    admit(&sandbox, &host, "alice");
    host.snapshot();
    let printed = commands(&sandbox, &host, "alice");
    let unlock = fs::read(object(&sandbox, "alice+bob.age")).unwrap();
    fs::write(sandbox.path("unlock"), &unlock).unwrap();
    let encoded = bash(&sandbox.path(""), "base64 unlock").unwrap();
    let (begin, rest) = printed.split_once("<<'CANARY'\n").unwrap();
    let (_, end) = rest.split_once("\nCANARY\n").unwrap();
    let swapped = format!("{begin}<<'CANARY'\n{encoded}CANARY\n{end}");
    let desk = sandbox.folder("desk");
    let said = bash(&desk, &swapped).unwrap_err();
    assert!(said.contains("REFUSED: this is not the canary"), "{said}");
    assert!(!desk.join("checkin.json").exists());
    // Even under a digest that somebody lied about, what is inside goes nowhere.
    let manifest = newest_manifest(&sandbox);
    let canary = manifest["canaries"][0]["sha256"].as_str().unwrap();
    let lie = manifest["unlock"][0]["sha256"].as_str().unwrap();
    let said = bash(&desk, &swapped.replace(canary, lie)).unwrap_err();
    assert!(
        said.contains("REFUSED: what is inside is no nonce"),
        "{said}"
    );
    let kept: Vec<_> = files(&desk).into_iter().map(|(path, _)| path).collect();
    assert_eq!(kept, [desk.join("canary.age")]);
}

#[test]
fn a_canary_that_was_swapped_in_the_store_is_never_handed_out() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    let unlock = fs::read(object(&sandbox, "alice+bob.age")).unwrap();
    fs::write(object(&sandbox, "canary/alice.age"), unlock).unwrap();
    host.run("custody challenge alice")
        .code(13)
        .stdout("")
        .stderr(contains("is not what the manifest says"));
    host.run("custody challenge mallory").code(10);
}

#[test]
fn answers_that_prove_nothing_are_refused() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, None) else {
        return;
    };
    for who in ["alice", "bob"] {
        admit(&sandbox, &host, who);
    }
    host.snapshot();
    let desk = sandbox.folder("desk");
    bash(&desk, &commands(&sandbox, &host, "alice")).unwrap();
    let answer = fs::read_to_string(desk.join("checkin.json")).unwrap();
    let submit = |name: &str, text: &str, signer: &str, namespace: &str| {
        fs::write(desk.join(name), text).unwrap();
        let key = sandbox.path(&format!("{signer}.ssh"));
        let sign = format!(
            "rm -f {name}.sig; ssh-keygen -q -Y sign -n {namespace} -f {} {name}",
            key.display()
        );
        bash(&desk, &sign).unwrap();
        host.run(&format!("custody checkin ../desk/{name}"))
            .code(13)
    };
    let right = "escrow-checkin@databasus";
    submit("a", &answer, "bob", right).stderr(contains("says that alice answers, and bob signed"));
    submit("b", &answer, "alice", "escrow-manifest@databasus").stderr(contains("signed for"));
    let bobs = answer.replace("\"alice\"", "\"bob\"");
    submit("c", &bobs, "bob", right).stderr(contains("was not in the canary of bob"));
    let year = answer.find("\"created_at\": \"2").unwrap() + "\"created_at\": \"".len();
    let mut old = answer.clone();
    old.replace_range(year..year + 4, "2020");
    submit("d", &old, "alice", right).stderr(contains("and the canary is of"));
    let less = answer.replace("I keep that identity to myself, and ", "");
    assert_ne!(less, answer);
    submit("f", &less, "alice", right).stderr(contains("word for word"));
    bash(
        &sandbox.path(""),
        "ssh-keygen -q -t ed25519 -N '' -C '' -f mallory.ssh",
    )
    .unwrap();
    submit("e", &answer, "mallory", right).stderr(contains("unknown key"));
    assert!(!sandbox.path("usb/demo/checkin").exists());
}

#[test]
fn planted_check_ins_prove_nobody() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, None) else {
        return;
    };
    host.snapshot();
    let folder = sandbox.folder("usb/demo/checkin/alice");
    fs::write(folder.join("20260612T020000Z.json"), "{}").unwrap();
    let status = document(&host, "custody status");
    assert_eq!(
        status["custodians"][0]["proven_at"],
        serde_json::Value::Null
    );
    let findings = status["findings"].as_array().unwrap();
    assert!(
        findings.iter().any(|one| one["id"] == "checkin-unverified"),
        "{status}"
    );
}
