//! How a store's configuration says that what is written there is locked: as a table of
//! `escrow.toml`, or as `lock=compliance:30:400` on a command line.

use serde::Deserialize;

use super::StoreProblem;
use crate::model::lock::{LockMode, LockPolicy};

const DAYS: &str = "a whole number of days from 1 to 36500";
const ORDER: &str = "at least `lock.days`: what proves a payload outlives it";
const QUERY: &str = "MODE:DAYS or MODE:DAYS:MANIFEST_DAYS with a mode of compliance or governance";

/// The keys of `lock`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LockFields {
    mode: LockMode,
    days: i64,
    manifest_days: Option<i64>,
}

impl LockFields {
    pub(super) fn check(&self) -> Result<LockPolicy, StoreProblem> {
        let days = in_range("lock.days", self.days)?;
        let manifest_days = match self.manifest_days {
            Some(given) => in_range("lock.manifest_days", given)?,
            None => days.max(LockPolicy::MANIFEST_DAYS),
        };
        if manifest_days < days {
            return Err(malformed("lock.manifest_days", ORDER));
        }
        Ok(LockPolicy {
            mode: self.mode,
            days,
            manifest_days,
        })
    }
}

fn in_range(key: &str, days: i64) -> Result<u32, StoreProblem> {
    let days = u32::try_from(days).ok();
    days.filter(|days| (1..=LockPolicy::MAX_DAYS).contains(days))
        .ok_or_else(|| malformed(key, DAYS))
}

fn malformed(key: &str, expected: &'static str) -> StoreProblem {
    StoreProblem::Malformed {
        key: key.to_owned(),
        expected,
    }
}

/// The table that the text of a command line stands for.
pub(super) fn from_query(text: &str) -> Result<toml::Value, StoreProblem> {
    let mut words = text.split(':');
    let mode = words.next().unwrap_or_default();
    let days: Result<Vec<i64>, _> = words.map(str::parse).collect();
    let mut table = toml::Table::new();
    table.insert("mode".to_owned(), mode.into());
    let (days, manifest_days) = match days.as_deref() {
        Ok([days]) => (*days, None),
        Ok([days, manifest_days]) => (*days, Some(*manifest_days)),
        _ => return Err(malformed("lock", QUERY)),
    };
    if !["compliance", "governance"].contains(&mode) {
        return Err(malformed("lock", QUERY));
    }
    table.insert("days".to_owned(), days.into());
    if let Some(days) = manifest_days {
        table.insert("manifest_days".to_owned(), days.into());
    }
    Ok(table.into())
}

/// As [`from_query`] reads it back.
pub(super) fn to_query(policy: &LockPolicy) -> String {
    let LockPolicy {
        mode,
        days,
        manifest_days,
    } = policy;
    format!("{mode}:{days}:{manifest_days}")
}

/// As a table of `escrow.toml`.
pub(super) fn to_table(policy: &LockPolicy) -> toml::Table {
    let mut table = toml::Table::new();
    table.insert("mode".to_owned(), policy.mode.to_string().into());
    for (key, days) in [
        ("days", policy.days),
        ("manifest_days", policy.manifest_days),
    ] {
        table.insert(key.to_owned(), i64::from(days).into());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Result<LockPolicy, String> {
        let fields: LockFields = toml::from_str(text).map_err(|error| error.to_string())?;
        fields.check().map_err(|problem| problem.to_string())
    }

    fn days(text: &str) -> (u32, u32) {
        let policy = policy(text).unwrap();
        (policy.days, policy.manifest_days)
    }

    #[test]
    fn manifests_are_locked_for_a_year_or_as_long_as_payloads() {
        assert_eq!(days("mode = \"compliance\"\ndays = 30"), (30, 400));
        assert_eq!(days("mode = \"compliance\"\ndays = 900"), (900, 900));
        let given = "mode = \"governance\"\ndays = 30\nmanifest_days = 31";
        assert_eq!(days(given), (30, 31));
    }

    #[test]
    fn lock_that_makes_no_sense_is_refused() {
        for wrong in [
            "mode = \"compliance\"",
            "days = 30",
            "mode = \"legal\"\ndays = 30",
            "mode = \"compliance\"\ndays = 0",
            "mode = \"compliance\"\ndays = -1",
            "mode = \"compliance\"\ndays = 36501",
            "mode = \"compliance\"\ndays = 30\nmanifest_days = 29",
            "mode = \"compliance\"\ndays = 30\nyears = 1",
        ] {
            assert!(policy(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn query_is_mode_and_days() {
        let read = |text| from_query(text).map(|value| value.to_string());
        assert!(read("compliance:30").is_ok());
        assert!(read("governance:30:60").is_ok());
        for wrong in [
            "",
            "compliance",
            "legal:30",
            "compliance:x",
            "compliance:1:2:3",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
