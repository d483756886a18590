//! The sealed format, held in place: archives of released formats that must open for ever, and a
//! specification whose examples are true.

use std::path::{Path, PathBuf};
use std::process::Command;

use databasus_escrow::base::names::Slug;
use databasus_escrow::model::layout::Layout;
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::sealing::sshsig::SigningKey;

use crate::support;

mod archive;
mod specification;
mod writer;

/// Where the archive of format 1 lies.
fn golden(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/golden/v1").join(name)
}

fn golden_text(name: &str) -> String {
    std::fs::read_to_string(golden(name)).unwrap()
}

fn slug() -> Slug {
    "demo".parse().unwrap()
}

fn layout() -> Layout {
    Layout::new(&slug())
}

/// The key that signed the archive; it is public, and signs nothing else.
fn signing_key() -> SigningKey {
    SigningKey::from_openssh_pem(&golden_text("keys/escrow-demo")).unwrap()
}

fn manifest_bytes(seq: u64) -> Vec<u8> {
    std::fs::read(golden("store").join(layout().manifest(seq))).unwrap()
}

fn manifest(seq: u64) -> Manifest {
    serde_json::from_slice(&manifest_bytes(seq)).unwrap()
}

/// Whether these programs are on PATH; says so and skips where one is not.
fn stock_tools(tools: &[&str]) -> bool {
    let absent = |tool: &&&str| {
        let found = Command::new("sh")
            .args(["-c", "command -v \"$0\" >/dev/null", tool])
            .status();
        !found.unwrap().success()
    };
    match tools.iter().find(absent) {
        None => true,
        Some(tool) => {
            support::skip(&format!("{tool} is not on PATH"));
            false
        }
    }
}
