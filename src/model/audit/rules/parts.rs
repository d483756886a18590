//! Whether bytes that were read have the signed hashes.

use crate::base::names::StoreName;
use crate::model::audit::check::{Check, Rule};
use crate::model::audit::facts::{Facts, PartsSeen, Seen};
use crate::model::audit::policy::StoreDemand;

/// In every store that was looked into, and every one that the policy demands.
pub(in crate::model::audit) fn judge(stores: &[StoreDemand], facts: &Facts) -> Vec<Check> {
    let demanded = stores.iter().map(|store| &store.name);
    let missing = demanded.filter(|name| !facts.parts.contains_key(name));
    let missing = missing.map(|name| not_seen(name, "nothing was read there"));
    let looked = facts.parts.iter().flat_map(|(store, seen)| match seen {
        Seen::Known(seen) => judge_store(store, seen),
        Seen::Unknown(why) => vec![not_seen(store, why)],
    });
    let checks: Vec<Check> = looked.chain(missing).collect();
    match checks.is_empty() {
        true => vec![Check::not_seen(Rule::Parts, "parts", "nothing was read")],
        false => checks,
    }
}

fn judge_store(store: &StoreName, seen: &PartsSeen) -> Vec<Check> {
    let damaged = seen
        .damaged
        .iter()
        .map(|why| Check::tampering(Rule::Parts, "copy-damaged", format!("store {store}: {why}")));
    let unread = seen.unread.iter().map(|why| {
        Check::unknown(
            Rule::Parts,
            "copy-unreadable",
            format!("store {store}: {why}"),
        )
    });
    let whole = match seen.whole {
        0 if seen.damaged.is_empty() && seen.unread.is_empty() => {
            Some(not_seen(store, "nothing was read there"))
        }
        0 => None,
        count => {
            let message = format!("store {store}: {count} parts have the signed hash");
            Some(Check::pass(Rule::Parts, message))
        }
    };
    let checks = damaged.chain(unread).chain(whole);
    checks.map(|check| check.in_store(store)).collect()
}

fn not_seen(store: &StoreName, why: &str) -> Check {
    Check::not_seen(Rule::Parts, &format!("store {store}"), why).in_store(store)
}
