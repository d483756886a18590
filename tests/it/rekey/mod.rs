//! Escrows change hands: whoever is in force opens them, whoever is not does not, and at no moment
//! does nobody.

mod command;
mod sweep;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use age::secrecy::ExposeSecret;
use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::names::EscrowId;
use databasus_escrow::base::time::{Clock, UtcTime};
use databasus_escrow::model::allowed_signers::Window;
use databasus_escrow::model::amend::Change;
use databasus_escrow::model::layout::Layout;
use databasus_escrow::model::lock::{LockMode, LockPolicy};
use databasus_escrow::model::manifest::{CustodyMode, Manifest};
use databasus_escrow::model::quorum::Quorum;
use databasus_escrow::model::recipients::{RecipientSpec, Recipients};
use databasus_escrow::ops::certainty::Uncertain;
use databasus_escrow::ops::commit::{Committer, Completeness, Ports, Reach};
use databasus_escrow::ops::custody::exposure;
use databasus_escrow::ops::prune::State;
use databasus_escrow::ops::rekey::{self, Outcome, RekeyError, Report, Settings};
use databasus_escrow::ops::replicate::{self, Looking};
use databasus_escrow::sealing::identities::Identities;
use databasus_escrow::sealing::sshsig::SigningKey;
use databasus_escrow::sealing::unpack::UnpackError;
use databasus_escrow::store::memory::MemoryStore;
use databasus_escrow::store::{Store, list_all};

use crate::support::fault_store::{FaultStore, OpenUploads, Plan, Process};
use crate::support::instance::Bed;

const DAY: i64 = 86_400;

/// Somebody who holds an identity.
struct Person {
    name: &'static str,
    identity: age::x25519::Identity,
}

impl Person {
    fn new(name: &'static str) -> Self {
        let identity = age::x25519::Identity::generate();
        Self { name, identity }
    }

    fn spec(&self) -> RecipientSpec {
        let recipient = self.identity.to_public().to_string();
        RecipientSpec::parse(self.name, &recipient).unwrap()
    }
}

/// Their identities on one machine.
fn identities(people: &[&Person]) -> Identities {
    let lines = people.iter().map(|one| one.identity.to_string());
    let text: String = lines
        .map(|line| format!("{}\n", line.expose_secret()))
        .collect();
    Identities::parse("people", text.into()).unwrap()
}

/// To whom escrows are sealed.
struct Custodians {
    recipients: Recipients,
    quorum: Option<Quorum>,
}

fn custodians(people: &[&Person], k: Option<u32>) -> Custodians {
    let specs = people.iter().map(|one| one.spec()).collect();
    let recipients = Recipients::new(specs).unwrap();
    Custodians {
        quorum: k.map(|k| Quorum::new(k, &recipients).unwrap()),
        recipients,
    }
}

/// Runs on a box of its own, which may sign.
fn rekey_in(
    bed: &Bed,
    stores: &[Arc<dyn Store>],
    to: &Custodians,
    with: &Identities,
    escrows: &[EscrowId],
) -> Result<Report, RekeyError> {
    rekey_by(bed, "host-2", stores, to, with, escrows)
}

fn rekey_by(
    bed: &Bed,
    host: &str,
    stores: &[Arc<dyn Store>],
    to: &Custodians,
    with: &Identities,
    escrows: &[EscrowId],
) -> Result<Report, RekeyError> {
    let host = bed.host(host);
    let mut destinations = Bed::destinations(stores);
    for destination in &mut destinations {
        destination.lock = bed.lock;
    }
    let ports = Ports {
        destinations: &destinations,
        state: &host.state,
        clock: &bed.clock,
        cancel: &Cancel::new(),
    };
    let text = to.recipients.to_toml().unwrap();
    let settings = Settings {
        recipients: &to.recipients,
        quorum: to.quorum.as_ref(),
        recipients_text: &text,
        identities: Some(with),
        escrows,
    };
    let told: rekey::Told = Arc::new(|_| {});
    rekey::run(bed.author(&host), ports, &settings, &told)
}

fn rekey(bed: &Bed, to: &Custodians, with: &[&Person]) -> Result<Report, RekeyError> {
    rekey_in(bed, &bed.stores, to, &identities(with), &[])
}

