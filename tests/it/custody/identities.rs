//! Every kind of identity opens what is sealed to its recipient: through plugins, and under
//! passphrases that are asked for on a terminal.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use predicates::str::contains;

use super::bed::{bash, host_of_three};
use crate::support::sandbox::{Host, Sandbox};
use crate::support::{skip, write_program};

/// The smallest plugin there can be: it wraps a file key in nothing at all.
const PLUGIN: &str = r#"#!/bin/bash
key=
while IFS= read -r line; do
  case "$line" in
    '-> wrap-file-key'* | '-> recipient-stanza 0 stub'*) IFS= read -r key ;;
    '-> done'*) IFS= read -r _; break ;;
  esac
done
answer() { printf '%s\n%s\n' "$1" "$key"; IFS= read -r _; IFS= read -r _; }
case "$1" in
  --age-plugin=recipient-v1) answer '-> recipient-stanza 0 stub' ;;
  --age-plugin=identity-v1) [ -z "$key" ] || answer '-> file-key 0' ;;
esac
printf -- '-> done\n\n'
"#;

/// Bech32 (BIP 173) of the words "a stub".
const PLUGIN_RECIPIENT: &str = "age1stub1vys8xar4vgsk56cc";
const PLUGIN_IDENTITY: &str = "AGE-PLUGIN-STUB-1VYS8XAR4VGE42G7C";

/// A host that seals to dave as well.
fn with_dave<'s>(sandbox: &'s Sandbox, k: Option<u32>, recipient: &str) -> Option<Host<'s>> {
    let host = host_of_three(sandbox, k)?;
    let file = host
        .config
        .with_file_name("policies")
        .join("recipients.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let dave = format!("\n[[recipient]]\ncustodian = \"dave\"\nrecipient = \"{recipient}\"\n");
    std::fs::write(file, text + &dave).unwrap();
    Some(host)
}

#[test]
fn a_custodian_with_a_plugin_opens_alone_and_together() {
    for (k, others) in [(None, ""), (Some(2), "--identity ../alice.key")] {
        let mut sandbox = Sandbox::new();
        let bin = sandbox.folder("bin");
        write_program(&bin.join("age-plugin-stub"), PLUGIN);
        sandbox.set("PATH", &format!("{}:/usr/bin:/bin", bin.display()));
        sandbox.file("dave.key", PLUGIN_IDENTITY);
        let Some(host) = with_dave(&sandbox, k, PLUGIN_RECIPIENT) else {
            return;
        };
        host.snapshot();
        let reading = host.reading();
        sandbox
            .run(&format!("verify {reading} --identity ../dave.key {others}"))
            .success()
            .stdout(contains("all as indexed"));
    }
}

#[test]
fn a_host_without_the_plugin_says_what_it_lacks() {
    let sandbox = Sandbox::new();
    let Some(host) = with_dave(&sandbox, None, PLUGIN_RECIPIENT) else {
        return;
    };
    host.run("snapshot").code(2).stderr(contains(
        "sealing to dave needs the program age-plugin-stub on PATH",
    ));
}

/// Runs the binary on a terminal of its own, and types a passphrase when it is asked for one.
fn on_a_terminal(sandbox: &Sandbox, line: &str, passphrase: &str) -> Option<(bool, String)> {
    let command = sandbox.command(line);
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let spawned = Command::new("script")
        .args(["-qefc", &words.join(" "), "/dev/null"])
        .current_dir(sandbox.path("box"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut running) = spawned else {
        skip("script is not on PATH");
        return None;
    };
    let mut terminal = running.stdout.take().unwrap();
    let mut keyboard = running.stdin.take().unwrap();
    let mut seen = String::new();
    let mut typed = false;
    let mut byte = [0];
    while terminal.read(&mut byte).unwrap() > 0 {
        seen.push(char::from(byte[0]));
        if !typed && seen.contains("Passphrase of") && seen.ends_with(": ") {
            writeln!(keyboard, "{passphrase}").unwrap();
            typed = true;
        }
    }
    Some((running.wait().unwrap().success(), seen))
}

#[test]
fn identities_under_a_passphrase_open_on_a_terminal_and_nowhere_else() {
    let sandbox = Sandbox::new();
    let home = sandbox.path("");
    let Some(_) = super::bed::has_stock_tools().then_some(()) else {
        return;
    };
    bash(
        &home,
        "ssh-keygen -q -t ed25519 -N 'correct horse' -C '' -f dave.key",
    )
    .unwrap();
    let public = std::fs::read_to_string(home.join("dave.key.pub")).unwrap();
    let Some(host) = with_dave(&sandbox, None, public.trim()) else {
        return;
    };
    host.snapshot();
    sandbox.file("locked.age", under("correct horse", &sandbox));
    let reading = host.reading();
    for identity in ["dave.key", "locked.age"] {
        let line = format!("verify {reading} --identity ../{identity}");
        sandbox
            .run(&line)
            .code(2)
            .stderr(contains("there is no terminal to ask for it"));
        let Some((success, seen)) = on_a_terminal(&sandbox, &line, "correct horse") else {
            return;
        };
        assert!(success && seen.contains("all as indexed"), "{seen}");
        assert!(!seen.contains("correct horse"), "{seen}");
        let (success, seen) = on_a_terminal(&sandbox, &line, "battery staple").unwrap();
        assert!(
            !success && seen.contains("does not open with that passphrase"),
            "{seen}"
        );
    }
}

#[test]
fn identities_are_refused_beside_the_source_whatever_they_are_for() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    let backups = sandbox.folder("backups");
    let recover = format!("recover --from {} --list", backups.display());
    let pitr = format!("pitr list --from {}", backups.display());
    for job in [
        "verify",
        "custody open --step 1",
        "rehydrate --target ../srv",
        "rekey",
        &format!("{recover} --secret-key escrow"),
        &format!("{recover} --secret-key escrow:all"),
        &format!("{pitr} --secret-key escrow"),
    ] {
        // Nobody looks into it first.
        host.run(&format!("{job} --identity ../nosuch.key"))
            .code(14)
            .stdout("")
            .stderr(contains("this configuration is the source's own"));
    }
    host.run("verify --unlock ../answer").code(14);
    host.run(&format!("{recover} --secret-key escrow --unlock ../answer"))
        .code(14);
    // These take none.
    host.run("verify").success();
    host.run("key compare").success();
}

/// Alice's identity as `age -p` leaves it.
fn under(passphrase: &str, sandbox: &Sandbox) -> Vec<u8> {
    let identity = std::fs::read(sandbox.identity("alice")).unwrap();
    let mut recipient = age::scrypt::Recipient::new(passphrase.to_owned().into());
    recipient.set_work_factor(2);
    let recipients = std::iter::once(&recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients).unwrap();
    let mut file = Vec::new();
    let mut writer = encryptor.wrap_output(&mut file).unwrap();
    writer.write_all(&identity).unwrap();
    writer.finish().unwrap();
    file
}
