//! When escrows were made, where they are, how long they are locked, and which nights were missed.

mod drawing;
mod marks;
mod scale;
mod table;

use maud::{Markup, html};

use super::Page;
use super::words::{count, day, seen, unknown};
use crate::model::audit::facts::{ChainFacts, Seen};
use crate::model::audit::past::{Missed, Past};
use crate::model::lock::Lock;
use marks::Row;
use scale::Scale;

pub(super) fn section(page: &Page<'_>) -> Markup {
    seen(&page.facts.chain, |chain| match &page.facts.past {
        Seen::Known(past) if chain.retained.is_empty() => nothing(past),
        Seen::Known(past) => known(page, chain, past),
        Seen::Unknown(why) => unknown(why),
    })
}

fn nothing(past: &Past) -> Markup {
    let let_go = count(past.let_go, "escrow");
    html! { p { "No escrow is kept that could be drawn; retention has let go " (let_go) "." } }
}

fn known(page: &Page<'_>, chain: &ChainFacts, past: &Past) -> Markup {
    let Some(scale) = Scale::of(chain, page.now()) else {
        return nothing(past);
    };
    let rows = Row::all(page.facts, chain, &scale);
    let merged = rows
        .iter()
        .any(|row| row.marks.iter().any(|mark| mark.escrows > 1));
    html! {
        p { (told(chain, past, rows.len())) }
        (drawing::legend(merged))
        div.wide tabindex="0" role="region" aria-label="Timeline" {
            (drawing::drawing(page, chain, past, &rows, &scale))
        }
        @if rows.is_empty() { (unknown("no store was looked into")) }
        @for row in &rows { @if let Some(why) = &row.unknown {
            p.note { "Store " (row.store) ": what it holds is unknown: " (why) }
        } }
        details {
            summary { "The same as tables" }
            (table::stores(&rows))
            (table::gaps(page, past))
            (table::escrows(page, chain))
        }
    }
}

fn told(chain: &ChainFacts, past: &Past, stores: usize) -> Markup {
    let kept = &chain.retained;
    html! {
        (count(kept.len(), "escrow")) " kept, in " (count(stores, "store"))
        @if let (Some(first), Some(last)) = (kept.first(), kept.last()) {
            ", begun " (day(first.snapshot_at)) " – " (day(last.snapshot_at))
        }
        "; " (past.let_go) " more let go by retention; "
        @match past.missed.len() {
            0 => "no escrow was begun later than the one before had promised.",
            gaps => { (count(gaps, "gap")) " in which one was due and none was begun." }
        }
    }
}

/// The end of a gap for a picture: one that has not ended ends now.
fn gap_end(gap: &Missed, page: &Page<'_>) -> crate::base::time::UtcTime {
    gap.until.unwrap_or(page.now())
}

/// A lock in words.
fn lock_told(lock: Option<&Lock>) -> Markup {
    html! { @match lock {
        Some(lock) => { (lock.mode) " until " (day(lock.until)) },
        None => "no lock recorded"
    } }
}
