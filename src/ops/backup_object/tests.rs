use std::io::Read as _;

use serde_json::json;

use super::*;
use crate::store::memory::MemoryStore;

const NAME: &str = "media-20261123-031021-dd1c7d3f-5887-4cd7-863c-d7319cb296d6";

fn content(length: usize) -> Vec<u8> {
    (0..=250u8).cycle().take(length).collect()
}

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new("bucket".parse().unwrap()))
}

fn stored_whole(bytes: &[u8]) -> Arc<dyn Store> {
    let store = store();
    store.put_if_absent(NAME, bytes).unwrap();
    store
}

/// Parts as Databasus makes them, but smaller.
fn stored_in_parts(parts: &[&[u8]]) -> Arc<dyn Store> {
    let store = store();
    let mut list = Vec::new();
    for (number, bytes) in (1..).zip(parts) {
        let key = format!("{NAME}.part{number:06}");
        store.put_if_absent(&key, bytes).unwrap();
        list.push(json!({"key": format!("prefix/{key}"), "size": bytes.len(),
                         "sha256": Digest::of(bytes)}));
    }
    let total: usize = parts.iter().map(|bytes| bytes.len()).sum();
    let list = json!({"version": 1, "totalSize": total, "parts": list});
    let key = format!("{NAME}.parts");
    store
        .put_if_absent(&key, list.to_string().as_bytes())
        .unwrap();
    store
}

fn replace(store: &Arc<dyn Store>, key: &str, bytes: &[u8]) {
    store.delete(key).unwrap();
    store.put_if_absent(key, bytes).unwrap();
}

fn read(object: &BackupObject) -> Result<Vec<u8>, BackupObjectError> {
    let mut found = Vec::new();
    let read = object
        .reader(PartDigests::Check)
        .unwrap()
        .read_to_end(&mut found);
    let inner = |error: std::io::Error| *error.into_inner().unwrap().downcast().unwrap();
    read.map(|_| found).map_err(inner)
}

fn find(store: &Arc<dyn Store>) -> Result<BackupObject, BackupObjectError> {
    BackupObject::find(store, NAME)
}

#[test]
fn a_single_object_is_read_whole_and_in_ranges() {
    let bytes = content(20 << 20);
    let object = find(&stored_whole(&bytes)).unwrap();
    assert_eq!((object.size(), object.objects()), (20 << 20, 1));
    assert!(read(&object).unwrap() == bytes);
    assert_eq!(object.range(7..19).unwrap(), &bytes[7..19]);
    assert_eq!(object.beginning(5).unwrap(), &bytes[..5]);
    assert_eq!(object.beginning(1 << 40).unwrap().len(), 20 << 20);
}

#[test]
fn parts_are_one_stream() {
    let bytes = content(9 << 20);
    let (a, rest) = bytes.split_at(1000);
    let (b, c) = rest.split_at(8 << 20);
    let object = find(&stored_in_parts(&[a, b, c])).unwrap();
    assert_eq!((object.size(), object.objects()), (9 << 20, 3));
    assert!(read(&object).unwrap() == bytes);
    assert_eq!(object.range(990..1010).unwrap(), &bytes[990..1010]);
    let across = 900..(8 << 20) + 1100;
    let expected = &bytes[900..(8 << 20) + 1100];
    assert!(object.range(across).unwrap() == expected);
}

#[test]
fn the_list_of_parts_goes_before_a_single_object() {
    let store = stored_in_parts(&[b"parts"]);
    store.put_if_absent(NAME, b"whole").unwrap();
    assert_eq!(read(&find(&store).unwrap()).unwrap(), b"parts");
}

#[test]
fn an_empty_object_is_read() {
    let object = find(&stored_whole(b"")).unwrap();
    assert_eq!(read(&object).unwrap(), b"");
    assert!(object.beginning(100).unwrap().is_empty());
}

#[test]
fn what_is_not_there_is_told() {
    assert!(matches!(
        find(&store()),
        Err(BackupObjectError::NotFound(_))
    ));
    let store = stored_in_parts(&[b"one", b"two"]);
    store.delete(&format!("{NAME}.part000002")).unwrap();
    let found = find(&store).err().unwrap();
    assert!(matches!(found, BackupObjectError::PartMissing(part) if part.ends_with("000002")));
}

#[test]
fn a_part_of_another_length_is_told_before_it_is_read() {
    let store = stored_in_parts(&[b"one", b"two"]);
    replace(&store, &format!("{NAME}.part000001"), b"on");
    let found = find(&store).err().unwrap();
    assert!(matches!(
        found,
        BackupObjectError::Size {
            expected: 3,
            found: 2,
            ..
        }
    ));
}

#[test]
fn a_part_with_other_bytes_is_told_at_its_end() {
    let store = stored_in_parts(&[b"one", b"two"]);
    replace(&store, &format!("{NAME}.part000002"), b"owt");
    let object = find(&store).unwrap();
    assert!(matches!(
        read(&object),
        Err(BackupObjectError::PartDigest(_))
    ));
    let mut found = Vec::new();
    let mut unchecked = object.reader(PartDigests::Ignore).unwrap();
    unchecked.read_to_end(&mut found).unwrap();
    assert_eq!(found, b"oneowt");
}

#[test]
fn a_list_that_names_other_objects_is_refused() {
    let store = stored_in_parts(&[b"one"]);
    let list = format!("{NAME}.parts");
    let text = store.get(&list, 1 << 20).unwrap().bytes;
    let text = String::from_utf8(text).unwrap().replace("media-", "other-");
    replace(&store, &list, text.as_bytes());
    assert!(matches!(find(&store), Err(BackupObjectError::List { .. })));
}

#[test]
fn an_object_that_changes_its_length_is_told() {
    for now in [&b"longer than before"[..], b"less"] {
        let store = stored_whole(b"as it was");
        let object = find(&store).unwrap();
        replace(&store, NAME, now);
        let found = read(&object);
        assert!(
            matches!(found, Err(BackupObjectError::Size { .. })),
            "{found:?}"
        );
    }
}

#[test]
fn an_object_that_goes_away_is_told() {
    let store = stored_whole(b"as it was");
    let object = find(&store).unwrap();
    store.delete(NAME).unwrap();
    assert!(matches!(read(&object), Err(BackupObjectError::NotFound(_))));
}

#[test]
fn a_reader_that_is_dropped_stops_fetching() {
    let object = find(&stored_whole(&content(64 << 20))).unwrap();
    let mut reader = object.reader(PartDigests::Check).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();
    drop(reader);
}
