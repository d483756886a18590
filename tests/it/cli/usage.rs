//! Help, manual, completions, and command lines that cannot be understood.

use std::process::Command;

use clap::{CommandFactory, Parser};
use databasus_escrow::cli::args::Args;
use predicates::prelude::*;
use predicates::str::contains;

use crate::support::sandbox::{Sandbox, files, json, stderr, stdout};

/// A key that opens nothing; of the right form in every respect.
const KEY: &str = "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SZ9VZ0";

fn commands() -> Vec<String> {
    let command = Args::command();
    let names = command.get_subcommands().map(clap::Command::get_name);
    names.map(str::to_owned).collect()
}

/// The command lines in a help text, as words.
fn examples(help: &str) -> Vec<Vec<String>> {
    let joined: Vec<&str> = help.split("\\\n").map(str::trim_start).collect();
    let joined = joined.join(" ");
    let line = |line: &str| {
        let (_, line) = line.split_once("databasus-escrow ")?;
        // What follows is for a shell, or for people.
        let ends = [" | ", " > ", "   "];
        let end = ends.iter().filter_map(|end| line.find(end)).min();
        let line = &line[..end.unwrap_or(line.len())];
        let words = line.replace("SHA256:…", &format!("SHA256:{}", "A".repeat(43)));
        let words = unquoted(&words);
        let name = std::iter::once("databasus-escrow".to_owned());
        Some(name.chain(words).collect())
    };
    joined
        .lines()
        .filter(|line| !line.starts_with("Usage:"))
        .filter_map(line)
        .collect()
}

/// Words as a shell sees them, for which single quotes keep blanks.
fn unquoted(line: &str) -> Vec<String> {
    const KEPT: &str = "\u{1}";
    let parts = line.split('\'').enumerate();
    let parts = parts.map(|(at, part)| match at % 2 {
        0 => part.to_owned(),
        _ => part.replace(' ', KEPT),
    });
    let line: String = parts.collect();
    let words = line.split_whitespace();
    words.map(|word| word.replace(KEPT, " ")).collect()
}

#[test]
fn every_command_explains_itself_with_examples_that_parse() {
    let sandbox = Sandbox::new();
    let mut seen = 0;
    for command in commands() {
        let help = stdout(&sandbox.run(&format!("{command} --help")).success());
        assert!(
            help.contains(&format!("Usage: databasus-escrow {command}")),
            "{help}"
        );
        for example in examples(&help) {
            let parsed = Args::try_parse_from(&example);
            assert!(parsed.is_ok(), "{example:?}: {}", parsed.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen >= 15, "only {seen} examples");
}

#[test]
fn top_level_help_names_commands_exit_codes_and_the_first_step_after_a_disaster() {
    let help = stdout(&Sandbox::new().run("--help").success());
    for command in commands() {
        assert!(
            help.contains(&format!("\n  {command} ")),
            "{command}: {help}"
        );
    }
    for code in [
        "0 done",
        "2 usage",
        "13 integrity",
        "14 refused",
        "130, 143",
    ] {
        assert!(help.contains(code), "{code}: {help}");
    }
    assert!(help.contains("On an empty box, after a disaster"), "{help}");
}

#[test]
fn version_is_one_line() {
    let expected = format!("databasus-escrow {}\n", env!("CARGO_PKG_VERSION"));
    Sandbox::new().run("--version").success().stdout(expected);
}

#[test]
fn bash_understands_its_completions() {
    let sandbox = Sandbox::new();
    let script = sandbox
        .run("completions bash")
        .success()
        .get_output()
        .stdout
        .clone();
    let script = sandbox.file("completions", script);
    let check = Command::new("bash").arg("-n").arg(script).output().unwrap();
    assert!(
        check.status.success() && check.stderr.is_empty(),
        "{check:?}"
    );
}

#[test]
fn manual_has_one_page_for_each_command() {
    let sandbox = Sandbox::new();
    let pages = sandbox.folder("man");
    sandbox
        .run(&format!("man {}", pages.display()))
        .success()
        .stdout("");
    let names = files(&pages).into_iter().map(|(path, _)| path);
    let names: Vec<_> = names
        .map(|path| path.file_name().unwrap().to_owned())
        .collect();
    for command in commands() {
        let page = format!("databasus-escrow-{command}.1");
        assert!(names.iter().any(|name| *name == *page), "{page}: {names:?}");
    }
}

#[test]
fn manual_says_which_folder_it_cannot_write() {
    Sandbox::new()
        .run("man /no/such/folder")
        .code(1)
        .stderr(contains(
            "cannot write the manual pages into /no/such/folder",
        ));
}

#[test]
fn a_misspelt_option_is_a_usage_error_that_names_the_right_one() {
    Sandbox::new()
        .run("list --instanc demo")
        .code(2)
        .stdout("")
        .stderr(contains("--instance"));
}

#[test]
fn with_json_a_usage_error_is_one_document_too() {
    let ran = Sandbox::new().run("list --jso --json").code(2).stdout("");
    let error: serde_json::Value = serde_json::from_str(&stderr(&ran)).unwrap();
    assert_eq!(error["exit"], 2);
    assert!(
        error["error"].as_str().unwrap().contains("--jso"),
        "{error}"
    );
}

#[test]
fn a_private_key_on_the_command_line_is_refused_and_never_repeated() {
    let sandbox = Sandbox::new();
    for line in [
        format!("init --instance demo --store dir:/tmp --recipient alice={KEY}"),
        format!("init --instance {KEY} --store dir:/tmp"),
        format!("rehydrate --target /tmp/x --identity {KEY}"),
        format!(
            "rehydrate --target /tmp/x --identity={}",
            KEY.to_lowercase()
        ),
        format!("verify {KEY}"),
        KEY.to_owned(),
        format!("list --mark {KEY} --json"),
    ] {
        let secret = contains(&KEY[20..40]).or(contains(KEY[20..40].to_lowercase()));
        sandbox
            .run(&line)
            .code(2)
            .stdout("")
            .stderr(secret.not().and(contains("holds a private key")));
    }
}

#[test]
fn a_box_without_a_configuration_is_told_how_to_begin() {
    let sandbox = Sandbox::new();
    for (line, hint) in [
        ("snapshot", "databasus-escrow init"),
        ("card", "databasus-escrow init"),
        ("list", "--instance, --store and --trust"),
        ("list --store dir:/tmp", "--instance"),
        ("list --store dir:/tmp --instance demo", "--trust SHA256:"),
    ] {
        let hint = contains("databasus-escrow: hint: ").and(contains(hint));
        sandbox.run(line).code(2).stdout("").stderr(hint);
    }
}

#[test]
fn with_json_an_error_is_one_document_with_hint_and_code() {
    let ran = Sandbox::new().run("snapshot --json").code(2).stdout("");
    let error: serde_json::Value = serde_json::from_str(&stderr(&ran)).unwrap();
    assert_eq!(error["exit"], 2);
    assert!(
        error["hint"].is_string() && error["error"].is_string(),
        "{error}"
    );
}

#[test]
fn a_configuration_is_found_where_it_is_run() {
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    std::fs::rename(sandbox.path("host"), sandbox.path("elsewhere")).unwrap();
    let mut command = sandbox.command("card --json --offline");
    command.current_dir(sandbox.path("elsewhere"));
    let ran = assert_cmd::Command::from_std(command).assert().success();
    assert_eq!(json(&ran)["signers"][0]["fingerprint"], host.fingerprint);
}
