//! The pages tell of everything that the code can say, and of nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use databasus_escrow::model::allowed_signers::AllowedSigners;
use databasus_escrow::model::recipients::Recipients;

use super::page::{Page, repository};

const RUNBOOKS: [&str; 15] = [
    "disaster",
    "import",
    "key-without-escrow",
    "lost-signing-key",
    "new-custodian",
    "nightly",
    "point-in-time",
    "point-in-time-by-hand",
    "point-in-time-without-databasus",
    "quarterly-drill",
    "recover-a-backup",
    "restore-one-escrow-with-stock-tools",
    "second-store",
    "two-custodians",
    "unfence",
];

/// Behind what findings get their ids in the sources: the first literal that follows.
const NAMED_BEHIND: [&str; 13] = [
    "Finding::note(",
    "Finding::warning(",
    "Finding::violation(",
    "Unacceptable(",
    "told(",
    "Check::fail(",
    "Check::unknown(",
    "Check::warn(",
    "Check::tampering(",
    "Self::unknown(rule, ",
    "|most| bound(",
    "judge_ids(",
    "too_old(",
];

/// Files whose findings get an id that stands elsewhere in them, behind the last two.
const NAMED_ELSEWHERE: [&str; 3] = [
    "src/ops/history/mod.rs", // gives a finding that is there another severity
    "src/ops/history/verify.rs",
    "src/ops/snapshot/seal.rs",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|end| end == "rs") => found.push(path),
            false => {}
        }
    }
}

/// Code without its unit tests: they stand last.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end].to_owned()
}

/// The first word in quotation marks, as far as the call reaches; and whether it stands first.
fn first_literal(call: &str) -> Option<(String, bool)> {
    let call = call.split(';').next()?;
    let (before, rest) = call.split_once('"')?;
    let (literal, _) = rest.split_once('"')?;
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_id =
        literal.bytes().all(letter) && literal.starts_with(|c: char| c.is_ascii_lowercase());
    (is_id && !literal.is_empty()).then(|| (literal.to_owned(), before.trim().is_empty()))
}

fn ids_in_the_code() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(&repository().join("src"), &mut files);
    let mut ids = BTreeSet::new();
    for file in files {
        let name = file
            .strip_prefix(repository())
            .unwrap()
            .display()
            .to_string();
        let text = code(&file);
        for mark in NAMED_BEHIND {
            for call in text.split(mark).skip(1) {
                match first_literal(call) {
                    Some((id, true)) => drop(ids.insert(id)),
                    Some((id, false)) if mark == "told(" || mark.starts_with("Check::") => {
                        ids.insert(id);
                    }
                    _ if !mark.starts_with("Finding::") => {}
                    _ => assert!(
                        NAMED_ELSEWHERE.contains(&name.as_str()) || name == "src/model/finding.rs",
                        "{name}: where does this finding have its id from? {:?}",
                        call.lines().next()
                    ),
                }
            }
        }
    }
    ids
}

#[test]
fn every_finding_has_a_heading_and_every_heading_a_finding() {
    let page = Page::read("runbooks/findings.md");
    let headings: BTreeSet<String> = page.headings(3).into_iter().collect();
    assert_eq!(headings, ids_in_the_code());
    let linked = page.links();
    for id in headings {
        assert!(linked.contains(&format!("#{id}")), "{id} is in no group");
        let body = page.text.split(&format!("### {id}\n")).nth(1).unwrap();
        let body = body.split("\n### ").next().unwrap();
        assert!(
            body.contains("\nMeans: ") && body.contains("\nDo: "),
            "{id}"
        );
    }
}

/// Every number that `src/cli/exit.rs` gives, and those of the two signals.
fn exit_codes() -> BTreeSet<String> {
    let text = code(&repository().join("src/cli/exit.rs"));
    let numbers = text.split("Self::").filter_map(|variant| {
        let (_, after) = variant.split_once("=> ")?;
        let number = after.split([',', '\n']).next()?;
        number.parse::<u8>().ok()
    });
    let mut codes: BTreeSet<String> = numbers.map(|n| n.to_string()).collect();
    codes.insert("130, 143".to_owned());
    codes
}

#[test]
fn every_exit_code_is_explained() {
    let codes = exit_codes();
    assert!(codes.contains("0") && codes.contains("14"), "{codes:?}");
    let page = Page::read("runbooks/exit-codes.md");
    let headings = page.headings(2);
    let in_code = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit());
    let pages = [
        page.first_cells(),
        Page::read("README.md").section("Exit codes").first_cells(),
        Page::read("runbooks/README.md").first_cells(),
    ];
    for cells in pages {
        let told: BTreeSet<String> = cells.into_iter().filter(in_code).collect();
        assert_eq!(told, codes);
    }
    for code in codes {
        let begin = format!("{code} ");
        assert!(
            headings.iter().any(|h| h.starts_with(&begin)),
            "no heading {code}"
        );
    }
}

