//! Whether every escrow that is kept lies in every store that the policy demands.

use crate::base::names::StoreName;
use crate::model::audit::check::{Check, Rule};
use crate::model::audit::facts::{ChainFacts, CopiesSeen, CopySeen, Facts, Seen};
use crate::model::audit::policy::StoreDemand;

use super::or_pass;

pub(in crate::model::audit) fn judge(stores: &[StoreDemand], facts: &Facts) -> Vec<Check> {
    let chain = match facts.chain_for(Rule::Stores) {
        Ok(chain) => chain,
        Err(unknown) => return unknown,
    };
    let each = stores
        .iter()
        .map(|store| judge_store(&store.name, chain, facts));
    each.flatten().collect()
}

/// Payloads that are not as they were signed, in stores that the policy does not name: that counts
/// without a demand, too.
pub(in crate::model::audit) fn tampered(stores: &[StoreDemand], facts: &Facts) -> Vec<Check> {
    let Seen::Known(chain) = &facts.chain else {
        return Vec::new();
    };
    let is_named = |name: &StoreName| stores.iter().any(|store| store.name == *name);
    let others = facts.copies.keys().filter(|name| !is_named(name));
    let each = others.flat_map(|store| judge_store(store, chain, facts));
    each.filter(|check| check.is_tampering).collect()
}

fn judge_store(store: &StoreName, chain: &ChainFacts, facts: &Facts) -> Vec<Check> {
    let copies = match facts.copies.get(store) {
        Some(Seen::Known(copies)) => copies,
        Some(Seen::Unknown(why)) => return vec![not_seen(store, why)],
        None => return vec![not_seen(store, "this audit was not given such a store")],
    };
    let mut found: Vec<Check> = PROBLEMS
        .iter()
        .filter_map(|problem| problem.found(store, chain, copies))
        .collect();
    let hidden = copies.hidden.iter();
    found.extend(hidden.map(|finding| Check::taken_over(Rule::Stores, finding).in_store(store)));
    or_pass(found, || {
        let count = chain.retained.len();
        let message = format!("store {store}: all {count} escrows, each of the signed size");
        Check::pass(Rule::Stores, message).in_store(store)
    })
}

fn not_seen(store: &StoreName, why: &str) -> Check {
    Check::not_seen(Rule::Stores, &format!("store {store}"), why).in_store(store)
}

/// What can be wrong with copies: told once for a store, however many there are.
struct Problem {
    /// None where the listing says nothing of the copy.
    seen: Option<CopySeen>,
    check: fn(String) -> Check,
    words: &'static str,
}

const PROBLEMS: [Problem; 4] = [
    Problem {
        seen: Some(CopySeen::Missing),
        check: |message| Check::fail(Rule::Stores, "copy-missing", message),
        words: "is not there",
    },
    Problem {
        seen: Some(CopySeen::OtherSize),
        check: |message| Check::tampering(Rule::Stores, "copy-damaged", message),
        words: "has not the signed size",
    },
    Problem {
        seen: Some(CopySeen::OtherTag),
        check: |message| Check::fail(Rule::Stores, "etag-differs", message),
        words: "has another entity tag than at its upload",
    },
    Problem {
        seen: None,
        check: |message| Check::unknown(Rule::Stores, "not-seen", message),
        words: "was not looked for",
    },
];

impl Problem {
    fn found(&self, store: &StoreName, chain: &ChainFacts, copies: &CopiesSeen) -> Option<Check> {
        let mut affected = chain
            .retained
            .iter()
            .filter(|one| copies.by_escrow.get(&one.id).copied() == self.seen);
        let first = affected.next()?;
        let others = match affected.count() {
            0 => String::new(),
            more => format!("; so it is with {more} more"),
        };
        let (id, words) = (&first.id, self.words);
        let message = format!("store {store}: the payload of escrow {id} {words}{others}");
        Some((self.check)(message).in_store(store).at(first.seq))
    }
}
