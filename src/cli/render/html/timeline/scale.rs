//! From times to places on the drawing, and where its axis has marks.

use crate::base::time::UtcTime;
use crate::model::audit::facts::{ChainFacts, Retained};

/// Width of the drawing, in its own units.
pub(super) const WIDTH: f64 = 960.0;

/// Free on either side.
const MARGIN: f64 = 18.0;

const DAY: i64 = 86_400;

/// Most marks on the axis.
const TICKS: i64 = 9;

/// The span that is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    from: UtcTime,
    to: UtcTime,
}

impl Scale {
    /// From the oldest escrow that is kept until everything has come that is known to come, but
    /// no further than half the past: a lock of years must not press the nights together. None
    /// where there is nothing to draw.
    pub(super) fn of(chain: &ChainFacts, now: UtcTime) -> Option<Self> {
        let kept = &chain.retained;
        let from = kept.iter().map(|one| one.snapshot_at).min()?;
        let locks = kept.iter().flat_map(ends).max();
        let due = chain.head.as_ref().map(|head| head.next_due);
        let last = [locks, due].into_iter().flatten().max().unwrap_or(now);
        let past = now.unix().saturating_sub(from.unix()).max(DAY);
        let furthest = now.plus(past / 2 + 2 * DAY);
        let to = last.min(furthest).max(now).max(from.plus(DAY));
        Some(Self { from, to })
    }

    /// Where a time is drawn; what lies outside stands at the edge.
    pub(super) fn x(&self, at: UtcTime) -> f64 {
        let whole = (self.to.unix() - self.from.unix()) as f64;
        let part = (at.unix() - self.from.unix()) as f64;
        MARGIN + (part / whole).clamp(0.0, 1.0) * (WIDTH - 2.0 * MARGIN)
    }

    /// Whether it is drawn where it belongs.
    pub(super) fn contains(&self, at: UtcTime) -> bool {
        (self.from..=self.to).contains(&at)
    }

    /// Which of so many equal slots a time falls into.
    pub(super) fn slot(&self, at: UtcTime, slots: usize) -> usize {
        let part = (self.x(at) - MARGIN) / (WIDTH - 2.0 * MARGIN);
        ((part * slots as f64) as usize).min(slots.saturating_sub(1))
    }

    /// Midnights, or first days of months, at a distance that leaves room for dates.
    pub(super) fn ticks(&self) -> Vec<UtcTime> {
        let days = (self.to.unix() - self.from.unix()) / DAY;
        match [1, 2, 7, 14].into_iter().find(|step| days / step < TICKS) {
            Some(step) => self.every(step * DAY),
            None => self.months(),
        }
    }

    fn every(&self, step: i64) -> Vec<UtcTime> {
        let first = (self.from.unix() + step - 1) / step * step;
        let mut at = UtcTime::from_unix(first);
        let mut ticks = Vec::new();
        while at <= self.to {
            ticks.push(at);
            at = at.plus(step);
        }
        ticks
    }

    fn months(&self) -> Vec<UtcTime> {
        let months = (self.to.unix() - self.from.unix()) / (30 * DAY);
        let step = [1, 2, 3, 6, 12]
            .into_iter()
            .find(|step| months / step < TICKS);
        let step = step.unwrap_or(12 * (months / (12 * TICKS) + 1));
        let mut ticks = Vec::new();
        let mut later = step;
        let mut at = self.from.month_later(step);
        while at <= self.to && ticks.len() < 2 * TICKS as usize {
            ticks.push(at);
            later += step;
            at = self.from.month_later(later);
        }
        ticks
    }
}

fn ends(one: &Retained) -> impl Iterator<Item = UtcTime> {
    one.recorded_locks.values().map(|lock| lock.until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(from: &str, to: &str) -> Scale {
        Scale {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        }
    }

    fn dates(scale: &Scale) -> Vec<String> {
        let ticks = scale.ticks();
        ticks
            .iter()
            .map(|at| at.to_string()[..10].to_owned())
            .collect()
    }

    #[test]
    fn times_are_drawn_in_order_and_within_the_drawing() {
        let scale = scale("2026-06-01T00:00:00Z", "2026-06-11T00:00:00Z");
        let x = |text: &str| scale.x(text.parse().unwrap());
        assert_eq!(x("2026-06-06T00:00:00Z"), WIDTH / 2.0);
        assert_eq!(x("2020-01-01T00:00:00Z"), MARGIN);
        assert_eq!(x("2099-01-01T00:00:00Z"), WIDTH - MARGIN);
        assert_eq!(scale.slot(UtcTime::from_unix(0), 10), 0);
        assert_eq!(scale.slot("2026-06-11T00:00:00Z".parse().unwrap(), 10), 9);
    }

    #[test]
    fn the_axis_has_midnights_on_short_spans_and_months_on_long_ones() {
        let days = scale("2026-06-01T02:00:00Z", "2026-06-06T03:00:00Z");
        let expected = [
            "2026-06-02",
            "2026-06-03",
            "2026-06-04",
            "2026-06-05",
            "2026-06-06",
        ];
        assert_eq!(dates(&days), expected);
        let year = scale("2025-06-12T02:00:00Z", "2026-07-01T00:00:00Z");
        let expected = [
            "2025-08-01",
            "2025-10-01",
            "2025-12-01",
            "2026-02-01",
            "2026-04-01",
            "2026-06-01",
        ];
        assert_eq!(dates(&year), expected);
    }

    #[test]
    fn the_axis_has_few_marks_however_long_the_span() {
        for years in [1_i64, 3, 30, 300, 7_000] {
            let from = UtcTime::from_unix(0);
            let scale = Scale {
                from,
                to: from.plus(years * 366 * DAY),
            };
            let ticks = scale.ticks().len();
            assert!((2..=18).contains(&ticks), "{years} years: {ticks}");
        }
    }
}
