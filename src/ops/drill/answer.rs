//! Whether an answer is what a sentinel expects.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::base::time::UtcTime;
use crate::model::audit::drill_demands::Expect;

/// Whether the answer, as PostgreSQL writes it in a session with ISO dates in UTC, is what is
/// expected of a drill that began then. No row, and a null, are never.
pub(super) fn holds(expect: &Expect, answer: Option<&str>, began: UtcTime) -> bool {
    let Some(answer) = answer else {
        return false;
    };
    match expect {
        Expect::Equals(expected) => answer == expected.0,
        Expect::AtLeast(least) => whole_below(answer).is_some_and(|found| found >= *least),
        Expect::NewerThan(span) => {
            seconds(answer).is_some_and(|found| found >= span.before(began).unix())
        }
    }
}

/// The largest whole number that is not above a decimal one: what is at least a whole number is
/// so together with it.
fn whole_below(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    let cut = whole.starts_with('-') && fraction.bytes().any(|byte| byte != b'0');
    number.checked_sub(i64::from(cut))
}

/// Seconds since 1970 of a `timestamptz`, a `timestamp` or a `date`.
fn seconds(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_second());
    }
    let civil: DateTime = text.parse().ok()?;
    let zoned = civil.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::audit::drill_demands::Plain;
    use crate::model::audit::span::Span;
    use proptest::prelude::*;

    fn began() -> UtcTime {
        "2026-06-12T09:00:00Z".parse().unwrap()
    }

    fn held(expect: Expect, answer: &str) -> bool {
        holds(&expect, Some(answer), began())
    }

    #[test]
    fn nothing_is_never_what_was_expected() {
        for expect in [
            Expect::Equals(Plain(String::new())),
            Expect::AtLeast(i64::MIN),
            Expect::NewerThan(Span::from_seconds(u32::MAX)),
        ] {
            assert!(!holds(&expect, None, began()), "{expect:?}");
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let at_least = |least, answer| held(Expect::AtLeast(least), answer);
        assert!(at_least(9, "10") && at_least(9, "9") && !at_least(9, "8.99"));
        assert!(at_least(9, "9.00000000000000000001"));
        assert!(at_least(-1, "-0.5") && !at_least(0, "-0.5") && at_least(0, "-0.0"));
        assert!(!at_least(0, "many") && !at_least(0, "") && !at_least(0, "1.x"));
        assert!(!at_least(0, "NaN") && !at_least(0, "Infinity"));
    }

    #[test]
    fn times_are_as_postgresql_writes_them() {
        let newer = |answer| held(Expect::NewerThan(Span::from_seconds(3600)), answer);
        for recent in [
            "2026-06-12 08:00:00+00",
            "2026-06-12 08:59:59.123456+00",
            "2026-06-12 08:30:00",
            "2026-06-12 10:30:00+02",
            "2026-06-13",
        ] {
            assert!(newer(recent), "{recent}");
        }
        for old in [
            "2026-06-12 07:59:59+00",
            "2026-06-11",
            "",
            "yesterday",
            "infinity",
        ] {
            assert!(!newer(old), "{old}");
        }
    }

    #[test]
    fn texts_are_equal_or_not() {
        let equals =
            |expected: &str, answer| held(Expect::Equals(Plain(expected.to_owned())), answer);
        assert!(equals("t", "t") && !equals("t", "true") && !equals("7", "7.0"));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(answer in ".{0,40}|-?[0-9]{0,25}(\\.[0-9]{0,25})?", least: i64, span: u32) {
            for expect in [Expect::AtLeast(least), Expect::NewerThan(Span::from_seconds(span))] {
                let _ = holds(&expect, Some(&answer), began());
            }
        }

        #[test]
        fn whole_numbers_are_compared_exactly(found: i64, least: i64) {
            prop_assert_eq!(held(Expect::AtLeast(least), &found.to_string()), found >= least);
        }
    }
}
