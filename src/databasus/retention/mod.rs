//! What Databasus' cleaner deletes at its next tick, objects included: a pure function of the
//! catalogue's rows, the policy and the time (DATABASUS.md §5.1 and §5.2).
//!
//! It exists for the moment before a copy is let loose: `TIME_PERIOD` keeps no last backup, so
//! that after an outage longer than the period the first tick deletes everything there is.

pub mod gfs;
pub mod logical;
pub mod physical;

/// A point in time as the catalogue has it: microseconds since 1970-01-01T00:00:00Z.
pub type Micros = i64;

/// One second.
pub const SECOND: Micros = 1_000_000;

/// One day.
pub const DAY: Micros = 86_400 * SECOND;

/// Younger backups are spared since 3.15.
pub const GRACE: Micros = 3_600 * SECOND;

/// How long a period is (DATABASUS.md §4.5). A policy with any other word stops Databasus itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Nothing grows too old: `FOREVER`, and the empty text.
    Forever,
    /// So many days.
    Days(i64),
}

impl Period {
    /// Reads what stands in `retention_time_period` and `store_period`.
    pub fn parse(text: &str) -> Option<Self> {
        let days = match text {
            "" | "FOREVER" => return Some(Self::Forever),
            "DAY" => 1,
            "WEEK" => 7,
            "MONTH" => 30,
            "3_MONTH" => 90,
            "6_MONTH" => 180,
            "YEAR" => 365,
            "2_YEARS" => 2 * 365,
            "3_YEARS" => 3 * 365,
            "4_YEARS" => 4 * 365,
            "5_YEARS" => 5 * 365,
            _ => return None,
        };
        Some(Self::Days(days))
    }
}

/// What a database would lose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Loss {
    /// Backups that can be restored now.
    pub backups: usize,
    /// How many of them would go.
    pub deleted: usize,
    /// Whether the newest is among those.
    pub newest: bool,
    /// WAL segments now.
    pub segments: usize,
    /// How many of them would go.
    pub deleted_segments: usize,
}

impl Loss {
    /// Whether somebody should have a look first: the newest backup would go, or more than a
    /// quarter of them, or of the WAL.
    pub fn is_grave(&self) -> bool {
        let quarter = |part: usize, whole: usize| part.saturating_mul(4) > whole;
        self.newest
            || quarter(self.deleted, self.backups)
            || quarter(self.deleted_segments, self.segments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_those_of_databasus() {
        assert_eq!(Period::parse(""), Some(Period::Forever));
        assert_eq!(Period::parse("FOREVER"), Some(Period::Forever));
        assert_eq!(Period::parse("3_MONTH"), Some(Period::Days(90)));
        assert_eq!(Period::parse("5_YEARS"), Some(Period::Days(1_825)));
        assert_eq!(Period::parse("FORTNIGHT"), None);
    }

    #[test]
    fn more_than_a_quarter_is_grave_and_a_quarter_is_not() {
        let loss = |deleted, newest| Loss {
            backups: 8,
            deleted,
            newest,
            ..Loss::default()
        };
        assert!(!loss(2, false).is_grave());
        assert!(loss(3, false).is_grave() && loss(1, true).is_grave());
        assert!(!Loss::default().is_grave());
    }
}
