//! Imports without a database: what is decided for any selection of a bucket's objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::base::digest::Digest;
use crate::databasus::catalogue_rows::{Engine, KnownDatabase, KnownRow, Table};
use crate::databasus::schema::Generation;
use crate::databasus::storages::{Storage, StorageKind};
use crate::ops::storages::StorageUnavailable;
use crate::store::Store;
use crate::store::memory::MemoryStore;

/// One storage, whatever is in it.
struct One(Arc<dyn Store>);

impl OpenStorage for One {
    fn open(&self, _: &Storage, _: &SecretKey) -> Result<Arc<dyn Store>, StorageUnavailable> {
        Ok(self.0.clone())
    }
}

type Object = (String, Vec<u8>);

/// A catalogue that imports are applied to.
#[derive(Clone)]
struct Catalogue {
    generation: Generation,
    databases: Vec<KnownDatabase>,
    rows: Vec<KnownRow>,
}

/// A row as far as order could change it.
type Listed = (Table, Uuid, Uuid, Option<Box<str>>);

impl Catalogue {
    fn new(generation: Generation, databases: Vec<KnownDatabase>) -> Self {
        Self {
            generation,
            databases,
            rows: Vec::new(),
        }
    }

    fn import(&mut self, objects: &[Object]) -> Vec<LeftOut> {
        let store = MemoryStore::new("memory".parse().unwrap());
        for (name, bytes) in objects {
            store.put_if_absent(name, bytes).unwrap();
        }
        let key = SecretKey::new(vec![b'k'; 72]).unwrap();
        let storage = Storage {
            id: id(1),
            name: "bucket".to_owned(),
            kind: StorageKind::Local,
        };
        let cancel = Cancel::new();
        let open = One(Arc::new(store));
        let survey = Survey::make(vec![storage], &open, &key, &cancel, &|_| ()).unwrap();
        let known = Known::new(self.databases.clone(), self.rows.clone());
        let examination = Examination {
            keys: &[&key],
            generation: self.generation,
            parts: true,
        };
        let settings = ImportSettings {
            create_placeholders: true,
            ..ImportSettings::default()
        };
        let listening = Listening {
            cancel: &cancel,
            on_progress: &|_| (),
        };
        let decided = decide(&known, &survey, &examination, &settings, &listening).unwrap();
        self.rows.retain(|row| !decided.ghosts.has(row.id));
        self.rows
            .extend(decided.plan.rows.iter().map(|row| row.as_known()));
        let made = decided.plan.placeholders.into_iter();
        self.databases.extend(made.map(|made| KnownDatabase {
            id: made.id,
            name: made.name,
            engine: made.engine,
            source: made.source,
            storage: Some(made.storage),
        }));
        decided.plan.left_out
    }

    fn listed(&self) -> (BTreeSet<Uuid>, Vec<Listed>) {
        let rows = self.rows.iter();
        let mut rows: Vec<Listed> = rows
            .map(|row| (row.table, row.id, row.database, row.file_name.clone()))
            .collect();
        rows.sort();
        (self.databases.iter().map(|one| one.id).collect(), rows)
    }
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn mysql(number: u128, name: &str, source: &str) -> KnownDatabase {
    KnownDatabase {
        id: id(number),
        name: name.to_owned(),
        engine: Engine::MySql,
        source: Some(source.to_owned()),
        storage: Some(id(1)),
    }
}

fn file_name(label: &str, number: u128) -> String {
    format!("{label}-20261123-0311{:02}-{}", number % 60, id(number))
}

/// A dump in SQL, which says what it is a dump of.
fn dump(label: &str, number: u128, source: &str) -> Vec<Object> {
    let name = file_name(label, number);
    let text = format!("-- MySQL dump 10.13\n--\n-- Host: db    Database: {source}\n");
    let sidecar = json!({"backupId": id(number), "encryption": "NONE",
        "encryptionSalt": null, "encryptionIV": null});
    vec![
        (name.clone(), zstd(text.as_bytes())),
        (format!("{name}.metadata"), sidecar.to_string().into_bytes()),
    ]
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 1).unwrap()
}

fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_cksum();
        tar.append_data(&mut header, name, bytes.as_slice())
            .unwrap();
    }
    tar.into_inner().unwrap()
}

