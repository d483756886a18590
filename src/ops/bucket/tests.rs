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

mod probing {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;
    use crate::databasus::backup_file::{
        BackupFileError, BackupWriter, FIRST_CHUNK_BYTES, HEADER_BYTES, Header,
    };
    use crate::databasus::objects::content::Content;
    use crate::databasus::objects::sidecar::Encryption;
    use crate::databasus::secret_key::SecretKey;
    use crate::ops::bucket::probe::{Opening, Probe, Prober, Subject};

    fn keys(letters: &[u8]) -> Vec<SecretKey> {
        let key = |letter: &u8| SecretKey::new(vec![*letter; 72]).unwrap();
        letters.iter().map(key).collect()
    }

    fn sealed(plain: &[u8], letter: u8, id: u128) -> Vec<u8> {
        let key = &keys(&[letter])[0];
        let id = Uuid::from_u128(id);
        let mut writer = BackupWriter::new(Vec::new(), key, id, &Header::random()).unwrap();
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    fn judge(keys: &[SecretKey], file: &[u8], id: Option<u128>) -> Probe {
        let beginning = &file[..file.len().min(FIRST_CHUNK_BYTES)];
        let id = id.map(Uuid::from_u128);
        Prober::new(keys).judge(beginning, file.len() as u64, id, None)
    }

    #[test]
    fn the_key_that_opens_is_named() {
        let file = sealed(&[7; 100], b'c', 5);
        let keys = keys(b"abc");
        let found = judge(&keys, &file, Some(5));
        assert_eq!(found.opening, Opening::Key(2));
        assert_eq!(found.plain_size, Some(100));
        assert_eq!(found.content, Some(Content::Unknown));
        assert_eq!(found.header.unwrap().to_bytes(), file[..HEADER_BYTES]);
    }

    #[test]
    fn a_backup_that_no_key_opens_still_tells_its_size() {
        let file = sealed(&[7; 100], b'c', 5);
        for (letters, id) in [(&b"ab"[..], 5), (b"", 5), (b"c", 6)] {
            let found = judge(&keys(letters), &file, Some(id));
            assert_eq!(found.opening, Opening::NoKey, "{letters:?}");
            assert_eq!(found.plain_size, Some(100));
        }
        assert_eq!(judge(&keys(b"c"), &file, None).opening, Opening::NoId);
    }

    #[test]
    fn nothing_but_a_header_is_a_failed_dump() {
        let file = sealed(b"", b'c', 5);
        assert_eq!(
            judge(&keys(b"c"), &file, Some(5)).opening,
            Opening::FailedDump
        );
        assert_eq!(judge(&[], b"", Some(5)).opening, Opening::FailedDump);
    }

    #[test]
    fn a_size_that_no_backup_has_is_damage() {
        let mut file = sealed(&[7; 100], b'c', 5);
        file.truncate(80);
        let damaged = Opening::Damaged(BackupFileError::ImpossibleSize(80));
        assert_eq!(judge(&[], &file, Some(5)).opening, damaged);
    }

    #[test]
    fn a_sidecar_that_promises_encryption_is_held_to_it() {
        let said = Encryption::Encrypted {
            salt: [0; 32],
            nonce: [0; 12],
        };
        let found = Prober::new(&[]).judge(b"PGDMP", 5, None, Some(&said));
        let damaged = Opening::Damaged(BackupFileError::NotEncrypted);
        assert_eq!(found.opening, damaged);
        let found = Prober::new(&[]).judge(b"PGDMP", 5, None, Some(&Encryption::None));
        assert_eq!(found.opening, Opening::Plain);
        assert_eq!(found.plain_size, Some(5));
    }

    #[test]
    fn many_are_probed_and_each_is_told_once() {
        let store = store();
        for number in 0..6 {
            let letter = if number % 2 == 0 { b'a' } else { b'b' };
            let file = sealed(&[1; 10], letter, number);
            store.put_if_absent(&base(number), &file).unwrap();
        }
        let groups = list_quietly(&store).backups;
        let subject = |group| Subject {
            group,
            sidecar: None,
        };
        let subjects: Vec<_> = groups.iter().map(subject).collect();
        let store: Arc<dyn Store> = Arc::new(store);
        let keys = keys(b"ab");
        let mut seen = 0;
        Prober::new(&keys).probe_all(&store, &subjects, |index, probe| {
            let number = groups[index].name.id().unwrap().as_u128();
            let expected = Opening::Key(usize::try_from(number % 2).unwrap());
            assert_eq!(probe.unwrap().opening, expected);
            seen += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(seen, 6);
    }
}
