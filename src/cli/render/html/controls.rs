//! What the run is evidence of, framework by framework.

use maud::{Markup, html};

use super::Page;
use super::words::{Tone, badge, shape, wide};
use crate::model::audit::controls::{
    CONTROLS, Control, Evidence, LIMITS, Needs, Source, outcome_of,
};

pub(super) fn section(page: &Page<'_>) -> Markup {
    html! {
        p.note {
            "What this run is evidence of. That a row is evidenced does not say that the control is met: \
            the last column says where its evidence ends. A row rests on all of its checks; one that is off \
            or unknown leaves it open."
        }
        (wide("Control mapping", html! {
            table.controls {
                thead { tr {
                    th scope="col" { "Controls" }
                    th scope="col" { "Result" }
                    th scope="col" { "What is evidenced" }
                    th scope="col" { "By the checks" }
                    th scope="col" { "Not evidenced" }
                } }
                @for rows in CONTROLS.chunk_by(|a, b| a.framework == b.framework) {
                    tbody {
                        @if let Some(first) = rows.first() {
                            tr.framework { th colspan="5" scope="rowgroup" { (first.framework) } }
                        }
                        @for control in rows { (row(page, control)) }
                    }
                }
            }
        }))
        h3 { "Limits of every row" }
        ul { @for limit in LIMITS { li { (limit) } } }
    }
}

fn row(page: &Page<'_>, control: &Control) -> Markup {
    html! {
        tr {
            th scope="row" {
                (control.ids)
                @if control.source == Source::Hearsay {
                    small { "id not verified against the licensed text" }
                }
            }
            td { (result(control.evidence_in(&page.report.checks, page.facts))) }
            td { (control.evidence) }
            td { ul.rules {
                @for rule in control.rules {
                    li { (of_rule(page, *rule)) }
                }
                @if control.needs == Needs::DualControl { li { "several custodians together" } }
            } }
            td.limits { (control.limits) }
        }
    }
}

fn of_rule(page: &Page<'_>, rule: crate::model::audit::check::Rule) -> Markup {
    let outcome = outcome_of(rule, &page.report.checks);
    let tone = outcome.map_or(Tone::Off, Tone::of_outcome);
    html! { (shape(tone)) " " (rule.name()) " " span.outcome { (tone.word()) } }
}

fn result(evidence: Evidence) -> Markup {
    match evidence {
        Evidence::Evidenced => badge(Tone::Good, "evidenced"),
        Evidence::NotEvidenced => badge(Tone::Bad, "not evidenced"),
        Evidence::NotLookedAt => badge(Tone::Open, "not looked at"),
    }
}