/// A snapshot to these custodians.
fn snapshot(bed: &Bed, to: &Custodians) -> EscrowId {
    let mut host = bed.host("host-1");
    host.settings.recipients_text = to.recipients.to_toml().unwrap();
    host.settings.recipients = to.recipients.clone();
    host.settings.quorum = to
        .quorum
        .as_ref()
        .map(|one| Quorum::new(one.k(), &to.recipients).unwrap());
    bed.clock.advance(DAY);
    bed.snapshot(&host).unwrap().manifest.escrow_id
}

/// What readers take for the manifest of each escrow.
fn manifests(bed: &Bed) -> Vec<Manifest> {
    let history = bed.read(None);
    let escrows = history.escrows();
    escrows
        .map(|(entry, _)| history.load(entry).unwrap())
        .collect()
}

fn keys(store: &Arc<dyn Store>) -> BTreeSet<String> {
    let listed = list_all(store.as_ref(), "", None).unwrap();
    listed.into_iter().map(|meta| meta.key).collect()
}

/// Payloads that a store lists.
fn payloads(store: &Arc<dyn Store>) -> BTreeSet<String> {
    let all = keys(store).into_iter();
    all.filter(|key| key.ends_with("/payload.tar.zst.age"))
        .collect()
}

fn opens(bed: &Bed, people: &[&Person], manifest: &Manifest) -> bool {
    let each = bed.stores.iter().map(|store| {
        let alone = std::slice::from_ref(store);
        match bed.open_as(&identities(people), manifest, alone) {
            Ok(findings) => findings.is_empty(),
            Err(UnpackError::NoIdentity | UnpackError::Locked(_)) => false,
            Err(error) => panic!("{error}"),
        }
    });
    let each: BTreeSet<bool> = each.collect();
    assert_eq!(each.len(), 1, "the stores differ");
    each.contains(&true)
}

#[test]
fn whoever_is_in_force_opens_it_and_a_leaver_does_not() {
    let bed = Bed::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(Person::new);
    for _ in 0..2 {
        snapshot(&bed, &custodians(&[&alice, &bob], None));
    }
    let before = manifests(&bed);
    let report = rekey(&bed, &custodians(&[&alice, &carol], None), &[&alice]).unwrap();
    assert_eq!(report.completeness(), Completeness::Whole);
    for (before, after) in before.iter().zip(manifests(&bed)) {
        assert!(opens(&bed, &[&alice], &after) && opens(&bed, &[&carol], &after));
        assert!(!opens(&bed, &[&bob], &after));
        assert_eq!(after.snapshot_at, before.snapshot_at);
        assert_ne!(
            after.payload.age_header_sha256,
            before.payload.age_header_sha256
        );
    }
}

#[test]
fn what_was_replaced_is_gone_from_every_store() {
    let bed = Bed::new();
    let [alice, bob] = ["alice", "bob"].map(Person::new);
    snapshot(&bed, &custodians(&[&alice, &bob], None));
    rekey(&bed, &custodians(&[&alice], None), &[&alice]).unwrap();
    let layout = Layout::new(&bed.slug);
    let [manifest] = &manifests(&bed)[..] else {
        panic!("there is one escrow");
    };
    for store in &bed.stores {
        assert_eq!(payloads(store), [layout.payload(manifest.sealed())].into());
        let own = keys(store).into_iter();
        let mut own = own.filter(|key| layout.parse_escrow(key).is_some());
        assert!(own.all(|key| layout.parse_rekey(&key) == manifest.rekeyed));
    }
}

#[test]
fn the_bytes_inside_are_the_same() {
    let mut bed = Bed::new();
    // Two parts and a bit.
    bed.add_bulk(17 << 20);
    let [alice, bob] = ["alice", "bob"].map(Person::new);
    snapshot(&bed, &custodians(&[&alice], None));
    let inside = |bed: &Bed, person: &Person| {
        let manifest = &manifests(bed)[0];
        let key = Layout::new(&bed.slug).payload(manifest.sealed());
        let sealed = bed.stores[0].get(&key, u64::MAX).unwrap().bytes;
        age::decrypt(&person.identity, &sealed).unwrap()
    };
    let before = inside(&bed, &alice);
    rekey(&bed, &custodians(&[&bob], None), &[&alice, &bob]).unwrap();
    assert!(inside(&bed, &bob) == before);
    assert_eq!(manifests(&bed)[0].payload.parts.len(), 3);
}

