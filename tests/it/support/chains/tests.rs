//! What is made here is read as what it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use databasus_escrow::databasus::objects::sidecar::Compression;
use serde_json::Value;

use super::*;
use crate::support::sandbox::{Sandbox, json};

/// Every backup of a chain by its object's name, as `recover --list` shows it.
fn listed(chain: &Chain, key: &str) -> BTreeMap<String, Value> {
    let sandbox = Sandbox::new();
    let key = sandbox.file("secret.key", key);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&key, private).unwrap();
    chain.write_to(&sandbox.path("bucket"));
    let line = "recover --from ../bucket --secret-key ../secret.key --list --json";
    let document = json(&sandbox.run(line).success());
    let rows = document["backups"].as_array().unwrap().iter();
    rows.map(|row| (row["name"].as_str().unwrap().to_owned(), row.clone()))
        .collect()
}

fn kinds(rows: &BTreeMap<String, Value>) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for row in rows.values() {
        assert_eq!(row["problem"], Value::Null, "{row}");
        *kinds
            .entry(row["kind"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    kinds
}

fn counted<const N: usize>(kinds: [(&str, usize); N]) -> BTreeMap<String, usize> {
    kinds.map(|(kind, count)| (kind.to_owned(), count)).into()
}

/// The plaintext of a base's tar, uncompressed.
fn tar_of(chain: &Chain, base: &TakenBase) -> Vec<u8> {
    let stored = &chain.objects[&base.object];
    zstd::decode_all(&*chain.opened(stored.clone(), How::default(), base.id)).unwrap()
}

/// PostgreSQL's own judgement of a base.
fn verify(source: &Source, tar: &[u8], manifest: &[u8]) {
    let folder = source.server().scratch_dir().join("verify");
    fs::create_dir(&folder).unwrap();
    tar::Archive::new(tar).unpack(&folder).unwrap();
    fs::write(folder.join("backup_manifest"), manifest).unwrap();
    source.server().give_to_server(&folder);
    let words = [Path::new("--no-parse-wal"), &folder].map(|path| path.to_str().unwrap());
    let output = source.server().run("pg_verifybackup", &words);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_native_chain_is_listed_as_one() {
    let Some(chain) = shared::native() else {
        return;
    };
    let rows = listed(&chain, KEY);
    let expected = counted([("full", 1), ("incremental", 2), ("wal", 7)]);
    assert_eq!(kinds(&rows), expected);
    for base in &chain.bases {
        let row = &rows[&base.object];
        assert_eq!(row["start_lsn"], base.range.start.to_string());
        assert_eq!(row["database"], "shop_cluster");
    }
    assert!(rows.values().all(|row| row["encrypted"] == true));
}

#[test]
fn an_agents_chain_is_listed_as_one() {
    let Some(chain) = shared::wal_v1() else {
        return;
    };
    let rows = listed(&chain, KEY);
    assert_eq!(kinds(&rows)["wal-v1-base"], 1);
    assert_eq!(kinds(&rows)["wal-v1-segment"], chain.segments.len());
    for taken in &chain.segments {
        let row = &rows[&taken.object];
        assert_eq!(row["segment"], taken.segment.to_string());
    }
}

#[test]
fn postgresql_accepts_what_a_full_backup_holds() {
    let Some(source) = Source::start() else {
        return;
    };
    let mut native = Native::of(&source, "shop");
    native.full(&source);
    let chain = native.chain(&source);
    let full = chain.first_full();
    let tar = tar_of(&chain, full);
    verify(&source, &tar, &full.manifest);
    let mut archive = tar::Archive::new(&*tar);
    let names = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        entry.path().unwrap().to_str().unwrap().to_owned()
    });
    let names: Vec<String> = names.collect();
    assert!(names.contains(&"tablespace_map".to_owned()), "{names:?}");
    assert!(!names.contains(&"backup_manifest".to_owned()));
}

#[test]
fn postgresql_accepts_what_an_agents_base_holds() {
    let Some(source) = Source::start() else {
        return;
    };
    let mut agent = WalV1::of(&source, "shop");
    let base = agent.base(&source);
    verify(
        &source,
        &tar_of(&agent.chain(&source), &base),
        &base.manifest,
    );
}

#[test]
fn a_base_beyond_16_mib_is_in_parts() {
    let Some(source) = Source::start() else {
        return;
    };
    source.load(20);
    let mut native = Native::of(&source, "shop");
    let how = How {
        part: Some(12 << 20),
        ..How::default()
    };
    let full = native.full_as(&source, how);
    let chain = native.chain(&source);
    assert!(!chain.objects.contains_key(&full.object));
    assert!(
        chain
            .objects
            .contains_key(&format!("{}.part000002", full.object))
    );
    let rows = listed(&chain, KEY);
    assert_eq!(kinds(&rows), counted([("full", 1)]));
    assert!(rows[&full.object]["stored_size"].as_u64().unwrap() > 20 << 20);
}

#[test]
fn objects_are_compressed_and_encrypted_as_is_asked_for() {
    let Some(source) = Source::start() else {
        return;
    };
    let mut native = Native::of(&source, "shop");
    let gzip = native.full_as(&source, How::compressed(Compression::Gzip));
    let how = How {
        compression: Compression::None,
        ..How::plain()
    };
    let tar = native.full_as(&source, how);
    source.switch_wal();
    native.wal_as(&source, How::with_key(OTHER_KEY));
    let chain = native.chain(&source);
    let stored = |base: &TakenBase| chain.objects[&base.object].clone();
    let opened = chain.opened(stored(&gzip), How::default(), gzip.id);
    assert_eq!(opened[..2], [0x1F, 0x8B]);
    let parts = Bytes::from(chain.objects[&format!("{}.part000001", tar.object)].to_vec());
    assert_eq!(&parts[257..262], b"ustar");
    let rows = listed(&chain, OTHER_KEY);
    let opens = |object: &str| !rows[object]["opened_by"].is_null();
    assert!(chain.segments.iter().all(|taken| opens(&taken.object)));
    assert!(!opens(&gzip.object));
}

#[test]
fn a_segment_can_be_written_again() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = chain.segment(1);
    let before = chain.segment_content(&taken);
    chain.rewrite_segment(&taken, How::with_key(OTHER_KEY), |bytes| bytes[8192] ^= 1);
    let after = chain.segment_content(&chain.segment(1));
    assert_eq!(after.len() as u64, chain.segment_size.bytes());
    let differing = before.iter().zip(&after).filter(|(a, b)| a != b);
    assert_eq!(differing.count(), 1);
    let rows = listed(&chain, KEY);
    assert_eq!(rows[&taken.object]["opened_by"], Value::Null);
}

