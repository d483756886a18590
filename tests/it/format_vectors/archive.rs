//! The archive as a reader finds it, ours and stock tools alike.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::entry_path::EntryPath;
use databasus_escrow::model::allowed_signers::AllowedSigners;
use databasus_escrow::model::index::{Index, expected_rows};
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::model::mark::Mark;
use databasus_escrow::model::trust::Trust;
use databasus_escrow::ops::history::{History, Request};
use databasus_escrow::ops::open;
use databasus_escrow::sealing::identities::Identities;
use databasus_escrow::sealing::unpack::{EntryVisitor, UnpackError};
use databasus_escrow::store::Store;
use databasus_escrow::store::dir::DirStore;
use zeroize::Zeroizing;

use super::{golden, golden_text, layout, manifest, manifest_bytes, signing_key, slug};

/// SHA-256 over the lines that `sha256sum` prints for every file of the archive, sorted by path:
/// `find store listing trust keys -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`
const TREE: &str = "df14cbbe95a1bbeb81bb3980eb3f31f1b3142cb4d646a983a0ccfdf159786132";

/// Who opens which: bob joined on the second night.
const OPENERS: [(u64, &str); 3] = [
    (1, "keys/alice.age"),
    (2, "keys/alice.age"),
    (2, "keys/bob"),
];

fn store_at(root: &Path) -> Arc<dyn Store> {
    Arc::new(DirStore::open("vault".parse().unwrap(), root.to_owned()).unwrap())
}

pub(super) fn trust_in_the_file() -> Trust {
    let allowed = AllowedSigners::parse(&golden_text("trust/allowed_signers")).unwrap();
    Trust::new(allowed, Vec::new())
}

pub(super) fn read_history(root: &Path, trust: Trust, mark: Option<Mark>) -> History {
    History::read(Request {
        slug: &slug(),
        stores: &[store_at(root)],
        trust,
        mark,
        since_mark: false,
        up_to: None,
        now: "2026-06-13T12:00:00Z".parse().unwrap(),
        cancel: &Cancel::new(),
    })
    .unwrap()
}

/// What came out of a payload.
pub(super) struct Opened {
    index: Index,
    files: BTreeMap<String, Digest>,
}

/// Opens an escrow with one identity.
pub(super) fn unpack(root: &Path, manifest: &Manifest, identity: &str) -> Opened {
    let text = Zeroizing::new(golden_text(identity));
    let identities = Identities::parse(identity, text).unwrap();
    unpack_with(root, manifest, &identities).unwrap()
}

fn unpack_with(
    root: &Path,
    manifest: &Manifest,
    identities: &Identities,
) -> Result<Opened, UnpackError> {
    let (stores, cancel) = ([store_at(root)], Cancel::new());
    let mut files = Hashes::default();
    let ignore = Box::new(|_| {});
    let opened = open::open(manifest, &stores, identities, &mut files, &cancel, ignore)?;
    assert_eq!(opened.findings, []);
    Ok(Opened {
        index: opened.index,
        files: files.0,
    })
}

/// The index of the archive's escrow `seq`.
pub(super) fn index_of(seq: u64) -> Index {
    unpack(&golden("store"), &manifest(seq), "keys/alice.age").index
}

/// The files as `sha256sum` lists them.
pub(super) fn contents(opened: &Opened) -> String {
    let lines = opened.files.iter();
    lines
        .map(|(path, hash)| format!("{hash}  {path}\n"))
        .collect()
}

/// The listing of one escrow's files.
pub(super) fn listing_of(manifest: &Manifest) -> String {
    format!("listing/{}.sha256", manifest.escrow_id)
}

#[derive(Default)]
struct Hashes(BTreeMap<String, Digest>);

