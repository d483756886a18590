//! What goes is what the rules let go, announced first, and nothing that anybody planted changes
//! that.

mod command;

use std::collections::BTreeSet;
use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::names::{EscrowId, RekeyId};
use databasus_escrow::model::amend::Change;
use databasus_escrow::model::layout::{Layout, Sealed};
use databasus_escrow::model::retention::Rules;
use databasus_escrow::ops::certainty::Uncertain;
use databasus_escrow::ops::commit::{CommitError, Committer, Ports, Reach};
use databasus_escrow::ops::prune::{self, Left, PruneError, Report, Settings, State};
use databasus_escrow::store::{Part, Store, list_all};

use crate::support::fault_store::{Fault, FaultStore, OpenUploads, Plan, Process};
use crate::support::instance::{Bed, Host};

const DAY: i64 = 86_400;
const RULES: Rules = Rules {
    daily: 3,
    weekly: 0,
    monthly: 0,
    floor: 1,
};

fn prune_in(
    bed: &Bed,
    host: &Host,
    stores: &[Arc<dyn Store>],
    dry_run: bool,
) -> Result<Report, PruneError> {
    let ports = Ports {
        destinations: &Bed::destinations(stores),
        state: &host.state,
        clock: &bed.clock,
        cancel: &Cancel::new(),
    };
    let settings = Settings {
        rules: RULES,
        dry_run,
    };
    prune::run(bed.author(host), ports, &settings)
}

fn prune(bed: &Bed, host: &Host) -> Result<Report, PruneError> {
    prune_in(bed, host, &bed.stores, false)
}

/// Nightly escrows of one host, in both stores.
fn nights(bed: &Bed, host: &Host, count: usize) -> Vec<EscrowId> {
    let night = |_| {
        bed.clock.advance(DAY);
        bed.snapshot(host).unwrap().manifest.escrow_id
    };
    (0..count).map(night).collect()
}

/// Escrows whose payload a store lists.
fn payloads(bed: &Bed, store: &Arc<dyn Store>) -> BTreeSet<EscrowId> {
    let layout = Layout::new(&bed.slug);
    let listed = list_all(store.as_ref(), &layout.escrows(), None).unwrap();
    let payloads = listed
        .iter()
        .filter(|meta| meta.key.ends_with("/payload.tar.zst.age"));
    payloads
        .filter_map(|meta| layout.parse_escrow(&meta.key))
        .collect()
}

fn kept(bed: &Bed) -> BTreeSet<EscrowId> {
    let kept = payloads(bed, &bed.stores[0]);
    assert_eq!(kept, payloads(bed, &bed.stores[1]));
    kept
}

fn set<'a>(ids: impl IntoIterator<Item = &'a EscrowId>) -> BTreeSet<EscrowId> {
    ids.into_iter().cloned().collect()
}

fn keys(bed: &Bed) -> Vec<String> {
    let listed = list_all(bed.stores[0].as_ref(), "", None).unwrap();
    listed.into_iter().map(|meta| meta.key).collect()
}

#[test]
fn what_has_no_slot_goes_from_every_store_and_its_manifest_stays() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    let ids = nights(&bed, &host, 6);
    let report = prune(&bed, &host).unwrap();
    assert_eq!(kept(&bed), set(&ids[3..]));
    assert_eq!(report.announced_by.map(|mark| mark.seq), Some(7));
    let history = bed.read(None);
    assert_eq!(history.escrows().count(), 6);
    let let_go = history
        .escrows()
        .filter(|(_, escrow)| escrow.let_go_by.iter().map(|by| by.seq).eq([7]));
    let let_go: BTreeSet<EscrowId> = let_go.map(|(_, escrow)| escrow.id.clone()).collect();
    assert_eq!(let_go, set(&ids[..3]));
}

#[test]
fn where_nothing_goes_nothing_is_announced() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    nights(&bed, &host, 6);
    prune(&bed, &host).unwrap();
    let before = keys(&bed);
    let report = prune(&bed, &host).unwrap();
    assert!(report.announced_by.is_none() && report.deleted.is_empty());
    assert_eq!(keys(&bed), before);
}

#[test]
fn a_dry_run_changes_nothing() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    nights(&bed, &host, 6);
    let before = keys(&bed);
    let report = prune_in(&bed, &host, &bed.stores, true).unwrap();
    assert_eq!(report.escrows.iter().filter(|row| row.goes()).count(), 3);
    assert_eq!(keys(&bed), before);
}

