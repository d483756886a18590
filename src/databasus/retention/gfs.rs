//! Which backups the policy GFS keeps: the newest of each hour, day, week, month and year, as
//! many of each as the policy says, counted back from the newest backup and not from today.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::{DAY, Micros, SECOND};

/// How many of each are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gfs {
    /// Hours.
    pub hours: i64,
    /// Days.
    pub days: i64,
    /// Weeks of ISO 8601.
    pub weeks: i64,
    /// Months.
    pub months: i64,
    /// Years.
    pub years: i64,
}

/// One level of the scheme: of each slot the first backup that is seen, newest first.
struct Level {
    limit: i64,
    after: Micros,
    seen: BTreeSet<(i64, i64)>,
}

impl Level {
    fn takes(&mut self, at: Micros, slot: (i64, i64)) -> bool {
        let free = i64::try_from(self.seen.len()).is_ok_and(|kept| kept < self.limit);
        free && at > self.after && self.seen.insert(slot)
    }
}

impl Gfs {
    /// Whether it keeps nothing, which Databasus takes for "delete nothing".
    pub fn is_empty(&self) -> bool {
        let all = [self.hours, self.days, self.weeks, self.months, self.years];
        all.iter().all(|count| *count <= 0)
    }

    /// For each of these times, which must come newest first, whether its backup is kept. Slots
    /// are those of UTC, the image's own time zone.
    pub fn keeps(&self, newest_first: &[Micros]) -> Vec<bool> {
        let Some(newest) = newest_first.first() else {
            return Vec::new();
        };
        let mut levels = self.levels(*newest);
        let times = newest_first.iter();
        times
            .map(|at| {
                let slots = slots(*at);
                let levels = levels.iter_mut().zip(slots);
                // Every level has to look: one backup may fill a slot of each.
                let taken = levels.map(|(level, slot)| level.takes(*at, slot));
                taken.fold(false, |kept, taken| kept | taken)
            })
            .collect()
    }

    /// Each level's window reaches back by its own count, but no further than that of the next
    /// level above which is in use.
    fn levels(&self, newest: Micros) -> [Level; 5] {
        let back = |count: i64, unit: Micros| newest.saturating_sub(count.saturating_mul(unit));
        let counts = [self.hours, self.days, self.weeks, self.months, self.years];
        let own = [
            back(self.hours, 3_600 * SECOND),
            back(self.days, DAY),
            back(self.weeks, 7 * DAY),
            months_back(newest, self.months),
            months_back(newest, self.years.saturating_mul(12)),
        ];
        let mut after = own;
        for level in (0..counts.len() - 1).rev() {
            let above = (level + 1..counts.len()).find(|above| counts[*above] > 0);
            if let Some(above) = above {
                after[level] = own[level].max(after[above]);
            }
        }
        let mut at = 0;
        counts.map(|limit| {
            at += 1;
            Level {
                limit,
                after: after[at - 1],
                seen: BTreeSet::new(),
            }
        })
    }
}

/// The names of a time's hour, day, week, month and year.
fn slots(at: Micros) -> [(i64, i64); 5] {
    let time = civil(at);
    let date = time.date();
    let day = i64::from(date.day_of_year());
    let year = i64::from(date.year());
    let week = date.iso_week_date();
    [
        (year, day * 24 + i64::from(time.hour())),
        (year, day),
        (i64::from(week.year()), i64::from(week.week())),
        (year, i64::from(date.month())),
        (year, 0),
    ]
}

fn civil(at: Micros) -> DateTime {
    let time = Timestamp::from_microsecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned(TimeZone::UTC).datetime()
}