fn help() -> String {
    let tool = env!("CARGO_BIN_EXE_databasus-escrow");
    let output = Command::new(tool).arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_is_in_the_readme() {
    let help = help();
    let (_, rest) = help.split_once("Commands:\n").unwrap();
    let listed = rest.split("\n\n").next().unwrap().lines();
    let commands: BTreeSet<String> = listed
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect();
    let table = Page::read("README.md").section("Commands").first_cells();
    let told: BTreeSet<String> = table.into_iter().filter(|cell| cell != "command").collect();
    assert_eq!(told, commands);
}

#[test]
fn links_inside_the_repository_resolve() {
    for page in Page::all() {
        for link in page.links().iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(&page.name).parent().unwrap();
            let target = match file {
                "" => PathBuf::from(&page.name),
                file => folder.join(file),
            };
            assert!(repository().join(&target).exists(), "{}: {link}", page.name);
            if !anchor.is_empty() {
                let anchors = Page::read(target.to_str().unwrap()).anchors();
                assert!(anchors.iter().any(|a| a == anchor), "{}: {link}", page.name);
            }
        }
    }
}

#[test]
fn commands_that_no_test_runs_are_shell_and_say_why_they_are_not_run() {
    let pages = ["README.md", "docs/AUDIT-BY-HAND.md"];
    let pages = pages.map(str::to_owned).into_iter();
    let pages = pages.chain(RUNBOOKS.map(|name| format!("runbooks/{name}.md")));
    for name in pages {
        let page = Page::read(&name);
        for block in page.blocks() {
            assert!(
                ["sh", "sh norun", "text"].contains(&block.info),
                "{name}: {}",
                block.info
            );
            if block.info == "sh norun" {
                let reason = block.after.trim_start();
                assert!(
                    reason.starts_with("(Not run in the tests: "),
                    "{name}: {}",
                    block.body
                );
                let checked = Command::new("bash").args(["-nc", block.body]).status();
                assert!(checked.unwrap().success(), "{name}: {}", block.body);
            }
        }
    }
}

#[test]
fn the_runbooks_share_a_skeleton_and_the_decision_tree_leads_to_each() {
    let tree = Page::read("runbooks/README.md").links();
    for name in RUNBOOKS {
        let file = format!("{name}.md");
        assert_eq!(
            Page::read(&format!("runbooks/{file}")).headings(2),
            [
                "Use when",
                "You need",
                "Normal looks like",
                "Steps",
                "You should see",
                "If not",
                "Afterwards"
            ],
            "{name}"
        );
        assert!(tree.contains(&file), "{name}");
    }
    let pages = fs::read_dir(repository().join("runbooks")).unwrap().count();
    assert_eq!(
        pages,
        RUNBOOKS.len() + 3,
        "with findings, exit codes and the tree"
    );
}

/// A word in code marks that can only be a file or a folder of this repository.
fn is_path(word: &str) -> bool {
    let ends = [".rs", ".md", ".toml", "/"];
    !word.contains(' ') && (ends.iter().any(|end| word.ends_with(end)) || word.contains('/'))
}

#[test]
fn the_map_of_the_code_names_files_that_are_there() {
    let map = Page::read("ARCHITECTURE.md");
    let mut files = Vec::new();
    sources(&repository().join("src"), &mut files);
    sources(&repository().join("tests"), &mut files);
    let prose = map.prose();
    let words: Vec<&str> = prose.split('`').skip(1).step_by(2).collect();
    let mut seen = 0;
    for word in words.into_iter().filter(|word| is_path(word)) {
        let in_src = repository().join("src").join(word);
        let there = in_src.exists()
            || in_src.with_extension("rs").exists()
            || repository().join(word).exists()
            || files.iter().any(|file| file.ends_with(word))
            || ["escrow.toml", "RESTORE.md"].contains(&word);
        assert!(there, "{word}");
        seen += 1;
    }
    assert!(seen > 30);
    assert!(map.text.lines().count() <= 160);
}

#[test]
fn the_example_policies_are_what_the_program_reads() {
    let read = |name: &str| fs::read_to_string(repository().join("policies").join(name)).unwrap();
    let recipients = Recipients::parse(&read("recipients.example.toml")).unwrap();
    let names = recipients.iter().map(|spec| spec.custodian.to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["alice", "bob", "carol"]);
    let signers = AllowedSigners::parse(&read("allowed_signers.example")).unwrap();
    assert_eq!(signers.entries().count(), 2);
}
