//! Reports of drills. They stand beside the chain: who can delete them in every store can hide
//! them, and nobody else can make one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::error_chain::error_chain;
use crate::base::time::UtcTime;
use crate::model::audit::facts::{DrillSeen, DrillsSeen, Seen};
use crate::model::drill::{DrillReport, MAX_BYTES, Outcome, Subject};
use crate::model::finding::Finding;
use crate::model::namespace::Namespace;
use crate::store::{Store, StoreErrorKind};

use super::signed::{Reading, Refused, Signed};
use super::{Request, in_every_store};

/// How many reports are looked at, from the newest on.
const LOOKED_AT: usize = 64;

/// How many more are looked at that come before the newest one that counts.
const SHOWN: usize = 4;

pub(super) fn read(request: &Request<'_>) -> Seen<DrillsSeen> {
    let listed = match list(request) {
        Ok(listed) => listed,
        Err(why) => return Seen::Unknown(why),
    };
    let mut seen = DrillsSeen::default();
    let mut names = listed.iter().take(LOOKED_AT);
    for ((_, key), stores) in names.by_ref() {
        match read_one(request, stores, key) {
            Ok(drill) => {
                seen.newest = Some(drill);
                break;
            }
            Err(Refused::Unread(why)) => {
                let message = format!("drill report {key}: {why}");
                seen.findings
                    .push(Finding::warning("drill-unreadable", message));
            }
            Err(Refused::Unsigned(why)) => {
                let message = format!("{key} is no drill report that counts: {why}");
                seen.findings
                    .push(Finding::note("drill-unverified", message));
            }
        }
    }
    if seen.newest.is_none() && listed.len() > LOOKED_AT {
        let message = format!("none of the newest {LOOKED_AT} names under drill/ counts");
        let finding = Finding::warning("drill-unreadable", message);
        seen.findings.push(finding);
    }
    seen.before = before(request, names);
    Seen::Known(seen)
}

/// A few more, for whoever wants to see that drills are a habit.
fn before<'l>(
    request: &Request<'_>,
    names: impl Iterator<Item = (&'l (Reverse<UtcTime>, String), &'l Vec<&'l Arc<dyn Store>>)>,
) -> Vec<DrillSeen> {
    let read = names
        .take(SHOWN)
        .map(|((_, key), stores)| read_one(request, stores, key));
    read.filter_map(Result::ok).collect()
}

/// Reports by name, the newest first, and where each lies.
type Listed<'a> = BTreeMap<(Reverse<UtcTime>, String), Vec<&'a Arc<dyn Store>>>;

fn list<'a>(request: &Request<'a>) -> Result<Listed<'a>, String> {
    let layout = request.history.layout();
    let mut listed = Listed::new();
    let names = in_every_store(request.stores, |store| {
        list_all(store.as_ref(), &layout.drills())
    });
    for (store, (_, keys)) in request.stores.iter().zip(names) {
        for key in keys? {
            // A name of the future would keep the real ones from being looked at.
            let began = layout.parse_drill(&key).map(|(_, began)| began);
            if let Some(began) = began.filter(|began| *began <= request.now) {
                listed.entry((Reverse(began), key)).or_default().push(store);
            }
        }
    }
    Ok(listed)
}

/// The keys under a prefix; a prefix under which there is nothing yet is empty.
pub(super) fn list_all(store: &dyn Store, prefix: &str) -> Result<Vec<String>, String> {
    match crate::store::list_all(store, prefix, None) {
        Ok(listed) => Ok(listed.into_iter().map(|meta| meta.key).collect()),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error_chain(&error)),
    }
}

fn read_one(
    request: &Request<'_>,
    stores: &[&Arc<dyn Store>],
    key: &str,
) -> Result<DrillSeen, Refused> {
    let reading = Reading {
        history: request.history,
        stores: request.stores,
        namespace: Namespace::Drill,
        max_bytes: MAX_BYTES,
    };
    let mut why = Refused::Unsigned("no store has it".to_owned());
    for store in stores {
        let read = reading.read(store.as_ref(), key, None);
        match read.and_then(|signed| judged(request, key, &signed)) {
            Ok(drill) => return Ok(drill),
            Err(_) if matches!(why, Refused::Unread(_)) => {}
            Err(reason) => why = reason,
        }
    }
    Err(why)
}

fn judged(request: &Request<'_>, key: &str, signed: &Signed) -> Result<DrillSeen, Refused> {
    let unsigned = |why: &str| Err(Refused::Unsigned(why.to_owned()));
    let report = DrillReport::parse(&signed.bytes)
        .map_err(|error| Refused::Unsigned(error_chain(&error)))?;
    signed.check_date(report.ended_at, request.now)?;
    if report.signer != signed.by.signer {
        return unsigned("it names another signer");
    }
    // An older report under a newer name would keep newer ones from being looked at.
    let layout = request.history.layout();
    if layout.drill(&report.escrow_id, report.began_at) != key {
        return unsigned("it lies under another's name");
    }
    let mut escrows = request.history.escrows();
    let is_ours = escrows.any(|(entry, escrow)| {
        entry.link.digest == report.manifest_sha256 && escrow.id == report.escrow_id
    });
    if !is_ours {
        return unsigned("it is of an escrow that is not in the chain");
    }
    Ok(DrillSeen {
        held: held(&report.subjects),
        ended_at: report.ended_at,
        escrow: report.escrow_id,
        sha256: signed.sha256,
        outcome: report.outcome,
        level: report.level,
        rto: report.rto,
        rpo: report.rpo,
    })
}

/// By the labels of what came back, the sentinels that held.
fn held(subjects: &[Subject]) -> BTreeMap<String, BTreeSet<String>> {
    let each = subjects.iter().map(|subject| {
        let sentinels = subject.sentinels.iter();
        let held = sentinels.filter(|one| one.outcome == Outcome::Proven);
        let names = held.map(|one| one.name.clone()).collect();
        (subject.name.clone(), names)
    });
    each.collect()
}
