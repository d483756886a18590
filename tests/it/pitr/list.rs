//! `pitr list`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::ops::pitr::cache::Cache;
use databasus_escrow::ops::pitr::open::Storage;
use databasus_escrow::ops::pitr::survey::{Depth, Survey, take};
use databasus_escrow::ops::recover::keys::KeyRing;
use databasus_escrow::store::Store;
use databasus_escrow::store::memory::MemoryStore;
use jiff::Timestamp;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::support::chains::{Chain, KEY, OTHER_KEY, Source, WalV1, shared};
use crate::support::fault_store::{FaultStore, OpenUploads, Process};
use crate::support::fixture::Fixture;
use crate::support::needed;
use crate::support::sandbox::{Sandbox, json};
#[cfg(feature = "s3")]
use crate::support::seaweed::Seaweed;

/// A folder with a chain's objects and the key that opens them.
struct Bed {
    sandbox: Sandbox,
}

impl Bed {
    fn of(chain: &Chain) -> Self {
        let bed = Self {
            sandbox: Sandbox::new(),
        };
        bed.key("secret.key", KEY);
        chain.write_to(&bed.sandbox.path("bucket"));
        bed
    }

    fn of_fixture(fixture: &Fixture) -> Self {
        let bed = Self {
            sandbox: Sandbox::new(),
        };
        bed.key("secret.key", fixture.secret_key_bytes());
        copy_all(&fixture.bucket_dir(), &bed.sandbox.folder("bucket"));
        bed
    }

    fn key(&self, name: &str, key: impl AsRef<[u8]>) {
        let path = self.sandbox.file(name, key);
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path, private).unwrap();
    }

    fn list(&self, options: &str) -> assert_cmd::assert::Assert {
        let line = format!("pitr list --from ../bucket --secret-key ../secret.key {options}");
        self.sandbox.run(&line)
    }

    fn document(&self, options: &str) -> Value {
        json(&self.list(&format!("--json {options}")).success())
    }
}

fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// The only window of the only chain of the only cluster.
fn window(document: &Value) -> &Value {
    for list in [
        &document["clusters"],
        &document["clusters"][0]["chains"],
        &document["clusters"][0]["chains"][0]["windows"],
    ] {
        assert_eq!(list.as_array().unwrap().len(), 1, "{document:#}");
    }
    &document["clusters"][0]["chains"][0]["windows"][0]
}

fn holds(window: &Value, at: Timestamp) -> bool {
    time(&window["from"]["time"]) <= at && at < time(&window["to"]["time"])
}

fn fixture_is_listed(name: &str, programs: &str, major: u32, incrementals: usize) {
    let Some(fixture) = Fixture::named(name) else {
        return;
    };
    let bed = Bed::of_fixture(&fixture);
    let facts = &fixture.truth()["facts"]["pitr"];
    let programs = needed(programs).map(|dir| format!("--pg-bin {}", dir.display()));
    for options in [None, programs].into_iter().collect::<BTreeSet<_>>() {
        let document = bed.document(options.as_deref().unwrap_or("--pg-bin /nowhere"));
        let window = window(&document);
        assert!(holds(window, time(&facts["times"]["T1"])));
        assert!(holds(window, time(&facts["times"]["T2"])));
        assert_eq!(window["to"]["exact"], options.is_some());
        let cluster = &document["clusters"][0];
        assert_eq!(cluster["pg_major"], major);
        let found = cluster["chains"][0]["incrementals"].as_array().unwrap();
        assert_eq!(found.len(), incrementals);
        assert!(found.iter().all(|one| one["problem"].is_null()));
        for list in ["closed", "unread", "unusable", "unattributed"] {
            assert_eq!(document[list], Value::Array(Vec::new()), "{list}");
        }
    }
}

#[test]
fn the_window_of_a_native_chain_holds_both_moments() {
    fixture_is_listed("real-3.49.0", "ESCROW_TEST_PG_BIN", 17, 2);
}

