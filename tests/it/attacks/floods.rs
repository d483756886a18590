//! Floods of names: whoever may write to a bucket can put any number of objects there, and none of
//! it makes a night's work longer.

use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::time::Clock as _;
use databasus_escrow::model::mark::Mark;
use databasus_escrow::ops::history::{History, Request};
use databasus_escrow::store::Store;

use super::Scene;
use crate::support::fault_store::{FaultStore, OpenUploads, Plan, Process};
use crate::support::instance::{Bed, ids, versioned};

/// As many nights as lie in three years.
const NIGHTS: u64 = 1_000;

/// Goes on with the chain as if a manifest had been signed every night; the newest.
fn many_nights(scene: &Scene) -> Mark {
    let mut mark = scene.mark;
    for seq in 4..=NIGHTS {
        let bytes = scene.next(|manifest| {
            manifest.seq = seq;
            manifest.prev_sha256 = Some(mark.manifest_sha256);
        });
        scene.sign_as("host-1", &bytes);
        scene.put(&scene.manifest_key(seq), &bytes);
        mark = Mark {
            seq,
            manifest_sha256: Digest::of(&bytes),
        };
    }
    mark
}

fn plant_signatures(scene: &Scene, of: &Digest, count: u32) {
    for number in 0..count {
        let digest = Digest::of(&number.to_le_bytes());
        let signer = format!("planted-{number}").parse().unwrap();
        scene.put(&scene.layout.signature(&digest, &signer), b"x");
    }
    let signer = "planted".parse().unwrap();
    scene.put(&scene.layout.signature(of, &signer), b"x");
}

/// Reads what a night reads; the calls to the store, and how many names it listed.
fn nightly(scene: &Scene, mark: Mark) -> (Vec<String>, usize) {
    let plan = Some(Plan::never());
    let (uploads, process) = (OpenUploads::default(), Process::default());
    let counting = FaultStore::new(scene.bed.stores[0].clone(), uploads, process, plan);
    let store: Arc<dyn Store> = Arc::new(counting.clone());
    let history = History::read(Request {
        slug: &scene.bed.slug,
        stores: &[store],
        trust: scene.bed.trust(),
        mark: Some(mark),
        since_mark: true,
        up_to: None,
        now: scene.bed.clock.now(),
        cancel: &Cancel::new(),
    });
    let history = history.unwrap();
    assert_eq!(ids(&history.findings), [""; 0]);
    assert_eq!(history.mark(), Some(mark));
    (counting.log(), counting.listed())
}

#[test]
fn a_night_asks_as_much_after_a_thousand_nights_and_a_flood_as_after_three() {
    let scene = Scene::of(Bed::locked(vec![versioned("a")]));
    let (before, listed) = nightly(&scene, scene.mark);
    // Manifests and their versions, the manifest, its signatures and their versions, the one
    // signature, and the policy.
    assert_eq!(before.len(), 7, "{before:#?}");
    assert!(listed <= 8, "{listed} names");
    let mark = many_nights(&scene);
    let (after, listed) = nightly(&scene, mark);
    assert_eq!(after.len(), before.len(), "{after:#?}");
    assert!(listed <= 8, "{listed} names");
    let digest = Digest::of(b"something else");
    plant_signatures(&scene, &digest, 5_000);
    let (flooded, listed) = nightly(&scene, mark);
    assert_eq!(flooded.len(), before.len(), "{flooded:#?}");
    assert!(listed <= 8, "{listed} names");
}

#[test]
fn a_whole_chain_beneath_a_flood_of_signatures_verifies() {
    let scene = Scene::new();
    let mark = many_nights(&scene);
    let few = scene.bed.read(Some(mark));
    assert_eq!(ids(&few.findings), [""; 0]);
    plant_signatures(&scene, &mark.manifest_sha256, 20_000);
    let flooded = scene.bed.read(Some(mark));
    assert_eq!(ids(&flooded.findings), [""; 0]);
    assert_eq!(flooded.entries.len(), few.entries.len());
}
