//! Tars and manifests that no `pg_basebackup` writes: plain, so that anybody with the bucket
//! could have put them there.

use std::collections::BTreeMap;

use databasus_escrow::base::digest::Digest;
use databasus_escrow::databasus::objects::sidecar::Compression;
use databasus_escrow::ops::pitr::bases::{BasesError, Damage};
use databasus_escrow::postgres::lsn::Lsn;
use databasus_escrow::postgres::wal_segment::SegmentSize;
use jiff::Timestamp;
use proptest::prelude::*;
use tar::{EntryType, Header};
use uuid::Uuid;

use super::bed::{Bed, tree};
use crate::support::chains::Chain;
use crate::support::chains::format::{self, BaseFacts};

const CLUSTER: u64 = 7_711_194_790_945_369_124;

/// A plain, uncompressed full backup in the making.
struct Crafted {
    tar: Vec<u8>,
    /// Lines of the manifest.
    listed: Vec<String>,
    /// Without its last line.
    manifest_head: String,
}

impl Crafted {
    fn new() -> Self {
        let head = format!(
            "{{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": {CLUSTER},\n"
        );
        let empty = Self {
            tar: Vec::new(),
            listed: Vec::new(),
            manifest_head: head,
        };
        empty.file("backup_label", b"label").directory("base")
    }

    fn member(mut self, name: &str, kind: EntryType, content: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o6777);
        if kind == EntryType::Symlink {
            header.set_link_name("/srv/fast").unwrap();
        }
        header.set_cksum();
        self.tar.extend_from_slice(header.as_bytes());
        self.tar.extend_from_slice(content);
        let padded = self.tar.len().next_multiple_of(512);
        self.tar.resize(padded, 0);
        self
    }

    fn directory(self, name: &str) -> Self {
        self.member(name, EntryType::Directory, b"")
    }

    fn listed(mut self, name: &str, content: &[u8]) -> Self {
        self.listed.push(format!(
            "{{ \"Path\": \"{name}\", \"Size\": {}, \"Checksum-Algorithm\": \"SHA256\", \
             \"Checksum\": \"{}\" }}",
            content.len(),
            Digest::of(content)
        ));
        self
    }

    fn unlisted(self, name: &str, content: &[u8]) -> Self {
        self.member(name, EntryType::Regular, content)
    }

    fn file(self, name: &str, content: &[u8]) -> Self {
        self.unlisted(name, content).listed(name, content)
    }

    fn end(mut self) -> Self {
        self.tar.extend_from_slice(&[0; 1024]);
        self
    }

    fn manifest(&self) -> Vec<u8> {
        let body = format!(
            "{}\"Files\": [\n{}\n],\n\"WAL-Ranges\": [\n{{ \"Timeline\": 1, \"Start-LSN\": \
             \"0/2000028\", \"End-LSN\": \"0/2000120\" }}\n],\n",
            self.manifest_head,
            self.listed.join(",\n")
        );
        let digest = Digest::of(body.as_bytes());
        format!("{body}\"Manifest-Checksum\": \"{digest}\"}}\n").into_bytes()
    }

    fn bed(self) -> Bed {
        let id = Uuid::from_u128(7);
        let object = format!("shop-FULL-20261123-030908-{id}");
        let facts = BaseFacts {
            id,
            database: Uuid::from_u128(8),
            system_identifier: CLUSTER,
            pg_version: 170_000,
            timeline: 1,
            start: Lsn(0x200_0028),
            stop: Lsn(0x200_0120),
            compressed: self.tar.len() as u64,
            compression: Compression::None,
            parents: None,
            created: Timestamp::UNIX_EPOCH,
            completed: Timestamp::UNIX_EPOCH,
        };
        let sidecar = format::base_sidecar(&facts, None).to_string();
        let manifest = self.manifest();
        let objects = [
            (format!("{object}.metadata"), sidecar.into_bytes()),
            (format!("{object}.manifest"), manifest),
            (object, self.tar),
        ];
        Bed::of(&Chain {
            objects: objects.map(|(name, bytes)| (name, bytes.into())).into(),
            bases: Vec::new(),
            segments: Vec::new(),
            sentinels: Vec::new(),
            database: Some(facts.database),
            name: "shop".to_owned(),
            system_identifier: CLUSTER,
            segment_size: SegmentSize::DEFAULT,
            pg_major: 17,
        })
    }

    /// Why it is refused.
    fn refusal(self) -> (BasesError, String) {
        self.end().bed().refusal()
    }
}

