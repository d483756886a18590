//! The drawing itself: one row for each store, time to the right.

use maud::{Markup, PreEscaped, html};

use super::gap_end;
use super::marks::{Mark, Row, State};
use super::scale::{Scale, WIDTH};
use crate::base::time::UtcTime;
use crate::cli::render::html::Page;
use crate::cli::render::html::words::{count, date};
use crate::model::audit::facts::ChainFacts;
use crate::model::audit::past::{Missed, Past};

/// Room above the rows, for the names of the lines.
const TOP: f64 = 28.0;

/// A store's name and its marks.
const MARKS: f64 = 40.0;

/// Lines that locks are drawn on in turn, and the distance between them.
const LANES: usize = 6;
const LANE: f64 = 4.0;

/// Most gaps that are drawn, the newest.
const GAPS: usize = 120;

pub(super) fn drawing(
    page: &Page<'_>,
    chain: &ChainFacts,
    past: &Past,
    rows: &[Row],
    scale: &Scale,
) -> Markup {
    let tops = tops(rows);
    let bottom = tops.last().copied().unwrap_or(TOP);
    let now = page.now();
    let due = chain.head.as_ref().map(|head| head.next_due);
    html! {
        svg.timeline viewBox={ "0 0 " (WIDTH) " " (bottom + 24.0) } role="img" aria-labelledby="timeline-title timeline-desc" {
            title id="timeline-title" { "Escrows in each store over time" }
            desc id="timeline-desc" { (description(rows, past)) }
            defs { pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                line x1="0" y1="0" x2="0" y2="6" {}
            } }
            @for gap in past.missed.iter().rev().take(GAPS) { (shaded(gap, page, scale, bottom)) }
            @for at in scale.ticks() { (tick(scale.x(at), bottom, &date(at))) }
            @for (row, top) in rows.iter().zip(&tops) { (store(row, *top, scale, now)) }
            (line("now", "now", scale.x(now), bottom, "end"))
            @if let Some(due) = due.filter(|due| scale.contains(*due)) {
                (line("due", "next due", scale.x(due), bottom, "start"))
            }
        }
    }
}

/// Where each row begins, and where the last ends.
fn tops(rows: &[Row]) -> Vec<f64> {
    let mut at = TOP;
    let mut tops = vec![at];
    for row in rows {
        let locks = LANES as f64 * LANE + 6.0;
        at += MARKS + if row.has_locks() { locks } else { 0.0 };
        tops.push(at);
    }
    tops
}

fn description(rows: &[Row], past: &Past) -> String {
    let told = rows.iter().map(|row| {
        let counts = State::ALL.map(|state| format!("{} {}", row.count(state), state.word()));
        format!("Store {}: {}.", row.store, counts.join(", "))
    });
    let gaps = count(past.missed.len(), "gap");
    told.chain([format!(
        "{gaps} in which an escrow was due and none was begun."
    )])
    .collect::<Vec<_>>()
    .join(" ")
}

fn shaded(gap: &Missed, page: &Page<'_>, scale: &Scale, bottom: f64) -> Markup {
    let (from, to) = (scale.x(gap.due), scale.x(gap_end(gap, page)));
    let width = (to - from).max(1.0);
    html! { @if to > from || scale.contains(gap.due) {
        rect fill="url(#hatch)" x=(px(from)) y=(TOP) width=(px(width)) height=(px(bottom - TOP)) {
            title { "due " (gap.due) @match gap.until {
                Some(until) => { ", begun " (until) }, None => ", not yet begun"
            } }
        }
    } }
}

fn tick(x: f64, bottom: f64, label: &str) -> Markup {
    html! {
        line.tick x1=(px(x)) x2=(px(x)) y1=(TOP) y2=(px(bottom + 4.0)) {}
        text.axis x=(px(x)) y=(px(bottom + 17.0)) text-anchor=(anchor(x)) { (label) }
    }
}

/// Labels at the edges stay within the drawing.
fn anchor(x: f64) -> &'static str {
    match x {
        x if x < 40.0 => "start",
        x if x > WIDTH - 40.0 => "end",
        _ => "middle",
    }
}

fn line(class: &str, label: &str, x: f64, bottom: f64, anchor: &str) -> Markup {
    let anchor = match x {
        x if x < 60.0 => "start",
        x if x > WIDTH - 60.0 => "end",
        _ => anchor,
    };
    let beside = if anchor == "end" { x - 3.0 } else { x + 3.0 };
    let y = if class == "due" { 10.0 } else { 23.0 };
    html! {
        line class=(class) x1=(px(x)) x2=(px(x)) y1=(px(y - 8.0)) y2=(px(bottom)) {}
        text class={ "at " (class) } x=(px(beside)) y=(y) text-anchor=(anchor) { (label) }
    }
}

