//! Points in time: UTC, to the second, and a clock that tests can set.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time in UTC with a resolution of one second, written `2026-06-12T02:00:00Z`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UtcTime(i64);

/// A text that is not a time.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a time; write 2026-06-12T02:00:00Z, or with an offset such as +02:00")]
pub struct NotATime(String);

/// The last second this format can write: 9999-12-30T22:00:00Z, jiff's own bound.
const LAST_SECOND: i64 = 253_402_207_200;

impl UtcTime {
    /// The second `seconds` after 1970-01-01T00:00:00Z; clamped to the years 1970 to 9999.
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds.clamp(0, LAST_SECOND))
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn unix(self) -> i64 {
        self.0
    }

    /// This time moved by `seconds`.
    pub fn plus(self, seconds: i64) -> Self {
        Self::from_unix(self.0.saturating_add(seconds))
    }

    /// `20260612T020000Z`, as in escrow ids and object keys.
    pub fn compact(self) -> String {
        self.format("%Y%m%dT%H%M%SZ")
    }

    /// `20260612020000Z`, as in `allowed_signers` and `ssh-keygen -Overify-time`. The `Z` is
    /// not optional: without it OpenSSH reads the verifier's local time zone.
    pub fn ssh(self) -> String {
        self.format("%Y%m%d%H%M%SZ")
    }

    /// Reads the form of [`UtcTime::compact`].
    pub fn from_compact(text: &str) -> Option<Self> {
        Self::from_digits(text, "%Y%m%dT%H%M%SZ").filter(|time| time.compact() == text)
    }

    /// Reads the form of [`UtcTime::ssh`].
    pub fn from_ssh(text: &str) -> Option<Self> {
        Self::from_digits(text, "%Y%m%d%H%M%SZ").filter(|time| time.ssh() == text)
    }

    /// How far `self` lies from `now`, in words: `3 h ago`, `in 2 d`.
    pub fn relative_to(self, now: UtcTime) -> String {
        let distance = now.0 - self.0;
        let text = span(distance.unsigned_abs());
        if distance >= 0 {
            format!("{text} ago")
        } else {
            format!("in {text}")
        }
    }

    /// The first second of the month that is `months` after this one's.
    pub fn month_later(self, months: i64) -> Self {
        let digits = |format: &str| self.format(format).parse::<i64>().unwrap_or(1);
        let month = digits("%Y") * 12 + digits("%m") - 1 + months;
        let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
        let first = Self::from_compact(&format!("{year:04}{month:02}01T000000Z"));
        first.unwrap_or(Self(LAST_SECOND))
    }

    fn format(self, pattern: &str) -> String {
        Timestamp::from_second(self.0)
            .unwrap_or(Timestamp::UNIX_EPOCH)
            .strftime(pattern)
            .to_string()
    }

    fn from_digits(text: &str, pattern: &str) -> Option<Self> {
        let digits = text.strip_suffix('Z')?;
        let civil = jiff::civil::DateTime::strptime(pattern.trim_end_matches('Z'), digits).ok()?;
        let stamp = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        (0..=LAST_SECOND)
            .contains(&stamp.as_second())
            .then_some(Self(stamp.as_second()))
    }
}

/// A span in its largest sensible unit: `45 s`, `12 min`, `30 h`, `9 d`.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl fmt::Debug for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for UtcTime {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let stamp: Timestamp = text
            .parse()
            .map_err(|_| NotATime(text.chars().take(80).collect()))?;
        Ok(Self::from_unix(stamp.as_second()))
    }
}

impl Serialize for UtcTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UtcTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: UtcTime = text.parse().map_err(serde::de::Error::custom)?;
        if time.to_string() != text {
            return Err(serde::de::Error::custom(NotATime(text)));
        }
        Ok(time)
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The present second.
    fn now(&self) -> UtcTime;
}

/// The host's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the clock"
    )]
    fn now(&self) -> UtcTime {
        UtcTime::from_unix(Timestamp::now().as_second())
    }
}

/// A clock that stands still.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(pub UtcTime);

impl Clock for FixedClock {
    fn now(&self) -> UtcTime {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(text: &str) -> UtcTime {
        text.parse().unwrap()
    }

    #[test]
    fn forms_of_one_second() {
        let t = time("2026-06-12T02:00:00Z");
        assert_eq!(t.unix(), 1_781_229_600);
        assert_eq!(t.to_string(), "2026-06-12T02:00:00Z");
        assert_eq!(t.compact(), "20260612T020000Z");
        assert_eq!(t.ssh(), "20260612020000Z");
        assert_eq!(time("2026-06-12T04:00:00+02:00"), t);
    }

    #[test]
    fn signed_documents_hold_the_canonical_form_only() {
        assert!(serde_json::from_str::<UtcTime>("\"2026-06-12T02:00:00Z\"").is_ok());
        assert!(serde_json::from_str::<UtcTime>("\"2026-06-12T04:00:00+02:00\"").is_err());
        assert!(serde_json::from_str::<UtcTime>("\"2026-06-12T02:00:00.5Z\"").is_err());
    }

    #[test]
    fn ssh_form_needs_its_zone() {
        assert!(UtcTime::from_ssh("20260612020000Z").is_some());
        assert!(UtcTime::from_ssh("20260612020000").is_none());
        assert!(UtcTime::from_ssh("20260612Z").is_none());
    }

    #[test]
    fn distances_read_naturally() {
        let now = time("2026-06-12T12:00:00Z");
        assert_eq!(time("2026-06-12T02:00:00Z").relative_to(now), "10 h ago");
        assert_eq!(time("2026-06-20T12:00:00Z").relative_to(now), "in 8 d");
    }

    proptest! {
        #[test]
        fn every_form_round_trips(seconds in 0..=LAST_SECOND) {
            let t = UtcTime::from_unix(seconds);
            prop_assert_eq!(t.to_string().parse::<UtcTime>().ok(), Some(t));
            prop_assert_eq!(UtcTime::from_compact(&t.compact()), Some(t));
            prop_assert_eq!(UtcTime::from_ssh(&t.ssh()), Some(t));
        }
    }

    #[test]
    fn months_begin_on_their_first_day() {
        let time = |text: &str| text.parse::<UtcTime>().unwrap();
        let at = time("2026-11-30T23:59:59Z");
        assert_eq!(at.month_later(0), time("2026-11-01T00:00:00Z"));
        assert_eq!(at.month_later(3), time("2027-02-01T00:00:00Z"));
        assert_eq!(at.month_later(999_999).unix(), LAST_SECOND);
    }
}
