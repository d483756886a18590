//! A fork stays an alarm until somebody signs that it was looked into; then the chain is whole
//! again, and what lies beside it is kept and never the newest.

mod command;

use std::collections::BTreeSet;
use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::names::EscrowId;
use databasus_escrow::model::amend::Change;
use databasus_escrow::model::retention::{Reason, Rules};
use databasus_escrow::ops::certainty::Uncertain;
use databasus_escrow::ops::close_forks::{self, CloseError};
use databasus_escrow::ops::commit::{Author, Committer, Completeness, Ports, Reach};
use databasus_escrow::ops::prune::{self, PruneError, Settings};
use databasus_escrow::ops::replicate::{self, Looking};
use databasus_escrow::ops::select::{SelectError, Selection, select};
use databasus_escrow::store::Store;

use crate::support::fault_store::{Fault, FaultStore, OpenUploads, Plan, Process};
use crate::support::instance::{Bed, Host, ids};

const DAY: i64 = 86_400;

/// Two hosts, each of which saw one store only on the first night: the first host's manifest is
/// followed, because it is the older one.
struct Forked {
    bed: Bed,
    first: Host,
    second: Host,
}

impl Forked {
    fn new() -> Self {
        let bed = Bed::new();
        let (first, second) = (bed.host("host-1"), bed.host("host-2"));
        let forked = Self { bed, first, second };
        forked.night_without(0, &forked.first);
        forked.bed.clock.advance(1);
        forked.night_without(1, &forked.second);
        forked
    }

    fn night_without(&self, silent: usize, host: &Host) {
        let stores = self.bed.stores_without(silent);
        let cancel = Cancel::new();
        self.bed.snapshot_into(host, &stores, &cancel).unwrap();
    }

    /// A host, as a job that extends the chain takes it.
    fn with<T>(&self, host: &Host, job: impl FnOnce(Author<'_>, Ports<'_>) -> T) -> T {
        self.with_stores(host, &self.bed.stores, job)
    }

    fn with_stores<T>(
        &self,
        host: &Host,
        stores: &[Arc<dyn Store>],
        job: impl FnOnce(Author<'_>, Ports<'_>) -> T,
    ) -> T {
        let author = self.bed.author(host);
        let ports = Ports {
            destinations: &Bed::destinations(stores),
            state: &host.state,
            clock: &self.bed.clock,
            cancel: &Cancel::new(),
        };
        job(author, ports)
    }

    fn close(&self) {
        let seen = self.with(&self.first, |author, ports| {
            close_forks::look(author, ports, &[]).unwrap()
        });
        let closed = self.with(&self.first, |author, ports| {
            close_forks::close(author, ports, &seen.forks).unwrap()
        });
        assert!(closed.closed_by.is_some());
    }

    fn prune(&self) -> Result<prune::Report, PruneError> {
        self.prune_with(1)
    }

    /// Keeps as many at least.
    fn prune_with(&self, floor: u32) -> Result<prune::Report, PruneError> {
        let rules = Rules {
            daily: 1,
            weekly: 0,
            monthly: 0,
            floor,
        };
        let settings = Settings {
            rules,
            dry_run: false,
        };
        self.with(&self.first, |author, ports| {
            prune::run(author, ports, &settings)
        })
    }

    fn findings(&self) -> Vec<String> {
        ids(&self.bed.read(None).findings)
    }
}

#[test]
fn looking_shows_both_and_which_one_is_followed() {
    let forked = Forked::new();
    let report = forked.with(&forked.first, |author, ports| {
        close_forks::look(author, ports, &[]).unwrap()
    });
    assert_eq!(report.forks.len(), 1);
    let claimants = &report.forks[0].claimants;
    let told: Vec<(bool, &str)> = claimants
        .iter()
        .map(|one| (one.followed, one.signer.as_str()))
        .collect();
    assert_eq!(told, [(true, "host-1"), (false, "host-2")]);
    assert!(forked.findings().contains(&"chain-fork".to_owned()));
}

#[test]
fn a_closed_fork_is_a_note_and_another_look_finds_none() {
    let forked = Forked::new();
    forked.close();
    let findings = forked.findings();
    assert!(findings.contains(&"chain-fork-closed (note)".to_owned()));
    assert!(!findings.contains(&"chain-fork".to_owned()));
    let again = forked.with(&forked.second, |author, ports| {
        close_forks::look(author, ports, &[]).unwrap()
    });
    assert!(again.forks.is_empty());
}

