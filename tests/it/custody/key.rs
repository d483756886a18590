//! The key itself: told by its id, held against its copies, and sealed for the safe.

use std::fs;
use std::path::Path;

use assert_cmd::assert::Assert;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;

use super::bed::{bash, document, host_of_three, newest_manifest};
use crate::support::sandbox::{Host, SECRET_KEY, Sandbox, stdout};

/// Compares with a copy that comes in as a password manager gives it.
fn compare(sandbox: &Sandbox, host: &Host<'_>, outside: &[u8]) -> Assert {
    let line = format!("--config {} key compare --base64 -", host.config.display());
    sandbox.run_with_input(&line, &format!("{}\n", STANDARD.encode(outside)))
}

/// What a phone reads in a picture.
fn read_picture(path: &Path) -> String {
    let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let side = info.width as usize;
    let dark = |x: usize, y: usize| pixels[y * info.line_size + x / 8] & (0x80 >> (x % 8)) == 0;
    let gray = |x, y| if dark(x, y) { 0 } else { 255 };
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(side, side, gray);
    image.detect_grids().pop().unwrap().decode().unwrap().1
}

#[test]
fn the_fingerprint_is_the_one_that_manifests_name() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, None) else {
        return;
    };
    host.snapshot();
    let signed = newest_manifest(&sandbox)["secret_key_id"].clone();
    let live = stdout(&host.run("key fingerprint").success());
    assert_eq!(live.trim(), signed);
    sandbox.file("copy", SECRET_KEY);
    let named = "key fingerprint --instance demo --secret-key ../copy";
    assert_eq!(stdout(&sandbox.run(named).success()), live);
    let other = "key fingerprint --instance other --secret-key ../copy";
    assert_ne!(stdout(&sandbox.run(other).success()), live);
}

#[test]
fn copies_of_one_key_are_equal_wherever_they_are() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, None) else {
        return;
    };
    host.snapshot();
    host.run("key compare")
        .success()
        .stdout(contains("the live key").and(contains("none was opened")));
    compare(&sandbox, &host, SECRET_KEY.as_bytes())
        .success()
        .stdout(contains("the copy from outside").and(contains("the same key")));
}

#[test]
fn another_key_is_told_apart_and_so_is_a_line_feed() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, None) else {
        return;
    };
    host.snapshot();
    compare(&sandbox, &host, b"another key")
        .code(13)
        .stdout(contains("ANOTHER KEY"));
    compare(&sandbox, &host, format!("{SECRET_KEY}\n").as_bytes())
        .code(13)
        .stdout(contains("by white space at its end alone"));
    let line = format!("--config {} key compare --base64 -", host.config.display());
    sandbox
        .run_with_input(&line, SECRET_KEY)
        .code(2)
        .stderr(contains("is not Base64").and(contains(SECRET_KEY).not()));
}

#[test]
fn an_escrow_of_an_older_key_is_shown_and_the_newest_one_counts() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, None) else {
        return;
    };
    host.snapshot();
    let file = sandbox.path("databasus-data/secret.key");
    fs::write(&file, SECRET_KEY.replace('6', "7")).unwrap();
    host.run("key compare")
        .code(13)
        .stdout(contains("ANOTHER KEY"));
    host.run("snapshot").code(3);
    let compared = document(&host, "key compare");
    assert_eq!(compared["equal"], true, "{compared}");
    assert_eq!(compared["copies"][2]["verdict"], "older");
}

#[test]
fn an_export_opens_with_stock_age_from_its_page_and_from_its_picture() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, None) else {
        return;
    };
    host.run("key export --output ../safe").success();
    let page = sandbox.path("safe/demo-key.txt");
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.is_ascii() && text.contains("Any one of these opens it: alice, bob, carol."));
    let home = sandbox.path("");
    let from_page = "sed -n '/^-----BEGIN/,/^-----END/p' safe/demo-key.txt | age -d -i bob.key";
    assert_eq!(bash(&home, from_page).as_deref(), Ok(SECRET_KEY));
    sandbox.file("key.age", read_picture(&sandbox.path("safe/demo-key.png")));
    assert_eq!(
        bash(&home, "age -d -i carol.key key.age").as_deref(),
        Ok(SECRET_KEY)
    );
    host.run("key export --output ../safe").code(2);
    assert_eq!(fs::read_to_string(&page).unwrap(), text);
    host.run("key export")
        .success()
        .stdout(contains("█").and(contains(SECRET_KEY).not()));
}

#[test]
fn an_export_takes_as_many_custodians_as_an_escrow() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.run("key export --output ../safe").success();
    let home = sandbox.path("");
    sandbox.file(
        "key.age",
        read_picture(&sandbox.path("safe/demo-key-alice+carol.png")),
    );
    assert!(
        bash(
            &home,
            "set -o pipefail; age -d -i alice.key key.age | grep -a secret"
        )
        .is_err()
    );
    let together = "age -d -i alice.key key.age | age -d -i carol.key";
    assert_eq!(bash(&home, together).as_deref(), Ok(SECRET_KEY));
    let page = fs::read_to_string(sandbox.path("safe/demo-key-alice+carol.txt")).unwrap();
    assert!(
        page.contains("age -d -i alice.txt key.age | age -d -i carol.txt > secret.key"),
        "{page}"
    );
    assert_eq!(fs::read_dir(sandbox.path("safe")).unwrap().count(), 6);
}

/// What the page says to whoever types it, stock age must hold to.
#[test]
fn blanks_and_empty_lines_spoil_the_text_as_the_page_says() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, None) else {
        return;
    };
    host.run("key export --output ../safe").success();
    let page = fs::read_to_string(sandbox.path("safe/demo-key.txt")).unwrap();
    assert!(
        page.contains("no blanks, no empty lines; every line between them but the last has 64")
    );
    let (_, text) = page.split_once("-----BEGIN").unwrap();
    let text = format!("-----BEGIN{text}");
    let lines: Vec<&str> = text.lines().collect();
    let (last, others) = lines[1..lines.len() - 1].split_last().unwrap();
    assert!(others.iter().all(|line| line.len() == 64) && last.len() <= 64);
    let opened = |lines: &[String]| {
        sandbox.file("typed.age", lines.join("\n") + "\n");
        bash(&sandbox.path(""), "age -d -i bob.key typed.age")
    };
    let typed = |line: usize, text: String| {
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        lines[line] = text;
        opened(&lines)
    };
    assert_eq!(typed(1, lines[1].to_owned()).as_deref(), Ok(SECRET_KEY));
    let (start, end) = lines[1].split_at(30);
    for wrong in [
        format!("{start} {end}"),
        format!("{start}\n{end}"),
        format!(" {start}{end}"),
        format!("{start}{end} "),
        format!("{start}{end}\n"),
        format!("{start}{end}{}\n", &lines[2][..1]),
    ] {
        assert!(typed(1, wrong.clone()).is_err(), "{wrong:?}");
    }
}
