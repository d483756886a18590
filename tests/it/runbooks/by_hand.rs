//! The audit by hand, step by step, on a released archive.

use std::process::Command;

use super::page::{Page, repository};
use super::world::follow;
use crate::support::by_hand::Auditor;

/// The newest manifest of `tests/golden/v1`.
const MARK: &str = "2:72a56e36c0d5fc76f62e8748350f696dfdea6b7bbe2427aae0fc57355b27214f";

/// Runs bash in the repository; what it said, if it succeeded.
fn bash(script: &str) -> String {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("exec 2>&1\n{script}")])
        .current_dir(repository())
        .env("TZ", "Pacific/Auckland")
        .output();
    let output = output.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{script}\n{said}");
    said
}

#[test]
fn every_step_of_the_audit_by_hand_works_as_written() {
    if Auditor::new("").is_none() {
        return;
    }
    let golden = repository().join("tests/golden/v1");
    let path = |name: &str| format!("'{}'", golden.join(name).display());
    let values = [
        ("COPY", path("store/demo")),
        ("SIGNERS", path("trust/allowed_signers")),
        ("MARK", MARK.to_owned()),
        ("NOW", "2026-06-13T02:00:00Z".to_owned()),
    ];
    let page = Page::read("docs/AUDIT-BY-HAND.md");
    let said = follow(&page, &values, bash);
    assert!(said.contains(&format!("the chain ends with {MARK}")));
    assert!(said.contains("the signers are those that you know"));
}
