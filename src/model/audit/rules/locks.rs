//! How long the newest escrow is kept from being deleted, and whether locks are real.

use crate::base::names::StoreName;
use crate::base::time::UtcTime;
use crate::model::audit::check::{Check, Rule};
use crate::model::audit::facts::{Facts, LocksSeen, Seen};
use crate::model::audit::policy::{LockDemand, StoreDemand};
use crate::model::audit::span::Span;
use crate::model::lock::{Lock, LockState, LockVerdict, ProbeRecord};

/// Locks that manifests tell of and that do not hold any more: whatever the policy says.
pub(in crate::model::audit) fn weakened(facts: &Facts) -> Vec<Check> {
    match &facts.weakened {
        Seen::Known(found) => {
            let found = found.iter();
            found
                .map(|finding| Check::taken_over(Rule::Locks, finding))
                .collect()
        }
        Seen::Unknown(why) => vec![Check::not_seen(Rule::Locks, "recorded locks", why)],
    }
}

pub(in crate::model::audit) fn judge(stores: &[StoreDemand], facts: &Facts) -> Vec<Check> {
    let demanded = stores
        .iter()
        .filter_map(|store| Some((&store.name, store.lock.as_ref()?)));
    let each = demanded.flat_map(|(store, demand)| judge_store(store, demand, facts));
    each.collect()
}

fn judge_store(store: &StoreName, demand: &LockDemand, facts: &Facts) -> Vec<Check> {
    let why = match facts.locks.get(store) {
        Some(Seen::Known(seen)) => return judge_locks(store, demand, seen, facts.now),
        Some(Seen::Unknown(why)) => why,
        None => "this audit was not given such a store",
    };
    vec![Check::not_seen(Rule::Locks, &format!("store {store}"), why).in_store(store)]
}

fn judge_locks(
    store: &StoreName,
    demand: &LockDemand,
    seen: &LocksSeen,
    now: UtcTime,
) -> Vec<Check> {
    let asked = Lock {
        mode: demand.mode,
        until: demand.remaining.after(now),
    };
    let payload = lasts(store, "payload", asked, seen.payload);
    let manifest = lasts(store, "manifest", asked, seen.manifest);
    let probe = demand
        .probe_max_age
        .map(|most| probed(store, most, seen.probe, now));
    let checks = [payload, manifest].into_iter().chain(probe);
    checks.map(|check| check.in_store(store)).collect()
}

fn lasts(store: &StoreName, what: &str, asked: Lock, found: LockState) -> Check {
    let newest = format!("store {store}: the newest escrow's {what}");
    match found {
        LockState::Locked(lock) if lock.is_at_least(&asked) => {
            Check::pass(Rule::Locks, format!("{newest} is locked {lock}"))
        }
        LockState::Locked(lock) => Check::fail(
            Rule::Locks,
            "lock-weaker",
            format!("{newest} is locked {lock}; demanded is {asked}"),
        ),
        LockState::Unlocked => Check::fail(
            Rule::Locks,
            "lock-weaker",
            format!("{newest} is not locked; demanded is {asked}"),
        ),
        LockState::Unknown => Check::unknown(
            Rule::Locks,
            "lock-unknown",
            format!("{newest}: the store does not tell whether it is locked"),
        ),
    }
}

fn probed(store: &StoreName, most: Span, probe: Option<ProbeRecord>, now: UtcTime) -> Check {
    let old = |message: String| Check::fail(Rule::Locks, "lock-probe-old", message);
    let Some(ProbeRecord { at, result }) = probe else {
        return old(format!(
            "store {store}: nobody has tried to break a lock there"
        ));
    };
    let tried = format!("store {store}: on {at} somebody tried to break a lock");
    match result {
        LockVerdict::NotEnforced => {
            let message = format!("{tried}, and could");
            Check::fail(Rule::Locks, "lock-not-enforced", message)
        }
        LockVerdict::Unknown => {
            Check::not_seen(Rule::Locks, &tried, "not everything could be tried")
        }
        LockVerdict::Enforced if at < most.before(now) => {
            old(format!("{tried}, in vain, more than {most} ago"))
        }
        LockVerdict::Enforced => Check::pass(Rule::Locks, format!("{tried}, in vain")),
    }
}
