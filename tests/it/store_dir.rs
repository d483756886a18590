//! What only a store in a directory can show.

use std::os::unix::fs::symlink;
use std::path::Path;

use bytes::Bytes;
use databasus_escrow::store::dir::DirStore;
use databasus_escrow::store::{Part, Store, StoreErrorKind as Kind, UploadTicket, list_all};
use tempfile::TempDir;

fn opened(root: &Path) -> DirStore {
    DirStore::open("usb".parse().unwrap(), root.into()).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn directory_must_exist() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for missing in ["not/mounted", "file"] {
        let opened = DirStore::open("usb".parse().unwrap(), folder.path().join(missing));
        assert_eq!(opened.err().unwrap().kind, Kind::NoSuchStore);
    }
}

#[test]
fn object_is_a_plain_file_at_its_key() {
    let folder = TempDir::new().unwrap();
    opened(folder.path())
        .put_if_absent("a/b.json", b"content")
        .unwrap();
    let content = std::fs::read(folder.path().join("a/b.json")).unwrap();
    assert_eq!(content, b"content");
    assert_eq!(names(&folder.path().join(".uploads")), Vec::<String>::new());
}

#[test]
fn symbolic_links_are_neither_followed_nor_listed() {
    let (folder, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path(), folder.path().join("linked")).unwrap();
    symlink(outside.path().join("secret"), folder.path().join("file")).unwrap();
    symlink("/nowhere", folder.path().join("dangling")).unwrap();
    let store = opened(folder.path());
    assert_eq!(list_all(&store, "", None).unwrap(), []);
    for key in ["linked/secret", "file", "dangling"] {
        assert!(store.get(key, 100).is_err(), "{key}");
        assert!(store.head(key).is_err(), "{key}");
    }
    assert!(store.put_if_absent("linked/new", b"x").is_err());
    assert!(store.put_if_absent("dangling", b"x").is_err());
    assert_eq!(names(outside.path()), ["secret"]);
}

#[test]
fn linked_folder_for_unfinished_writes_is_refused() {
    let (folder, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    symlink(outside.path(), folder.path().join(".uploads")).unwrap();
    let store = opened(folder.path());
    assert_eq!(
        store.put_if_absent("a", b"x").unwrap_err().kind,
        Kind::Unexpected
    );
    assert_eq!(names(outside.path()), Vec::<String>::new());
}

#[test]
fn fifo_does_not_hang_a_reader() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
    let store = opened(folder.path());
    assert_eq!(store.get("fifo", 100).unwrap_err().kind, Kind::NotFound);
    assert_eq!(list_all(&store, "", None).unwrap(), []);
}

#[test]
fn forged_ticket_removes_nothing() {
    let folder = TempDir::new().unwrap();
    let store = opened(folder.path());
    store.put_if_absent("manifest", b"x").unwrap();
    for upload_id in ["../manifest", "", "lock", "/etc/passwd"] {
        let ticket = UploadTicket {
            key: "manifest".into(),
            upload_id: upload_id.into(),
        };
        assert_eq!(
            store.abort_upload(&ticket).unwrap_err().kind,
            Kind::Unexpected
        );
    }
    assert!(store.head("manifest").is_ok());
}

#[test]
fn forgotten_upload_takes_its_file_along() {
    let folder = TempDir::new().unwrap();
    let store = opened(folder.path());
    let upload = store.start_upload("payload", 10).unwrap();
    let part = Part {
        number: 1,
        bytes: Bytes::from_static(b"0123456789"),
        md5: [0; 16],
    };
    upload.put_part(&part).unwrap();
    assert_eq!(names(&folder.path().join(".uploads")).len(), 1);
    drop(upload);
    assert_eq!(names(&folder.path().join(".uploads")), Vec::<String>::new());
}

#[test]
fn concurrent_replace_has_exactly_one_winner() {
    let folder = TempDir::new().unwrap();
    opened(folder.path()).put_if_absent("slot", b"old").unwrap();
    let etag = opened(folder.path()).get("slot", 10).unwrap().etag;
    let won: usize = std::thread::scope(|scope| {
        let replace = |n: u8| opened(folder.path()).replace("slot", &[n], &etag);
        let writers: Vec<_> = (0..8).map(|n| scope.spawn(move || replace(n))).collect();
        let won = writers.into_iter().map(|writer| writer.join().unwrap());
        won.filter(Result::is_ok).count()
    });
    assert_eq!(won, 1);
}

#[test]
fn names_that_other_programs_chose_can_be_read() {
    let folder = TempDir::new().unwrap();
    let name = "Kunden_München (alt)-20260612-020000";
    std::fs::write(folder.path().join(name), "dump").unwrap();
    let store = opened(folder.path());
    let listed = list_all(&store, "", None).unwrap();
    assert_eq!(listed[0].key, name);
    assert_eq!(store.get(name, 100).unwrap().bytes, b"dump");
}
