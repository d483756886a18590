//! What is sound becomes directories.

use std::io::Read as _;
use std::process::Command;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::error_chain::error_chain;
use databasus_escrow::databasus::backup_file::Header;
use databasus_escrow::databasus::objects::sidecar::Compression;
use databasus_escrow::ops::pitr::bases::{Bases, Replayed};

use super::bed::{Bed, owner, tree, ways};
use crate::support::chains::{Chain, How, KEY, format, secret_key, shared};
use crate::support::needed;
use sha2::Digest as _;

fn verify(bin: &std::path::Path, folder: &std::path::Path) {
    let output = Command::new(bin.join("pg_verifybackup"))
        // It is checked, and not written.
        .args(["--ignore=tablespace_map", "--exit-on-error"])
        .arg(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_real_chain_is_what_postgresql_says_it_is() {
    let (Some(bin), Some(bed)) = (needed("ESCROW_TEST_PG_BIN"), Bed::of_fixture("real-3.49.0"))
    else {
        return;
    };
    let extracted = bed.extract(&bed.plan()).unwrap();
    let folders: Vec<_> = extracted.iter().map(|base| base.folder.clone()).collect();
    let expected = ["full", "incr-1", "incr-2"].map(|name| bed.staged().join(name));
    assert_eq!(folders, expected);
    for base in &extracted {
        verify(&bin, &base.folder);
        assert_eq!(base.control.system_identifier, 7_711_194_790_945_369_124);
        assert_eq!(base.pg_major, 17);
        assert_eq!(base.files, 2366 + 2);
    }
    let begins = extracted.iter().map(|base| base.wal[0].start.to_string());
    assert_eq!(
        begins.collect::<Vec<_>>(),
        ["0/23000028", "0/27000028", "0/2A000028"]
    );
    assert_eq!(extracted[0].fetched, 5_885_580 + 474_039);
}

#[test]
fn files_are_for_postgresql_alone() {
    let Some(bed) = Bed::of_fixture("real-3.49.0") else {
        return;
    };
    bed.extract(&bed.plan()).unwrap();
    let tree = tree(&bed.staged());
    assert!(tree.len() > 7000);
    for (path, (mode, uid)) in tree {
        let expected = match mode & 0o170_000 {
            0o040_000 => 0o700,
            _ => 0o600,
        };
        assert_eq!((mode & 0o7777, uid), (expected, owner()), "{path}");
        assert!(!path.ends_with("tablespace_map"), "{path}");
    }
}

#[test]
fn a_real_base_of_the_agent_carries_its_own_manifest() {
    let Some(bed) = Bed::of_fixture("real-3.42.0") else {
        return;
    };
    let extracted = bed.extract(&bed.plan_of_agent()).unwrap();
    let [base] = extracted.as_slice() else {
        panic!("{extracted:?}");
    };
    assert_eq!(base.control.system_identifier, 7_711_193_569_678_944_882);
    assert_eq!(base.pg_major, 18);
    assert_eq!(base.wal[0].end.to_string(), "0/15000120");
    assert!(base.folder.join("backup_manifest").exists());
    if let Some(bin) = needed("ESCROW_TEST_PG18_BIN") {
        verify(&bin, &base.folder);
    }
}

/// The agent leaves PostgreSQL's default, and somebody may have told `pg_basebackup` otherwise.
#[test]
fn a_base_of_the_agent_may_have_any_checksums() {
    let (Some(bin), Some(mut chain)) = (needed("ESCROW_TEST_PG_BIN"), shared::wal_v1()) else {
        return;
    };
    let bed = Bed::of(&chain);
    let extracted = bed.extract(&bed.plan_of_agent()).unwrap();
    verify(&bin, &extracted[0].folder);
    // Files are summed on their way, and here once more.
    with_sha_512(&mut chain, |line| line.to_owned());
    let bed = Bed::of(&chain);
    let extracted = bed.extract(&bed.plan_of_agent()).unwrap();
    let manifest = std::fs::read_to_string(extracted[0].folder.join("backup_manifest")).unwrap();
    assert!(manifest.contains("\"Checksum-Algorithm\": \"SHA512\""));
    verify(&bin, &extracted[0].folder);
    with_sha_512(&mut chain, |line| {
        let at = line.find("\"Checksum\": \"").unwrap() + 13;
        let other = if line[at..].starts_with('0') {
            "1"
        } else {
            "0"
        };
        format!("{}{other}{}", &line[..at], &line[at + 1..])
    });
    let bed = Bed::of(&chain);
    let error = bed.extract(&bed.plan_of_agent()).unwrap_err();
    let text = error_chain(&error);
    assert!(text.contains("the content of PG_VERSION differs"), "{text}");
}

/// Writes the base again with a manifest of SHA-512, whose lines `edit` may change.
fn with_sha_512(chain: &mut Chain, edit: impl Fn(&str) -> String) {
    let base = chain.bases[0].clone();
    let stored = chain.objects[&base.object].clone();
    let packed = chain.opened(stored, How::default(), base.id);
    let tar = zstd::decode_all(&*packed).unwrap();
    let mut entries = tar::Archive::new(&*tar);
    let (mut lines, mut end) = (Vec::new(), 0);
    for entry in entries.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        if path == "backup_manifest" {
            end = usize::try_from(entry.raw_header_position()).unwrap();
        } else if entry.header().entry_type().is_file() && !path.starts_with("pg_wal/") {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let sum = hex::encode(sha2::Sha512::digest(&content));
            let size = content.len();
            lines.push(edit(&format!(
                "{{ \"Path\": \"{path}\", \"Size\": {size}, \"Checksum-Algorithm\": \"SHA512\", \
                 \"Checksum\": \"{sum}\" }}"
            )));
        }
    }
    let old = String::from_utf8(base.manifest).unwrap();
    let (head, rest) = old.split_once("\"Files\": [\n").unwrap();
    let (_, ranges) = rest.split_once("\n],\n").unwrap();
    let (ranges, _) = ranges.split_once("\"Manifest-Checksum\"").unwrap();
    let body = format!("{head}\"Files\": [\n{}\n],\n{ranges}", lines.join(",\n"));
    let own = Digest::of(body.as_bytes());
    let manifest = format!("{body}\"Manifest-Checksum\": \"{own}\"}}\n");
    let mut builder = tar::Builder::new(tar[..end].to_vec());
    let mut header = tar::Header::new_ustar();
    header.set_size(manifest.len() as u64);
    let put = builder.append_data(&mut header, "backup_manifest", manifest.as_bytes());
    put.unwrap();
    let tar = builder.into_inner().unwrap();
    let (key, mut again) = (secret_key(KEY), Vec::new());
    let seal = Some((&key, Header::random()));
    format::pack(&mut &*tar, &mut again, Compression::Zstd, seal, base.id).unwrap();
    chain.objects.insert(base.object, again.into());
}

#[test]
fn every_way_of_storing_a_base_is_read() {
    let (Some(bin), Some(ways)) = (needed("ESCROW_TEST_PG_BIN"), ways()) else {
        return;
    };
    for (how, chain) in ways {
        let list = format!("{}.parts", chain.first_full().object);
        let is_whole = how.compression != Compression::None;
        assert_eq!(!chain.objects.contains_key(&list), is_whole, "{how:?}");
        let bed = Bed::of(&chain);
        let extracted = bed.extract(&bed.plan()).unwrap();
        verify(&bin, &extracted[0].folder);
    }
}

#[test]
fn the_room_is_known_before_anything_is_fetched() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain);
    let (mut plan, cancel) = (bed.plan(), Cancel::new());
    plan.segment_size = Some(chain.segment_size);
    let bases = Bases::look(bed.storage(), &plan, &cancel).unwrap();
    let need = bases.needed(Replayed::Here);
    assert!(!need.is_lower_bound);
    bases.extract(&bed.staged(), 2, &cancel, &|_| {}).unwrap();
    let taken = disk_usage(&bed.staged());
    let spare = need.bases.checked_sub(taken);
    // Little more than what it came to, and never less.
    assert!(
        spare.is_some_and(|spare| spare < taken / 5),
        "{need:?}, {taken}"
    );
}

