//! How old the newest escrow is, and whether the next is late.

use crate::base::time::span;
use crate::model::audit::check::{Check, Rule};
use crate::model::audit::facts::Facts;
use crate::model::audit::policy::FreshnessDemand;
use crate::model::audit::span::Span;

use super::no_escrow;

pub(in crate::model::audit) fn judge(demand: &FreshnessDemand, facts: &Facts) -> Vec<Check> {
    let due = demand.next_due.then(|| next_due(facts));
    let age = demand.max_age.map(|most| age(most, facts));
    let judged = due.into_iter().chain(age);
    let judged: Vec<Check> = judged
        .flat_map(|check| check.map_or_else(|other| other, |check| vec![check]))
        .collect();
    match judged.is_empty() {
        true => vec![Check::off(Rule::Freshness, "the policy names no age")],
        false => judged,
    }
}

fn next_due(facts: &Facts) -> Result<Check, Vec<Check>> {
    let chain = facts.chain_for(Rule::Freshness)?;
    let head = chain.head.as_ref();
    let head = head.ok_or_else(|| vec![no_escrow(Rule::Freshness, chain)])?;
    let (due, now) = (head.next_due, facts.now);
    let relative = due.relative_to(now);
    let check = match due < now {
        true => Check::fail(
            Rule::Freshness,
            "escrow-overdue",
            format!("the next escrow was due {due} ({relative}), and is not there"),
        ),
        false => Check::pass(
            Rule::Freshness,
            format!("the next escrow is due {due} ({relative})"),
        ),
    };
    Ok(check.at(head.mark.seq).on(head.mark.manifest_sha256))
}

fn age(most: Span, facts: &Facts) -> Result<Check, Vec<Check>> {
    let escrow = facts.newest_for(Rule::Freshness)?;
    let Some(age) = escrow.age(facts.now) else {
        let why = format!("it is dated ahead, {}", escrow.snapshot_at);
        let what = "the age of the newest escrow";
        return Err(vec![Check::not_seen(Rule::Freshness, what, &why)]);
    };
    let words = span(age);
    let check = match age > most.whole_seconds() {
        true => Check::fail(
            Rule::Freshness,
            "escrow-old",
            format!("the newest escrow is {words} old; at most {most} is demanded"),
        ),
        false => Check::pass(Rule::Freshness, format!("the newest escrow is {words} old")),
    };
    Ok(check.at(escrow.mark.seq).on(escrow.mark.manifest_sha256))
}