fn store(row: &Row, top: f64, scale: &Scale, now: UtcTime) -> Markup {
    let middle = top + 28.0;
    let mut worst_last: Vec<&Mark> = row.marks.iter().collect();
    worst_last.sort_by_key(|mark| mark.state);
    html! {
        g {
            text.store x="18" y=(px(top + 14.0)) { (row.store) }
            line.base x1="18" x2=(WIDTH - 18.0) y1=(px(middle)) y2=(px(middle)) {}
            @for (n, mark) in row.marks.iter().enumerate() {
                @if let Some(until) = mark.locked_until {
                    (lock(mark, until, middle + 10.0 + (n % LANES) as f64 * LANE, scale, now))
                }
            }
            @for mark in worst_last { (escrow(mark, scale.x(mark.at()), middle)) }
        }
    }
}

/// From the escrow to the end of its lock; an arrow where that lies beyond the drawing.
fn lock(mark: &Mark, until: UtcTime, y: f64, scale: &Scale, now: UtcTime) -> Markup {
    let (from, to) = (scale.x(mark.at()), scale.x(until));
    let class = if until > now { "lock" } else { "lock over" };
    let end = match scale.contains(until) {
        true => "v-1.6v3.2",
        false => "l-3-1.8m3 1.8l-3 1.8",
    };
    html! {
        path class=(class) d={ "M" (px(from)) " " (px(y)) "H" (px(to)) (end) } {
            title { "locked until " (until) }
        }
    }
}

/// Shapes differ as colours do: a dot, a ring, a cross, a diamond; taller where they are several.
fn escrow(mark: &Mark, x: f64, y: f64) -> Markup {
    let several = if mark.escrows > 1 { " several" } else { "" };
    html! {
        path class={ "escrow " (mark.state.word()) (several) }
            d=(format!("M{} {}{}", px(x), px(y), shape(mark.state, mark.escrows > 1))) {
            title { (told(mark)) }
        }
    }
}

fn shape(state: State, several: bool) -> &'static str {
    match (state, several) {
        (State::Present, false) => "m-2.6 0a2.6 2.6 0 1 0 5.2 0a2.6 2.6 0 1 0-5.2 0",
        (State::Present, true) => "m-2.1-5.5h4.2v11h-4.2z",
        (State::Missing, false) => "m-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0",
        (State::Missing, true) => "m-3.2-7h6.4v14h-6.4z",
        (State::Wrong, _) => "m-4.5-4.5l9 9m0-9l-9 9",
        (State::Unknown, _) => "m0-4.4l4.4 4.4l-4.4 4.4l-4.4-4.4z",
    }
}

fn told(mark: &Mark) -> String {
    let word = mark.state.word();
    match mark.escrows {
        1 => format!("{}: {word}", mark.first),
        escrows => format!(
            "{escrows} escrows, {} to {}: {} {word}",
            date(mark.first),
            date(mark.last),
            mark.in_state
        ),
    }
}

/// Tenths of a unit are finer than any screen shows.
fn px(value: f64) -> String {
    format!("{:.1}", value)
}

pub(super) fn legend(merged: bool) -> Markup {
    let drawn = |class: &str, path: &str| {
        html! { svg.key viewBox="-8 -8 16 16" width="16" height="16" aria-hidden="true" {
            path class=(class) d={ "M0 0" (PreEscaped(path)) } {}
        } }
    };
    html! {
        ul.legend aria-hidden="true" {
            @for state in State::ALL {
                li { (drawn(&format!("escrow {}", state.word()), shape(state, false))) " " (meaning(state)) }
            }
            @if merged { li { (drawn("escrow present several", shape(State::Present, true))) " several, as the worst of them" } }
            li { (drawn("lock", "m-7 0h14v-1.6v3.2")) " locked" }
            li { (drawn("lock over", "m-7 0h14v-1.6v3.2")) " lock has ended" }
            li { span.hatch {} " due, and none begun" }
        }
    }
}

fn meaning(state: State) -> &'static str {
    match state {
        State::Present => "there, with the signed size",
        State::Missing => "missing",
        State::Wrong => "other bytes than signed",
        State::Unknown => "unknown",
    }
}