/// `du` in bytes.
fn disk_usage(folder: &std::path::Path) -> u64 {
    let output = Command::new("du").arg("-sk").arg(folder).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let kilobytes: u64 = text.split_whitespace().next().unwrap().parse().unwrap();
    kilobytes * 1024
}

#[test]
fn the_room_of_a_base_of_the_agent_is_a_lower_bound() {
    let Some(chain) = shared::wal_v1() else {
        return;
    };
    let bed = Bed::of(&chain);
    let plan = bed.plan_of_agent();
    let bases = Bases::look(bed.storage(), &plan, &Cancel::new()).unwrap();
    let need = bases.needed(Replayed::Later);
    assert!(need.is_lower_bound);
    assert_eq!(need.bases, bases.to_fetch());
    assert_eq!(need.combined, 0);
}

#[test]
fn progress_tells_every_byte() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain);
    let (plan, cancel) = (bed.plan(), Cancel::new());
    let bases = Bases::look(bed.storage(), &plan, &cancel).unwrap();
    let told = std::sync::atomic::AtomicU64::new(0);
    let progress = |bytes| {
        told.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
    };
    bases.extract(&bed.staged(), 2, &cancel, &progress).unwrap();
    let (told, whole) = (told.into_inner(), bases.to_fetch());
    // Headers and tags of the encryption are not told.
    assert!(
        told <= whole && told > whole / 100 * 99,
        "{told} of {whole}"
    );
}
