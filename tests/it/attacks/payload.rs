//! Attacks on payloads.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::entry_path::EntryPath;
use databasus_escrow::model::layout::Layout;
use databasus_escrow::model::manifest::Payload;
use databasus_escrow::ops::open;
use databasus_escrow::sealing::parts::{VerifiedStream, header_length};
use databasus_escrow::sealing::unpack::{self, EntryVisitor, UnpackError};

use super::Scene;
use crate::support::instance::{Bed, ids};

type Attack = fn(&Scene);

/// What somebody can do to the payload of the second night.
const ON_THE_PAYLOAD: &[(&str, Attack)] = &[
    ("deleted", |scene| scene.delete(&scene.payload_key(2))),
    ("emptied", |scene| scene.put(&scene.payload_key(2), b"")),
    ("replaced", |scene| {
        let other = scene.get(&scene.payload_key(3));
        scene.put(&scene.payload_key(2), &other);
    }),
    ("cut by 1 byte", |scene| cut(scene, 1)),
    ("cut by 16 bytes", |scene| cut(scene, 16)),
    ("cut by 17 bytes", |scene| cut(scene, 17)),
    ("grown by a byte inside", |scene| {
        let mut bytes = scene.get(&scene.payload_key(2));
        bytes.insert(500, 0);
        scene.put(&scene.payload_key(2), &bytes);
    }),
    ("flipped in the version line", |scene| flip(scene, |_, _| 3)),
    ("flipped in a stanza", |scene| flip(scene, |_, _| 40)),
    ("flipped in the header's MAC", |scene| {
        flip(scene, |header, _| header - 5);
    }),
    ("flipped in the nonce", |scene| {
        flip(scene, |header, _| header + 3)
    }),
    ("flipped in the first chunk", |scene| {
        flip(scene, |header, _| header + 16 + 100);
    }),
    ("flipped in the last tag", |scene| {
        flip(scene, |_, size| size - 1)
    }),
];

fn cut(scene: &Scene, by: usize) {
    let bytes = scene.get(&scene.payload_key(2));
    scene.put(&scene.payload_key(2), &bytes[..bytes.len() - by]);
}

fn flip(scene: &Scene, at: fn(usize, usize) -> usize) {
    let mut bytes = scene.get(&scene.payload_key(2));
    let header = header_length(&bytes).unwrap();
    let at = at(header, bytes.len());
    bytes[at] ^= 1;
    scene.put(&scene.payload_key(2), &bytes);
}

#[test]
fn a_damaged_payload_is_refused_and_the_others_open() {
    for (name, attack) in ON_THE_PAYLOAD {
        let scene = Scene::new();
        attack(&scene);
        assert_eq!(ids(&scene.read().findings), [""; 0], "{name}");
        assert_eq!(scene.opening(), [1, 3], "{name}");
        assert_age_sees_nothing(&scene, name);
    }
}

#[test]
fn a_damaged_payload_is_read_from_the_next_store() {
    for (name, attack) in ON_THE_PAYLOAD {
        let scene = Scene::in_stores(&["a", "b"]);
        attack(&scene);
        let opened = scene.bed.open(&scene.manifests[1], &scene.bed.stores);
        assert_eq!(opened.unwrap().len(), 1, "{name}");
    }
}

#[test]
fn bytes_behind_the_payload_are_never_read() {
    let scene = Scene::new();
    let mut bytes = scene.get(&scene.payload_key(2));
    bytes.extend(b"more");
    scene.put(&scene.payload_key(2), &bytes);
    assert_eq!(scene.opening(), [1, 2, 3]);
}

#[test]
fn swapped_parts_are_refused() {
    let mut bed = Bed::with_stores(&["a"]);
    bed.add_bulk(16 << 20);
    let manifest = bed.snapshot(&bed.host("host-1")).unwrap().manifest;
    let Payload { part_size, .. } = manifest.payload;
    let key = Layout::new(&bed.slug).payload(&manifest.escrow_id);
    let mut bytes = bed.stores[0].get(&key, 64 << 20).unwrap().bytes;
    let (first, rest) = bytes.split_at_mut(part_size as usize);
    first.swap_with_slice(&mut rest[..part_size as usize]);
    bed.stores[0].delete(&key).unwrap();
    bed.stores[0].put_if_absent(&key, &bytes).unwrap();
    assert!(bed.open(&manifest, &bed.stores).is_err());
}

/// An identity that remembers whether age ever showed it anything.
#[derive(Default)]
struct Witness(AtomicBool);

impl age::Identity for Witness {
    fn unwrap_stanza(
        &self,
        _stanza: &age_core::format::Stanza,
    ) -> Option<Result<age_core::format::FileKey, age::DecryptError>> {
        self.0.store(true, Ordering::SeqCst);
        None
    }
}

struct Nowhere;

impl EntryVisitor for Nowhere {
    fn directory(&mut self, _path: &EntryPath, _mode: u32) -> io::Result<()> {
        Ok(())
    }
    fn file(
        &mut self,
        _path: &EntryPath,
        _mode: u32,
        _size: u64,
        _content: &mut dyn io::Read,
    ) -> io::Result<()> {
        Ok(())
    }
}

fn assert_age_sees_nothing(scene: &Scene, name: &str) {
    let manifest = &scene.manifests[1];
    let cancel = Cancel::new();
    let fetcher = open::fetcher(manifest, &scene.bed.stores, &cancel, Box::new(|_| {}));
    let stream = VerifiedStream::new(&manifest.payload, fetcher.parts().unwrap());
    let witness = Witness::default();
    let opened = unpack::open(stream, &[&witness], &manifest.escrow_id, &mut Nowhere);
    assert!(matches!(opened, Err(UnpackError::Read(_))), "{name}");
    assert!(
        !witness.0.load(Ordering::SeqCst),
        "{name}: age was shown it"
    );
}
