//! What real and composed instances left in their buckets.

use std::path::Path;
use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::databasus::objects::content::Content;
use databasus_escrow::databasus::objects::name::ObjectName;
use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::ops::recover::find::{Wanted, find};
use databasus_escrow::ops::recover::inventory::{Depth, Inventory, Kind, Row, State, take};
use databasus_escrow::ops::recover::keys::KeyRing;
use databasus_escrow::ops::recover::{RecoverError, Unrecognised, open};
use databasus_escrow::store::Store;
use databasus_escrow::store::dir::DirStore;
use serde_json::Value;
use uuid::Uuid;

use super::bed::{fixture, read_json};

struct Fixture {
    store: Arc<dyn Store>,
    keys: KeyRing,
    truth: Value,
}

/// What became of an object.
struct Outcome {
    content: Content,
    size: u64,
    sha256: String,
}

impl Fixture {
    fn open(name: &str) -> Option<Self> {
        let folder = fixture(name)?;
        let store = DirStore::open("fixture".parse().unwrap(), folder.join("r2")).unwrap();
        let mut keys = KeyRing::default();
        // A wrong one first: it must cost nothing but time.
        keys.add(
            SecretKey::new(vec![b'x'; 72]).unwrap(),
            "wrong".to_owned(),
            None,
        );
        keys.add(key(&folder), "right".to_owned(), None);
        Some(Self {
            store: Arc::new(store),
            keys,
            truth: read_json(&folder.join("truth.json")),
        })
    }

    fn recover(&self, wanted: &Wanted) -> Result<Outcome, RecoverError> {
        let cancel = Cancel::new();
        let target = find(self.store.as_ref(), wanted, &cancel, &mut |_| {}).unwrap();
        let backup = open(&self.store, &target, &self.keys, Unrecognised::Refuse, 2)?;
        let content = backup.content.clone();
        let copied = backup.copy_to(&mut std::io::sink(), &cancel, &|_| {})?;
        Ok(Outcome {
            content,
            size: copied.size,
            sha256: copied.sha256.to_string(),
        })
    }

    fn inventory(&self) -> Inventory {
        let cancel = Cancel::new();
        take(
            &self.store,
            &self.keys,
            Depth::Beginnings,
            &cancel,
            &mut |_| {},
        )
        .unwrap()
    }
}

fn key(folder: &Path) -> SecretKey {
    SecretKey::new(std::fs::read(folder.join("secret.key")).unwrap()).unwrap()
}

fn named(name: &str) -> Wanted {
    Wanted::Name(ObjectName::parse(name).unwrap())
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap()
}

/// Whether content is what `truth.json` says, in its words.
fn is_as_told(content: &Content, object: &Value) -> bool {
    match (text(object, "format"), object["holds"].as_str()) {
        ("pg_dump custom", _) => matches!(content, Content::PgDump(_)),
        ("zstd", Some("tar")) => {
            matches!(content, Content::BaseBackup { label: Some(_), .. })
        }
        ("zstd", Some(holds)) => {
            let Content::WalSegment(page) = content else {
                return false;
            };
            holds == format!("wal segment {}", page.segment)
        }
        _ => false,
    }
}

fn every_object_of_a_real_instance(name: &str) {
    let Some(fixture) = Fixture::open(name) else {
        return;
    };
    let objects = fixture.truth["objects"].as_array().unwrap();
    assert!(objects.len() > 15);
    for object in objects {
        let name = text(object, "name");
        let found = fixture.recover(&named(name));
        if text(object, "format") == "empty" {
            assert!(matches!(found, Err(RecoverError::FailedDump(_))), "{name}");
            continue;
        }
        let found = found.unwrap();
        assert_eq!(found.sha256, text(object, "plain_sha256"), "{name}");
        assert_eq!(Some(found.size), object["plain_bytes"].as_u64(), "{name}");
        assert!(
            is_as_told(&found.content, object),
            "{name}: {:?}",
            found.content
        );
    }
}

#[test]
fn every_object_of_a_real_3_42_0_recovers_or_is_the_failed_dump_that_it_is() {
    every_object_of_a_real_instance("real-3.42.0");
}

#[test]
fn every_object_of_a_real_3_49_0_recovers_or_is_the_failed_dump_that_it_is() {
    every_object_of_a_real_instance("real-3.49.0");
}

