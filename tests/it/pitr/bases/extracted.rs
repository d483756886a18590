//! What is sound becomes directories.

use std::process::Command;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::databasus::objects::sidecar::Compression;
use databasus_escrow::ops::pitr::bases::{Bases, Replayed};

use super::bed::{Bed, owner, tree, ways};
use crate::support::chains::shared;
use crate::support::{needed, optional};

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
    if let Some(bin) = optional("ESCROW_TEST_PG18_BIN") {
        verify(&bin, &base.folder);
    }
}

#[test]
fn a_base_of_the_agent_may_have_any_checksums() {
    let (Some(bin), Some(chain)) = (needed("ESCROW_TEST_PG_BIN"), shared::wal_v1()) else {
        return;
    };
    let bed = Bed::of(&chain);
    let extracted = bed.extract(&bed.plan_of_agent()).unwrap();
    verify(&bin, &extracted[0].folder);
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
