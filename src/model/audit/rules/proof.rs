//! How far the key in the newest escrow is proven to open backups.

use crate::model::audit::check::{Check, Rule};
use crate::model::audit::facts::{EscrowSeen, Facts};
use crate::model::audit::policy::ProofDemand;

pub(in crate::model::audit) fn judge(demand: &ProofDemand, facts: &Facts) -> Vec<Check> {
    let escrow = match facts.newest_for(Rule::Proof) {
        Ok(escrow) => escrow,
        Err(unknown) => return unknown,
    };
    let check = judge_escrow(demand, escrow);
    vec![check.at(escrow.mark.seq).on(escrow.mark.manifest_sha256)]
}

fn judge_escrow(demand: &ProofDemand, escrow: &EscrowSeen) -> Check {
    let wanted = demand.min_level;
    let low = |message: String| Check::fail(Rule::Proof, "proof-low", message);
    let Some(record) = &escrow.proof else {
        return low(format!(
            "nothing was proven before the newest escrow was signed, not level {wanted}"
        ));
    };
    let reached = match record.reached {
        Some(level) => format!("level {level} is proven"),
        None => "no level is proven".to_owned(),
    };
    if record.has_failed() {
        let message = format!("a proof of the newest escrow has failed; {reached}");
        return Check::fail(Rule::Proof, "proof-failed", message);
    }
    match record.reaches(wanted) {
        true => Check::pass(Rule::Proof, format!("of the newest escrow {reached}")),
        false => low(format!(
            "of the newest escrow {reached}; level {wanted} is demanded"
        )),
    }
}
