//! What every part of the page is written with: outcomes as word, shape and colour; times; what is
//! not known.

use maud::{Markup, PreEscaped, html};

use crate::base::digest::Digest;
use crate::base::time::UtcTime;
use crate::model::audit::check::{Check, Outcome};
use crate::model::audit::facts::Seen;

/// How something stands. The word beside it says the same: nothing on the page is told by colour
/// alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// It holds.
    Good,
    /// It holds, and somebody should look.
    Warn,
    /// It does not hold.
    Bad,
    /// It is not what a signer said.
    Worst,
    /// It is not known.
    Open,
    /// It was not asked for.
    Off,
}

impl Tone {
    pub(super) fn of(check: &Check) -> Self {
        match check.outcome {
            _ if check.is_tampering => Self::Worst,
            outcome => Self::of_outcome(outcome),
        }
    }

    pub(super) fn of_outcome(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Fail => Self::Bad,
            Outcome::Unknown => Self::Open,
            Outcome::Warn => Self::Warn,
            Outcome::Pass => Self::Good,
            Outcome::Off => Self::Off,
        }
    }

    /// The class in the style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Worst => "worst",
            Self::Open => "open",
            Self::Off => "off",
        }
    }

    /// The word for a check that came out so.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Good => "pass",
            Self::Warn => "warn",
            Self::Bad => "fail",
            Self::Worst => "tampering",
            Self::Open => "unknown",
            Self::Off => "off",
        }
    }

    /// A shape of its own in a square of 16: what is left where there are no colours.
    fn shape(self) -> &'static str {
        match self {
            Self::Good => r#"<circle cx="8" cy="8" r="7"/><path d="M4.6 8.2l2.4 2.4 4.4-5"/>"#,
            Self::Warn => r#"<path class="f" d="M8 1.4l7 13H1z"/><path d="M8 6v4m0 1.6v1.2"/>"#,
            Self::Bad => {
                r#"<rect class="f" x="1" y="1" width="14" height="14" rx="2"/><path d="M5 5l6 6m0-6l-6 6"/>"#
            }
            Self::Worst => {
                r#"<path class="f" d="M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z"/><path d="M8 4v5m0 1.8v1.4"/>"#
            }
            // A filled diamond would look like a character that could not be read.
            Self::Open => {
                r#"<circle class="h" cx="8" cy="8" r="6.8"/><path class="h" d="M5.9 6.3a2.1 2.1 0 1 1 3 1.9c-.7.3-.9.6-.9 1.3m0 1.7v.9"/>"#
            }
            Self::Off => r#"<circle class="h" cx="8" cy="8" r="6.4"/><path class="h" d="M5 8h6"/>"#,
        }
    }
}

/// The shape alone, for what stands beside its word.
pub(super) fn shape(tone: Tone) -> Markup {
    html! {
        svg class={ "shape " (tone.class()) } viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
            (PreEscaped(tone.shape()))
        }
    }
}

/// Shape and word.
pub(super) fn badge(tone: Tone, word: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (shape(tone)) " " (word) } }
}

/// A time, and how far from now it is.
pub(super) fn when(at: UtcTime, now: UtcTime) -> Markup {
    html! { (time(at)) " " span.ago { "(" (at.relative_to(now)) ")" } }
}

/// A time: `2026-06-12 02:00 UTC`, its seconds in the attribute.
pub(super) fn time(at: UtcTime) -> Markup {
    html! { time datetime=(at) { (date(at)) " " (clock(at)) " UTC" } }
}

/// A day, with the exact time in the attribute.
pub(super) fn day(at: UtcTime) -> Markup {
    html! { time datetime=(at) { (date(at)) } }
}

/// `2026-06-12`.
pub(super) fn date(at: UtcTime) -> String {
    at.to_string().chars().take(10).collect()
}

fn clock(at: UtcTime) -> String {
    at.to_string().chars().skip(11).take(5).collect()
}

/// What could not be seen, and why. It is never left blank.
pub(super) fn unknown(why: &str) -> Markup {
    html! { p.unknown { (badge(Tone::Open, "unknown")) " " span.why { (why) } } }
}

/// What was seen, or why not.
pub(super) fn seen<T>(seen: &Seen<T>, show: impl FnOnce(&T) -> Markup) -> Markup {
    match seen {
        Seen::Known(known) => show(known),
        Seen::Unknown(why) => unknown(why),
    }
}

/// The whole of a digest.
pub(super) fn digest(digest: &Digest) -> Markup {
    html! { code.digest { (digest) } }
}

/// The beginning of something long, the whole in its tooltip.
pub(super) fn short(text: &str, shown: usize) -> Markup {
    let start: String = text.chars().take(shown).collect();
    html! { code title=(text) { (start) @if start.len() < text.len() { "…" } } }
}

/// `1 escrow`, `2 escrows`.
pub(super) fn count(number: usize, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {one}s"),
    }
}

/// A table that scrolls within itself where the window is narrow, and can be reached by keyboard.
pub(super) fn wide(label: &str, table: Markup) -> Markup {
    html! { div.wide tabindex="0" role="region" aria-label=(label) { (table) } }
}
