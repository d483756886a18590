//! What the newest drills brought back, and how fast.

use maud::{Markup, html};

use super::Page;
use super::words::{Tone, badge, seen, short, when, wide};
use crate::base::time::span;
use crate::model::audit::facts::{DrillSeen, DrillsSeen};
use crate::model::audit::span::Span;
use crate::model::drill::{LevelReached, Measured, Outcome};

pub(super) fn section(page: &Page<'_>) -> Markup {
    seen(&page.facts.drills, |drills| known(page, drills))
}

fn known(page: &Page<'_>, drills: &DrillsSeen) -> Markup {
    let all: Vec<&DrillSeen> = drills.newest.iter().chain(&drills.before).collect();
    if all.is_empty() {
        return html! { p { (badge(Tone::Bad, "none")) " No signed report of a drill was found." } };
    }
    let demand = page.policy.drill.as_ref();
    let (rto, rpo) = (demand.and_then(|it| it.rto), demand.and_then(|it| it.rpo));
    html! {
        p.note {
            "The newest few signed reports. Limits are the policy's; where it sets none, those of the \
            drill's own."
        }
        (wide("Drills", html! {
            table.figures {
                thead { tr {
                    th scope="col" { "Ended" }
                    th scope="col" { "Outcome" }
                    th scope="col" { "Level" }
                    th scope="col" { abbr title="recovery time: from the beginning until everything was back" { "RTO" } }
                    th scope="col" { abbr title="recovery point: age of the oldest thing that came back" { "RPO" } }
                    th scope="col" { "Escrow" }
                    th scope="col" { "Report, sha256" }
                } }
                tbody { @for drill in all { tr {
                    th scope="row" { (when(drill.ended_at, page.now())) }
                    td { (outcome(drill.outcome)) }
                    td { (level(drill.level)) }
                    td { (measured(drill.rto, rto)) }
                    td { (measured(drill.rpo, rpo)) }
                    td { code { (drill.escrow) } }
                    td { (short(&drill.sha256.to_string(), 12)) }
                } } }
            }
        }))
    }
}

fn outcome(outcome: Outcome) -> Markup {
    match outcome {
        Outcome::Proven => badge(Tone::Good, "proven"),
        Outcome::Failed => badge(Tone::Bad, "failed"),
        Outcome::NotDone => badge(Tone::Bad, "not done"),
        Outcome::Unknown => badge(Tone::Open, "unknown"),
    }
}

fn level(level: LevelReached) -> String {
    match level.reached {
        Some(reached) => format!("{reached} of {}", level.wanted),
        None => format!("none of {}", level.wanted),
    }
}

fn measured(measured: Measured, demanded: Option<Span>) -> Markup {
    let limit = demanded.map(Span::whole_seconds).or(measured.limit);
    html! {
        @match measured.seconds {
            None => (badge(Tone::Open, "unknown")),
            Some(seconds) if limit.is_some_and(|limit| seconds > limit) => {
                (badge(Tone::Bad, &span(seconds)))
            }
            Some(seconds) => (span(seconds))
        }
        span.limit { @match limit { Some(limit) => { " at most " (span(limit)) }, None => " no limit" } }
    }
}
