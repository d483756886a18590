use super::*;
use crate::sealing::parts::{PartSink, PartWriter, SealedPart};
use crate::sealing::payload::{PayloadWriter, Sealing};
use crate::sealing::tar_format::{HeaderFields, write_end, write_header, write_padding};
use std::io::Write;

fn id() -> EscrowId {
    "20260612T020000Z-0123456789abcdef".parse().unwrap()
}

#[derive(Default)]
struct Collected(Vec<SealedPart>);

impl PartSink for Collected {
    fn part(&mut self, part: SealedPart) -> io::Result<()> {
        self.0.push(part);
        Ok(())
    }
}

/// Remembers files and their content.
#[derive(Default)]
struct Remember(HashMap<String, Vec<u8>>);

impl EntryVisitor for Remember {
    fn directory(&mut self, _: &EntryPath, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn file(&mut self, path: &EntryPath, _: u32, _: u64, content: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        self.0.insert(path.as_str().to_owned(), bytes);
        Ok(())
    }
}

fn walk_bytes(tar: &[u8]) -> Result<Index, UnpackError> {
    walk(&mut &*tar, &id(), &mut Remember::default())
}

fn raw_entry(kind: EntryType, path: &str, link: Option<&str>) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    if let Some(link) = link {
        header.set_link_name(link).unwrap();
    }
    header.set_mode(0o600);
    header.set_size(0);
    header.set_cksum();
    [header.as_bytes().as_slice(), &[0; 1024]].concat()
}

#[test]
fn links_devices_and_pipes_are_refused() {
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Continuous,
    ] {
        let tar = raw_entry(kind, "databasus-data/x", Some("/etc/passwd"));
        assert!(
            matches!(walk_bytes(&tar), Err(UnpackError::ForbiddenKind { .. })),
            "{kind:?} was accepted"
        );
    }
}

#[test]
fn paths_that_leave_the_target_are_refused() {
    for path in ["/etc/cron.d/x", "../x", "databasus-data/../../x"] {
        let tar = raw_entry(EntryType::Regular, path, None);
        assert!(matches!(walk_bytes(&tar), Err(UnpackError::UnsafePath(_))));
    }
}

#[test]
fn entries_outside_of_the_known_folders_are_refused() {
    for path in ["x", "escrow/x", "databasus-data2/x", "RESTORE.md/x"] {
        let tar = raw_entry(EntryType::Regular, path, None);
        assert!(matches!(walk_bytes(&tar), Err(UnpackError::Foreign(_))));
    }
}

#[test]
fn duplicates_are_refused() {
    let one = raw_entry(EntryType::Regular, "databasus-data/x", None);
    let twice = [&one[..512], &one[..]].concat();
    assert!(matches!(walk_bytes(&twice), Err(UnpackError::Duplicate(_))));
}

#[test]
fn a_payload_without_an_index_is_refused() {
    let tar = raw_entry(EntryType::Regular, "databasus-data/x", None);
    assert!(matches!(walk_bytes(&tar), Err(UnpackError::NoIndex)));
}

#[test]
fn data_behind_the_archive_is_refused() {
    let mut tar = raw_entry(EntryType::Regular, "databasus-data/x", None);
    tar.extend_from_slice(b"more");
    assert!(matches!(walk_bytes(&tar), Err(UnpackError::Read(_))));
}

fn with_index(edit: impl FnOnce(&mut Index)) -> Vec<u8> {
    let content = b"seventy-two";
    let mut index = Index {
        format: crate::model::index::FORMAT.to_owned(),
        escrow_id: id(),
        entries: vec![IndexEntry {
            path: "databasus-data/secret.key".to_owned(),
            kind: EntryKind::File,
            size: content.len() as u64,
            mode: "0600".to_owned(),
            sha256: Some(Digest::of(content)),
        }],
        catalogue_before: None,
        catalogue_after: None,
        warnings: vec![],
    };
    edit(&mut index);
    let mut tar = Vec::new();
    let index = index.to_bytes().unwrap();
    for (path, bytes) in [
        ("databasus-data/secret.key", content.as_slice()),
        (INDEX_PATH, index.as_slice()),
    ] {
        let fields = HeaderFields {
            path,
            is_directory: false,
            size: bytes.len() as u64,
            mode: 0o600,
            owner: (0, 0),
            mtime: 0,
        };
        write_header(&mut tar, &fields).unwrap();
        tar.extend_from_slice(bytes);
        write_padding(&mut tar, bytes.len() as u64).unwrap();
    }
    write_end(&mut tar).unwrap();
    tar
}