#[test]
fn custody_of_several_becomes_that_of_each_and_back() {
    let bed = Bed::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(Person::new);
    let everybody = [&alice, &bob, &carol];
    let any = custodians(&everybody, None);
    let two = custodians(&everybody, Some(2));
    snapshot(&bed, &any);
    rekey(&bed, &two, &[&bob, &carol]).unwrap();
    let shared = &manifests(&bed)[0];
    assert_eq!(shared.custody.mode, CustodyMode::KOfN);
    assert!(opens(&bed, &[&bob, &carol], shared) && !opens(&bed, &[&carol], shared));

    let refused = rekey(&bed, &any, &[&carol]);
    let not_met = |error: &RekeyError| {
        let is_locked = |source: &UnpackError| matches!(source, UnpackError::Locked(_));
        matches!(error, RekeyError::Closed { source, .. } if is_locked(source))
    };
    assert!(refused.is_err_and(|error| not_met(&error)));
    rekey(&bed, &any, &[&alice, &carol]).unwrap();
    let each = &manifests(&bed)[0];
    assert!(each.unlock.is_empty() && opens(&bed, &[&bob], each));
    assert_eq!(payloads(&bed.stores[0]).len(), 1);
}

#[test]
fn with_the_wrong_identity_nothing_is_changed() {
    let bed = Bed::new();
    let [alice, mallory] = ["alice", "mallory"].map(Person::new);
    snapshot(&bed, &custodians(&[&alice], None));
    let before = keys(&bed.stores[0]);
    let refused = rekey(&bed, &custodians(&[&mallory], None), &[&mallory]);
    let is_closed = |error: &RekeyError| {
        matches!(
            error,
            RekeyError::Closed {
                source: UnpackError::NoIdentity,
                ..
            }
        )
    };
    assert!(refused.is_err_and(|error| is_closed(&error)));
    assert_eq!(keys(&bed.stores[0]), before);
}

/// Its manifest would count for those alone who have its line by hand: for all others the old
/// payload would still be in force, and gone.
#[test]
fn a_signer_of_whom_no_snapshot_tells_seals_nothing_again() {
    let mut bed = Bed::new();
    let [alice, bob] = ["alice", "bob"].map(Person::new);
    snapshot(&bed, &custodians(&[&alice, &bob], None));
    let key = SigningKey::generate().unwrap();
    bed.admit("host-3", key, Window::default());
    let before = keys(&bed.stores[0]);
    let only_alice = custodians(&[&alice], None);
    let again = |bed: &Bed| {
        let with = identities(&[&alice]);
        rekey_by(bed, "host-3", &bed.stores, &only_alice, &with, &[])
    };
    let is_unvouched = |error: &RekeyError| matches!(error, RekeyError::Uncertain(Uncertain::Unvouched(who)) if who.as_str() == "host-3");
    assert!(again(&bed).is_err_and(|error| is_unvouched(&error)));
    assert_eq!(keys(&bed.stores[0]), before);

    snapshot(&bed, &custodians(&[&alice, &bob], None));
    let report = again(&bed).unwrap();
    assert_eq!(report.completeness(), Completeness::Whole);
}

#[test]
fn nothing_changes_hands_while_nobody_has_shown_that_they_open_it() {
    let bed = Bed::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(Person::new);
    snapshot(&bed, &custodians(&[&alice], None));
    let before = keys(&bed.stores[0]);
    let two = custodians(&[&alice, &bob, &carol], Some(2));
    let refused = rekey(&bed, &two, &[&alice]);
    let only_alice = |error: &RekeyError| match error {
        RekeyError::Unproven { takes: 2, proven } => proven.len() == 1,
        _ => false,
    };
    assert!(refused.is_err_and(|error| only_alice(&error)));
    assert_eq!(keys(&bed.stores[0]), before);
}

