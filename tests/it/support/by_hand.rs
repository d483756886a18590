//! An auditor who has a copy of a bucket, stock tools and `scripts/audit-by-hand`, and no other program.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use databasus_escrow::base::time::UtcTime;
use databasus_escrow::model::mark::Mark;
use databasus_escrow::store::{Store, list_all};
use tempfile::TempDir;

/// What an auditor holds, and what came of an audit.
pub struct Auditor {
    folder: TempDir,
}

/// What the script told.
#[derive(Debug)]
pub struct Told {
    pub exit: i32,
    /// Ids of findings.
    pub ids: BTreeSet<String>,
    /// Everything that it said.
    pub said: String,
}

impl Auditor {
    /// None, audibly, where the tools are not installed.
    pub fn new(allowed_signers: &str) -> Option<Self> {
        for tool in ["ssh-keygen", "jq", "sha256sum"] {
            if Command::new(tool).arg("--version").output().is_err() {
                super::skip(&format!("{tool} is not on PATH"));
                return None;
            }
        }
        let folder = super::instance::scratch();
        fs::write(folder.path().join("allowed_signers"), allowed_signers).unwrap();
        Some(Self { folder })
    }

    pub fn signers(&self) -> PathBuf {
        self.folder.path().join("allowed_signers")
    }

    /// A copy of what a store shows to whoever lists it.
    pub fn copy(&self, store: &dyn Store) -> PathBuf {
        let copy = self.folder.path().join(format!("copy-{}", store.name()));
        let _ = fs::remove_dir_all(&copy);
        for object in list_all(store, "", None).unwrap() {
            let file = copy.join(&object.key);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            let bytes = store.get(&object.key, 64 << 20).unwrap().bytes;
            fs::write(file, bytes).unwrap();
        }
        copy
    }

    /// Runs the script on an instance's folder in a copy.
    pub fn audit(&self, folder: &Path, mark: Option<Mark>, now: UtcTime) -> Told {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/audit-by-hand");
        let mut command = Command::new("bash");
        command.args([script, "--now", &now.to_string()]);
        if let Some(mark) = mark {
            command.args(["--mark", &mark.to_string()]);
        }
        let output = command
            .arg(folder)
            .arg(self.signers())
            .env("TMPDIR", self.folder.path())
            .env("TZ", "Pacific/Auckland")
            .output();
        let output = output.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{said}");
        Told {
            exit: output.status.code().unwrap(),
            ids: said.lines().filter_map(id).collect(),
            said,
        }
    }
}

/// The id in `FAIL copy-missing: …`; none in the last line, which is the verdict.
fn id(line: &str) -> Option<String> {
    let (_, id) = line.split_once(": ")?.0.split_once(' ')?;
    Some(id.to_owned())
}