#[test]
fn nothing_is_deleted_while_a_store_is_silent() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    nights(&bed, &host, 6);
    let before = keys(&bed);
    let silent = FaultStore::new(
        bed.stores[1].clone(),
        OpenUploads::default(),
        Process::default(),
        Some(Plan::new(0, Fault::Forever)),
    );
    let stores = [bed.stores[0].clone(), Arc::new(silent) as Arc<dyn Store>];
    let refused = prune_in(&bed, &host, &stores, false);
    assert!(matches!(
        refused,
        Err(PruneError::Uncertain(Uncertain::NotAllStores(_)))
    ));
    assert_eq!(keys(&bed), before);
}

#[test]
fn nothing_is_deleted_while_the_chain_has_a_gap() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    nights(&bed, &host, 6);
    for store in &bed.stores {
        store.delete(&Layout::new(&bed.slug).manifest(2)).unwrap();
    }
    let refused = prune(&bed, &host);
    assert!(matches!(
        refused,
        Err(PruneError::Uncertain(Uncertain::Doubtful(_)))
    ));
    assert_eq!(kept(&bed).len(), 6);
}

#[test]
fn a_flood_of_planted_objects_changes_nothing() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    let ids = nights(&bed, &host, 6);
    let layout = Layout::new(&bed.slug);
    for number in 0..40u8 {
        for store in &bed.stores {
            let digest = Digest::of(&[number]);
            let beside = layout.manifest_beside(u64::from(number % 6) + 1, &digest);
            store.put_if_absent(&beside, b"{}").unwrap();
            let at = bed.read(None).head().unwrap().link.created_at;
            let id = EscrowId::new(at.plus(i64::from(number)), [number; 8]);
            store
                .put_if_absent(&layout.payload(&id), b"planted")
                .unwrap();
        }
    }
    prune(&bed, &host).unwrap();
    let planted = |id: &EscrowId| !ids.contains(id);
    let mut left = kept(&bed);
    assert_eq!(left.iter().filter(|id| planted(id)).count(), 40);
    left.retain(|id| !planted(id));
    assert_eq!(left, set(&ids[3..]));
}

#[test]
fn the_last_holder_of_a_key_stays() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    let old = nights(&bed, &host, 2);
    let key = bed.folder.path().join("data/secret.key");
    let other = std::fs::read_to_string(&key).unwrap().replace('a', "b");
    std::fs::write(&key, other).unwrap();
    let fresh = nights(&bed, &host, 1);
    let refused = prune(&bed, &host);
    assert!(matches!(refused, Err(PruneError::KeyChanged(id)) if id == old[1]));
    let rest = nights(&bed, &host, 5);
    prune(&bed, &host).unwrap();
    let last = [old[1].clone()];
    assert_eq!(kept(&bed), set(last.iter().chain(&rest[2..])));
    assert!(!kept(&bed).contains(&fresh[0]));
}

#[test]
fn what_a_required_store_lacks_stays() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    let ids = nights(&bed, &host, 6);
    bed.stores[1]
        .delete(&Layout::new(&bed.slug).payload(&ids[0]))
        .unwrap();
    prune(&bed, &host).unwrap();
    let left = payloads(&bed, &bed.stores[0]);
    assert!(left.contains(&ids[0]) && !left.contains(&ids[1]));
}

#[test]
fn a_run_that_is_cut_off_at_any_call_is_finished_by_the_next() {
    for fault in [Fault::Before, Fault::Forever] {
        for call in 0.. {
            let bed = Bed::new();
            let host = bed.host("host-1");
            let ids = nights(&bed, &host, 5);
            let faulty = FaultStore::new(
                bed.stores[0].clone(),
                OpenUploads::default(),
                Process::default(),
                Some(Plan::new(call, fault)),
            );
            let stores: Vec<Arc<dyn Store>> = vec![Arc::new(faulty.clone()), bed.stores[1].clone()];
            // It may well fail: what counts is what is left.
            let _ = prune_in(&bed, &host, &stores, false);
            for store in &bed.stores {
                assert!(payloads(&bed, store).is_superset(&set(&ids[2..])));
            }
            if !faulty.was_hit() {
                assert!(call > 8, "pruning makes more than {call} calls");
                break;
            }
            prune(&bed, &host).unwrap();
            assert_eq!(kept(&bed), set(&ids[2..]), "{fault:?} at call {call}");
        }
    }
}

