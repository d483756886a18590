//! What tests stand on: real servers, stock tools, and a way to skip that nobody overlooks.

pub mod by_hand;
pub mod chains;
pub mod disk;
pub mod docker;
pub mod escrowing;
pub mod fault_store;
pub mod fixture;
pub mod instance;
pub mod netns;
pub mod postgres;
pub mod sandbox;

use std::io::Write;
use std::path::{Path, PathBuf};

#[cfg(feature = "s3")]
pub mod faults;
#[cfg(feature = "s3")]
pub mod seaweed;

/// A program or folder that a test needs, named by an environment variable which `scripts/test`
/// sets. Where it is absent the test says so and is skipped; under `ESCROW_TEST_DEMAND=1`
/// (CI) it fails instead.
pub fn needed(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.exists());
    if found.is_none() {
        skip(&format!(
            "{variable} names nothing; run ./scripts/test, which sets up what the tests need"
        ));
    }
    found
}

/// The same for what nobody has to set up, and no run can demand: data that is not in the
/// repository, rights that not every machine gives.
pub fn optional(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        omit(&format!("{variable} is not set"));
    }
    found
}

/// Says that the running test is left out, and why.
pub fn omit(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not eprintln!, which the test runner swallows unless a test fails.
    let _ = writeln!(std::io::stderr(), "OMITTED {name}: {why}");
}

/// Says that the running test is skipped, and why; fails it where skipping is not allowed.
pub fn skip(why: &str) {
    assert!(
        std::env::var_os("ESCROW_TEST_DEMAND").is_none(),
        "this run demands every suite: {why}"
    );
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not eprintln!, which the test runner swallows unless a test fails.
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
}

/// Writes a program by way of another process: one that is still open for writing somewhere,
/// even in a child that a parallel test has just forked, cannot be executed.
pub fn write_program(path: &Path, text: &str) {
    let script = ["-c", r#"printf '%s' "$2" > "$1""#, "write"];
    let status = std::process::Command::new("sh")
        .args(script)
        .arg(path)
        .arg(text)
        .status();
    assert!(status.unwrap().success());
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}
