//! Whether a restore was tried lately, and what it came to.

use crate::base::text::printable;
use crate::base::time::{self, UtcTime};
use crate::model::audit::check::{Check, Rule};
use crate::model::audit::drill_demands::{DrillDemands, SubjectDemand};
use crate::model::audit::facts::{DrillSeen, Facts};
use crate::model::audit::span::Span;
use crate::model::drill::Outcome;
use crate::model::finding::Severity;

pub(in crate::model::audit) fn judge(demand: &DrillDemands, facts: &Facts) -> Vec<Check> {
    let Some(max_age) = demand.max_age else {
        return vec![Check::off(
            Rule::Drill,
            "the policy names no age of the last drill",
        )];
    };
    let seen = match facts.drills.or_unknown(Rule::Drill, "drill reports") {
        Ok(seen) => seen,
        Err(unknown) => return unknown,
    };
    let mut checks = match &seen.newest {
        Some(drill) => judge_drill(demand, max_age, drill, facts.now),
        None => vec![Check::fail(
            Rule::Drill,
            "drill-missing",
            "there is no report of a drill",
        )],
    };
    checks.extend(seen.findings.iter().map(|finding| match finding.severity {
        // Anybody who can write to a store can plant something unsigned.
        Severity::Note => Check::warn(Rule::Drill, finding.id, finding.message.as_str()),
        _ => Check::taken_over(Rule::Drill, finding),
    }));
    checks
}

fn judge_drill(
    demand: &DrillDemands,
    max_age: Span,
    drill: &DrillSeen,
    now: UtcTime,
) -> Vec<Check> {
    let rto = demand
        .rto
        .map(|most| bound("drill-slow", "took", most, drill.rto.seconds));
    let rpo = demand
        .rpo
        .map(|most| bound("drill-loss", "would have lost", most, drill.rpo.seconds));
    let checks = [
        succeeded(drill),
        recent(max_age, drill, now),
        level(demand, drill),
    ];
    let lacking = demand.subjects.iter().filter_map(|one| lacks(one, drill));
    let checks = checks.into_iter().chain(lacking).chain(rto).chain(rpo);
    checks.map(|check| check.on(drill.sha256)).collect()
}

fn succeeded(drill: &DrillSeen) -> Check {
    let (at, escrow) = (drill.ended_at, &drill.escrow);
    match drill.outcome {
        Outcome::Proven => Check::pass(
            Rule::Drill,
            format!("the drill of {at}, of escrow {escrow}, succeeded"),
        ),
        _ => Check::fail(
            Rule::Drill,
            "drill-failed",
            format!("the drill of {at}, of escrow {escrow}, did not do all that it was to do"),
        ),
    }
}

/// The drill box may have had another policy than this one.
fn lacks(demand: &SubjectDemand, drill: &DrillSeen) -> Option<Check> {
    let label = &demand.label;
    let Some(held) = drill.held.get(label) else {
        let message = format!("the last drill did not bring {label} back, which the policy names");
        return Some(Check::fail(Rule::Drill, "drill-incomplete", message));
    };
    let mut sentinels = demand.sentinels.iter();
    let open = sentinels.find(|one| !held.contains(&one.name))?;
    let name = printable(&open.name);
    let message = format!("the last drill does not say that \"{name}\" holds in {label}");
    Some(Check::fail(Rule::Drill, "drill-incomplete", message))
}

fn recent(max_age: Span, drill: &DrillSeen, now: UtcTime) -> Check {
    let ago = drill.ended_at.relative_to(now);
    match drill.ended_at < max_age.before(now) {
        true => {
            let message = format!("the last drill ended {ago}; at most {max_age} is demanded");
            Check::fail(Rule::Drill, "drill-old", message)
        }
        false => Check::pass(Rule::Drill, format!("the last drill ended {ago}")),
    }
}

fn level(demand: &DrillDemands, drill: &DrillSeen) -> Check {
    let wanted = demand.level;
    match drill.level.reached {
        Some(level) if level >= wanted => {
            Check::pass(Rule::Drill, format!("the last drill reached level {level}"))
        }
        Some(level) => Check::fail(
            Rule::Drill,
            "drill-level",
            format!("the last drill reached level {level}; level {wanted} is demanded"),
        ),
        None => Check::fail(
            Rule::Drill,
            "drill-level",
            format!("the last drill reached no level; level {wanted} is demanded"),
        ),
    }
}

fn bound(id: &'static str, words: &str, most: Span, measured: Option<u64>) -> Check {
    let Some(seconds) = measured else {
        let what = format!("what the last drill {words}");
        return Check::not_seen(Rule::Drill, &what, "its report does not say");
    };
    let message = format!("the last drill {words} {}", time::span(seconds));
    match seconds <= most.whole_seconds() {
        true => Check::pass(Rule::Drill, message),
        false => {
            let message = format!("{message}; at most {most} is demanded");
            Check::fail(Rule::Drill, id, message)
        }
    }
}
