//! Who could open which escrows: those who are custodians, and those who are no longer.

mod people;

use maud::{Markup, html};

use super::Page;
use super::words::{Tone, badge, count, day, seen, short, when, wide};
use crate::model::audit::past::{Past, SealedRun};
use crate::model::manifest::{Custody, CustodyMode};
use people::{People, Person, Standing};

/// How many runs are shown, from the newest on.
const SHOWN: usize = 40;

pub(super) fn section(page: &Page<'_>) -> Markup {
    seen(&page.facts.past, |past| known(page, past))
}

fn known(page: &Page<'_>, past: &Past) -> Markup {
    let people = People::of(past, &page.facts.custody);
    html! {
        p.note {
            "By signed manifests alone. An escrow that was sealed to somebody opens for them wherever they get \
            hold of its bytes, whatever was changed since; "
            (count(past.let_go, "escrow")) " that retention has let go "
            @if past.let_go == 1 { "is" } @else { "are" } " not counted."
        }
        (leavers(page, past, &people))
        (matrix(page, "Escrows that are kept", &past.sealed, &people))
        @if !past.sealed_before.is_empty() {
            p { "Sealed again since, here as they were before. Copies of that sealing still open for those \
                it was made for, where a lock keeps them or somebody took one." }
            (matrix(page, "Earlier sealings", &past.sealed_before, &people))
        }
    }
}

/// The sentence that a leaver's manager asks for.
fn leavers(page: &Page<'_>, past: &Past, people: &People) -> Markup {
    let left: Vec<&Person> = people
        .iter()
        .filter(|person| person.standing != Standing::InForce)
        .collect();
    html! {
        @if left.is_empty() && !past.sealed.is_empty() {
            p { (badge(Tone::Good, "nobody else")) " Everybody to whom an escrow was sealed is a custodian." }
        } @else { @for person in left {
            @let (escrows, alone) = person.exposure(past);
            p {
                (badge(person.standing.tone(), person.standing.word())) " " b { (person.name) } " can open "
                (count(escrows, "escrow"))
                @if escrows > 0 && alone < escrows { ", " (alone) " of them alone" }
                @if let Some(until) = person.locked_until(past).filter(|until| *until > page.now()) {
                    "; a lock keeps copies until " (when(until, page.now()))
                }
                "."
            }
        } }
    }
}

fn matrix(page: &Page<'_>, label: &str, runs: &[SealedRun], people: &People) -> Markup {
    let left_out = runs.len().saturating_sub(SHOWN);
    html! {
        (wide(label, html! {
            table.matrix {
                caption { (label) }
                thead { tr {
                    th scope="col" { "Escrows" }
                    th scope="col" { "Begun" }
                    th scope="col" { "Locked until" }
                    @for person in people.iter() { th scope="col" { (column(person)) } }
                } }
                tbody {
                    @for run in runs.iter().rev().take(SHOWN) { (row(page, run, people)) }
                    @if runs.is_empty() { tr { td colspan="3" { "no escrow is kept" } } }
                }
            }
        }))
        @if left_out > 0 { p.note { (count(left_out, "older run")) " left out." } }
    }
}

fn column(person: &Person) -> Markup {
    html! {
        (person.name) br;
        small {
            @match person.recipient {
                Some(recipient) => (short(&recipient.to_string(), 15)),
                None => "unknown recipient"
            }
            br; (person.standing.word())
        }
    }
}

fn row(page: &Page<'_>, run: &SealedRun, people: &People) -> Markup {
    let (first, last) = run.seqs;
    html! {
        tr {
            th scope="row" {
                (count(run.escrows, "escrow")) br;
                small { "manifest " (first) @if last != first { " – " (last) } }
            }
            td { (day(run.began.0)) @if run.began.1 != run.began.0 { " – " (day(run.began.1)) } }
            td { @match run.locked_until {
                Some(until) if until > page.now() => (day(until)),
                Some(until) => { "ended " (day(until)) },
                None => "no lock"
            } }
            @for person in people.iter() {
                @match person.is_in(run) {
                    true => td.can { (how(&run.custody)) },
                    false => td.cannot { "no" }
                }
            }
        }
    }
}

fn how(custody: &Custody) -> String {
    match (custody.mode, custody.k) {
        (CustodyMode::Any, _) => "alone".to_owned(),
        (CustodyMode::KOfN, Some(k)) => format!("with {} more", k.saturating_sub(1)),
        (CustodyMode::KOfN, None) => "with others".to_owned(),
    }
}
