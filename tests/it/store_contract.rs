//! What every store promises, held against every store; then what only one of them can show.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::Bytes;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::time::{Clock as _, SystemClock};
use databasus_escrow::store::dir::DirStore;
use databasus_escrow::store::memory::MemoryStore;
use databasus_escrow::store::probe::{self, Outcome, probe};
use databasus_escrow::store::{
    ObjectMeta, Part, Store, StoreError, StoreErrorKind as Kind, UnfinishedUpload, Upload, list_all,
};
use md5::{Digest as _, Md5};
use tempfile::TempDir;

/// An empty store of one sort.
struct Bed {
    store: Box<dyn Store>,
    _folder: Option<TempDir>,
}

impl Bed {
    fn dir() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let name = "usb".parse().unwrap();
        Some(Self {
            store: Box::new(DirStore::open(name, folder.path().into()).unwrap()),
            _folder: Some(folder),
        })
    }

    fn memory() -> Option<Self> {
        Some(Self {
            store: Box::new(MemoryStore::new("memory".parse().unwrap())),
            _folder: None,
        })
    }

    #[cfg(feature = "s3")]
    fn seaweed() -> Option<Self> {
        let server = crate::support::seaweed::Seaweed::start()?;
        server.create_bucket("contract", false);
        let prefix = format!("a/{}", hex::encode(rand::random::<[u8; 8]>()));
        Some(Self {
            store: Box::new(server.store("contract", &prefix)),
            _folder: None,
        })
    }
}

macro_rules! contract {
    ($($behaviour:ident,)*) => {
        contract!(@ dir: $($behaviour)*);
        contract!(@ memory: $($behaviour)*);
        #[cfg(feature = "s3")]
        contract!(@ seaweed: $($behaviour)*);
    };
    (@ $store:ident: $($behaviour:ident)*) => {
        mod $store {
            $(#[test]
            fn $behaviour() {
                if let Some(bed) = super::Bed::$store() {
                    super::$behaviour(&*bed.store);
                }
            })*
        }
    };
}

contract! {
    put_if_absent_never_overwrites,
    concurrent_put_if_absent_has_exactly_one_winner,
    replace_needs_the_etag_of_what_it_replaces,
    replace_of_a_missing_object_creates_nothing,
    get_refuses_what_is_larger_than_allowed,
    get_range_is_exact,
    range_outside_of_the_object_is_refused,
    missing_object_is_not_found,
    head_tells_the_size,
    list_is_ascending_by_the_full_key,
    list_begins_after_the_given_key,
    list_stops_when_the_visitor_breaks,
    prefix_may_end_inside_of_a_name,
    list_reaches_beyond_a_thousand_objects,
    empty_store_lists_nothing,
    upload_is_visible_only_once_complete,
    parts_may_come_in_any_order_from_several_threads,
    part_put_twice_counts_once,
    complete_refuses_an_existing_key_and_leaves_it,
    upload_with_a_hole_never_appears,
    aborted_upload_leaves_nothing,
    ticket_aborts_an_upload_more_than_once,
    aborted_upload_cannot_complete,
    upload_is_told_as_unfinished_until_it_ends,
    deleted_object_is_gone_and_may_be_deleted_again,
    keys_that_leave_the_store_are_refused,
    probe_finds_the_store_usable_and_cleans_up,
}

/// The smallest part that S3 takes before the last one.
const PART_SIZE: usize = 5 << 20;

fn kind<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Kind {
    result.expect_err("this must fail").kind
}

fn keys(store: &dyn Store, prefix: &str, after: Option<&str>) -> Vec<String> {
    let found = list_all(store, prefix, after).unwrap();
    found.into_iter().map(|meta| meta.key).collect()
}

fn put(store: &dyn Store, keys: &[&str]) {
    for key in keys {
        store.put_if_absent(key, key.as_bytes()).unwrap();
    }
}

