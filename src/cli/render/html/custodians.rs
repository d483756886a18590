//! Who can open the newest escrow, and when each last showed it.

use maud::{Markup, html};

use super::Page;
use super::words::{Tone, badge, count, seen, when, wide};
use crate::base::fingerprint::Fingerprint;
use crate::base::names::CustodianName;
use crate::base::time::UtcTime;
use crate::model::audit::facts::{CustodySeen, Seen};
use crate::model::manifest::{Custody, CustodyMode};

pub(super) fn section(page: &Page<'_>) -> Markup {
    seen(&page.facts.custody, |custody| table(page, custody))
}

fn table(page: &Page<'_>, custody: &CustodySeen) -> Markup {
    html! {
        p { (mode(&custody.custody, custody.recipients.len())) " " (demanded(page)) }
        (wide("Custodians", html! {
            table {
                thead { tr {
                    th scope="col" { "Custodian" }
                    th scope="col" { "Recipient" }
                    th scope="col" { "Last proof" }
                    th scope="col" { "By the policy" }
                } }
                tbody { @for (who, recipient) in &custody.recipients { (row(page, who, recipient)) } }
            }
        }))
    }
}

/// How many of them it takes, in a sentence.
pub(super) fn mode(custody: &Custody, of: usize) -> String {
    match (custody.mode, custody.k) {
        (CustodyMode::Any, _) => {
            format!(
                "The newest escrow is sealed to {}, any of whom opens it alone.",
                count(of, "custodian")
            )
        }
        (CustodyMode::KOfN, Some(k)) => {
            format!(
                "It takes {k} of {} together to open the newest escrow.",
                count(of, "custodian")
            )
        }
        (CustodyMode::KOfN, None) => format!(
            "It takes several of {} together to open the newest escrow; how many, its manifest does not say.",
            count(of, "custodian")
        ),
    }
}

fn demanded(page: &Page<'_>) -> String {
    match page.policy.checkins {
        Some(demand) => format!(
            "The policy demands a proof of each that is no older than {}.",
            demand.fail
        ),
        None => "The policy demands no proofs of them.".to_owned(),
    }
}

fn row(page: &Page<'_>, who: &CustodianName, recipient: &Fingerprint) -> Markup {
    html! {
        tr {
            th scope="row" { (who) }
            td { code.digest { (recipient) } }
            td {
                @match last_proof(page, who) {
                    Seen::Known(Some(at)) => (when(at, page.now())),
                    Seen::Known(None) => "never",
                    Seen::Unknown(why) => { "unknown: " (why) }
                }
            }
            td { (standing(page, &last_proof(page, who))) }
        }
    }
}

fn last_proof(page: &Page<'_>, who: &CustodianName) -> Seen<Option<UtcTime>> {
    match &page.facts.checkins {
        Seen::Unknown(why) => Seen::unknown(why),
        Seen::Known(checkins) => {
            let mut proven = checkins.proven.iter();
            match proven.find(|(name, _)| name == who) {
                Some((_, at)) => Seen::Known(*at),
                None => Seen::unknown("the policy in force does not name them"),
            }
        }
    }
}

fn standing(page: &Page<'_>, proof: &Seen<Option<UtcTime>>) -> Markup {
    let Some(demand) = page.policy.checkins else {
        return badge(Tone::Off, "not demanded");
    };
    let at = match proof {
        Seen::Unknown(_) => return badge(Tone::Open, "unknown"),
        Seen::Known(None) => return badge(Tone::Bad, "never proven"),
        Seen::Known(Some(at)) => *at,
    };
    let is_old = |most| at < most;
    match (
        is_old(demand.fail.before(page.now())),
        demand.warn.map(|warn| is_old(warn.before(page.now()))),
    ) {
        (true, _) => badge(Tone::Bad, "too old"),
        (false, Some(true)) => badge(Tone::Warn, "within, soon too old"),
        (false, _) => badge(Tone::Good, "within"),
    }
}
