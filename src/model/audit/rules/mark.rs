//! Whether something was known from before. What the mark shows stands among the chain's findings.

use crate::model::audit::check::{Check, Rule};
use crate::model::audit::facts::{Facts, Seen};
use crate::model::audit::policy::MarkDemand;
use crate::model::mark::Mark;

pub(in crate::model::audit) fn judge(demand: &MarkDemand, facts: &Facts) -> Vec<Check> {
    let chain = match facts.chain_for(Rule::Mark) {
        Ok(chain) => chain,
        Err(unknown) => return unknown,
    };
    let first = "first contact: nothing known here protects against a rollback before this audit";
    vec![match (chain.mark, demand.required) {
        (None, true) => Check::unknown(Rule::Mark, "first-contact", first),
        (None, false) => Check::warn(Rule::Mark, "first-contact", first),
        (Some(_), _) if is_contradicted(facts) => return Vec::new(),
        (Some(mark), _) => remembered(&mark, facts),
    }]
}

fn remembered(mark: &Mark, facts: &Facts) -> Check {
    let which = format!("manifest {}, seen before", mark.seq);
    let check = match &facts.reached {
        Seen::Known(()) => Check::pass(Rule::Mark, format!("{which}, is in the chain")),
        Seen::Unknown(why) => Check::not_seen(Rule::Mark, &which, why),
    };
    check.at(mark.seq).on(mark.manifest_sha256)
}

/// Whether the chain's findings already tell that what was seen before is not there.
fn is_contradicted(facts: &Facts) -> bool {
    facts.chain_for(Rule::Mark).is_ok_and(|chain| {
        let mut findings = chain.findings.iter();
        findings.any(|finding| matches!(finding.id, "rollback" | "history-rewritten"))
    })
}