fn part(number: u32, len: usize) -> Part {
    let bytes: Bytes = (0..len)
        .map(|at| (at as u32 % 251 + number) as u8)
        .collect();
    Part {
        number,
        md5: Md5::digest(&bytes).into(),
        bytes,
    }
}

fn started(store: &dyn Store, key: &str, parts: &[Part]) -> Box<dyn Upload> {
    let upload = store.start_upload(key, PART_SIZE as u64).unwrap();
    for part in parts {
        upload.put_part(part).unwrap();
    }
    upload
}

fn put_if_absent_never_overwrites(store: &dyn Store) {
    let first = store.put_if_absent("a/b.json", b"first").unwrap();
    assert_eq!((first.key.as_str(), first.size), ("a/b.json", 5));
    assert_eq!(
        kind(store.put_if_absent("a/b.json", b"second")),
        Kind::AlreadyExists
    );
    assert_eq!(
        kind(store.put_if_absent("a/b.json", b"first")),
        Kind::AlreadyExists
    );
    assert_eq!(store.get("a/b.json", 100).unwrap().bytes, b"first");
}

fn concurrent_put_if_absent_has_exactly_one_winner(store: &dyn Store) {
    let contents: Vec<String> = (0..8).map(|n| format!("writer {n}")).collect();
    let results: Vec<_> = std::thread::scope(|scope| {
        let put = |content: &'_ String| store.put_if_absent("slot", content.as_bytes());
        let writers: Vec<_> = contents
            .iter()
            .map(|c| scope.spawn(move || put(c)))
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect()
    });
    let winners: Vec<usize> = (0..8).filter(|n| results[*n].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    let content = store.get("slot", 100).unwrap().bytes;
    assert_eq!(content, contents[winners[0]].as_bytes());
    for lost in results.into_iter().filter(Result::is_err) {
        assert_eq!(kind(lost), Kind::AlreadyExists);
    }
}

fn replace_needs_the_etag_of_what_it_replaces(store: &dyn Store) {
    put(store, &["slot"]);
    let first = store.get("slot", 100).unwrap();
    store.replace("slot", b"second", &first.etag).unwrap();
    let second = store.get("slot", 100).unwrap();
    assert_eq!(second.bytes, b"second");
    assert_eq!(
        kind(store.replace("slot", b"third", &first.etag)),
        Kind::AlreadyExists
    );
    assert_eq!(store.get("slot", 100).unwrap(), second);
}

fn replace_of_a_missing_object_creates_nothing(store: &dyn Store) {
    let kind = kind(store.replace("slot", b"x", &Digest::of(b"").to_string()));
    assert!(
        matches!(kind, Kind::AlreadyExists | Kind::NotFound),
        "{kind:?}"
    );
    assert_eq!(keys(store, "", None), Vec::<String>::new());
}

fn get_refuses_what_is_larger_than_allowed(store: &dyn Store) {
    store.put_if_absent("ten", b"0123456789").unwrap();
    store.put_if_absent("none", b"").unwrap();
    assert_eq!(kind(store.get("ten", 9)), Kind::TooLarge);
    assert_eq!(store.get("ten", 10).unwrap().bytes, b"0123456789");
    assert_eq!(store.get("none", 0).unwrap().bytes, b"");
}

fn get_range_is_exact(store: &dyn Store) {
    store.put_if_absent("ten", b"0123456789").unwrap();
    for (range, content) in [
        (0..10, "0123456789"),
        (3..7, "3456"),
        (9..10, "9"),
        (4..4, ""),
    ] {
        assert_eq!(
            store.get_range("ten", range.clone()).unwrap(),
            content,
            "{range:?}"
        );
    }
}

#[allow(clippy::reversed_empty_ranges, reason = "one of the things to refuse")]
fn range_outside_of_the_object_is_refused(store: &dyn Store) {
    store.put_if_absent("ten", b"0123456789").unwrap();
    for range in [5..11, 10..11, 11..11, 7..3, 0..u64::MAX] {
        assert_eq!(
            kind(store.get_range("ten", range.clone())),
            Kind::Unexpected,
            "{range:?}"
        );
    }
}

fn missing_object_is_not_found(store: &dyn Store) {
    put(store, &["a/b"]);
    for key in ["b", "a", "a/b/c", "a/bc"] {
        assert_eq!(kind(store.get(key, 100)), Kind::NotFound, "{key}");
        assert_eq!(kind(store.head(key)), Kind::NotFound, "{key}");
        assert_eq!(kind(store.get_range(key, 0..1)), Kind::NotFound, "{key}");
    }
}

fn head_tells_the_size(store: &dyn Store) {
    store.put_if_absent("ten", b"0123456789").unwrap();
    let meta = store.head("ten").unwrap();
    assert_eq!((meta.key.as_str(), meta.size), ("ten", 10));
}

fn list_is_ascending_by_the_full_key(store: &dyn Store) {
    let mut all = [
        "b", "a/z", "a/b/c", "a/b.json", "a/b+c", "a/B", "0", "c/1", "c/10", "c/2",
    ];
    put(store, &all);
    all.sort_unstable();
    assert_eq!(keys(store, "", None), all);
    assert_eq!(keys(store, "c/", None), ["c/1", "c/10", "c/2"]);
    assert_eq!(keys(store, "d/", None), Vec::<String>::new());
}

fn list_begins_after_the_given_key(store: &dyn Store) {
    put(store, &["a/1", "a/2", "b/1", "b/2"]);
    assert_eq!(keys(store, "", Some("a/1")), ["a/2", "b/1", "b/2"]);
    assert_eq!(keys(store, "", Some("a/9")), ["b/1", "b/2"]);
    assert_eq!(keys(store, "b/", Some("b/1")), ["b/2"]);
    assert_eq!(keys(store, "b/", Some("a")), ["b/1", "b/2"]);
    assert_eq!(keys(store, "a/", Some("b/1")), Vec::<String>::new());
}

fn list_stops_when_the_visitor_breaks(store: &dyn Store) {
    put(store, &["a/1", "a/2", "b/1"]);
    let mut seen: Vec<ObjectMeta> = Vec::new();
    let mut visit = |meta: ObjectMeta| {
        seen.push(meta);
        match seen.len() {
            2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    store.list("", None, &mut visit).unwrap();
    let seen: Vec<_> = seen
        .iter()
        .map(|meta| (meta.key.as_str(), meta.size))
        .collect();
    assert_eq!(seen, [("a/1", 3), ("a/2", 3)]);
}

fn prefix_may_end_inside_of_a_name(store: &dyn Store) {
    put(
        store,
        &["escrow/20260612T/a", "escrow/20260613T/b", "escrow/2027"],
    );
    assert_eq!(
        keys(store, "escrow/202606", None),
        ["escrow/20260612T/a", "escrow/20260613T/b"]
    );
    assert_eq!(keys(store, "escrow", None).len(), 3);
}

fn list_reaches_beyond_a_thousand_objects(store: &dyn Store) {
    let names: BTreeSet<String> = (0..1010).map(|n| format!("many/{n:04}")).collect();
    let all: Vec<&String> = names.iter().collect();
    std::thread::scope(|scope| {
        for some in all.chunks(253) {
            scope.spawn(move || some.iter().for_each(|key| put(store, &[key])));
        }
    });
    assert!(keys(store, "many/", None).iter().eq(names.iter()));
    assert_eq!(keys(store, "many/", Some("many/0004")).len(), 1005);
}

fn empty_store_lists_nothing(store: &dyn Store) {
    assert_eq!(keys(store, "", None), Vec::<String>::new());
    assert_eq!(keys(store, "a/", Some("a/b")), Vec::<String>::new());
}

fn upload_is_visible_only_once_complete(store: &dyn Store) {
    let parts = [part(1, PART_SIZE), part(2, 1000)];
    let upload = started(store, "e/payload", &parts);
    assert_eq!(keys(store, "", None), Vec::<String>::new());
    assert_eq!(kind(store.head("e/payload")), Kind::NotFound);
    let size = PART_SIZE as u64 + 1000;
    let meta = upload.complete().unwrap();
    assert_eq!((meta.key.as_str(), meta.size), ("e/payload", size));
    assert_eq!(keys(store, "", None), ["e/payload"]);
    assert_eq!(store.head("e/payload").unwrap().size, size);
}

fn parts_may_come_in_any_order_from_several_threads(store: &dyn Store) {
    let parts = [3, 1, 4, 2].map(|n| part(n, if n == 4 { 77 } else { PART_SIZE }));
    let upload = store.start_upload("payload", PART_SIZE as u64).unwrap();
    std::thread::scope(|scope| {
        for part in &parts {
            let upload = &upload;
            scope.spawn(move || upload.put_part(part).unwrap());
        }
    });
    upload.complete().unwrap();
    let object = store.get("payload", 1 << 30).unwrap();
    let mut ordered = parts.to_vec();
    ordered.sort_by_key(|part| part.number);
    let expected: Vec<u8> = ordered
        .iter()
        .flat_map(|part| part.bytes.to_vec())
        .collect();
    assert_eq!(Digest::of(&object.bytes), Digest::of(&expected));
    let second = PART_SIZE as u64..2 * PART_SIZE as u64;
    assert!(store.get_range("payload", second).unwrap() == ordered[1].bytes);
}

fn part_put_twice_counts_once(store: &dyn Store) {
    let upload = started(
        store,
        "payload",
        &[part(1, PART_SIZE), part(2, 9), part(2, 5)],
    );
    assert_eq!(upload.complete().unwrap().size, PART_SIZE as u64 + 5);
    let tail = PART_SIZE as u64..PART_SIZE as u64 + 5;
    assert_eq!(store.get_range("payload", tail).unwrap(), part(2, 5).bytes);
    assert_eq!(store.head("payload").unwrap().size, PART_SIZE as u64 + 5);
}

fn complete_refuses_an_existing_key_and_leaves_it(store: &dyn Store) {
    let upload = started(store, "payload", &[part(1, 100)]);
    store.put_if_absent("payload", b"faster").unwrap();
    let ticket = upload.ticket();
    assert_eq!(kind(upload.complete()), Kind::AlreadyExists);
    assert_eq!(store.get("payload", 100).unwrap().bytes, b"faster");
    store.abort_upload(&ticket).unwrap();
}

fn upload_with_a_hole_never_appears(store: &dyn Store) {
    let full = part(1, PART_SIZE);
    for parts in [
        vec![],
        vec![part(2, 9)],
        vec![full.clone(), part(3, 9)],
        vec![part(1, 9), part(2, 9)],
    ] {
        let upload = started(store, "payload", &parts);
        assert_eq!(kind(upload.complete()), Kind::Unexpected);
    }
    let upload = started(store, "payload", &[]);
    assert_eq!(kind(upload.put_part(&part(0, 9))), Kind::Unexpected);
    assert_eq!(
        kind(upload.put_part(&part(1, PART_SIZE + 1))),
        Kind::Unexpected
    );
    upload.abort().unwrap();
    assert_eq!(keys(store, "", None), Vec::<String>::new());
}

fn aborted_upload_leaves_nothing(store: &dyn Store) {
    let upload = started(store, "payload", &[part(1, PART_SIZE)]);
    upload.abort().unwrap();
    assert_eq!(keys(store, "", None), Vec::<String>::new());
    assert_eq!(kind(store.head("payload")), Kind::NotFound);
}

fn ticket_aborts_an_upload_more_than_once(store: &dyn Store) {
    let upload = started(store, "payload", &[part(1, PART_SIZE)]);
    let ticket = upload.ticket();
    assert_eq!(ticket.key, "payload");
    // As after a crash: nobody calls abort or complete.
    std::mem::forget(upload);
    store.abort_upload(&ticket).unwrap();
    store.abort_upload(&ticket).unwrap();
    assert_eq!(keys(store, "", None), Vec::<String>::new());
}

fn aborted_upload_cannot_complete(store: &dyn Store) {
    let upload = started(store, "payload", &[part(1, 100)]);
    store.abort_upload(&upload.ticket()).unwrap();
    assert_eq!(kind(upload.complete()), Kind::NotFound);
    assert_eq!(keys(store, "", None), Vec::<String>::new());
}

fn unfinished(store: &dyn Store, prefix: &str) -> Vec<UnfinishedUpload> {
    let mut found = Vec::new();
    let listed = store.unfinished_uploads(prefix, &mut |upload| {
        found.push(upload);
        ControlFlow::Continue(())
    });
    listed.unwrap();
    found
}

fn upload_is_told_as_unfinished_until_it_ends(store: &dyn Store) {
    let now = SystemClock.now();
    let upload = started(store, "a/payload", &[part(1, 100)]);
    let told = unfinished(store, "a/");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].ticket.upload_id, upload.ticket().upload_id);
    assert!((told[0].since.unix() - now.unix()).abs() < 120);
    let knows_the_key = !told[0].ticket.key.is_empty();
    assert_eq!(unfinished(store, "b/").is_empty(), knows_the_key);
    store.abort_upload(&told[0].ticket).unwrap();
    assert_eq!(unfinished(store, ""), []);
    started(store, "a/other", &[part(1, 100)])
        .complete()
        .unwrap();
    assert_eq!(unfinished(store, ""), []);
}

fn deleted_object_is_gone_and_may_be_deleted_again(store: &dyn Store) {
    put(store, &["a/b", "a/c"]);
    store.delete("a/b").unwrap();
    store.delete("a/b").unwrap();
    store.delete("never/there").unwrap();
    assert_eq!(keys(store, "", None), ["a/c"]);
    put(store, &["a/b"]);
}

fn keys_that_leave_the_store_are_refused(store: &dyn Store) {
    for key in [
        "",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../b",
        "./a",
        "a/..",
        ".uploads/a",
        "a\nb",
    ] {
        assert_eq!(
            kind(store.put_if_absent(key, b"x")),
            Kind::Unexpected,
            "{key:?}"
        );
        assert_eq!(
            kind(store.replace(key, b"x", "e")),
            Kind::Unexpected,
            "{key:?}"
        );
        assert_eq!(kind(store.get(key, 10)), Kind::Unexpected, "{key:?}");
        assert_eq!(
            kind(store.get_range(key, 0..1)),
            Kind::Unexpected,
            "{key:?}"
        );
        assert_eq!(kind(store.head(key)), Kind::Unexpected, "{key:?}");
        assert_eq!(kind(store.delete(key)), Kind::Unexpected, "{key:?}");
        assert!(store.start_upload(key, 10).is_err(), "{key:?}");
    }
    for foreign in ["a b", "é", "a\\b", "a:b"] {
        assert_eq!(kind(store.put_if_absent(foreign, b"x")), Kind::Unexpected);
        assert_eq!(kind(store.get(foreign, 10)), Kind::NotFound);
    }
}

fn probe_finds_the_store_usable_and_cleans_up(store: &dyn Store) {
    let report = probe(store, "heatwave");
    assert!(report.usable(), "{report:#?}");
    assert_eq!(report.outcome(probe::DELETE), Outcome::Yes);
    assert_ne!(report.outcome(probe::MULTIPART_ETAG), Outcome::No);
    assert_eq!(keys(store, "", None), Vec::<String>::new());
}