#[test]
fn nothing_is_written_outside_of_its_folder() {
    for name in ["../evil", "./../evil", "/evil", "base/../../evil"] {
        let bed = Crafted::new().unlisted(name, b"x").end().bed();
        let (error, text) = bed.refusal();
        assert!(matches!(error, BasesError::Damaged { .. }), "{text}");
        assert!(text.contains("unsafe path"), "{text}");
        let outside = |path: &String| path.ends_with("evil");
        assert!(!tree(bed.home()).keys().any(outside), "{name}");
    }
}

#[test]
fn links_and_devices_are_refused() {
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
    ] {
        let (_, text) = Crafted::new().member("base/link", kind, b"").refusal();
        assert!(text.contains("base/link is a "), "{text}");
    }
}

#[test]
fn tablespaces_are_refused_by_name() {
    let link = Crafted::new().directory("pg_tblspc");
    let link = link.member("pg_tblspc/16385", EntryType::Symlink, b"");
    let below = Crafted::new().directory("pg_tblspc");
    let below = below.file("pg_tblspc/16385/PG_17_202406281/5/16386", b"x");
    let unlisted = Crafted::new().directory("pg_tblspc");
    let unlisted = unlisted.unlisted("pg_tblspc/16385/x", b"x");
    let map = Crafted::new().file("tablespace_map", b"16385 /srv/fast\n16386 /srv/slow\n");
    let unlisted_map = Crafted::new()
        .listed("tablespace_map", b"")
        .unlisted("tablespace_map", b"16385 /srv/fast\n16386 /srv/slow\n");
    for (crafted, named) in [
        (link, "pg_tblspc/16385"),
        (below, "pg_tblspc/16385/PG_17_202406281/5/16386"),
        (unlisted, "pg_tblspc/16385/x"),
        (map, "its tablespace_map is not empty"),
        (unlisted_map, "16385 /srv/fast, 16386 /srv/slow"),
    ] {
        let (error, text) = crafted.refusal();
        assert!(matches!(error, BasesError::Tablespaces { .. }), "{text}");
        assert!(text.ends_with(named), "{text}");
    }
}

#[test]
fn what_is_there_twice_is_refused() {
    let file = Crafted::new()
        .file("base/1", b"x")
        .unlisted("./base/1", b"x");
    let directory = Crafted::new().directory("./base/");
    let both = Crafted::new().unlisted("base", b"x").listed("base", b"x");
    for crafted in [file, directory, both] {
        let (error, text) = crafted.refusal();
        let twice = matches!(
            error,
            BasesError::Damaged {
                source: Damage::Duplicate(_),
                ..
            }
        );
        assert!(twice, "{text}");
    }
}

#[test]
fn every_difference_from_the_manifest_names_its_file() {
    for (crafted, expected) in [
        (
            Crafted::new().unlisted("base/1", b"x"),
            "base/1 is in the backup but not in PostgreSQL's backup manifest",
        ),
        (
            Crafted::new().listed("base/1", b"x"),
            "base/1 is in PostgreSQL's backup manifest but not in the backup",
        ),
        (
            Crafted::new()
                .listed("base/1", b"x")
                .unlisted("base/1", b"y"),
            "the content of base/1 differs from PostgreSQL's backup manifest",
        ),
        (
            Crafted::new()
                .listed("base/1", b"x")
                .unlisted("base/1", b"xx"),
            "base/1 has 2 bytes, PostgreSQL's backup manifest says 1",
        ),
        (
            Crafted::new().unlisted("backup_manifest", b"{}"),
            "backup_manifest is in the backup but not in PostgreSQL's backup manifest",
        ),
        (
            Crafted::new().listed("tablespace_map", b""),
            "tablespace_map is in PostgreSQL's backup manifest but not in the backup",
        ),
    ] {
        let (error, text) = crafted.refusal();
        assert!(matches!(error, BasesError::Mismatch { .. }), "{text}");
        assert!(text.ends_with(expected), "{text}");
    }
}

