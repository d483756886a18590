//! The head of the page: what the audit came to, of what, and when.

use maud::{Markup, html};

use super::Page;
use super::words::{Tone, count, digest, shape, time, when};
use crate::model::audit::check::Verdict;
use crate::model::audit::facts::{Scope, Seen};

pub(super) fn header(page: &Page<'_>) -> Markup {
    let report = page.report;
    html! {
        header class={ "verdict " (tone(report.verdict).class()) } {
            p.what { "Audit of " b { (report.instance) } ", " (time(report.audited_at)) }
            h1 { (shape(tone(report.verdict))) " " (word(report.verdict)) }
            p.sentence { (sentence(report.verdict)) }
            p.counts { (counts(page)) }
            (particulars(page))
        }
    }
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Pass => Tone::Good,
        Verdict::Unknown => Tone::Open,
        Verdict::Fail => Tone::Bad,
        Verdict::Tampering => Tone::Worst,
    }
}

pub(super) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "Pass",
        Verdict::Unknown => "Unknown",
        Verdict::Fail => "Fail",
        Verdict::Tampering => "Tampering",
    }
}

fn sentence(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "Everything that the policy demands holds.",
        Verdict::Unknown => "Something could not be looked at. That is no pass.",
        Verdict::Fail => "A demand of the policy is not met.",
        Verdict::Tampering => "Something is not what a signer said it was. Look today.",
    }
}

fn counts(page: &Page<'_>) -> String {
    let checks = &page.report.checks;
    let of = |tone| {
        checks
            .iter()
            .filter(|check| Tone::of(check) == tone)
            .count()
    };
    let told = [
        (Tone::Worst, "tampering"),
        (Tone::Bad, "failed"),
        (Tone::Open, "unknown"),
        (Tone::Warn, "to look at"),
        (Tone::Good, "passed"),
        (Tone::Off, "off"),
    ];
    let told = told.map(|(tone, word)| format!("{} {word}", of(tone)));
    format!("{}: {}", count(checks.len(), "check"), told.join(", "))
}

fn particulars(page: &Page<'_>) -> Markup {
    let report = page.report;
    html! {
        dl {
            div { dt { "Head" } dd { (head(page)) } }
            div { dt { "Known before" } dd { (known_before(page)) } }
            div { dt { "Looked at" } dd { (scope(report.scope)) } }
            div { dt { "Policy" } dd { "sha256 " (digest(&report.policy_sha256)) } }
            div { dt { "Program" } dd { (report.tool.name) " " (report.tool.version) } }
        }
    }
}

fn head(page: &Page<'_>) -> Markup {
    let chain = match &page.facts.chain {
        Seen::Known(chain) => chain,
        Seen::Unknown(why) => return html! { "unknown: " (why) },
    };
    html! {
        @match &chain.head {
            Some(head) => {
                "manifest " b { (head.mark.seq) } ", signed by " (head.signer) " "
                (when(head.created_at, page.now())) br;
                "sha256 " (digest(&head.mark.manifest_sha256)) br;
                "key " code.digest { (head.key) } br;
                "next escrow due " (when(head.next_due, page.now()))
            }
            None => "there is no signed manifest"
        }
    }
}

fn known_before(page: &Page<'_>) -> Markup {
    let is_known = matches!(page.facts.chain, Seen::Known(_));
    html! {
        @match page.report.known_before {
            Some(mark) => {
                "manifest " b { (mark.seq) } ", sha256 " (digest(&mark.manifest_sha256))
            }
            None if is_known => {
                b { "First contact" } ": nothing was known before, so an older state that is whole in \
                itself could not be told from the newest"
            }
            None => "unknown"
        }
    }
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Full => "the whole chain and every store",
        Scope::Head => "the newest manifest alone",
    }
}
