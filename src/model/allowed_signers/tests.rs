#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use super::*;
use proptest::prelude::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

fn at(text: &str) -> UtcTime {
    text.parse().unwrap()
}

fn parse(text: &str) -> AllowedSigners {
    AllowedSigners::parse(text).unwrap()
}

fn refusal(line: &str) -> String {
    let text = format!("# first\n\n{line}\n");
    let error = AllowedSigners::parse(&text).unwrap_err();
    assert_eq!(error.line, 3);
    error.to_string()
}

#[test]
fn a_whole_line_is_understood() {
    let file = parse(&format!(
        "escrow@host1  namespaces=\"escrow-manifest@databasus,git\",\
         valid-after=\"20260101000000Z\",valid-before=\"20270101000000Z\"\t{KEY} the host's key\n"
    ));
    let entry = file.entries().next().unwrap();
    assert_eq!(entry.principal().as_str(), "escrow@host1");
    assert_eq!(entry.key().openssh(), KEY);
    assert!(entry.permits(Namespace::Manifest));
    assert!(!entry.permits(Namespace::Drill));
    assert_eq!(
        entry.window().to_string(),
        "from 2026-01-01T00:00:00Z until 2027-01-01T00:00:00Z"
    );
}

#[test]
fn a_line_without_namespaces_permits_all() {
    let file = parse(&format!("a {KEY}"));
    let entry = file.entries().next().unwrap();
    assert!(Namespace::ALL.iter().all(|name| entry.permits(*name)));
}

#[test]
fn what_ssh_keygen_could_read_otherwise_is_refused() {
    let cases = [
        (format!("* {KEY}"), "patterns"),
        (format!("!a {KEY}"), "patterns"),
        (format!("a,b {KEY}"), "several principals"),
        (format!("\"a b\" {KEY}"), "no acceptable principal"),
        (format!("Alice {KEY}"), "no acceptable principal"),
        (format!("a cert-authority {KEY}"), "certificate authorities"),
        (format!("a CERT-authority,x=\"\" {KEY}"), "certificate"),
        (format!("a no-touch-required {KEY}"), "unknown option"),
        (format!("a Namespaces=\"x\" {KEY}"), "unknown option"),
        (format!("a namespaces=\"x*\" {KEY}"), "patterns"),
        (format!("a namespaces=\"x,!y\" {KEY}"), "patterns"),
        (format!("a namespaces=\"\" {KEY}"), "not a namespace"),
        (format!("a namespaces=\"x,\" {KEY}"), "not a namespace"),
        (format!("a namespaces=\"x y\" {KEY}"), "not a namespace"),
        (format!("a namespaces=x {KEY}"), "quotation marks"),
        (format!("a namespaces=\"x {KEY}"), "quotation marks"),
        (
            format!("a namespaces=\"x\\\"\" {KEY}"),
            "without backslashes",
        ),
        (format!("a namespaces=\"x\", {KEY}"), "unknown option"),
        (format!("a namespaces=\"x\"y {KEY}"), "quotation marks"),
        (
            format!("a namespaces=\"x\",namespaces=\"y\" {KEY}"),
            "twice",
        ),
        (
            format!("a valid-before=\"20260101\" {KEY}"),
            "append Z for UTC",
        ),
        (
            format!("a valid-after=\"20260101000000\" {KEY}"),
            "append Z",
        ),
        (format!("a valid-after=\"20260101Z\" {KEY}"), "not a time"),
        (
            format!("a valid-after=\"20261301000000Z\" {KEY}"),
            "not a time",
        ),
        (
            format!("a valid-after=\"19700101000000Z\" {KEY}"),
            "later than 1970",
        ),
        (
            format!("a valid-after=\"20260101000000Z\",valid-before=\"20260101000000Z\" {KEY}"),
            "later than valid-after",
        ),
        (format!("a {KEY}\r"), "control character"),
        ("a".to_owned(), "no key"),
        ("a ssh-ed25519".to_owned(), "not an OpenSSH public key"),
        (
            "a ssh-rsa AAAAB3NzaC1yc2E=".to_owned(),
            "kind ssh-rsa are not supported",
        ),
        (
            "a namespaces=\"x\" AAAA".to_owned(),
            "not an OpenSSH public key",
        ),
    ];
    for (line, expected) in cases {
        let error = refusal(&line);
        assert!(error.contains(expected), "{line:?} gave {error:?}");
    }
}