#[test]
fn the_window_of_a_wal_v1_chain_holds_both_moments() {
    fixture_is_listed("real-3.42.0", "ESCROW_TEST_PG18_BIN", 18, 0);
}

#[test]
fn the_exact_end_is_the_last_commit() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain);
    let bin = needed("ESCROW_TEST_PG_BIN").unwrap();
    let document = bed.document(&format!("--pg-bin {}", bin.display()));
    let window = window(&document);
    assert!(window["to"]["exact"].as_bool().unwrap());
    let [.., before, last] = chain.sentinels.as_slice() else {
        panic!("{:?}", chain.sentinels);
    };
    // It was committed before the last sentinel was seen, and behind the one before it.
    let end = time(&window["to"]["time"]);
    assert!(before.newest_at < end && end <= last.newest_at, "{end}");
    // Nothing of the WAL that was looked at is left.
    assert_eq!(
        std::fs::read_dir(bed.sandbox.path("tmp")).unwrap().count(),
        0
    );
}

#[test]
fn a_removed_segment_is_a_gap_by_its_name() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let gone = chain.segment(5);
    chain.remove(&gone.object);
    let bed = Bed::of(&chain);
    let document = bed.document("");
    let gap = &document["clusters"][0]["chains"][0]["gaps"][0];
    assert_eq!(gap["first"], gone.segment.to_string());
    assert_eq!(gap["count"], 1);
    bed.list("").success().stdout(contains(format!(
        "GAP   WAL segment {} is missing",
        gone.segment
    )));
}

#[test]
fn with_another_key_everything_is_named_as_closed() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    chain.merge(&shared::wal_v1().unwrap());
    let bed = Bed::of(&chain);
    bed.key("secret.key", OTHER_KEY);
    let document = bed.document("");
    // Sidecars tell of what they lie beside; WAL_V1 has none.
    let native = &document["clusters"][0];
    assert_eq!(native["chains"][0]["windows"], Value::Array(Vec::new()));
    let words = native["chains"][0]["full"]["problem"].as_str().unwrap();
    assert!(words.contains("no key opens it"), "{words}");
    assert_eq!(
        native["unusable"].as_array().unwrap().len(),
        3 + chain.segments.len()
    );
    assert!(!document["closed"].as_array().unwrap().is_empty());
}

#[test]
fn what_is_not_of_a_cluster_is_counted_and_nothing_more() {
    let Some(chain) = shared::wal_v1() else {
        return;
    };
    let bed = Bed::of(&chain);
    bed.sandbox.file("bucket/notes.txt", "nothing of Databasus");
    let torn = "shop-FULL-20261123-030908-a9b91706-0fb4-4894-b4a6-34b7325573ed";
    bed.sandbox.file(&format!("bucket/{torn}"), vec![7; 64]);
    let document = bed.document("");
    assert_eq!(document["foreign_objects"], 1);
    assert_eq!(document["unusable"][0]["name"], torn);
    window(&document);
}

#[test]
fn a_database_is_named_as_in_databasus_or_by_its_id() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    chain.merge(&shared::wal_v1().unwrap());
    let bed = Bed::of(&chain);
    let id = chain.database.unwrap().to_string();
    for name in ["shop_cluster", &id, "shop_standby"] {
        let document = bed.document(&format!("--database {name}"));
        assert_eq!(document["clusters"].as_array().unwrap().len(), 1, "{name}");
    }
    bed.list("--database nobody").code(10);
}

#[test]
fn without_looking_in_sidecars_tell_of_native_chains_alone() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    chain.merge(&shared::wal_v1().unwrap());
    let bed = Bed::of(&chain);
    let document = bed.document("--no-probe");
    assert!(!window(&document)["to"]["exact"].as_bool().unwrap());
    assert!(document["not_looked_into"].as_u64().unwrap() > 3);
}