#[test]
fn every_composed_object_recovers() {
    for name in ["databasus-3.42.0", "databasus-3.49.0"] {
        let Some(fixture) = Fixture::open(name) else {
            return;
        };
        let mut compared = 0;
        for object in fixture.truth.as_array().unwrap() {
            let Some(sha256) = object["sha256_plain"].as_str() else {
                continue;
            };
            let file = text(object, "file");
            assert_eq!(
                fixture.recover(&named(file)).unwrap().sha256,
                sha256,
                "{file}"
            );
            compared += 1;
        }
        assert!(compared >= 9, "{name}: {compared}");
    }
}

#[test]
fn wal_is_found_by_the_id_that_only_its_sidecar_knows() {
    let Some(fixture) = Fixture::open("real-3.49.0") else {
        return;
    };
    let id = Uuid::try_parse("e1104a3d-6472-408c-a77b-c964bb34f83e").unwrap();
    let found = fixture.recover(&Wanted::Id(id)).unwrap();
    let sha256 = "e853ca526ea1c851fcb6031b4fe3a4f16cd91ce01c63e10b0eba52d144a0cc92";
    assert_eq!(found.sha256, sha256);
}

fn states(rows: &[Row], kind: Kind) -> Vec<State> {
    let of_kind = rows.iter().filter(|row| row.kind == kind);
    of_kind.map(|row| row.state).collect()
}

#[test]
fn an_inventory_of_3_49_0_knows_every_kind() {
    let Some(fixture) = Fixture::open("real-3.49.0") else {
        return;
    };
    let rows = fixture.inventory().backups;
    for (kind, count) in [
        (Kind::PgDump, 6),
        (Kind::Full, 1),
        (Kind::Incremental, 2),
        (Kind::Wal, 9),
    ] {
        assert_eq!(
            states(&rows, kind),
            vec![State::Committed; count],
            "{kind:?}"
        );
    }
    assert_eq!(states(&rows, Kind::Unknown), [State::FailedDump]);
    let clusters = rows.iter().filter(|row| row.database_id.is_some());
    assert!(
        clusters
            .clone()
            .all(|row| row.database.as_deref() == Some("pg17_cluster"))
    );
    let opened = rows.iter().filter_map(|row| row.opened_by.as_ref());
    assert!(opened.clone().count() == 16 && opened.clone().all(|key| key.source == "right"));
    let billing = rows
        .iter()
        .find(|row| row.name.starts_with("heatwave-"))
        .unwrap();
    assert_eq!(billing.dumped_database.as_deref(), Some("billing"));
    assert_eq!(billing.size, Some(16_476));
}

#[test]
fn an_inventory_of_3_42_0_tells_wal_v1_by_its_content() {
    let Some(fixture) = Fixture::open("real-3.42.0") else {
        return;
    };
    let rows = fixture.inventory().backups;
    assert_eq!(states(&rows, Kind::WalV1Base), [State::ByContent]);
    let segments = rows.iter().filter(|row| row.kind == Kind::WalV1Segment);
    let segments: Vec<&str> = segments.filter_map(|row| row.segment.as_deref()).collect();
    let expected: Vec<String> = (0x14..=0x1A)
        .map(|number| format!("00000001{:08X}{number:08X}", 0))
        .collect();
    assert_eq!(segments, expected);
}

#[test]
fn the_keys_of_another_instance_open_nothing() {
    let (Some(fixture), Some(other)) = (Fixture::open("real-3.42.0"), fixture("real-3.49.0"))
    else {
        return;
    };
    let mut keys = KeyRing::default();
    keys.add(key(&other), "other".to_owned(), None);
    let wrong = Fixture { keys, ..fixture };
    let rows = wrong.inventory().backups;
    let encrypted = rows.iter().filter(|row| row.encrypted == Some(true));
    assert!(encrypted.clone().count() > 10);
    assert!(encrypted.clone().all(|row| row.opened_by.is_none()));
    let plain = rows
        .iter()
        .find(|row| row.encrypted == Some(false))
        .unwrap();
    assert!(wrong.recover(&named(&plain.name)).is_ok());
    let sealed = rows.iter().find(|row| row.kind == Kind::Dump).unwrap();
    let refused = wrong.recover(&named(&sealed.name));
    assert!(matches!(refused, Err(RecoverError::NoKey { tried: 1, .. })));
}
