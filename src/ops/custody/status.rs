//! Who holds what, who has shown it, and how many may be lost before nobody opens anything.

use std::sync::Arc;

use serde::Serialize;

use super::stored_checkins::Stored;
use crate::base::error_chain::error_chain;
use crate::base::names::CustodianName;
use crate::base::time::UtcTime;
use crate::model::finding::Finding;
use crate::model::quorum::Quorum;
use crate::model::recipients::{RecipientSpec, Recipients};
use crate::ops::history::History;
use crate::store::Store;

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
    /// As of when they last showed that they do, which is when the canary was made; null if never.
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
                    format!("{name} last opened a canary of {at}, more than 90 days ago"),
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
    let stored = Stored {
        history: request.history,
        stores: request.stores,
        now: request.now,
    };
    let name = &spec.custodian;
    let names = match stored.names(store.as_ref(), name) {
        Ok(names) => names,
        Err(error) => {
            let why = error_chain(&error);
            findings.push(Finding::warning("checkin-unreadable", why));
            return None;
        }
    };
    let found = stored.find_all(store.as_ref(), name, &names.newest);
    let of_this = found
        .iter()
        .filter(|one| one.verified.recipient == spec.text);
    let proven = of_this.map(|one| one.verified.proven_at).max();
    let unverified = names.newest.len() - found.len();
    if proven.is_none() && (unverified > 0 || names.left_out) {
        findings.push(none_of(store.as_ref(), name, unverified, names.left_out));
    }
    findings.extend(names.finding);
    proven
}

/// What lies where answers do, and is none.
fn none_of(
    store: &dyn Store,
    name: &CustodianName,
    unverified: usize,
    others_left_out: bool,
) -> Finding {
    let left_out = match others_left_out {
        true => "; others were not looked at, by their names or since they are older",
        false => "",
    };
    let store = store.name();
    let message = format!(
        "store {store}: {unverified} objects where the check-ins of {name} lie are none that \
         {name} signed{left_out}"
    );
    Finding::warning("checkin-unverified", message)
}
