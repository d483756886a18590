//! What all stores hold of the newest manifest.
//!
//! A store that was away for a night holds an older one: it lacks a manifest, and accuses nobody.
//! So only the newest of all stores is held against what was known before.

use std::sync::Arc;

use crate::base::names::StoreName;
use crate::model::audit::facts::{EscrowSeen, Seen};
use crate::model::finding::Finding;
use crate::model::mark::Mark;
use crate::store::Store;

use super::look::{Look, Looked};
use super::trail::Trail;
use super::{Head, HeadRequest};

/// See the module.
pub(super) struct Newest<'a> {
    request: &'a HeadRequest<'a>,
    /// The newest manifest; more than one where somebody made a fork. Of a fork, the one dated
    /// first is the head: its writer was first.
    pub(super) heads: Vec<Head>,
    /// Each store that answered, and what it holds of them.
    held: Vec<(StoreName, Vec<Mark>)>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Newest<'a> {
    pub(super) fn of(request: &'a HeadRequest<'a>, looked: Vec<(StoreName, Looked)>) -> Self {
        let (mut heads, mut held, mut findings) = (Vec::new(), Vec::new(), Vec::new());
        for (name, looked) in looked {
            findings.extend(looked.findings.into_iter().map(|one| one.about(&name)));
            if let Some(of_store) = looked.heads {
                held.push((name, of_store.iter().map(Head::mark).collect()));
                heads.extend(of_store);
            }
        }
        let mut newest = Self {
            request,
            heads: only_newest(heads),
            held,
            findings,
        };
        newest.compare();
        newest
    }

    /// Whether every store gave what it was asked for.
    pub(super) fn is_complete(&self) -> bool {
        let mut findings = self.findings.iter();
        !findings.any(|finding| finding.id == "store-unreachable")
    }

    /// What stores differ in, and dates that have not come yet.
    fn compare(&mut self) {
        let now = self.request.now;
        let ahead = self.heads.iter().filter_map(|head| head.ahead(now));
        let found: Vec<Finding> = self.fork().into_iter().chain(ahead).collect();
        self.findings.extend(found);
        self.findings.extend(self.lacking());
    }

    fn fork(&self) -> Option<Finding> {
        let seq = self.heads.first()?.mark().seq;
        (self.heads.len() > 1).then(|| {
            let message = format!("two or more verified manifests claim to be number {seq}");
            Finding::violation("chain-fork", message)
        })
    }

    fn lacking(&self) -> Vec<Finding> {
        let lacks = |(store, held): &(StoreName, Vec<Mark>)| {
            let mut marks = self.heads.iter().map(Head::mark);
            let missing = marks.find(|mark| !held.contains(mark))?;
            let message = format!("store {store} lacks manifest {}", missing.seq);
            Some(Finding::warning("manifest-missing", message).about(store))
        };
        self.held.iter().filter_map(lacks).collect()
    }

    /// Whether the chain leads from the newest manifest back to what was known before.
    pub(super) fn hold_against_mark(&mut self) -> Seen<()> {
        let Some(mark) = self.request.mark else {
            return Seen::unknown("nothing was known before");
        };
        if self.held.is_empty() {
            return Seen::unknown("no store answered");
        }
        let mut trail = Trail::new(self.request.slug, self.stores(), self.is_complete());
        // Whoever has seen one way of a fork is told of the fork, not of a history rewritten.
        let mut followed = self.heads.iter().map(|head| trail.follow(head, &mark));
        let first = followed.next().unwrap_or_else(|| Err(trail_ends(&mark)));
        let reached = match first {
            Err(finding) if !followed.any(|other| other.is_ok()) => Err(finding),
            _ => Ok(()),
        };
        drop(followed);
        self.findings.append(&mut trail.findings);
        match reached {
            Ok(()) => Seen::Known(()),
            Err(finding) => {
                let why = finding.message.clone();
                self.findings.push(trail.doubted(finding));
                Seen::Unknown(why)
            }
        }
    }

    /// Stores that answered, those that hold the head first.
    fn stores(&self) -> Vec<&'a Arc<dyn Store>> {
        let head = self.heads.first().map(Head::mark);
        let held = |store: &Arc<dyn Store>| {
            let mut held = self.held.iter().filter(|(name, _)| name == store.name());
            held.next().map(|(_, marks)| marks.as_slice())
        };
        let answered = self.request.stores.iter();
        let mut stores: Vec<_> = answered.filter(|store| held(store).is_some()).collect();
        let holds = |marks: &[Mark]| head.is_some_and(|head| marks.contains(&head));
        stores.sort_by_key(|store| !held(store).is_some_and(holds));
        stores
    }

    /// The newest escrow at or before the head.
    pub(super) fn find_escrow(&mut self) -> Seen<Option<EscrowSeen>> {
        let Some(head) = self.heads.first() else {
            return Seen::Known(None);
        };
        if let Some(escrow) = &head.escrow {
            return Seen::Known(Some(escrow.clone()));
        }
        let mut findings = Vec::new();
        let mut seen = Seen::unknown("no store that answered holds the newest manifest");
        for store in self.stores() {
            let mut look = Look::new(self.request, store);
            seen = look.escrow_before(head);
            let found = look.into_findings();
            findings.extend(found.into_iter().map(|one| one.about(store.name())));
            if matches!(seen, Seen::Known(_)) {
                break;
            }
        }
        self.findings.append(&mut findings);
        seen
    }
}

/// Each manifest with the highest number once, the one dated first in front.
fn only_newest(mut heads: Vec<Head>) -> Vec<Head> {
    let newest = heads.iter().map(|head| head.mark().seq).max();
    heads.retain(|head| Some(head.mark().seq) == newest);
    heads.sort_by_key(|head| (head.seen.created_at, head.mark().manifest_sha256));
    heads.dedup_by_key(|head| head.mark());
    heads
}

fn trail_ends(mark: &Mark) -> Finding {
    let message = format!("manifest {}, seen before, is not there", mark.seq);
    Finding::violation("rollback", message)
}
