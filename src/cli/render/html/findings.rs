//! What is wrong, the worst first; then everything else that was held against the policy.

use std::cmp::Reverse;

use maud::{Markup, html};

use super::words::{Tone, badge, count, short, wide};
use super::{Page, runbook};
use crate::model::audit::check::{Basis, Check, Outcome};

/// How many digits of a digest are shown: all of a finding's, and enough to tell others apart.
const DIGEST: usize = 64;
const BEGINNING: usize = 16;

pub(super) fn section(page: &Page<'_>) -> Markup {
    let checks = &page.report.checks;
    let with = |outcome: Outcome| checks.iter().filter(move |check| check.outcome == outcome);
    let mut loud: Vec<&Check> = checks
        .iter()
        .filter(|check| check.outcome > Outcome::Pass)
        .collect();
    loud.sort_by_key(|check| Reverse((check.is_tampering, check.outcome)));
    html! {
        @if loud.is_empty() {
            p { "None: nothing that was looked at is wrong." }
        } @else {
            p.note {
                "Each name leads to its heading in " code { (runbook::PATH) } " of the program's source \
                (the links work where this page lies in the source's top folder); the beginning of it is \
                repeated here."
            }
            @for (at, check) in loud.iter().enumerate() {
                (finding(check, !loud.iter().take(at).any(|before| before.id == check.id)))
            }
        }
        (folded("passed", with(Outcome::Pass).collect()))
        (folded("off: not demanded, or not to be looked at", with(Outcome::Off).collect()))
    }
}

/// What the runbook says is told once.
fn finding(check: &Check, is_first: bool) -> Markup {
    let tone = Tone::of(check);
    html! {
        article class={ "finding " (tone.class()) } {
            h3 {
                (badge(tone, tone.word())) " "
                a href={ (runbook::PATH) "#" (check.id) } { (check.id) }
                " " span.rule { "rule " (check.rule.name()) }
            }
            p.message { (check.message) }
            @if check.basis != Basis::default() { p.basis { "Rests on " (basis(&check.basis, DIGEST)) } }
            @if is_first { (runbook::entry(check.id)) }
        }
    }
}

/// A check rests on at most one of each.
fn basis(basis: &Basis, shown: usize) -> Markup {
    html! {
        @if let Some(seq) = basis.seq { span { "manifest " (seq) } " " }
        @if let Some(store) = &basis.store { span { "store " (store) } " " }
        @if let Some(sha256) = &basis.sha256 { span { "sha256 " (short(&sha256.to_string(), shown)) } }
    }
}

fn folded(what: &str, checks: Vec<&Check>) -> Markup {
    html! {
        @if !checks.is_empty() {
            details {
                summary { (count(checks.len(), "check")) " " (what) }
                (wide(what, html! {
                    table.checks {
                        thead { tr {
                            th scope="col" { "Rule" }
                            th scope="col" { "Outcome" }
                            th scope="col" { "What was seen" }
                            th scope="col" { "Rests on" }
                        } }
                        tbody { @for check in &checks { tr {
                            th scope="row" { (check.rule.name()) }
                            td { (badge(Tone::of(check), Tone::of(check).word())) }
                            td.message { (check.message) }
                            td.basis { (basis(&check.basis, BEGINNING)) }
                        } } }
                    }
                }))
            }
        }
    }
}