impl EntryVisitor for Hashes {
    fn directory(&mut self, _: &EntryPath, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn file(&mut self, path: &EntryPath, _: u32, _: u64, content: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        self.0.insert(path.as_str().to_owned(), Digest::of(&bytes));
        Ok(())
    }
}

#[test]
fn the_archive_is_the_one_that_was_written_once() {
    let mut lines = BTreeMap::new();
    for folder in ["store", "listing", "trust", "keys"] {
        hash_tree(folder, &mut lines);
    }
    let all: String = lines.into_values().collect();
    assert_eq!(Digest::of(all.as_bytes()).to_string(), TREE);
}

fn hash_tree(name: &str, lines: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(golden(name)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{name}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            hash_tree(&path, lines);
        } else {
            let digest = Digest::of(&std::fs::read(entry.path()).unwrap());
            lines.insert(path.clone(), format!("{digest}  {path}\n"));
        }
    }
}

#[test]
fn our_reader_finds_the_chain_whole() {
    let head = Mark {
        seq: 2,
        manifest_sha256: Digest::of(&manifest_bytes(2)),
    };
    let history = read_history(&golden("store"), trust_in_the_file(), Some(head));
    assert_eq!(history.findings, []);
    assert_eq!(history.mark(), Some(head));
    let escrows: Vec<_> = history
        .escrows()
        .map(|(_, found)| found.id.clone())
        .collect();
    assert_eq!(escrows, [manifest(1).escrow_id, manifest(2).escrow_id]);
}

#[test]
fn the_fingerprint_on_a_card_is_trust_enough() {
    let trust = Trust::new(AllowedSigners::new(), vec![signing_key().fingerprint()]);
    let history = read_history(&golden("store"), trust, None);
    assert_eq!(history.findings, []);
    assert_eq!(history.entries.len(), 2);
}

#[test]
fn a_stranger_finds_nothing_it_could_use() {
    let trust = Trust::new(AllowedSigners::new(), Vec::new());
    let history = read_history(&golden("store"), trust, None);
    assert!(history.entries.is_empty());
    assert!(
        history
            .findings
            .iter()
            .any(|f| f.id == "unverified-manifest")
    );
}

#[test]
fn every_file_has_its_listed_content() {
    for (seq, identity) in OPENERS {
        let manifest = manifest(seq);
        let opened = unpack(&golden("store"), &manifest, identity);
        let listing = golden_text(&listing_of(&manifest));
        assert_eq!(contents(&opened), listing, "escrow {seq} with {identity}");
    }
}

#[test]
fn who_joined_later_opens_nothing_older() {
    let text = Zeroizing::new(golden_text("keys/bob"));
    let bob = Identities::parse("bob", text).unwrap();
    let opened = unpack_with(&golden("store"), &manifest(1), &bob);
    assert!(matches!(opened, Err(UnpackError::NoIdentity)));
}

#[test]
fn what_was_written_to_meanwhile_has_no_expected_count() {
    use databasus_escrow::model::index::ExpectedRows::{Exactly, Unknown};
    let index = index_of(2);
    let (before, after) = (index.catalogue_before, index.catalogue_after);
    let rows = expected_rows(&before.unwrap(), &after.unwrap());
    assert_eq!(rows["users"], Exactly(2));
    assert_eq!(rows["backups"], Unknown);
}

/// `tar` restores what the listing says, from what `age` and `zstd` make of the object.
#[test]
fn stock_tools_open_every_payload() {
    const OPEN: &str = r#"
        age -d -i "$1" "$2" | zstd -d | tar -x -f - --no-same-owner -C "$3"
        cd "$3"
        sha256sum --strict --check "$4"
        files=$(find . -type f ! -path ./escrow/index.json | wc -l)
        test "$files" = "$(wc -l < "$4")"
    "#;
    if !super::stock_tools(&["age", "zstd", "tar", "sha256sum"]) {
        return;
    }
    for (seq, identity) in OPENERS {
        let (manifest, out) = (manifest(seq), tempfile::tempdir().unwrap());
        let object = layout().payload(&manifest.escrow_id);
        let run = Command::new("bash")
            .args(["-euo", "pipefail", "-c", OPEN, "bash"])
            .args([golden(identity), golden("store").join(object)])
            .args([out.path(), &golden(&listing_of(&manifest))])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "escrow {seq} with {identity}: {told}");
    }
}