#[test]
fn a_promotion_has_its_history_file_and_two_timelines() {
    let Some(mut source) = Source::start() else {
        return;
    };
    let mut native = Native::of(&source, "shop");
    native.full(&source);
    source.sentinel();
    source.switch_wal();
    native.wal(&source);
    source.promote();
    source.sentinel();
    source.switch_wal();
    native.wal(&source);
    native.histories(&source);
    let chain = native.chain(&source);
    let timelines: Vec<u32> = chain.segments.iter().map(|t| t.segment.timeline).collect();
    assert!(
        timelines.contains(&1) && timelines.contains(&2),
        "{timelines:?}"
    );
    let last = chain.segments.last().unwrap();
    assert_eq!(last.segment.timeline, 2);
    assert_eq!(kinds(&listed(&chain, KEY))["history"], 1);
}

#[test]
fn a_thousand_segments_are_quick() {
    let Some(source) = Source::start() else {
        return;
    };
    let mut native = Native::of(&source, "shop");
    native.full(&source);
    source.many_segments(1000);
    native.wal_as(&source, How::plain());
    let chain = native.chain(&source);
    assert!(chain.segments.len() >= 1000);
    let names: Vec<String> = chain
        .segments
        .iter()
        .map(|t| t.segment.to_string())
        .collect();
    assert!(names.is_sorted());
}
