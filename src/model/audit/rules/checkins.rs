//! Who has shown lately that they can open what is sealed to them.

use crate::base::names::CustodianName;
use crate::base::time::UtcTime;
use crate::model::audit::check::{Check, Rule};
use crate::model::audit::facts::Facts;
use crate::model::audit::policy::CheckinsDemand;
use crate::model::finding::{Finding, Severity};

pub(in crate::model::audit) fn judge(demand: &CheckinsDemand, facts: &Facts) -> Vec<Check> {
    let seen = match facts.checkins.or_unknown(Rule::Checkins, "check-ins") {
        Ok(seen) => seen,
        Err(unknown) => return unknown,
    };
    let each = seen
        .proven
        .iter()
        .map(|(who, at)| judge_one(demand, who, *at, facts.now));
    let told = seen.findings.iter().map(taken_over);
    let none = seen.proven.is_empty().then(|| {
        Check::not_seen(
            Rule::Checkins,
            "check-ins",
            "there is nobody who could check in",
        )
    });
    each.chain(told).chain(none).collect()
}

fn judge_one(
    demand: &CheckinsDemand,
    who: &CustodianName,
    proven_at: Option<UtcTime>,
    now: UtcTime,
) -> Check {
    let Some(at) = proven_at else {
        let message = format!("{who} has never shown that the identity opens anything");
        return Check::fail(Rule::Checkins, "custodian-unproven", message);
    };
    let message = format!("{who} last checked in on {at} ({})", at.relative_to(now));
    if at < demand.fail.before(now) {
        return Check::fail(Rule::Checkins, "checkin-old", message);
    }
    match demand.warn.is_some_and(|warn| at < warn.before(now)) {
        true => Check::warn(Rule::Checkins, "checkin-old", message),
        false => Check::pass(Rule::Checkins, message),
    }
}

/// What is planted proves nothing, and takes nothing away either.
fn taken_over(finding: &Finding) -> Check {
    match (finding.id, finding.severity) {
        ("checkin-unverified", Severity::Warning) => {
            Check::warn(Rule::Checkins, finding.id, finding.message.as_str())
        }
        _ => Check::taken_over(Rule::Checkins, finding),
    }
}