/// The same day and time so many months earlier. Where that month has no such day, Go counts on
/// into the next one: a month before 31 March is 3 March.
fn months_back(at: Micros, months: i64) -> Micros {
    let time = civil(at);
    let date = time.date();
    let index = i64::from(date.year()) * 12 + i64::from(date.month()) - 1 - months;
    let year = i16::try_from(index.div_euclid(12));
    let month = i8::try_from(index.rem_euclid(12) + 1);
    let first = match (year, month) {
        (Ok(year), Ok(month)) => Date::new(year, month, 1),
        _ => return Micros::MIN,
    };
    let Ok(first) = first.and_then(|first| first.to_zoned(TimeZone::UTC)) else {
        return Micros::MIN;
    };
    let into_day = at.rem_euclid(DAY);
    let days = i64::from(date.day()) - 1;
    first.timestamp().as_microsecond() + days * DAY + into_day
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Micros {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    fn kept(gfs: Gfs, times: &[Micros]) -> Vec<usize> {
        let keeps = gfs.keeps(times);
        (0..times.len()).filter(|index| keeps[*index]).collect()
    }

    /// One a day at noon, the newest first.
    fn daily(count: i64) -> Vec<Micros> {
        let newest = at("2026-06-18T12:00:00Z");
        (0..count).map(|days| newest - days * DAY).collect()
    }

    #[test]
    fn days_are_counted_from_the_newest_backup() {
        let gfs = Gfs {
            days: 3,
            ..Gfs::default()
        };
        assert_eq!(kept(gfs, &daily(10)), [0, 1, 2]);
    }

    #[test]
    fn one_backup_may_fill_a_slot_of_every_level() {
        let gfs = Gfs {
            days: 2,
            weeks: 2,
            months: 2,
            ..Gfs::default()
        };
        // 18 June 2026 is a Thursday; the Sunday before it is four days back, May eighteen.
        assert_eq!(kept(gfs, &daily(60)), [0, 1, 4, 18]);
    }

    #[test]
    fn a_level_reaches_no_further_back_than_the_one_above() {
        let gfs = Gfs {
            days: 30,
            weeks: 1,
            ..Gfs::default()
        };
        assert_eq!(kept(gfs, &daily(60)), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_month_back_from_a_day_that_is_not_there_runs_over() {
        let march = at("2026-03-31T10:00:00Z");
        assert_eq!(months_back(march, 1), at("2026-03-03T10:00:00Z"));
        assert_eq!(months_back(march, 3), at("2025-12-31T10:00:00Z"));
        let leap = at("2028-02-29T10:00:00Z");
        assert_eq!(months_back(leap, 12), at("2027-03-01T10:00:00Z"));
    }

    #[test]
    fn two_backups_of_one_day_fill_one_slot() {
        let gfs = Gfs {
            days: 7,
            ..Gfs::default()
        };
        let day = at("2026-06-18T12:00:00Z");
        assert_eq!(kept(gfs, &[day, day - SECOND, day - DAY]), [0, 2]);
    }

    fn any_gfs() -> impl Strategy<Value = Gfs> {
        (0..9i64, 0..9i64, 0..9i64, 0..9i64, 0..9i64).prop_map(
            |(hours, days, weeks, months, years)| Gfs {
                hours,
                days,
                weeks,
                months,
                years,
            },
        )
    }

    fn any_times() -> impl Strategy<Value = Vec<Micros>> {
        let range = 0..(40 * 365 * DAY);
        prop::collection::vec(range, 0..60).prop_map(|mut times| {
            times.sort_by(|a, b| b.cmp(a));
            times
        })
    }

    proptest! {
        #[test]
        fn the_newest_is_kept_by_every_policy_that_keeps_anything(gfs in any_gfs(), times in any_times()) {
            let keeps = gfs.keeps(&times);
            if let Some(newest) = keeps.first() {
                prop_assert_eq!(*newest, !gfs.is_empty());
            }
        }

        #[test]
        fn no_more_are_kept_than_there_are_slots(gfs in any_gfs(), times in any_times()) {
            let kept = gfs.keeps(&times).iter().filter(|kept| **kept).count() as i64;
            prop_assert!(kept <= gfs.hours + gfs.days + gfs.weeks + gfs.months + gfs.years);
        }

        #[test]
        fn nothing_older_makes_a_younger_one_go(gfs in any_gfs(), times in any_times()) {
            let all = gfs.keeps(&times);
            let fewer = gfs.keeps(&times[..times.len() / 2]);
            prop_assert_eq!(&all[..fewer.len()], fewer.as_slice());
        }

        #[test]
        fn no_time_makes_it_panic(gfs in any_gfs(), times in prop::collection::vec(any::<i64>(), 0..5)) {
            let _ = gfs.keeps(&times);
        }
    }
}