#[test]
fn what_was_left_aside_is_never_the_newest() {
    let forked = Forked::new();
    let history = forked.bed.read(None);
    let doubtful = select(&history, &Selection::Newest);
    assert!(matches!(doubtful, Err(SelectError::Doubtful { .. })));
    forked.close();
    let history = forked.bed.read(None);
    let (entry, _) = select(&history, &Selection::Newest).unwrap();
    assert_eq!(entry.signer.as_str(), "host-1");
    let aside = history
        .escrows()
        .find(|(entry, _)| history.is_left_aside(entry));
    let id = aside.unwrap().1.id.clone();
    assert!(
        select(&history, &Selection::Id(id)).is_ok(),
        "by its id it can be opened"
    );
}

#[test]
fn pruning_goes_on_and_keeps_what_was_left_aside() {
    let forked = Forked::new();
    assert!(matches!(
        forked.prune(),
        Err(PruneError::Uncertain(Uncertain::Doubtful(_)))
    ));
    forked.close();
    for _ in 0..3 {
        forked.bed.clock.advance(DAY);
        forked.bed.snapshot(&forked.first).unwrap();
    }
    let report = forked.prune().unwrap();
    let goes = report.escrows.iter().filter(|row| row.goes()).count();
    assert_eq!(goes, 3);
    let aside = report
        .escrows
        .iter()
        .filter(|row| row.kept_for.contains(&Reason::Aside));
    assert_eq!(aside.count(), 1);
}

#[test]
fn both_manifests_reach_every_store_once_the_fork_is_closed() {
    let forked = Forked::new();
    forked.close();
    let report = forked.with(&forked.first, |author, ports| {
        replicate::run(author, ports, Looking::Listed, Arc::new(|_| {})).unwrap()
    });
    assert_eq!(report.completeness(), Completeness::Whole, "{report:?}");
    for store in &forked.bed.stores {
        let history = forked.bed.read_from(std::slice::from_ref(store), None);
        assert_eq!(ids(&history.findings), ["chain-fork-closed (note)"]);
    }
}

/// A fork in whose second manifest somebody lets every escrow go.
fn forked_over_an_announcement() -> (Forked, EscrowId) {
    let bed = Bed::new();
    let (first, second) = (bed.host("host-1"), bed.host("host-2"));
    let old = bed.snapshot(&first).unwrap().manifest.escrow_id;
    bed.snapshot(&first).unwrap();
    let forked = Forked { bed, first, second };
    forked.night_without(0, &forked.first);
    forked.bed.clock.advance(1);
    let stores = forked.bed.stores_without(1);
    forked.with_stores(&forked.second, &stores, |author, ports| {
        let mut chain = Committer::new(author, ports).unwrap();
        let history = chain.read_history(Reach::Whole).unwrap();
        let escrow_ids = history.escrows().map(|(_, one)| one.id.clone()).collect();
        let changes = vec![Change::Expired { escrow_ids }];
        chain.report(history, changes).unwrap();
    });
    (forked, old)
}

#[test]
fn what_was_left_aside_lets_nothing_go() {
    let (forked, old) = forked_over_an_announcement();
    let history = forked.bed.read(None);
    assert!(history.escrows().all(|(_, escrow)| !escrow.is_let_go()));
    forked.close();
    let report = forked.prune_with(10).unwrap();
    assert!(report.deleted.is_empty(), "{:?}", report.deleted);
    let history = forked.bed.read(None);
    assert!(select(&history, &Selection::Id(old)).is_ok());
    assert!(history.escrows().all(|(_, escrow)| !escrow.is_let_go()));
}

#[test]
fn nothing_is_closed_while_a_store_is_silent() {
    let forked = Forked::new();
    let stores = forked.bed.stores_without(1);
    let refused = forked.with_stores(&forked.first, &stores, |author, ports| {
        close_forks::look(author, ports, &[])
    });
    assert!(matches!(refused, Err(CloseError::NotAllStores)));
}

#[test]
fn a_run_that_is_cut_off_at_any_call_leaves_it_open_or_closed() {
    for call in 0.. {
        let forked = Forked::new();
        let seen = forked.with(&forked.first, |author, ports| {
            close_forks::look(author, ports, &[]).unwrap()
        });
        let faulty = FaultStore::new(
            forked.bed.stores[0].clone(),
            OpenUploads::default(),
            Process::default(),
            Some(Plan::new(call, Fault::Before)),
        );
        let stores: Vec<Arc<dyn Store>> =
            vec![Arc::new(faulty.clone()), forked.bed.stores[1].clone()];
        let closed = forked.with_stores(&forked.first, &stores, |author, ports| {
            close_forks::close(author, ports, &seen.forks)
        });
        let open: BTreeSet<String> = forked.findings().into_iter().collect();
        assert_eq!(closed.is_err(), open.contains("chain-fork"), "call {call}");
        if !faulty.was_hit() {
            assert!(call > 4, "closing makes more than {call} calls");
            break;
        }
    }
}
