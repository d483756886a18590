//! A look at the newest manifest alone, in stores that differ.

use std::sync::Arc;

use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::time::Clock;
use databasus_escrow::model::audit::facts::{ChainFacts, Facts, Seen};
use databasus_escrow::model::finding::Finding;
use databasus_escrow::model::layout::Layout;
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::model::mark::Mark;
use databasus_escrow::model::namespace::Namespace;
use databasus_escrow::ops::audit::{HeadRequest, look_at_head};
use databasus_escrow::store::Store;

use crate::support::instance::{Bed, Host, ids};

/// Three nights in stores `a` and `b`.
struct Nights {
    bed: Bed,
    host: Host,
    layout: Layout,
    marks: Vec<Mark>,
    newest: Manifest,
}

impl Nights {
    fn new() -> Self {
        let bed = Bed::new();
        let host = bed.host("host-1");
        let mut nights = Self {
            layout: Layout::new(&bed.slug),
            newest: bed.snapshot(&host).unwrap().manifest,
            marks: vec![host.state.mark(&bed.slug).unwrap().unwrap()],
            bed,
            host,
        };
        nights.another();
        nights.another();
        nights
    }

    fn another(&mut self) {
        self.newest = self.bed.snapshot(&self.host).unwrap().manifest;
        let mark = self.host.state.mark(&self.bed.slug).unwrap();
        self.marks.push(mark.unwrap());
    }

    fn look_in(&self, stores: &[Arc<dyn Store>], mark: Option<Mark>) -> Facts {
        look_at_head(&HeadRequest {
            slug: &self.bed.slug,
            stores,
            trust: &self.bed.trust(),
            mark,
            now: self.bed.clock.now(),
        })
    }

    fn look(&self, seen_before: usize) -> Facts {
        let mark = self.marks[seen_before - 1];
        self.look_in(&self.bed.stores, Some(mark))
    }

    fn lose(&self, store: usize, seq: u64) {
        let key = self.layout.manifest(seq);
        self.bed.stores[store].delete(&key).unwrap();
    }

    /// Another newest manifest, by the same host, in place of the one that store `b` holds.
    fn fork(&self) -> Mark {
        let mut other = self.newest.clone();
        other.next_due = other.next_due.plus(60);
        let bytes = other.to_bytes().unwrap();
        let digest = Digest::of(&bytes);
        let signed = self.bed.key_of("host-1").sign(Namespace::Manifest, &bytes);
        let signature = self.layout.signature(&digest, &"host-1".parse().unwrap());
        self.lose(1, other.seq);
        let store = &self.bed.stores[1];
        let manifest = self.layout.manifest(other.seq);
        store.put_if_absent(&manifest, &bytes).unwrap();
        let signed = signed.unwrap();
        store.put_if_absent(&signature, signed.as_bytes()).unwrap();
        Mark {
            seq: other.seq,
            manifest_sha256: digest,
        }
    }
}

fn chain(facts: &Facts) -> &ChainFacts {
    match &facts.chain {
        Seen::Known(chain) => chain,
        Seen::Unknown(why) => panic!("{why}"),
    }
}

fn told(facts: &Facts) -> Vec<String> {
    ids(&chain(facts).findings)
}

fn stores_told(facts: &Facts) -> Vec<String> {
    let findings = chain(facts).findings.iter();
    let stores = findings.filter_map(|finding: &Finding| finding.store.as_ref());
    stores.map(ToString::to_string).collect()
}

#[test]
fn a_store_that_was_away_lacks_a_manifest_and_accuses_nobody() {
    let nights = Nights::new();
    nights.lose(1, 3);
    for seen_before in [1, 2, 3] {
        let facts = nights.look(seen_before);
        assert_eq!(
            told(&facts),
            ["manifest-missing (warning)"],
            "{seen_before}"
        );
        assert_eq!(stores_told(&facts), ["b"]);
        assert_eq!(facts.reached, Seen::Known(()));
        let head = chain(&facts).head.as_ref().unwrap();
        assert_eq!(head.mark, nights.marks[2]);
    }
}

#[test]
fn what_no_store_holds_any_more_is_a_rollback() {
    let nights = Nights::new();
    nights.lose(0, 3);
    nights.lose(1, 3);
    let facts = nights.look(3);
    assert_eq!(told(&facts), ["rollback"]);
    assert!(matches!(facts.reached, Seen::Unknown(_)));
}

#[test]
fn what_a_silent_store_may_hold_is_not_called_gone() {
    let nights = Nights::new();
    nights.lose(0, 3);
    let stores = nights.bed.stores_without(1);
    let facts = nights.look_in(&stores, Some(nights.marks[2]));
    assert_eq!(
        told(&facts),
        ["rollback (warning)", "store-unreachable (warning)"]
    );
}

#[test]
fn where_no_store_answers_nothing_is_known() {
    let nights = Nights::new();
    let stores = [nights.bed.stores_without(0)[0].clone()];
    let facts = nights.look_in(&stores, Some(nights.marks[2]));
    assert_eq!(told(&facts), ["store-unreachable (warning)"]);
    assert!(!chain(&facts).is_complete);
    assert_eq!(facts.reached, Seen::unknown("no store answered"));
}

#[test]
fn a_link_that_one_store_lost_is_read_from_the_other() {
    let nights = Nights::new();
    nights.lose(0, 2);
    let facts = nights.look(1);
    assert_eq!(told(&facts), [""; 0]);
    assert_eq!(facts.reached, Seen::Known(()));
}

#[test]
fn a_link_that_all_stores_lost_is_a_gap_and_the_mark_is_not_reached() {
    let nights = Nights::new();
    nights.lose(0, 2);
    nights.lose(1, 2);
    let facts = nights.look(1);
    assert_eq!(told(&facts), ["chain-gap"]);
    assert!(matches!(facts.reached, Seen::Unknown(_)));
}

#[test]
fn two_newest_manifests_are_a_fork_whichever_was_seen_before() {
    let nights = Nights::new();
    let other = nights.fork();
    for mark in [nights.marks[1], nights.marks[2], other] {
        let facts = nights.look_in(&nights.bed.stores, Some(mark));
        let missing = "manifest-missing (warning)";
        assert_eq!(told(&facts), ["chain-fork", missing, missing]);
        assert_eq!(facts.reached, Seen::Known(()));
    }
}

#[test]
fn a_mark_that_is_out_of_reach_was_not_reached() {
    let mut nights = Nights::new();
    for _ in 3..34 {
        nights.another();
    }
    let facts = nights.look(1);
    assert_eq!(told(&facts), ["head-too-far (warning)"]);
    assert!(matches!(facts.reached, Seen::Unknown(_)));
    assert_eq!(nights.look(2).reached, Seen::Known(()));
}

#[test]
fn a_mark_of_the_largest_number_is_a_rollback() {
    let nights = Nights::new();
    let mark = Mark {
        seq: u64::MAX,
        ..nights.marks[2]
    };
    let facts = nights.look_in(&nights.bed.stores, Some(mark));
    assert_eq!(told(&facts), ["rollback"]);
}