#[test]
fn where_everything_is_in_force_nothing_is_written() {
    let bed = Bed::new();
    let alice = Person::new("alice");
    let to = custodians(&[&alice], None);
    snapshot(&bed, &to);
    let before = keys(&bed.stores[0]);
    let report = rekey(&bed, &to, &[&alice]).unwrap();
    assert_eq!(report.escrows[0].outcome, Outcome::InForce);
    assert_eq!(keys(&bed.stores[0]), before);
}

#[test]
fn only_the_escrows_that_are_named_change_hands() {
    let bed = Bed::new();
    let [alice, bob] = ["alice", "bob"].map(Person::new);
    let first = snapshot(&bed, &custodians(&[&alice], None));
    snapshot(&bed, &custodians(&[&alice], None));
    let to = custodians(&[&bob], None);
    rekey_in(
        &bed,
        &bed.stores,
        &to,
        &identities(&[&alice, &bob]),
        &[first],
    )
    .unwrap();
    let now = manifests(&bed);
    assert!(opens(&bed, &[&bob], &now[0]) && opens(&bed, &[&alice], &now[1]));
}

#[test]
fn what_some_identity_does_not_open_stays_and_is_told() {
    let bed = Bed::new();
    let [alice, bob] = ["alice", "bob"].map(Person::new);
    snapshot(&bed, &custodians(&[&alice], None));
    snapshot(&bed, &custodians(&[&bob], None));
    let report = rekey(&bed, &custodians(&[&alice, &bob], None), &[&bob]).unwrap();
    assert_eq!(report.completeness(), Completeness::Partial);
    assert!(matches!(report.escrows[0].outcome, Outcome::Closed { .. }));
    let now = manifests(&bed);
    assert!(opens(&bed, &[&alice], &now[0]) && opens(&bed, &[&alice], &now[1]));
}

#[test]
fn what_retention_has_let_go_is_left_alone() {
    let bed = Bed::new();
    let [alice, bob] = ["alice", "bob"].map(Person::new);
    let old = snapshot(&bed, &custodians(&[&alice], None));
    snapshot(&bed, &custodians(&[&alice], None));
    sign(
        &bed,
        Change::Expired {
            escrow_ids: vec![old.clone()],
        },
    );
    let to = custodians(&[&bob], None);
    let report = rekey(&bed, &to, &[&alice, &bob]).unwrap();
    assert_eq!(report.escrows.len(), 1);
    let named = rekey_in(&bed, &bed.stores, &to, &identities(&[&alice, &bob]), &[old]);
    assert!(matches!(named, Err(RekeyError::LetGo(_))));
}

/// Signs a change into the chain, as the host of snapshots.
fn sign(bed: &Bed, change: Change) {
    let host = bed.host("host-1");
    let ports = Ports {
        destinations: &Bed::destinations(&bed.stores),
        state: &host.state,
        clock: &bed.clock,
        cancel: &Cancel::new(),
    };
    let mut chain = Committer::new(bed.author(&host), ports).unwrap();
    let history = chain.read_history(Reach::Whole).unwrap();
    chain.report(history, vec![change]).unwrap();
}

#[test]
fn what_was_replaced_is_known_from_the_chain_and_goes_without_an_identity() {
    let bed = Bed::new();
    let [alice, bob] = ["alice", "bob"].map(Person::new);
    let id = snapshot(&bed, &custodians(&[&alice], None));
    let to = custodians(&[&bob], None);
    let layout = Layout::new(&bed.slug);
    let old = bed.stores[1].get(&layout.payload(&id), 64 << 20).unwrap();
    rekey(&bed, &to, &[&alice, &bob]).unwrap();
    // Another host's night brings it back, and the box that sealed again has forgotten.
    let key = layout.payload(&id);
    bed.stores[1].put_if_absent(&key, &old.bytes).unwrap();
    let report = rekey(&bed, &to, &[&Person::new("nobody")]).unwrap();
    assert_eq!(report.escrows[0].outcome, Outcome::InForce);
    assert_eq!(report.deleted.len(), 1);
    assert!(bed.stores[1].head(&key).is_err());
}