#[test]
fn a_private_key_is_never_echoed() {
    for secret in ["b3BlbnNzaC1rZXktdjEAAAAABG5vbmU", "MC4CAQAwBQYDK2VwBCIEIP"] {
        for line in [
            format!("a {secret}"),
            format!("a ssh-ed25519 {secret}"),
            format!("a namespaces=\"x\" {secret}"),
        ] {
            let error = AllowedSigners::parse(&line).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(secret));
        }
    }
}

#[test]
fn both_ends_of_a_window_belong_to_it() {
    let window = Window::new(
        Some(at("2026-01-01T00:00:00Z")),
        Some(at("2026-02-01T00:00:00Z")),
    )
    .unwrap();
    assert!(!window.contains(at("2025-12-31T23:59:59Z")));
    assert!(window.contains(at("2026-01-01T00:00:00Z")));
    assert!(window.contains(at("2026-02-01T00:00:00Z")));
    assert!(!window.contains(at("2026-02-01T00:00:01Z")));
}

#[test]
fn a_retired_key_keeps_its_past_and_the_file_its_comments() {
    let text = format!(
        "# hosts\n\
         old valid-before=\"20250101000000Z\" {KEY}\n\
         old valid-after=\"20260101000000Z\" {KEY}\n\
         old valid-after=\"20280101000000Z\" {KEY} \u{e9}\n"
    );
    let mut file = parse(&text);
    let print = file.entries().next().unwrap().key().fingerprint();
    file.retire(print, at("2027-01-01T00:00:00Z")).unwrap();
    assert_eq!(
        file.to_text(),
        format!(
            "# hosts\n\
             old valid-before=\"20250101000000Z\" {KEY}\n\
             old valid-after=\"20260101000000Z\",valid-before=\"20270101000000Z\" {KEY}\n"
        )
    );
}

#[test]
fn a_key_that_nobody_holds_cannot_be_retired() {
    let print = Fingerprint::of(b"nobody");
    let outcome = AllowedSigners::new().retire(print, at("2027-01-01T00:00:00Z"));
    assert_eq!(outcome, Err(UnknownKey(print)));
}

fn any_window() -> impl Strategy<Value = Window> {
    let second = || proptest::option::of((1..4_000_000_000_i64).prop_map(UtcTime::from_unix));
    (second(), second()).prop_filter_map("empty", |(a, b)| Window::new(a, b).ok())
}

prop_compose! {
    fn any_line()(
        principal in "[a-z][a-z0-9@-]{0,20}",
        namespaces in proptest::option::of(proptest::collection::vec("[a-z@.-]{1,20}", 1..4)),
        window in any_window(),
        comment in "([!-~\u{e9}]{1,8}( [!-~]{1,8})?)?",
    ) -> Line {
        Line::Entry(Box::new(Entry {
            principal: principal.parse().unwrap(),
            key: SignerKey::from_openssh(KEY).unwrap(),
            comment,
            namespaces,
            window,
        }))
    }
}

fn any_remark() -> impl Strategy<Value = Line> {
    "[ \t]{0,3}(#[ -~]{0,30})?".prop_map(Line::Remark)
}

proptest! {
    #[test]
    fn text_round_trips(lines in proptest::collection::vec(prop_oneof![any_line(), any_remark()], 0..6)) {
        let file = AllowedSigners { lines };
        prop_assert_eq!(AllowedSigners::parse(&file.to_text()).unwrap(), file);
    }

    #[test]
    fn garbage_never_panics(text in "(?s).{0,200}") {
        let _ = AllowedSigners::parse(&text);
    }

    #[test]
    fn nearly_right_lines_never_panic(
        text in "a [a-z=\", -]{0,10}(namespaces=\"|valid-after=\"|)[a-zA-Z0-9\", Z\\\\]{0,30} ssh-ed25519 [A-Za-z0-9=]{0,80}"
    ) {
        let _ = AllowedSigners::parse(&text);
    }
}
