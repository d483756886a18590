//! Instances with several custodians, and stock tools beside them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::sandbox::{Host, Sandbox, files, json, the_file};
use crate::support::skip;

/// Runs bash in a folder; its output if it succeeded, else what it said.
pub fn bash(folder: &Path, script: &str) -> Result<String, String> {
    let output = Command::new("bash")
        .args(["-c", script])
        .current_dir(folder)
        .env_remove("SSH_AUTH_SOCK")
        .env("HOME", folder)
        .output()
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(said(&output.stdout)),
        false => Err(said(&output.stderr)),
    }
}

/// Whether the stock tools are there; says so where they are not.
pub fn has_stock_tools() -> bool {
    let tools = "command -v age age-keygen ssh-keygen base64 sha256sum od zstd tar";
    let found = bash(Path::new("/"), tools);
    if let Err(found) = &found {
        skip(&format!("stock tools are missing; there are {found:?}"));
    }
    found.is_ok()
}

/// A host named `demo` with the custodians alice, bob and carol, any `k` of whom open an escrow;
/// its one store is `usb`. None where something is missing.
pub fn host_of_three<'s>(sandbox: &'s Sandbox, k: Option<u32>) -> Option<Host<'s>> {
    if !has_stock_tools() {
        return None;
    }
    let data = sandbox.tiny_instance()?;
    let others =
        ["bob", "carol"].map(|who| format!("--recipient {who}={}", sandbox.recipient(who)));
    let store = format!("usb=dir:{}", sandbox.folder("usb").display());
    let host = sandbox.host_with(&data, &[store], &others.join(" "));
    host.set_method("frozen");
    if let Some(k) = k {
        host.edit("# k = 2", &format!("k = {k}"));
    }
    Some(host)
}

/// The newest manifest in the store.
pub fn newest_manifest(sandbox: &Sandbox) -> Value {
    let manifests = files(&sandbox.path("usb/demo/manifest"));
    let (_, bytes) = manifests.last().unwrap();
    serde_json::from_slice(bytes).unwrap()
}

/// An object of the only escrow in the store, by the end of its name.
pub fn object(sandbox: &Sandbox, end: &str) -> PathBuf {
    the_file(&sandbox.path("usb/demo/escrow"), end)
}

/// A document on standard output.
pub fn document(host: &Host<'_>, line: &str) -> Value {
    json(&host.run(&format!("{line} --json")))
}

/// The host's configuration without its source, where identities may be: of `k` custodians
/// together, or of each.
pub fn without_source(host: &Host<'_>, k: Option<i64>) -> PathBuf {
    let text = std::fs::read_to_string(&host.config).unwrap();
    let mut config: toml::Table = text.parse().unwrap();
    config.remove("source").unwrap();
    config.remove("custody");
    if let Some(k) = k {
        let custody = toml::Table::from_iter([("k".to_owned(), k.into())]);
        config.insert("custody".to_owned(), custody.into());
    }
    let path = host.config.with_file_name("rekey.toml");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}
