//! What `pg_basebackup` gives: a tar, and the manifest of its files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use databasus_escrow::postgres::backup_manifest::{BackupManifest, WalRange};

use super::source::Source;

/// A base backup.
pub struct BaseBackup {
    pub tar: Vec<u8>,
    pub manifest: Vec<u8>,
    pub range: WalRange,
}

/// How many files are made is told by nobody; the folder's name only has to be new.
fn folder(source: &Source) -> PathBuf {
    let name = format!("base-{}", uuid::Uuid::from_u128(rand::random()));
    source.server().scratch_dir().join(name)
}

impl BaseBackup {
    /// As releases since 3.43 take one: without the manifest in the tar. Incremental where the
    /// manifest of another one is given.
    pub fn take(source: &Source, label: &str, since: Option<&[u8]>) -> Self {
        let folder = folder(source);
        let mut more = Vec::new();
        let earlier = folder.with_extension("earlier");
        if let Some(manifest) = since {
            fs::write(&earlier, manifest).unwrap();
            source.server().give_to_server(&earlier);
            more.extend(["--incremental", earlier.to_str().unwrap()]);
        }
        run(source, label, &folder, &more);
        let manifest = fs::read(folder.join("backup_manifest")).unwrap();
        let taken = Self::new(fs::read(folder.join("base.tar")).unwrap(), manifest);
        fs::remove_dir_all(&folder).unwrap();
        taken
    }

    /// As the agent of 3.17 to 3.42 takes one: the manifest is the last file of the tar, and has
    /// checksums of PostgreSQL's own choice.
    pub fn take_for_agent(source: &Source, label: &str) -> Self {
        let output = run(source, label, Path::new("-"), &[]);
        let manifest = in_tar(&output.stdout, "backup_manifest");
        Self::new(output.stdout, manifest)
    }

    fn new(tar: Vec<u8>, manifest: Vec<u8>) -> Self {
        let ranges = BackupManifest::wal_ranges_of(&manifest).unwrap();
        let [range] = ranges.try_into().unwrap();
        Self {
            tar,
            manifest,
            range,
        }
    }
}

fn run(source: &Source, label: &str, target: &Path, more: &[&str]) -> Output {
    let server = source.server();
    let mut command = server.command("pg_basebackup");
    command
        .args([
            "-Ft",
            "-X",
            "fetch",
            "-c",
            "fast",
            "--no-sync",
            "-U",
            "postgres",
        ])
        .args(["-p", &server.port().to_string(), "-l", label, "-h"])
        .arg(server.socket_dir())
        .arg("-D")
        .arg(target)
        .args(more);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pg_basebackup: {said}");
    output
}

/// A file's content.
pub fn in_tar(tar: &[u8], wanted: &str) -> Vec<u8> {
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().to_str() == Some(wanted) {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            return content;
        }
    }
    panic!("no {wanted} in the tar");
}
