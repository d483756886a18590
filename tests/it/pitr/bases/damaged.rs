//! Real base backups that something happened to since.

use std::fs;

use bytes::Bytes;
use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::error_chain::error_chain;
use databasus_escrow::databasus::backup_chain::facts::Seal;
use databasus_escrow::databasus::objects::sidecar::Compression;
use databasus_escrow::ops::pitr::bases::{Bases, BasesError, Damage};
use databasus_escrow::ops::pitr::open::OpenError;

use super::bed::{Bed, stored_as};
use crate::support::chains::Source;
use crate::support::chains::{Chain, How, Native, OTHER_KEY, shared};
use crate::support::disk::SmallDisk;
use crate::support::needed;

fn name(chain: &Chain) -> String {
    chain.first_full().object.clone()
}

#[test]
fn a_base_that_was_cut_behind_a_chunk_is_refused() {
    for compression in [Compression::Zstd, Compression::Gzip] {
        let Some(mut chain) = stored_as(compression, true) else {
            return;
        };
        let object = name(&chain);
        chain.cut_behind_chunk(&object, 1);
        let (error, text) = Bed::of(&chain).refusal();
        assert!(matches!(error, BasesError::Damaged { .. }), "{text}");
        assert!(text.starts_with(&format!("{object} is damaged")), "{text}");
    }
}

#[test]
fn a_part_that_was_cut_behind_a_chunk_is_refused() {
    let Some(mut chain) = stored_as(Compression::None, true) else {
        return;
    };
    let part = format!("{}.part000001", name(&chain));
    chain.cut_behind_chunk(&part, 1);
    let (_, text) = Bed::of(&chain).refusal();
    assert!(text.contains(&format!("{part} has ")), "{text}");
}

#[test]
fn a_plain_base_that_was_cut_names_the_file_where_it_ends() {
    let Some(mut chain) = stored_as(Compression::None, false) else {
        return;
    };
    let bytes = one_object(&mut chain);
    let (at, path) = in_the_middle_of_a_relation(&bytes);
    let object = name(&chain);
    chain.objects.insert(object, bytes.slice(..at));
    let (error, text) = Bed::of(&chain).refusal();
    assert!(matches!(error, BasesError::Damaged { .. }), "{text}");
    let expected = format!("the tar ends in the middle of {path}");
    assert!(text.ends_with(&expected), "{text}");
}

#[test]
fn a_changed_byte_is_noticed() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let object = name(&chain);
    chain.edit_stored(&object, |bytes| *bytes.last_mut().unwrap() ^= 1);
    let (error, text) = Bed::of(&chain).refusal();
    assert!(matches!(error, BasesError::Read { .. }), "{text}");
    assert!(text.starts_with(&format!("cannot read {object}")), "{text}");
}

#[test]
fn a_changed_byte_of_a_plain_base_names_its_file() {
    let Some(mut chain) = stored_as(Compression::None, false) else {
        return;
    };
    let mut bytes = one_object(&mut chain).to_vec();
    let (at, path) = in_the_middle_of_a_relation(&bytes);
    bytes[at] ^= 1;
    let object = name(&chain);
    chain.objects.insert(object, bytes.into());
    let (error, text) = Bed::of(&chain).refusal();
    assert!(matches!(error, BasesError::Mismatch { .. }), "{text}");
    let expected = format!("the content of {path} differs");
    assert!(text.contains(&expected), "{text}");
}

/// The base's content in one object instead of parts.
fn one_object(chain: &mut Chain) -> Bytes {
    let object = name(chain);
    chain.remove_object(&format!("{object}.parts"));
    let parts = format!("{object}.part");
    let is_part = |key: &String| key.starts_with(&parts);
    let keys: Vec<String> = chain
        .objects
        .keys()
        .filter(|k| is_part(k))
        .cloned()
        .collect();
    let pieces = keys.iter().map(|key| chain.objects.remove(key).unwrap());
    let whole = Bytes::from(pieces.collect::<Vec<_>>().concat());
    chain.objects.insert(object, whole.clone());
    whole
}

fn in_the_middle_of_a_relation(tar: &[u8]) -> (usize, String) {
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        if path.starts_with("base/5/") && entry.size() > 8192 {
            let at = usize::try_from(entry.raw_file_position()).unwrap();
            return (at + 5000, path);
        }
    }
    panic!("no relation in the tar");
}

#[test]
fn a_base_without_its_manifest_is_refused_before_it_is_fetched() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let object = chain.bases[1].object.clone();
    chain.remove_object(&format!("{object}.manifest"));
    let bed = Bed::of(&chain);
    let (error, text) = bed.refusal();
    assert!(
        matches!(&error, BasesError::NoManifest(name) if *name == object),
        "{text}"
    );
    assert_eq!(fs::read_dir(bed.staged()).unwrap().count(), 0);
}