#[test]
fn a_pending_manifest_whose_payload_was_swept_is_given_up() {
    let bed = Bed::new();
    let [alice, bob] = ["alice", "bob"].map(Person::new);
    let id = snapshot(&bed, &custodians(&[&alice], None));
    let to = custodians(&[&bob], None);
    let never = |at: usize| -> Arc<dyn Store> {
        Arc::new(FaultStore::new(
            bed.stores[at].clone(),
            OpenUploads::default(),
            Process::default(),
            Some(Plan::every("put", "/manifest/")),
        ))
    };
    let opening = identities(&[&alice, &bob]);
    let failed = rekey_in(&bed, &[never(0), never(1)], &to, &opening, &[]);
    assert!(failed.is_err() || failed.unwrap().completeness() != Completeness::Whole);
    let layout = Layout::new(&bed.slug);
    for store in &bed.stores {
        for meta in list_all(store.as_ref(), &layout.escrows(), None).unwrap() {
            if layout.parse_rekey(&meta.key).is_some() {
                store.delete(&meta.key).unwrap();
            }
        }
    }
    rekey(&bed, &to, &[&alice, &bob]).unwrap();
    let history = bed.read(None);
    let (entry, _) = history.escrows().find(|(_, one)| one.id == id).unwrap();
    let manifest = history.load(entry).unwrap();
    assert!(opens(&bed, &[&bob], &manifest));
}

#[test]
fn nothing_begins_while_a_store_is_silent() {
    let bed = Bed::new();
    let [alice, bob] = ["alice", "bob"].map(Person::new);
    snapshot(&bed, &custodians(&[&alice], None));
    let stores = [bed.stores[0].clone(), faulty(&bed, Plan::every("list", ""))];
    let to = custodians(&[&bob], None);
    let refused = rekey_in(&bed, &stores, &to, &identities(&[&alice, &bob]), &[]);
    let is_silent =
        |error: &RekeyError| matches!(error, RekeyError::Uncertain(Uncertain::NotAllStores(_)));
    assert!(refused.is_err_and(|error| is_silent(&error)));
}

/// The second store, with faults.
fn faulty(bed: &Bed, plan: Plan) -> Arc<dyn Store> {
    let (uploads, process) = (OpenUploads::default(), Process::default());
    Arc::new(FaultStore::new(
        bed.stores[1].clone(),
        uploads,
        process,
        Some(plan),
    ))
}

#[test]
fn a_store_that_does_not_take_it_keeps_the_old_one_in_force() {
    for plan in [
        Plan::every("start upload", ""),
        Plan::every("put", "/canary/"),
    ] {
        let bed = Bed::new();
        let [alice, bob] = ["alice", "bob"].map(Person::new);
        snapshot(&bed, &custodians(&[&alice], None));
        let to = custodians(&[&bob], None);
        let stores = [bed.stores[0].clone(), faulty(&bed, plan)];
        let report = rekey_in(&bed, &stores, &to, &identities(&[&alice, &bob]), &[]).unwrap();
        assert_eq!(report.completeness(), Completeness::Partial);
        assert!(matches!(report.escrows[0].outcome, Outcome::Failed { .. }));
        assert!(opens(&bed, &[&alice], &manifests(&bed)[0]));
        // What was sealed in vain does not stay.
        assert!(bed.stores.iter().all(|store| payloads(store).len() == 1));
    }
}

#[test]
fn a_damaged_payload_is_never_sealed_again() {
    let bed = Bed::new();
    let [alice, bob] = ["alice", "bob"].map(Person::new);
    let id = snapshot(&bed, &custodians(&[&alice], None));
    let key = Layout::new(&bed.slug).payload(&id);
    for store in &bed.stores {
        let mut bytes = store.get(&key, u64::MAX).unwrap().bytes;
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        store.delete(&key).unwrap();
        store.put_if_absent(&key, &bytes).unwrap();
    }
    let refused = rekey(&bed, &custodians(&[&bob], None), &[&alice, &bob]);
    assert!(refused.is_err() || refused.is_ok_and(|one| one.completeness() == Completeness::Alarm));
    assert!(manifests(&bed)[0].rekeyed.is_none());
    assert_eq!(payloads(&bed.stores[0]), [key].into());
}

