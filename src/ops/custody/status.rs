//! Who holds what, who has shown it, and how many may be lost before nobody opens anything.

use std::sync::Arc;

use serde::Serialize;

use super::checkin::{self, LOOKED_AT, Stored};
use crate::base::error_chain::error_chain;
use crate::base::names::CustodianName;
use crate::base::time::UtcTime;
use crate::model::finding::Finding;
use crate::model::quorum::Quorum;
use crate::model::recipients::{RecipientSpec, Recipients};
use crate::ops::history::History;
use crate::store::{Store, list_all};

/// A proof older than this is remarked on, in seconds: ninety days.
const OLD: i64 = 90 * 86_400;

/// What is known of custody.
#[derive(Debug, Serialize)]
pub struct Status {
    /// How many custodians it takes.
    pub takes: usize,
    /// Each of them, in the order of the recipients file.
    pub custodians: Vec<Custodian>,
    /// How many may be lost before nobody opens anything.
    pub may_be_lost: usize,
    /// The same of those alone who have shown that they hold their identities; null where too
    /// few have.
    pub proven_may_be_lost: Option<usize>,
    /// What needs somebody.
    pub findings: Vec<Finding>,
}

/// One custodian.
#[derive(Debug, Serialize)]
pub struct Custodian {
    /// Who.
    pub name: CustodianName,
    /// `x25519`, `ssh-ed25519`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// A short name for the recipient.
    pub fingerprint: String,
    /// Since when they hold it.
    pub since: Option<UtcTime>,
    /// When they last showed that they do; null if never.
    pub proven_at: Option<UtcTime>,
}

/// What a status is made from.
pub struct Request<'a> {
    /// Who can open what is sealed from now on.
    pub recipients: &'a Recipients,
    /// How many of them it takes.
    pub quorum: Option<&'a Quorum>,
    /// The chain, and whom it trusts.
    pub history: &'a History,
    /// Where answers lie.
    pub stores: &'a [Arc<dyn Store>],
    /// The present.
    pub now: UtcTime,
}

impl Status {
    /// Looks for the newest proof of each custodian in all stores.
    pub fn gather(request: &Request<'_>) -> Self {
        let mut findings = Vec::new();
        let custodians: Vec<Custodian> = request
            .recipients
            .iter()
            .map(|spec| custodian(request, spec, &mut findings))
            .collect();
        let takes = request.quorum.map_or(1, |quorum| quorum.k());
        let takes = usize::try_from(takes).unwrap_or(usize::MAX);
        let proven = custodians
            .iter()
            .filter(|one| one.proven_at.is_some())
            .count();
        let mut status = Self {
            takes,
            may_be_lost: custodians.len().saturating_sub(takes),
            proven_may_be_lost: proven.checked_sub(takes),
            custodians,
            findings,
        };
        status.judge(request.now);
        status
    }

    fn judge(&mut self, now: UtcTime) {
        for one in &self.custodians {
            let name = &one.name;
            self.findings.extend(match one.proven_at {
                None => Some(Finding::warning(
                    "custodian-unproven",
                    format!("{name} has never shown that the identity opens anything"),
                )),
                Some(at) if at.plus(OLD) < now => Some(Finding::warning(
                    "checkin-old",
                    format!("{name} last checked in on {at}, more than 90 days ago"),
                )),
                Some(_) => None,
            });
        }
        if self.may_be_lost == 0 {
            self.findings.push(Finding::warning(
                "no-spare-custodian",
                "if one identity is lost, nobody opens what is sealed from then on",
            ));
        }
    }
}

fn custodian(
    request: &Request<'_>,
    spec: &RecipientSpec,
    findings: &mut Vec<Finding>,
) -> Custodian {
    let proven = request
        .stores
        .iter()
        .filter_map(|store| newest_in(request, store, spec, findings))
        .max();
    Custodian {
        name: spec.custodian.clone(),
        kind: spec.kind.name(),
        fingerprint: spec.fingerprint.to_string(),
        since: spec.since,
        proven_at: proven,
    }
}

/// The newest proof in one store for the recipient in force: one for another recipient of the same
/// person proves nothing of this one.
fn newest_in(
    request: &Request<'_>,
    store: &Arc<dyn Store>,
    spec: &RecipientSpec,
    findings: &mut Vec<Finding>,
) -> Option<UtcTime> {
    let name = &spec.custodian;
    let prefix = request.history.layout().checkins_of(name);
    let listed = match list_all(store.as_ref(), &prefix, None) {
        Ok(listed) => listed,
        Err(error) => {
            let why = error_chain(&error);
            findings.push(Finding::warning("checkin-unreadable", why));
            return None;
        }
    };
    let stored = Stored {
        history: request.history,
        stores: request.stores,
        now: request.now,
    };
    let mut unverified = 0;
    for meta in listed.iter().rev().take(LOOKED_AT) {
        match checkin::find(stored, store.as_ref(), &meta.key, name) {
            Some(found) if found.verified.recipient == spec.text => {
                return Some(found.verified.checkin.created_at);
            }
            Some(_) => {}
            None => unverified += 1,
        }
    }
    if unverified > 0 {
        findings.push(Finding::warning(
            "checkin-unverified",
            format!(
                "store {}: {unverified} objects below {prefix} are no check-ins that {name} signed",
                store.name()
            ),
        ));
    }
    None
}
