//! Whether the signer's clock agrees with the stores'.
//!
//! A store's dates are a hint: who copies a bucket changes them, and a bucket's owner can. So the
//! closest store counts.

use crate::base::time::span;
use crate::model::audit::check::{Check, Rule};
use crate::model::audit::facts::{Facts, Seen};
use crate::model::audit::policy::ClockDemand;

pub(in crate::model::audit) fn judge(demand: &ClockDemand, facts: &Facts) -> Vec<Check> {
    let seen = facts.clocks.iter().filter_map(|(store, seen)| match seen {
        Seen::Known(skew) => Some((store, skew.saturating_abs())),
        Seen::Unknown(_) => None,
    });
    let told: Vec<_> = seen.collect();
    let Some((store, skew)) = told.iter().copied().min_by_key(|(_, skew)| *skew) else {
        let why = "no store told when it got the newest manifest";
        return vec![Check::not_seen(Rule::Clock, "the clocks", why)];
    };
    let words = span(skew.unsigned_abs());
    let check = match skew > demand.max_skew.seconds() {
        true => Check::fail(
            Rule::Clock,
            "clock-skew",
            format!(
                "store {store} dates the newest manifest {words} apart from its signer{}",
                of_others(told.len())
            ),
        ),
        false => Check::pass(
            Rule::Clock,
            format!("store {store} and the signer of the newest manifest agree to {words}"),
        ),
    };
    vec![check.in_store(store)]
}

fn of_others(told: usize) -> &'static str {
    match told {
        0 | 1 => "",
        _ => ", and no other store less",
    }
}
