use serde_json::json;

use super::*;
use crate::store::memory::MemoryStore;

const CLUSTER: u128 = 77;

fn store() -> MemoryStore {
    MemoryStore::new("bucket".parse().unwrap())
}

fn name(label: &str, minute: u32, id: u128) -> String {
    format!("{label}-20261123-03{minute:02}00-{}", Uuid::from_u128(id))
}

fn put(store: &MemoryStore, name: &str) {
    store.put_if_absent(name, b"content").unwrap();
}

fn put_sidecar(store: &MemoryStore, name: &str, sidecar: &serde_json::Value) {
    let key = format!("{name}.metadata");
    let text = sidecar.to_string();
    store.put_if_absent(&key, text.as_bytes()).unwrap();
}

fn put_dump(store: &MemoryStore, name: &str, id: u128) {
    put(store, name);
    let sidecar = json!({"backupId": Uuid::from_u128(id), "encryption": "NONE"});
    put_sidecar(store, name, &sidecar);
}

fn put_full(store: &MemoryStore, name: &str, id: u128, cluster: u128) {
    put(store, name);
    let sidecar = json!({
        "backupId": Uuid::from_u128(id), "databaseId": Uuid::from_u128(cluster),
        "backupType": "FULL", "systemIdentifier": 7, "pgVersion": 170_000, "timelineId": 1,
        "startLsn": "0/1", "stopLsn": "0/2", "compressedSizeBytes": 7, "compression": "ZSTD",
        "encryption": "NONE", "createdAt": "2026-11-23T03:09:08Z",
        "completedAt": "2026-11-23T03:09:09Z",
    });
    put_sidecar(store, name, &sidecar);
}

fn look(store: &MemoryStore, wanted: &Wanted) -> Result<Target, FindError> {
    find(store, wanted, &Cancel::new(), &mut |_| {})
}

fn latest_of(store: &MemoryStore, database: &str) -> Result<String, FindError> {
    let found = look(store, &Wanted::Latest(database.to_owned()))?;
    Ok(found.name.to_string())
}

#[test]
fn the_newest_committed_one_is_the_latest() {
    let store = store();
    put_dump(&store, &name("a_b", 1, 1), 1);
    put_dump(&store, &name("a_b", 2, 2), 2);
    put(&store, &name("a_b", 3, 3));
    put_dump(&store, &name("a_b_c", 4, 4), 4);
    assert_eq!(latest_of(&store, "a b").unwrap(), name("a_b", 2, 2));
    let found = look(&store, &Wanted::Latest("a_b".to_owned())).unwrap();
    assert_eq!(found.newer_uncommitted, [name("a_b", 3, 3)]);
}

#[test]
fn a_database_called_after_a_kind_is_not_the_cluster_of_that_name() {
    let store = store();
    put_dump(&store, &name("x-FULL", 2, 2), 2);
    assert!(matches!(
        latest_of(&store, "x"),
        Err(FindError::NothingCommitted { .. })
    ));
    assert_eq!(latest_of(&store, "x-FULL").unwrap(), name("x-FULL", 2, 2));
    put_full(&store, &name("x-FULL", 1, 1), 1, CLUSTER);
    assert_eq!(latest_of(&store, "x").unwrap(), name("x-FULL", 1, 1));
    assert_eq!(latest_of(&store, "x-FULL").unwrap(), name("x-FULL", 2, 2));
}

#[test]
fn several_databases_of_one_name_are_not_chosen_from() {
    let store = store();
    put_full(&store, &name("x-FULL", 1, 1), 1, CLUSTER);
    put_full(&store, &name("x-FULL", 2, 2), 2, CLUSTER + 1);
    put_dump(&store, &name("x", 3, 3), 3);
    let Err(FindError::Ambiguous { newest, .. }) = latest_of(&store, "x") else {
        panic!("something was chosen");
    };
    assert_eq!(newest.len(), 3);
}

#[test]
fn one_id_under_two_names_is_not_chosen_from() {
    let store = store();
    put_dump(&store, &name("x", 1, 1), 1);
    assert!(look(&store, &Wanted::Id(Uuid::from_u128(1))).is_ok());
    put_dump(&store, &name("y", 1, 1), 1);
    let found = look(&store, &Wanted::Id(Uuid::from_u128(1)));
    assert!(matches!(found, Err(FindError::SameId { names, .. }) if names.len() == 2));
    let found = look(&store, &Wanted::Id(Uuid::from_u128(2)));
    assert!(matches!(found, Err(FindError::NoSuchId(_))));
}

#[test]
fn a_name_is_found_by_any_of_its_objects() {
    let store = store();
    let base = name("x", 1, 1);
    put_dump(&store, &base, 1);
    for (suffix, stream) in [
        ("", Stream::Content),
        (".metadata", Stream::Content),
        (".parts", Stream::Content),
        (".part000007", Stream::Content),
        (".manifest", Stream::Manifest),
        (".manifest.parts", Stream::Manifest),
    ] {
        let wanted = ObjectName::parse(&format!("{base}{suffix}")).unwrap();
        let found = look(&store, &Wanted::Name(wanted)).unwrap();
        assert_eq!(
            (found.name.to_string(), found.stream),
            (base.clone(), stream)
        );
        assert!(found.is_committed());
    }
}