/// The first page of the segment with this number.
fn page(number: u64, system: u64) -> Vec<u8> {
    let mut page = vec![0; 8192];
    page[0..2].copy_from_slice(&0xD118u16.to_le_bytes());
    page[2..4].copy_from_slice(&2u16.to_le_bytes());
    page[4..8].copy_from_slice(&1u32.to_le_bytes());
    page[8..16].copy_from_slice(&(number << 24).to_le_bytes());
    page[24..32].copy_from_slice(&system.to_le_bytes());
    page[32..36].copy_from_slice(&(16u32 << 20).to_le_bytes());
    page[36..40].copy_from_slice(&8192u32.to_le_bytes());
    page
}

fn label(number: u64) -> Vec<u8> {
    format!(
        "START WAL LOCATION: 0/{number:X}000028 (file 0000000100000000{number:08X})\n\
         LABEL: agent\nSTART TIMELINE: 1\n"
    )
    .into_bytes()
}

fn manifest(number: u64) -> Vec<u8> {
    let body = format!(
        "{{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [],\n\"WAL-Ranges\": [\n\
         {{ \"Timeline\": 1, \"Start-LSN\": \"0/{number:X}000028\", \"End-LSN\": \"0/{number:X}000120\" }}\n],\n"
    );
    let digest = Digest::of(body.as_bytes());
    format!("{body}\"Manifest-Checksum\": \"{digest}\"}}\n").into_bytes()
}

fn wal_v1_base(name: &str, number: u128, segment: u64, system: u64) -> Vec<Object> {
    let own = format!("pg_wal/0000000100000000{segment:08X}");
    let files = [
        ("backup_label", label(segment)),
        (own.as_str(), page(segment, system)),
        ("backup_manifest", manifest(segment)),
    ];
    vec![(file_name(name, number), zstd(&tar(&files)))]
}

fn wal_v1_segment(name: &str, number: u128, segment: u64, system: u64) -> Vec<Object> {
    vec![(file_name(name, number), zstd(&page(segment, system)))]
}

fn physical(
    kind: &str,
    number: u128,
    database: u128,
    start: u64,
    more: serde_json::Value,
) -> Vec<Object> {
    let short = if kind == "FULL" { "FULL" } else { "INCR" };
    let name = file_name(&format!("cluster-{short}"), number);
    let content = zstd(&tar(&[("backup_label", label(start))]));
    let mut sidecar = json!({"backupId": id(number), "databaseId": id(database), "backupType": kind,
        "systemIdentifier": 7u64, "pgVersion": 170_000, "timelineId": 1,
        "startLsn": format!("0/{start:X}000028"), "stopLsn": format!("0/{start:X}000120"),
        "uncompressedSizeBytes": 0, "compressedSizeBytes": content.len(), "encryption": "NONE",
        "compression": "ZSTD", "createdAt": "2026-11-23T03:10:05Z", "completedAt": "2026-11-23T03:10:06Z"});
    for (key, value) in more.as_object().unwrap() {
        sidecar[key] = value.clone();
    }
    vec![
        (format!("{name}.metadata"), sidecar.to_string().into_bytes()),
        (format!("{name}.manifest"), b"{}".to_vec()),
        (name, content),
    ]
}

fn wal(number: u128, database: u128, segment: u64) -> Vec<Object> {
    let segment_name = format!("0000000100000000{segment:08X}");
    let name = format!("{}-WAL-tl1-{segment_name}.zst", id(database));
    let content = zstd(&page(segment, 7));
    let sidecar = json!({"walSegmentId": id(number), "databaseId": id(database), "timelineId": 1,
        "walFilename": segment_name, "startLsn": format!("0/{segment:X}000000"),
        "endLsn": format!("0/{:X}000000", segment + 1), "compressedSizeBytes": content.len(),
        "encryption": "NONE", "receivedAt": "2026-11-23T03:10:05Z"});
    vec![
        (format!("{name}.metadata"), sidecar.to_string().into_bytes()),
        (name, content),
    ]
}

fn dumps() -> Vec<Vec<Object>> {
    vec![
        dump("shop", 100, "prod"),
        dump("shop", 101, "test"),
        dump("shop", 102, "elsewhere"),
        dump("once", 103, "moved"),
        dump("unknown", 104, "left"),
        dump("unknown", 105, "right"),
        dump("unknown", 106, "left"),
        dump("x-FULL", 107, "x"),
    ]
}

fn databases() -> Vec<KnownDatabase> {
    vec![
        mysql(10, "shop", "prod"),
        mysql(11, "shop", "test"),
        mysql(12, "once", "once"),
        mysql(13, "x-FULL", "x"),
        mysql(14, "x", "x"),
    ]
}