#[test]
fn what_a_crashed_run_left_is_swept_once_it_is_old() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    nights(&bed, &host, 1);
    let store = &bed.stores[0];
    let now = bed.read(None).head().unwrap().link.created_at;
    let id = EscrowId::new(now, [7; 8]);
    let key = Layout::new(&bed.slug).payload(&id);
    store.put_if_absent(&key, b"orphan").unwrap();
    nights(&bed, &host, 1);
    assert!(prune(&bed, &host).unwrap().swept.is_empty());
    nights(&bed, &host, 2);
    let report = prune(&bed, &host).unwrap();
    assert_eq!(report.swept.len(), 1);
    assert_eq!(report.swept[0].outcome, Some(State::Gone));
    assert!(store.get(&key, 100).is_err());
}

#[test]
fn what_a_crashed_rekey_left_is_swept_and_the_escrow_stays() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    let ids = nights(&bed, &host, 1);
    let store = &bed.stores[0];
    let rekey = RekeyId::new(ids[0].at(), [7; 8]);
    let sealed = Sealed {
        escrow: &ids[0],
        rekey: Some(&rekey),
    };
    let key = Layout::new(&bed.slug).payload(sealed);
    store.put_if_absent(&key, b"orphan").unwrap();
    nights(&bed, &host, 1);
    assert!(prune(&bed, &host).unwrap().swept.is_empty());
    nights(&bed, &host, 1);
    let report = prune(&bed, &host).unwrap();
    let left = Left::Orphan {
        escrow: ids[0].clone(),
        rekey: Some(rekey),
    };
    assert_eq!(report.swept.len(), 1);
    assert_eq!(
        (&report.swept[0].what, &report.swept[0].outcome),
        (&left, &Some(State::Gone))
    );
    assert!(store.get(&key, 100).is_err());
    assert!(kept(&bed).contains(&ids[0]));
}

#[test]
fn an_upload_that_never_ended_is_swept_once_it_is_old() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    nights(&bed, &host, 1);
    let key = format!("{}escrow/lost/payload", Layout::new(&bed.slug).root());
    let upload = bed.stores[0].start_upload(&key, 4).unwrap();
    let part = Part {
        number: 1,
        bytes: "abcd".into(),
        md5: [0; 16],
    };
    let _ = upload.put_part(&part);
    std::mem::forget(upload);
    let swept = prune(&bed, &host).unwrap().swept;
    assert!(swept.is_empty(), "{swept:?}");
}

#[test]
fn what_another_host_announces_is_planned_like_everything_else() {
    let bed = Bed::new();
    let (first, second) = (bed.host("host-1"), bed.host("host-2"));
    let ids = nights(&bed, &first, 5);
    // Somebody has the other host's key, and hides what is to go.
    steal(&bed, &second);
    prune(&bed, &first).unwrap();
    assert_eq!(kept(&bed), set(&ids[2..]));
}

#[test]
fn what_another_host_lets_go_stands_in_for_nothing() {
    let bed = Bed::new();
    let (first, second) = (bed.host("host-1"), bed.host("host-2"));
    let old = nights(&bed, &first, 1);
    // Of the same day, and proven no better: the newer one has the slot while it stays.
    let newer = bed.snapshot(&first).unwrap().manifest.escrow_id;
    report(
        &bed,
        &second,
        vec![Change::Expired {
            escrow_ids: vec![newer],
        }],
    );
    nights(&bed, &first, 1);
    let planned = prune_in(&bed, &first, &bed.stores, true).unwrap();
    let slot = planned.escrows.iter().find(|row| row.id == old[0]).unwrap();
    assert!(!slot.goes(), "{slot:?}");
}

#[test]
fn an_announcement_that_a_required_store_did_not_take_deletes_nothing() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    let ids = nights(&bed, &host, 6);
    let no_manifest = FaultStore::new(
        bed.stores[1].clone(),
        OpenUploads::default(),
        Process::default(),
        Some(Plan::every("put", "/manifest/")),
    );
    let stores: Vec<Arc<dyn Store>> = vec![bed.stores[0].clone(), Arc::new(no_manifest)];
    let refused = prune_in(&bed, &host, &stores, false);
    assert!(matches!(refused, Err(PruneError::Unannounced(_))));
    assert_eq!(kept(&bed), set(&ids));
    prune(&bed, &host).unwrap();
    assert_eq!(kept(&bed), set(&ids[3..]));
}

