use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::store::memory::MemoryStore;

fn store() -> MemoryStore {
    MemoryStore::new("bucket".parse().unwrap())
}

fn base(number: u128) -> String {
    format!("shop-20261119-131727-{}", Uuid::from_u128(number))
}

fn put_backup(store: &MemoryStore, number: u128) {
    let name = base(number);
    let sidecar = json!({"backupId": Uuid::from_u128(number), "encryption": "NONE"});
    store.put_if_absent(&name, b"PGDMP").unwrap();
    let key = format!("{name}.metadata");
    store
        .put_if_absent(&key, sidecar.to_string().as_bytes())
        .unwrap();
}

fn list_quietly(store: &dyn Store) -> Grouped {
    list(store, &Cancel::new(), &mut |_| {}).unwrap()
}

#[test]
fn a_listing_tells_how_far_it_is() {
    let store = store();
    for number in 0..600 {
        put_backup(&store, number);
    }
    let mut told = Vec::new();
    let grouped = list(&store, &Cancel::new(), &mut |seen| told.push(seen)).unwrap();
    assert_eq!(grouped.backups.len(), 600);
    assert_eq!(told, [1000, 1200]);
}

#[test]
fn half_a_listing_is_an_error() {
    let store = store();
    put_backup(&store, 1);
    let cancel = Cancel::new();
    cancel.raise(2);
    let refused = list(&store, &cancel, &mut |_| {}).unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Interrupted);
}

#[test]
fn every_sidecar_comes_once_with_its_place() {
    let store = store();
    for number in 0..100 {
        put_backup(&store, number);
    }
    let groups = list_quietly(&store).backups;
    let mut seen = vec![0; groups.len()];
    read_sidecars(&store, &groups, |index, found| {
        assert_eq!(found.get().map(Sidecar::id), groups[index].name.id());
        seen[index] += 1;
        ControlFlow::Continue(())
    });
    assert!(seen.iter().all(|times| *times == 1));
}

#[test]
fn sidecars_that_are_not_good_are_told_apart() {
    let store = store();
    store.put_if_absent(&base(1), b"PGDMP").unwrap();
    put_backup(&store, 2);
    for (number, text) in [(3, "{"), (4, r#"{"backupId":"x"}"#)] {
        store.put_if_absent(&base(number), b"PGDMP").unwrap();
        let key = format!("{}.metadata", base(number));
        store.put_if_absent(&key, text.as_bytes()).unwrap();
    }
    let groups = list_quietly(&store).backups;
    store.delete(&format!("{}.metadata", base(2))).unwrap();
    let found = groups.iter().map(|group| read_sidecar(&store, group));
    let found: Vec<_> = found.collect();
    assert!(matches!(
        found.as_slice(),
        [
            FoundSidecar::Absent,
            FoundSidecar::Absent,
            FoundSidecar::Unusable(_),
            FoundSidecar::Unusable(_)
        ]
    ));
}