/// Each with all of its objects.
fn backups(generation: Generation) -> Vec<Vec<Object>> {
    let mut all = dumps();
    all.extend(match generation {
        Generation::UpTo342 => vec![
            wal_v1_base("agent", 200, 0x15, 7),
            wal_v1_base("agent", 201, 0x18, 8),
            wal_v1_segment("agent", 202, 0x14, 7),
            wal_v1_segment("agent", 203, 0x15, 7),
            wal_v1_segment("agent", 204, 0x17, 8),
            wal_v1_segment("agent", 205, 0x19, 8),
        ],
        Generation::From343 => vec![
            physical("FULL", 300, 20, 0x23, json!({})),
            physical(
                "INCREMENTAL",
                301,
                20,
                0x25,
                json!({"rootFullBackupId": id(300)}),
            ),
            physical(
                "INCREMENTAL",
                302,
                20,
                0x27,
                json!({"rootFullBackupId": id(300), "parentIncrementalBackupId": id(301)}),
            ),
            physical("FULL", 303, 20, 0x29, json!({})),
            wal(310, 20, 0x22),
            wal(311, 20, 0x24),
            wal(312, 20, 0x2A),
            wal(313, 21, 0x24),
        ],
    });
    all
}

fn chosen(all: &[Vec<Object>], which: &[bool]) -> Vec<Object> {
    let chosen = all.iter().zip(which).filter(|(_, chosen)| **chosen);
    chosen.flat_map(|(objects, _)| objects.clone()).collect()
}

#[test]
fn segments_of_wal_v1_follow_the_base_of_their_own_cluster() {
    let mut catalogue = Catalogue::new(Generation::UpTo342, databases());
    let all = backups(Generation::UpTo342);
    let left_out = catalogue.import(&chosen(&all, &[true; 16]));
    let came = |number| catalogue.rows.iter().any(|row| row.id == id(number));
    let expected = [true, true, false, true, false, true];
    assert_eq!([200, 201, 202, 203, 204, 205].map(came), expected);
    let unreachable = left_out
        .iter()
        .filter(|one| one.reason == Reason::Unreachable);
    assert_eq!(unreachable.count(), 2);
}

#[test]
fn twins_unknown_names_and_lookalikes_each_find_their_own() {
    let mut catalogue = Catalogue::new(Generation::From343, databases());
    let all = backups(Generation::From343);
    let left_out = catalogue.import(&chosen(&all, &[true; 16]));
    let database_of = |number| {
        let row = catalogue.rows.iter().find(|row| row.id == id(number));
        row.map(|row| row.database)
    };
    assert_eq!(database_of(100), Some(id(10)));
    assert_eq!(database_of(101), Some(id(11)));
    assert_eq!(database_of(102), None);
    assert_eq!(database_of(103), Some(id(12)));
    assert_eq!(database_of(107), Some(id(13)));
    // Two databases of one unknown name got one placeholder each.
    assert_eq!(database_of(104), database_of(106));
    assert_ne!(database_of(104), database_of(105));
    let reasons: BTreeMap<&str, Reason> = left_out
        .iter()
        .map(|one| (one.object.as_str(), one.reason))
        .collect();
    assert_eq!(reasons[file_name("shop", 102).as_str()], Reason::Ambiguous);
    // Before the full backup, and of a database that nobody knows.
    let unreachable = reasons
        .values()
        .filter(|reason| **reason == Reason::Unreachable);
    assert_eq!(unreachable.count(), 1);
    let unknown = reasons
        .values()
        .filter(|reason| **reason == Reason::UnknownDatabase);
    assert_eq!(unknown.count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_selection_in_any_order_twice_gives_the_same_catalogue(
        old: bool,
        first in prop::collection::vec(any::<bool>(), 16),
        second in prop::collection::vec(any::<bool>(), 16),
    ) {
        let generation = if old { Generation::UpTo342 } else { Generation::From343 };
        let all = backups(generation);
        let grown: Vec<bool> = first.iter().zip(&second).map(|(a, b)| *a || *b).collect();

        let mut steps = Catalogue::new(generation, databases());
        steps.import(&chosen(&all, &first));
        let once = steps.listed();
        steps.import(&chosen(&all, &first));
        prop_assert_eq!(&steps.listed(), &once);
        steps.import(&chosen(&all, &grown));

        let mut at_once = Catalogue::new(generation, databases());
        at_once.import(&chosen(&all, &grown));
        prop_assert_eq!(steps.listed(), at_once.listed());
    }
}