#[test]
fn what_cannot_be_read_is_counted() {
    let Some(chain) = shared::native() else {
        return;
    };
    let store = in_memory(&chain);
    let plan = crate::support::fault_store::Plan::every("get range", "-WAL-");
    let survey = survey(&store, Some(plan), KEY, None).1;
    assert_eq!(survey.unread.len(), chain.segments.len());
}

fn in_memory(chain: &Chain) -> Arc<dyn Store> {
    let store = MemoryStore::new("memory".parse().unwrap());
    for (name, bytes) in &chain.objects {
        store.put_if_absent(name, bytes).unwrap();
    }
    Arc::new(store)
}

/// What a survey found, and the calls that it took.
fn survey(
    store: &Arc<dyn Store>,
    plan: Option<crate::support::fault_store::Plan>,
    key: &str,
    cache: Option<&Path>,
) -> (Vec<String>, Survey) {
    let counted = FaultStore::new(
        Arc::clone(store),
        OpenUploads::default(),
        Process::default(),
        plan,
    );
    let mut keys = KeyRing::default();
    let key = SecretKey::new(key.as_bytes().to_vec()).unwrap();
    keys.add(key, "key".to_owned(), None);
    let cache = cache.map(|dir| Cache::open(dir, "s3://here", &keys).unwrap());
    let dynamic: Arc<dyn Store> = Arc::new(counted.clone());
    let storage = Storage {
        store: &dynamic,
        keys: &keys,
    };
    let depth = Depth::Beginnings;
    let survey = take(storage, depth, cache, &Cancel::new(), &mut |_| {}).unwrap();
    (counted.log(), survey)
}

#[cfg(feature = "s3")]
#[test]
fn a_second_look_costs_a_listing_alone() {
    let (Some(mut chain), Some(server)) = (shared::native(), Seaweed::start()) else {
        return;
    };
    chain.merge(&shared::wal_v1().unwrap());
    chain.upload(&server, "looks", "");
    let store: Arc<dyn Store> = Arc::new(server.store("looks", ""));
    let dir = tempfile::tempdir().unwrap();
    let (first, found) = survey(&store, None, KEY, Some(dir.path()));
    let (second, again) = survey(&store, None, KEY, Some(dir.path()));
    assert!(first.len() > chain.segments.len());
    assert_eq!(second.len(), 1, "{second:?}");
    let all = |survey: &Survey| format!("{:?}", survey.clusters);
    assert_eq!(all(&found), all(&again));
    // Another key knows nothing of it.
    let (other, _) = survey(&store, None, OTHER_KEY, Some(dir.path()));
    assert_eq!(other.len(), first.len());
    // What was replaced is looked at anew.
    let name = &chain.segments[2].object;
    let etag = store.head(name).unwrap().etag.unwrap();
    store.replace(name, b"something else", &etag).unwrap();
    survey(&store, None, KEY, Some(dir.path()));
    let (calls, changed) = survey(&store, None, KEY, Some(dir.path()));
    assert_eq!(calls.len(), 1);
    assert_ne!(all(&found), all(&changed));
}

