//! From what was seen to what follows from it.

use super::check::{Check, Rule};
use super::facts::{Facts, Scope};
use super::policy::AuditPolicy;
use super::rules;

/// Holds what was seen against what is demanded. Rules come in a fixed order, and each says
/// something: that it passed, what is wrong, or that it is off.
pub fn judge(policy: &AuditPolicy, facts: &Facts) -> Vec<Check> {
    let newest = [
        rules::chain::judge(&policy.stores, facts),
        ruled(Rule::Mark, policy.mark.as_ref(), |it| {
            rules::mark::judge(it, facts)
        }),
        ruled(Rule::Signers, policy.signers.as_ref(), |it| {
            rules::signers::judge(it, facts)
        }),
        ruled(Rule::Freshness, policy.freshness.as_ref(), |it| {
            rules::freshness::judge(it, facts)
        }),
    ];
    let rest = match facts.scope {
        Scope::Full => beyond_the_head(policy, facts),
        Scope::Head => BEYOND_THE_HEAD.map(not_looked_at).to_vec(),
    };
    newest.into_iter().flatten().chain(rest).collect()
}

/// What a look at the newest manifest alone leaves out.
const BEYOND_THE_HEAD: [Rule; 11] = [
    Rule::Witness,
    Rule::Stores,
    Rule::Parts,
    Rule::Locks,
    Rule::Custody,
    Rule::Checkins,
    Rule::Instance,
    Rule::Proof,
    Rule::Drill,
    Rule::Backups,
    Rule::Clock,
];

fn not_looked_at(rule: Rule) -> Check {
    Check::off(rule, "only the newest manifest was looked at")
}

fn beyond_the_head(policy: &AuditPolicy, facts: &Facts) -> Vec<Check> {
    let stores = Some(policy.stores.as_slice()).filter(|stores| !stores.is_empty());
    let backups = Some(policy.backups.as_slice()).filter(|backups| !backups.is_empty());
    let are_locks_demanded = policy.stores.iter().any(|store| store.lock.is_some());
    let locks = are_locks_demanded.then_some(policy.stores.as_slice());
    let rules = [
        rules::witness::judge(policy.witness.as_ref(), facts),
        ruled(Rule::Stores, stores, |it| rules::stores::judge(it, facts)),
        ruled(Rule::Parts, are_parts_asked_for(policy, facts), |()| {
            rules::parts::judge(&policy.stores, facts)
        }),
        rules::stores::tampered(&policy.stores, facts),
        rules::locks::weakened(facts),
        ruled(Rule::Locks, locks, |it| rules::locks::judge(it, facts)),
        rules::custody::judge(policy.custody.as_ref(), facts),
        ruled(Rule::Checkins, policy.checkins.as_ref(), |it| {
            rules::checkins::judge(it, facts)
        }),
        ruled(Rule::Instance, policy.instance.as_ref(), |it| {
            rules::instance::judge(it, facts)
        }),
        ruled(Rule::Proof, policy.proof.as_ref(), |it| {
            rules::proof::judge(it, facts)
        }),
        ruled(Rule::Drill, policy.drill.as_ref(), |it| {
            rules::drill::judge(it, facts)
        }),
        ruled(Rule::Backups, backups, |it| {
            rules::backups::judge(it, facts)
        }),
        ruled(Rule::Clock, policy.clock.as_ref(), |it| {
            rules::clock::judge(it, facts)
        }),
    ];
    rules.into_iter().flatten().collect()
}

/// By the policy, or by whoever ran the audit.
fn are_parts_asked_for(policy: &AuditPolicy, facts: &Facts) -> Option<&'static ()> {
    (policy.parts.is_some() || !facts.parts.is_empty()).then_some(&())
}

fn ruled<D: ?Sized>(
    rule: Rule,
    demand: Option<&D>,
    judge: impl FnOnce(&D) -> Vec<Check>,
) -> Vec<Check> {
    match demand {
        Some(demand) => judge(demand),
        None => vec![Check::off(rule, "the policy does not demand it")],
    }
}
