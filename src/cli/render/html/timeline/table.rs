//! The timeline for those who do not see it.

use maud::{Markup, html};

use super::marks::{Row, State};
use super::{gap_end, lock_told};
use crate::base::time::span;
use crate::cli::render::html::Page;
use crate::cli::render::html::words::{count, time, wide};
use crate::model::audit::facts::{ChainFacts, CopiesSeen, Retained, Seen};
use crate::model::audit::past::Past;

/// How many escrows and gaps are listed, from the newest on.
const SHOWN: usize = 60;

pub(super) fn stores(rows: &[Row]) -> Markup {
    wide(
        "Copies in each store",
        html! {
            table.figures {
                caption { "Copies in each store" }
                thead { tr {
                    th scope="col" { "Store" }
                    @for state in State::ALL { th scope="col" { (state.word()) } }
                } }
                tbody { @for row in rows { tr {
                    th scope="row" { (row.store) }
                    @for state in State::ALL { td.number { (row.count(state)) } }
                } } }
            }
        },
    )
}

pub(super) fn gaps(page: &Page<'_>, past: &Past) -> Markup {
    let left_out = past.missed.len().saturating_sub(SHOWN);
    html! { @if !past.missed.is_empty() {
        (wide("Gaps", html! {
            table.figures {
                caption { "Gaps: one was due, and none was begun" }
                thead { tr {
                    th scope="col" { "Due" } th scope="col" { "Begun" } th scope="col" { "Late by" }
                } }
                tbody { @for gap in past.missed.iter().rev().take(SHOWN) { tr {
                    th scope="row" { (time(gap.due)) }
                    td { @match gap.until { Some(until) => (time(until)), None => "not yet" } }
                    td { (span(gap_end(gap, page).unix().saturating_sub(gap.due.unix()).unsigned_abs())) }
                } } }
            }
        }))
        @if left_out > 0 { p.note { (count(left_out, "older gap")) " left out." } }
    } }
}

/// The newest of them, and every one that is not present in some store.
pub(super) fn escrows(page: &Page<'_>, chain: &ChainFacts) -> Markup {
    let copies = &page.facts.copies;
    let newest = chain.retained.iter().rev().take(SHOWN);
    let left_out = chain.retained.len().saturating_sub(SHOWN);
    html! {
        (wide("Escrows", html! {
            table {
                caption { "The newest escrows" }
                thead { tr {
                    th scope="col" { "Manifest" } th scope="col" { "Begun" } th scope="col" { "Escrow" }
                    @for store in copies.keys() { th scope="col" { (store) } }
                } }
                tbody { @for escrow in newest { tr {
                    th scope="row" { (escrow.seq) }
                    td { (time(escrow.snapshot_at)) }
                    td { code { (escrow.id) } }
                    @for (store, copies) in copies { td {
                        (copy(copies, escrow)) ", " (lock_told(escrow.recorded_locks.get(store)))
                    } }
                } } }
            }
        }))
        @if left_out > 0 {
            p.note { (count(left_out, "older escrow")) " counted above and not listed here." }
        }
    }
}

fn copy(copies: &Seen<CopiesSeen>, escrow: &Retained) -> &'static str {
    State::of(copies, escrow).word()
}