#[test]
fn somebody_elses_word_deletes_nothing() {
    let bed = Bed::new();
    let [alice, bob] = ["alice", "bob"].map(Person::new);
    snapshot(&bed, &custodians(&[&alice], None));
    let to = custodians(&[&bob], None);
    let stores: Vec<Arc<dyn Store>> = bed
        .stores
        .iter()
        .map(|store| {
            let (uploads, process) = (OpenUploads::default(), Process::default());
            let plan = Plan::every("delete", "");
            Arc::new(FaultStore::new(store.clone(), uploads, process, Some(plan))) as Arc<dyn Store>
        })
        .collect();
    let report = rekey_in(&bed, &stores, &to, &identities(&[&alice, &bob]), &[]).unwrap();
    assert_eq!(report.completeness(), Completeness::Partial);
    // To any other host it is a signed claim, and no more.
    rekey_by(&bed, "host-1", &bed.stores, &to, &identities(&[&bob]), &[]).unwrap();
    assert_eq!(payloads(&bed.stores[0]).len(), 2);
    rekey(&bed, &to, &[&bob]).unwrap();
    assert_eq!(payloads(&bed.stores[0]).len(), 1);
}

/// The clock of a store that locks.
struct StoreClock(AtomicI64);

impl Clock for StoreClock {
    fn now(&self) -> UtcTime {
        UtcTime::from_unix(self.0.load(Ordering::SeqCst))
    }
}

#[test]
fn what_a_lock_holds_is_told_and_goes_when_it_ends() {
    let mut bed = Bed::new();
    let clock = Arc::new(StoreClock(AtomicI64::new(bed.clock.now().unix())));
    let locking = MemoryStore::versioned("a".parse().unwrap(), clock.clone());
    bed.stores = vec![Arc::new(locking)];
    bed.lock = Some(LockPolicy {
        mode: LockMode::Compliance,
        days: 30,
        manifest_days: 60,
    });
    let [alice, bob] = ["alice", "bob"].map(Person::new);
    snapshot(&bed, &custodians(&[&alice, &bob], None));
    let report = rekey(&bed, &custodians(&[&alice], None), &[&alice]).unwrap();
    assert_eq!(report.completeness(), Completeness::Whole);
    let until = report.escrows[0].copies_before[0].locked_until;
    assert!(until.is_some());
    let is_locked = |state: &State| matches!(state, State::Locked { .. });
    assert!(is_locked(&report.deleted[0].state));
    let history = bed.read(None);
    let exposed = exposure::of(&history, &"bob".parse().unwrap(), None).unwrap();
    assert_eq!(exposed.len(), 1);
    assert_eq!(exposed[0].replaced_by, Some(2));
    assert_eq!(exposed[0].copies[0].locked_until, until);
    assert_eq!(payloads(&bed.stores[0]).len(), 2);
    clock.0.fetch_add(40 * DAY, Ordering::SeqCst);
    rekey(&bed, &custodians(&[&alice], None), &[&alice]).unwrap();
    assert_eq!(payloads(&bed.stores[0]).len(), 1);
}

#[test]
fn a_new_store_gets_what_is_in_force() {
    let mut bed = Bed::with_stores(&["a", "b"]);
    let [alice, bob] = ["alice", "bob"].map(Person::new);
    snapshot(&bed, &custodians(&[&alice], None));
    rekey(&bed, &custodians(&[&bob], None), &[&alice, &bob]).unwrap();
    bed.stores
        .push(Arc::new(MemoryStore::new("c".parse().unwrap())));
    let host = bed.host("host-1");
    let ports = Ports {
        destinations: &Bed::destinations(&bed.stores),
        state: &host.state,
        clock: &bed.clock,
        cancel: &Cancel::new(),
    };
    let told = Arc::new(|_| {});
    let report = replicate::run(bed.author(&host), ports, Looking::Listed, told).unwrap();
    assert_eq!(report.copied.len(), 1);
    assert!(opens(&bed, &[&bob], &manifests(&bed)[0]));
    assert_eq!(keys(&bed.stores[2]), keys(&bed.stores[0]));
    let history = bed.read_from(&bed.stores[2..], None);
    assert!(history.findings.is_empty(), "{:?}", history.findings);
}
