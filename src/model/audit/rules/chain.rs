//! Signatures, and manifests that follow each other. Nothing turns this off.

use crate::model::audit::check::{Check, Outcome, Rule};
use crate::model::audit::facts::{ChainFacts, Facts, Scope};
use crate::model::audit::policy::StoreDemand;
use crate::model::finding::{Finding, Severity};

use super::{NOT_ALL_GIVEN, no_escrow};

pub(in crate::model::audit) fn judge(stores: &[StoreDemand], facts: &Facts) -> Vec<Check> {
    let chain = match facts.chain_for(Rule::Chain) {
        Ok(chain) => chain,
        Err(unknown) => return unknown,
    };
    let findings = chain.findings.iter();
    let mut checks: Vec<Check> = findings
        .map(|finding| taken_over(finding, stores))
        .collect();
    if chain.head.is_none() {
        checks.push(no_escrow(Rule::Chain, chain));
    }
    let own = checks.iter().filter(|check| check.rule == Rule::Chain);
    let is_whole = own
        .map(|check| check.outcome)
        .all(|outcome| outcome <= Outcome::Warn);
    if is_whole {
        checks.push(passed(facts.scope, chain));
    }
    checks
}

fn passed(scope: Scope, chain: &ChainFacts) -> Check {
    if !chain.is_complete {
        return Check::not_seen(Rule::Chain, "the chain", NOT_ALL_GIVEN);
    }
    let head = chain.head.as_ref().map(|head| head.mark);
    let count = chain.verified;
    let message = match scope {
        Scope::Full => format!("{count} manifests with good signatures, each after the one before"),
        Scope::Head => "the newest manifest has a good signature".to_owned(),
    };
    let check = Check::pass(Rule::Chain, message);
    match head {
        Some(mark) => check.at(mark.seq).on(mark.manifest_sha256),
        None => check,
    }
}

/// A document that one store lacks matters where the policy demands that store.
fn taken_over(finding: &Finding, stores: &[StoreDemand]) -> Check {
    let rule = match finding.id {
        "rollback" | "history-rewritten" => Rule::Mark,
        _ => Rule::Chain,
    };
    let check = Check::taken_over(rule, finding);
    let lacks = matches!(finding.id, "manifest-missing" | "signature-missing");
    let demanded = |store: &StoreDemand| finding.store.as_ref() == Some(&store.name);
    match lacks && finding.severity == Severity::Warning && !stores.iter().any(demanded) {
        true => Check {
            outcome: Outcome::Warn,
            ..check
        },
        false => check,
    }
}