#[test]
fn log_that_nobody_lists_is_taken() {
    let crafted = Crafted::new().directory("pg_wal");
    let (_, text) = crafted
        .unlisted("pg_wal/000000010000000000000002", b"x")
        .refusal();
    assert!(text.contains("global/pg_control"), "{text}");
}

#[test]
fn a_tar_without_its_end_is_refused() {
    let whole = Crafted::new().file("base/1", &[7; 5000]);
    let length = whole.tar.len();
    for (cut, expected) in [
        (length, "the tar ends after base/1 without its end mark"),
        (length - 700, "the tar ends in the middle of base/1"),
    ] {
        let mut crafted = Crafted::new().file("base/1", &[7; 5000]);
        crafted.tar.truncate(cut);
        let (error, text) = crafted.bed().refusal();
        assert!(matches!(error, BasesError::Damaged { .. }), "{text}");
        assert!(text.ends_with(expected), "{text}");
    }
    let mut longer = Crafted::new().end();
    longer.tar.extend_from_slice(&[b'x'; 512]);
    let (_, text) = longer.bed().refusal();
    assert!(
        text.ends_with("there is data behind the tar's end"),
        "{text}"
    );
}

#[test]
fn a_manifest_of_another_backup_is_refused() {
    let other = |from: &str, to: &str| {
        let mut crafted = Crafted::new().end();
        crafted.manifest_head = crafted.manifest_head.replace(from, to);
        crafted.bed().refusal().1
    };
    let text = other(&CLUSTER.to_string(), "7711194790945369125");
    assert!(text.contains("belongs to another cluster"), "{text}");
    let text = other("Version\": 2", "Version\": 3");
    assert!(text.contains("version 3"), "{text}");
}

#[test]
fn a_base_without_a_sound_control_file_is_refused() {
    let (error, text) = Crafted::new().refusal();
    let control = matches!(
        error,
        BasesError::Damaged {
            source: Damage::Control(_),
            ..
        }
    );
    assert!(control, "{text}");
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("base/1".to_owned()),
        Just("tablespace_map".to_owned()),
        Just("backup_manifest".to_owned()),
        Just("pg_wal/x".to_owned()),
        "[./a-c]{1,12}",
    ]
}

fn kinds() -> impl Strategy<Value = EntryType> {
    prop_oneof![
        4 => Just(EntryType::Regular),
        2 => Just(EntryType::Directory),
        1 => any::<u8>().prop_map(EntryType::new),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_tar_makes_it_panic_or_leave_its_folder(
        members in prop::collection::vec((names(), kinds(), any::<bool>(), 0..700usize), 0..6),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        is_ended: bool,
    ) {
        let mut crafted = Crafted::new();
        for (name, kind, is_listed, size) in members {
            let content = vec![b'x'; size];
            crafted = crafted.member(&name, kind, &content);
            if is_listed {
                crafted = crafted.listed(&name, &content);
            }
        }
        if is_ended {
            crafted = crafted.end();
        }
        for (at, value) in flips {
            let at = at.index(crafted.tar.len());
            crafted.tar[at] = value;
        }
        let bed = crafted.bed();
        prop_assert!(bed.extract(&bed.plan()).is_err());
        let top: BTreeMap<_, _> = tree(bed.home())
            .into_iter()
            .filter(|(path, _)| !path.starts_with("bucket") && !path.starts_with("staged"))
            .collect();
        prop_assert_eq!(top, BTreeMap::new());
    }
}