#[test]
fn a_hundred_thousand_segments_are_listed_in_bounded_time() {
    let Some(chain) = shared::native() else {
        return;
    };
    let segment = chain.segment(0);
    let sidecar = &chain.objects[&format!("{}.metadata", segment.object)];
    let sidecar: Value = serde_json::from_slice(sidecar).unwrap();
    let store = MemoryStore::new("memory".parse().unwrap());
    for (name, bytes) in &chain.objects {
        if !name.contains("-WAL-") {
            store.put_if_absent(name, bytes).unwrap();
        }
    }
    let size = chain.segment_size.bytes();
    for number in 0..100_000u64 {
        let at = databasus_escrow::postgres::lsn::Lsn(number * size);
        let end = databasus_escrow::postgres::lsn::Lsn((number + 1) * size);
        let name =
            databasus_escrow::postgres::wal_segment::SegmentName::at(1, at, chain.segment_size);
        let mut sidecar = sidecar.clone();
        sidecar["walFilename"] = name.to_string().into();
        sidecar["startLsn"] = at.to_string().into();
        sidecar["endLsn"] = end.to_string().into();
        let object = format!("{}-WAL-tl1-{name}.zst", chain.database.unwrap());
        store.put_if_absent(&object, &[7; 100]).unwrap();
        let text = sidecar.to_string();
        store
            .put_if_absent(&format!("{object}.metadata"), text.as_bytes())
            .unwrap();
    }
    let store: Arc<dyn Store> = Arc::new(store);
    let keys = KeyRing::default();
    let storage = Storage {
        store: &store,
        keys: &keys,
    };
    let begun = Instant::now();
    let survey = take(storage, Depth::Sidecars, None, &Cancel::new(), &mut |_| {}).unwrap();
    let chains = survey.clusters[0].chains();
    assert_eq!(survey.clusters[0].log.count(), 100_000);
    assert_eq!(chains[0].windows.len(), 1);
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn an_empty_bucket_has_no_cluster() {
    let sandbox = Sandbox::new();
    sandbox.folder("bucket");
    let bed = Bed { sandbox };
    bed.key("secret.key", KEY);
    bed.list("")
        .code(10)
        .stdout(contains("No backup of a cluster").and(contains("GAP").not()));
}

#[test]
fn two_clusters_under_one_name_are_told_apart_by_reading_their_bases() {
    let Some(mut chain) = shared::wal_v1() else {
        return;
    };
    let source = Source::start().unwrap();
    let mut agent = WalV1::of(&source, "shop standby");
    agent.base(&source);
    source.sentinel();
    source.switch_wal();
    agent.wal(&source);
    let other = agent.chain(&source);
    chain.merge(&other);
    let bed = Bed::of(&chain);
    let document = bed.document("--database shop_standby");
    let clusters = document["clusters"].as_array().unwrap();
    let systems = clusters.iter().map(|one| one["system_identifier"].clone());
    let systems: BTreeSet<String> = systems.map(|id| id.as_str().unwrap().to_owned()).collect();
    let expected = [&chain, &other].map(|chain| chain.system_identifier.to_string());
    assert_eq!(systems, BTreeSet::from(expected));
    for cluster in clusters {
        let windows = cluster["chains"][0]["windows"].as_array().unwrap();
        assert_eq!(windows.len(), 1, "{cluster:#}");
        // The whole of the base tells where it is consistent.
        assert!(cluster["chains"][0]["full"]["stop_lsn"].is_string());
    }
    assert_eq!(document["unattributed"], Value::Array(Vec::new()));
}

#[test]
fn a_segment_of_another_cluster_ends_the_window_and_is_named() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = chain.segment(5);
    // The system identifier of a segment's first page.
    chain.rewrite_segment(&taken, taken.how, |content| content[24] ^= 1);
    let bed = Bed::of(&chain);
    let document = bed.document("");
    let gap = &document["clusters"][0]["chains"][0]["gaps"][0];
    assert_eq!(gap["first"], taken.segment.to_string());
    assert_eq!(gap["unusable"][0]["name"], taken.object);
    let why = gap["unusable"][0]["why"].as_str().unwrap();
    assert!(why.contains("of another cluster"), "{why}");
}

#[test]
fn a_segment_stored_twice_is_listed_with_both_objects() {
    let Some(mut chain) = shared::wal_v1() else {
        return;
    };
    let taken = chain.segments.last().unwrap().clone();
    let copy = chain.duplicate_segment(&taken, |_| {});
    let bed = Bed::of(&chain);
    let document = bed.document("");
    let duplicate = &document["clusters"][0]["duplicates"][0];
    assert_eq!(duplicate["segment"], taken.segment.to_string());
    let objects = duplicate["objects"].as_array().unwrap();
    for object in [&taken.object, &copy.object] {
        assert!(objects.iter().any(|one| one == object), "{duplicate}");
    }
    window(&document);
}
