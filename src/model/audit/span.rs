//! Lengths of time as a policy writes them: `45m`, `26h`, `90d`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::time::UtcTime;

/// A length of time, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u32);

/// A text that is not a length of time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a length of time; write a whole number and a unit: 90s, 45m, 26h, 90d")]
pub struct NotASpan(String);

/// The units, the largest first, and their seconds.
const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl Span {
    /// So many seconds.
    pub const fn from_seconds(seconds: u32) -> Self {
        Self(seconds)
    }

    /// In seconds.
    pub fn seconds(self) -> i64 {
        i64::from(self.0)
    }

    /// In seconds, where nothing is subtracted from it.
    pub fn whole_seconds(self) -> u64 {
        u64::from(self.0)
    }

    /// The moment so long before `now`.
    pub fn before(self, now: UtcTime) -> UtcTime {
        now.plus(-self.seconds())
    }

    /// The moment so long after `now`.
    pub fn after(self, now: UtcTime) -> UtcTime {
        now.plus(self.seconds())
    }
}

impl FromStr for Span {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Self, NotASpan> {
        let refused = || NotASpan(text.chars().take(40).collect());
        let unit = text.chars().next_back().ok_or_else(refused)?;
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, seconds) = known.ok_or_else(refused)?;
        let digits = text.trim_end_matches(unit);
        let plain = digits.len() + 1 == text.len() && digits.bytes().all(|b| b.is_ascii_digit());
        let number: Option<u32> = digits.parse().ok().filter(|_| plain);
        let span = number.and_then(|number| number.checked_mul(*seconds));
        span.map(Self).ok_or_else(refused)
    }
}

/// In the largest unit that leaves nothing over.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, seconds): &&(char, u32)| self.0.is_multiple_of(*seconds) && self.0 > 0;
        let (unit, seconds) = UNITS.iter().find(fits).unwrap_or(&UNITS[3]);
        write!(f, "{}{unit}", self.0 / seconds)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_unit_is_known() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("45m", 2_700), ("26h", 93_600)] {
            assert_eq!(text.parse::<Span>().unwrap().seconds(), seconds, "{text}");
        }
        assert_eq!("90d".parse::<Span>().unwrap().seconds(), 7_776_000);
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "", "d", "90", "1.5h", "-1h", "+1h", " 1h", "1h ", "1w", "1hh", "9999999d",
        ] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn text_form_round_trips(seconds: u32) {
            let span = Span(seconds);
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }

        #[test]
        fn any_text_is_survived(text in ".{0,20}") {
            let _ = text.parse::<Span>();
        }
    }
}
