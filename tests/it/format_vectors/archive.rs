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

use super::{Archive, REKEYED, TWO_OF_THREE, V1, layout, slug};

/// Who has to open what.
const ARCHIVES: [&Archive; 3] = [&V1, &TWO_OF_THREE, &REKEYED];

pub(super) fn store_at(root: &Path) -> Arc<dyn Store> {
    Arc::new(DirStore::open("vault".parse().unwrap(), root.to_owned()).unwrap())
}

pub(super) fn trust_in_the_file(archive: &Archive) -> Trust {
    let allowed = AllowedSigners::parse(&archive.text("trust/allowed_signers")).unwrap();
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

/// What is signed of an archive, by whom its own file names.
pub(super) fn history_of(archive: &Archive) -> History {
    read_history(&archive.path("store"), trust_in_the_file(archive), None)
}

/// What readers take for the manifest of the escrow in this place of the chain.
pub(super) fn escrow(archive: &Archive, seq: u64) -> Manifest {
    let history = history_of(archive);
    let mut escrows = history.escrows();
    let (entry, _) = escrows.find(|(entry, _)| entry.link.seq == seq).unwrap();
    history.load(entry).unwrap()
}

/// What came out of a payload.
pub(super) struct Opened {
    index: Index,
    files: BTreeMap<String, Digest>,
}

pub(super) fn identities(archive: &Archive, files: &[&str]) -> Identities {
    let read = |file: &&str| {
        let text = Zeroizing::new(archive.text(file));
        Identities::parse(file, text).unwrap()
    };
    let mut all = files.iter().map(read);
    let mut together = all.next().unwrap();
    all.for_each(|one| together.extend(one));
    together
}

pub(super) fn unpack(
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

/// Opens an escrow of an archive with these identities.
pub(super) fn open_with(
    archive: &Archive,
    seq: u64,
    files: &[&str],
) -> Result<Opened, UnpackError> {
    let manifest = escrow(archive, seq);
    unpack(
        &archive.path("store"),
        &manifest,
        &identities(archive, files),
    )
}

/// The index of the first archive's escrow `seq`.
pub(super) fn index_of(seq: u64) -> Index {
    open_with(&V1, seq, &["keys/alice.age"]).unwrap().index
}

/// The files as `sha256sum` lists them.
pub(super) fn contents(opened: &Opened) -> String {
    let lines = opened.files.iter();
    lines
        .map(|(path, hash)| format!("{hash}  {path}\n"))
        .collect()
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
fn every_archive_is_the_one_that_was_written_once() {
    for archive in ARCHIVES {
        let mut lines = BTreeMap::new();
        for folder in ["store", "listing", "trust", "keys"] {
            hash_tree(archive, folder, &mut lines);
        }
        let all: String = lines.into_values().collect();
        let tree = Digest::of(all.as_bytes()).to_string();
        assert_eq!(tree, archive.tree, "{}", archive.folder);
    }
}

fn hash_tree(archive: &Archive, name: &str, lines: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(archive.path(name)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{name}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            hash_tree(archive, &path, lines);
        } else {
            let digest = Digest::of(&std::fs::read(entry.path()).unwrap());
            lines.insert(path.clone(), format!("{digest}  {path}\n"));
        }
    }
}

#[test]
fn our_reader_finds_every_chain_whole() {
    for (archive, newest, escrows) in [(&V1, 2, 2), (&TWO_OF_THREE, 1, 1), (&REKEYED, 2, 1)] {
        let head = Mark {
            seq: newest,
            manifest_sha256: Digest::of(&archive.manifest_bytes(newest)),
        };
        let trust = trust_in_the_file(archive);
        let history = read_history(&archive.path("store"), trust, Some(head));
        assert_eq!(history.findings, [], "{}", archive.folder);
        assert_eq!(history.mark(), Some(head));
        let found: Vec<_> = history.escrows().map(|(_, found)| &found.id).collect();
        let signed: Vec<_> = (1..=escrows)
            .map(|seq| archive.manifest(seq).escrow_id)
            .collect();
        assert_eq!(found, signed.iter().collect::<Vec<_>>());
    }
}

#[test]
fn the_fingerprint_on_a_card_is_trust_enough() {
    let trust = Trust::new(AllowedSigners::new(), vec![V1.signing_key().fingerprint()]);
    let history = read_history(&V1.path("store"), trust, None);
    assert_eq!(history.findings, []);
    assert_eq!(history.entries.len(), 2);
}

#[test]
fn a_stranger_finds_nothing_it_could_use() {
    let trust = Trust::new(AllowedSigners::new(), Vec::new());
    let history = read_history(&V1.path("store"), trust, None);
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
    for archive in ARCHIVES {
        for (seq, files) in archive.openers {
            let opened = open_with(archive, *seq, files).unwrap();
            let listing = std::fs::read_to_string(archive.listing(&archive.manifest(*seq)));
            let which = format!("{}: escrow {seq} with {files:?}", archive.folder);
            assert_eq!(contents(&opened), listing.unwrap(), "{which}");
        }
    }
}

#[test]
fn who_joined_later_opens_nothing_older() {
    let opened = open_with(&V1, 1, &["keys/bob"]);
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

/// `tar` restores what the listing says, from what `age` and `zstd` make of the object. Where two
/// custodians have to come together, one `age` is piped into the other.
#[test]
fn stock_tools_open_every_payload() {
    const OPEN: &str = r#"
        case $# in
          4) age -d -i "$4" "$1" ;;
          6) age -d -i <(age -d -i "$4" "$6" | age -d -i "$5") "$1" ;;
        esac | zstd -d | tar -x -f - --no-same-owner -C "$2"
        cd "$2"
        sha256sum --strict --check "$3"
        files=$(find . -type f ! -path ./escrow/index.json | wc -l)
        test "$files" = "$(wc -l < "$3")"
    "#;
    if !super::stock_tools(&["age", "zstd", "tar", "sha256sum"]) {
        return;
    }
    for archive in ARCHIVES {
        for (seq, files) in archive.openers {
            let (manifest, out) = (escrow(archive, *seq), tempfile::tempdir().unwrap());
            let object = |key: &str| archive.path("store").join(key);
            let keys = files.iter().map(|file| archive.path(file));
            let unlock = unlock_file(&manifest, files).map(object);
            let run = Command::new("bash")
                .args(["-euo", "pipefail", "-c", OPEN, "bash"])
                .args([&object(&layout().payload(manifest.sealed())), out.path()])
                .arg(archive.listing(&manifest))
                .args(keys.chain(unlock))
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&run.stderr);
            let which = format!("{}: escrow {seq} with {files:?}", archive.folder);
            assert!(run.status.success(), "{which}: {told}");
        }
    }
}

/// What those who hold these identities open together; none where each of them can alone.
fn unlock_file<'m>(manifest: &'m Manifest, files: &[&str]) -> Option<&'m str> {
    let holds = |at: usize, name: &str| files[at].starts_with(&format!("keys/{name}"));
    let mut unlock = manifest.unlock.iter();
    let found = unlock.find(|one| {
        let mut people = one.custodians.iter().enumerate();
        people.all(|(at, name)| holds(at, name.as_str()))
    });
    found.map(|one| one.key.as_str())
}