#[test]
fn every_disagreement_with_the_index_is_found() {
    assert!(walk_bytes(&with_index(|_| {})).is_ok());
    let edits: [fn(&mut Index); 6] = [
        |index| index.entries[0].size += 1,
        |index| index.entries[0].mode = "0644".to_owned(),
        |index| index.entries[0].sha256 = Some(Digest::of(b"other")),
        |index| index.entries[0].kind = EntryKind::Directory,
        |index| index.entries.clear(),
        |index| index.entries[0].path.push('x'),
    ];
    for edit in edits {
        assert!(matches!(
            walk_bytes(&with_index(edit)),
            Err(UnpackError::IndexMismatch { .. })
        ));
    }
}

#[test]
fn an_index_of_another_escrow_is_refused() {
    let tar = with_index(|index| {
        index.escrow_id = "20260613T020000Z-0123456789abcdef".parse().unwrap();
    });
    assert!(matches!(
        walk_bytes(&tar),
        Err(UnpackError::ForeignIndex(_))
    ));
}

fn sealed(to: &age::x25519::Identity) -> (Vec<SealedPart>, crate::model::manifest::Payload) {
    let recipients: Vec<Box<dyn age::Recipient + Send>> = vec![Box::new(to.to_public())];
    let sealing = Sealing {
        recipients: &recipients,
        level: 3,
        workers: 2,
        mtime: crate::base::time::UtcTime::from_unix(0),
    };
    let out = PartWriter::new(Collected::default(), 64 << 10);
    let mut payload = PayloadWriter::new(out, &sealing).unwrap();
    payload.directory(DATA_DIR, 0o755).unwrap();
    let noise: Vec<u8> = (0..300_000u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect();
    payload
        .file(
            "databasus-data/noise",
            0o600,
            noise.len() as u64,
            &mut noise.as_slice(),
        )
        .unwrap();
    payload.pieces(DUMP_DIR, &mut &noise[..1000]).unwrap();
    let parts = payload.finish(id(), None, None, vec![]).unwrap();
    let (sink, payload) = parts.finish().unwrap();
    (sink.0, payload)
}

fn reopen(
    parts: &[SealedPart],
    payload: &crate::model::manifest::Payload,
    identity: &age::x25519::Identity,
) -> Result<Index, UnpackError> {
    let verified = parts.iter().enumerate().map(|(index, part)| {
        VerifiedPart::check(payload, index, part.bytes.clone()).map_err(io::Error::other)
    });
    open(
        VerifiedStream::new(payload, verified),
        &[identity],
        &id(),
        &mut Remember::default(),
    )
}

#[test]
fn what_is_sealed_is_what_is_opened() {
    let identity = age::x25519::Identity::generate();
    let (parts, payload) = sealed(&identity);
    assert!(parts.len() > 3);
    let index = reopen(&parts, &payload, &identity).unwrap();
    let paths: Vec<_> = index.entries.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "databasus-data",
            "databasus-data/noise",
            "escrow/metadata.dump/000001"
        ]
    );
}

#[test]
fn another_identity_opens_nothing() {
    let (parts, payload) = sealed(&age::x25519::Identity::generate());
    let stranger = age::x25519::Identity::generate();
    assert!(matches!(
        reopen(&parts, &payload, &stranger),
        Err(UnpackError::NoIdentity)
    ));
}

#[test]
fn a_source_that_shrinks_or_grows_spoils_the_payload() {
    let recipients: Vec<Box<dyn age::Recipient + Send>> =
        vec![Box::new(age::x25519::Identity::generate().to_public())];
    let sealing = Sealing {
        recipients: &recipients,
        level: 1,
        workers: 0,
        mtime: crate::base::time::UtcTime::from_unix(0),
    };
    for size in [9, 11] {
        let mut payload = PayloadWriter::new(io::sink(), &sealing).unwrap();
        let result = payload.file("databasus-data/x", 0o600, size, &mut &[0; 10][..]);
        assert!(result.is_err(), "10 bytes passed for {size}");
    }
    let _ = io::sink().write(&[]);
}