#[test]
fn a_plan_of_before_another_hosts_night_is_not_carried_out() {
    let bed = Arc::new(Bed::new());
    let (first, second) = (bed.host("host-1"), bed.host("host-2"));
    let ids = nights(&bed, &first, 6);
    let inner = bed.clone();
    let plan = Plan::at("put", "/manifest/", Fault::Hook)
        .with(move || drop(inner.snapshot(&second).unwrap()));
    let racing = FaultStore::new(
        bed.stores[0].clone(),
        OpenUploads::default(),
        Process::default(),
        Some(plan),
    );
    let stores: Vec<Arc<dyn Store>> = vec![Arc::new(racing), bed.stores[1].clone()];
    let lost = prune_in(&bed, &first, &stores, false);
    assert!(matches!(
        lost,
        Err(PruneError::Commit(CommitError::LostRace(1)))
    ));
    assert!(kept(&bed).is_superset(&set(&ids)));
}

#[test]
fn what_is_announced_and_gone_is_not_announced_again() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    nights(&bed, &host, 5);
    prune(&bed, &host).unwrap();
    nights(&bed, &host, 1);
    let report = prune(&bed, &host).unwrap();
    assert_eq!(report.escrows.iter().filter(|row| row.goes()).count(), 1);
    assert_eq!(report.deleted.len(), 2);
}

#[test]
fn a_manifest_that_names_an_escrow_again_takes_nothing_from_it() {
    let bed = Bed::new();
    let (first, second) = (bed.host("host-1"), bed.host("host-2"));
    let ids = nights(&bed, &first, 3);
    name_again(&bed, &second);
    bed.clock.advance(9 * DAY);
    nights(&bed, &first, 1);
    prune(&bed, &first).unwrap();
    assert!(kept(&bed).contains(&ids[2]));
}

/// Commits the newest escrow's manifest once more, dated today.
fn name_again(bed: &Bed, host: &Host) {
    let ports = Ports {
        destinations: &Bed::destinations(&bed.stores),
        state: &host.state,
        clock: &bed.clock,
        cancel: &Cancel::new(),
    };
    let mut other = Committer::new(bed.author(host), ports).unwrap();
    let history = other.read_history(Reach::Whole).unwrap();
    let (newest, _) = history.escrows().next_back().unwrap();
    let mut manifest = history.load(newest).unwrap();
    other.commit(&mut manifest, history).unwrap();
}

/// Signs changes into the chain.
fn report(bed: &Bed, host: &Host, changes: Vec<Change>) {
    let ports = Ports {
        destinations: &Bed::destinations(&bed.stores),
        state: &host.state,
        clock: &bed.clock,
        cancel: &Cancel::new(),
    };
    let mut chain = Committer::new(bed.author(host), ports).unwrap();
    let history = chain.read_history(Reach::Whole).unwrap();
    chain.report(history, changes).unwrap();
}

/// Somebody who has the host's key signs that everything goes.
fn steal(bed: &Bed, host: &Host) {
    let escrow_ids = bed.read(None);
    let escrow_ids = escrow_ids.escrows().map(|(_, escrow)| escrow.id.clone());
    let escrow_ids = escrow_ids.collect();
    report(bed, host, vec![Change::Expired { escrow_ids }]);
}

#[test]
fn what_a_thief_announces_is_not_deleted() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    let ids = nights(&bed, &host, 3);
    let mut thief = bed.host("host-1");
    thief.state = databasus_escrow::ops::state::State::new(bed.folder.path().join("thief"));
    steal(&bed, &thief);
    let refused = prune(&bed, &host);
    assert!(matches!(
        refused,
        Err(PruneError::Uncertain(Uncertain::Doubtful(_)))
    ));
    // The alarm stays, also over the next manifest of the host's own.
    let more = nights(&bed, &host, 1);
    let refused = prune(&bed, &host);
    assert!(matches!(
        refused,
        Err(PruneError::Uncertain(Uncertain::Doubtful(_)))
    ));
    // Once the key is replaced, pruning goes on, by its own rules alone.
    host.state.key_was_replaced(&bed.slug).unwrap();
    prune(&bed, &host).unwrap();
    assert_eq!(kept(&bed), set(ids[1..].iter().chain(&more)));
}