#[test]
fn the_manifest_of_another_base_is_refused() {
    let Some(mut chain) = stored_as(Compression::Zstd, false) else {
        return;
    };
    let object = name(&chain);
    chain.edit_sidecar(&object, |sidecar| sidecar["stopLsn"] = "F/FFFFFFFF".into());
    let (error, text) = Bed::of(&chain).refusal();
    assert!(matches!(error, BasesError::Mismatch { .. }), "{text}");
    assert!(text.contains("another stretch of log"), "{text}");
}

#[test]
fn a_damaged_manifest_is_refused() {
    let Some(mut chain) = stored_as(Compression::Zstd, false) else {
        return;
    };
    let manifest = format!("{}.manifest", name(&chain));
    chain.edit_stored(&manifest, |bytes| bytes[300] ^= 1);
    let (error, text) = Bed::of(&chain).refusal();
    assert!(matches!(error, BasesError::Manifest { .. }), "{text}");
}

#[test]
fn a_base_of_another_release_or_compression_than_told_is_refused() {
    let Some(mut chain) = stored_as(Compression::Zstd, true) else {
        return;
    };
    let object = name(&chain);
    chain.edit_sidecar(&object, |sidecar| sidecar["pgVersion"] = 180_000.into());
    let (_, text) = Bed::of(&chain).refusal();
    assert!(text.contains("its PG_VERSION is"), "{text}");
    assert!(text.ends_with("it should be 18"), "{text}");
    chain.edit_sidecar(&object, |sidecar| sidecar["compression"] = "GZIP".into());
    let (_, text) = Bed::of(&chain).refusal();
    assert!(
        text.ends_with("compressed with gzip, and is compressed with zstd"),
        "{text}"
    );
}

#[test]
fn no_key_for_one_base_is_told_by_its_name() {
    let Some(source) = Source::start() else {
        return;
    };
    let mut native = Native::of(&source, "shop cluster");
    let full = native.full(&source);
    let incr = native.incr_as(&source, &full, How::with_key(OTHER_KEY));
    let bed = Bed::of(&native.chain(&source));
    let (error, text) = bed.refusal();
    assert!(
        matches!(error, BasesError::Open(OpenError::NoKey { .. })),
        "{text}"
    );
    assert!(text.contains(&incr.object), "{text}");
    assert_eq!(fs::read_dir(bed.staged()).unwrap().count(), 0);
}

#[test]
fn a_base_of_the_agent_that_was_cut_has_no_manifest() {
    let Some(mut chain) = shared::wal_v1() else {
        return;
    };
    let object = name(&chain);
    chain.cut_behind_chunk(&object, 1);
    let bed = Bed::of(&chain);
    let error = bed.extract(&bed.plan_of_agent()).unwrap_err();
    assert!(matches!(
        error,
        BasesError::Damaged {
            source: Damage::Unpack(_) | Damage::NoManifest,
            ..
        }
    ));
}

#[test]
fn a_disk_that_gets_full_on_the_way_is_told() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain);
    let small = bed.home().join("small");
    fs::create_dir(&small).unwrap();
    let Some(_disk) = SmallDisk::mount(&small, "6m") else {
        return;
    };
    let staged = small.join("staged");
    fs::create_dir(&staged).unwrap();
    let error = bed.extract_into(&staged, &bed.plan()).unwrap_err();
    let text = error_chain(&error);
    assert!(matches!(error, BasesError::NoRoom { .. }), "{text}");
    assert!(text.starts_with("there is no room left for "), "{text}");
    assert!(
        text.ends_with("No space left on device (os error 28)"),
        "{text}"
    );
}

#[test]
fn an_interruption_ends_it_on_the_way() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain);
    let (plan, cancel) = (bed.plan(), Cancel::new());
    let bases = Bases::look(bed.storage(), &plan, &cancel).unwrap();
    let seen = std::sync::atomic::AtomicU64::new(0);
    let interrupt = |bytes| {
        seen.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
        cancel.raise(15);
    };
    let error = bases
        .extract(&bed.staged(), 2, &cancel, &interrupt)
        .unwrap_err();
    assert!(matches!(error, BasesError::Interrupted(_)), "{error}");
    assert!(seen.into_inner() < bases.to_fetch() / 2);
}

#[test]
fn one_bad_base_ends_the_work_on_the_others() {
    let Some(_) = needed("ESCROW_TEST_PG_BIN") else {
        return;
    };
    let mut chain = shared::native().unwrap();
    let last = chain.bases[2].object.clone();
    chain.edit_stored(&last, |bytes| *bytes.last_mut().unwrap() ^= 1);
    let bed = Bed::of(&chain);
    let mut plan = bed.plan();
    let Seal::Encrypted { key, .. } = &mut plan.incrementals[1].stored.seal else {
        panic!("it is encrypted");
    };
    // As it was found before.
    *key = Some(1);
    let text = error_chain(&bed.extract(&plan).unwrap_err());
    assert!(text.starts_with(&format!("cannot read {last}")), "{text}");
}
