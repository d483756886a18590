//! Archive recovery up to a target: what a server must be told for it.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::lsn::Lsn;
use super::wal_spool::RESTORE_COMMAND;

/// A server with this file in its directory recovers from an archive when it starts.
pub const SIGNAL: &str = "recovery.signal";

/// Where replay ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryTarget {
    /// Behind the last transaction that ended at this time or before.
    Time(Timestamp),
    /// Behind the record that begins at this position.
    Lsn(Lsn),
    /// At the end of the log.
    Latest,
    /// As soon as the backup is consistent.
    Immediate,
}

/// An archive recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Where it ends.
    pub target: RecoveryTarget,
    /// The timeline that is followed; none for the one that the backup was made on, which takes
    /// no history file.
    pub timeline: Option<u32>,
}

impl Recovery {
    /// The settings that say where replay ends, each with its value. It ends with a promotion.
    pub fn target_settings(&self) -> Vec<(&'static str, String)> {
        let target = match self.target {
            RecoveryTarget::Time(time) => Some(("recovery_target_time", text(time))),
            RecoveryTarget::Lsn(lsn) => Some(("recovery_target_lsn", lsn.to_string())),
            RecoveryTarget::Immediate => Some(("recovery_target", "immediate".to_owned())),
            RecoveryTarget::Latest => None,
        };
        let timeline = self.timeline.map(|timeline| timeline.to_string());
        let mut settings = vec![
            ("recovery_target_inclusive", "on".to_owned()),
            ("recovery_target_action", "promote".to_owned()),
            (
                "recovery_target_timeline",
                timeline.unwrap_or_else(|| "current".to_owned()),
            ),
        ];
        settings.extend(target);
        settings
    }

    /// All that a private server of `major` is told beyond what every one is told.
    pub(super) fn settings(&self, major: u32) -> Vec<(&'static str, String)> {
        let mut settings = self.target_settings();
        let fixed = [
            ("restore_command", RESTORE_COMMAND),
            // The caller syncs the whole directory once before anybody may rely on it.
            ("fsync", "off"),
            // What the log says of times is read.
            ("log_line_prefix", "%m [%p] "),
            ("log_timezone", "UTC"),
            ("TimeZone", "UTC"),
        ];
        settings.extend(fixed.map(|(name, value)| (name, value.to_owned())));
        if major >= 15 {
            // It would ask for segments behind the target, which need not be any good.
            settings.push(("recovery_prefetch", "off".to_owned()));
        }
        settings
    }
}

/// To the microsecond, which is as finely as PostgreSQL counts: no commit lies in between.
fn text(time: Timestamp) -> String {
    let time = time.to_zoned(TimeZone::UTC);
    time.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(target: RecoveryTarget, timeline: Option<u32>) -> String {
        let settings = Recovery { target, timeline }.target_settings();
        let lines = settings
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        lines.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_target_has_its_one_setting() {
        let time = "2026-11-23T03:09:58.161000999Z".parse().unwrap();
        for (target, expected) in [
            (
                RecoveryTarget::Time(time),
                "recovery_target_time=2026-11-23 03:09:58.161000+00",
            ),
            (
                RecoveryTarget::Lsn(Lsn(0x1_0000_0AB8)),
                "recovery_target_lsn=1/AB8",
            ),
            (RecoveryTarget::Immediate, "recovery_target=immediate"),
            (RecoveryTarget::Latest, "recovery_target_timeline=2"),
        ] {
            let settings = of(target, Some(2));
            assert!(settings.ends_with(expected), "{settings}");
            assert!(settings.contains("recovery_target_action=promote"));
        }
        assert!(of(RecoveryTarget::Latest, None).contains("recovery_target_timeline=current"));
    }
}
