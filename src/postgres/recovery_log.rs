//! What a server's log tells of the recovery that it did (PostgreSQL's `xlogrecovery.c`, 13 to
//! 18, messages untranslated).

use jiff::Timestamp;

use super::lsn::Lsn;

/// How the log ended, as far as it tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryLog {
    /// Where and why replay stopped at its target: `before commit of transaction 769, time …`.
    pub stopped: Option<String>,
    /// Where the last record that was replayed begins.
    pub redo_done: Option<Lsn>,
    /// When the last transaction that was replayed ended.
    pub last_transaction: Option<Timestamp>,
    /// A record or page that could not be read right before replay ended.
    pub unreadable: Option<String>,
    /// Whether all of the log was replayed, and the target was not in it.
    pub target_not_reached: bool,
    /// Whether the target lies before the point where the backup is consistent.
    pub target_before_consistency: bool,
    /// Whether what the archive should have had could not be had.
    pub restore_failed: bool,
}

/// How PostgreSQL begins to say that what comes next in the log is no record.
const UNREADABLE: [&str; 20] = [
    "WAL file is from different database system",
    "block_id",
    "contrecord is requested by",
    "could not decompress image at",
    "image at",
    "incorrect resource manager data checksum in record at",
    "invalid block_id",
    "invalid contrecord length",
    "invalid info bits",
    "invalid magic number",
    "invalid record",
    "invalid resource manager ID",
    "invalid xl_info",
    "missing contrecord",
    "out-of-order block_id",
    "out-of-sequence timeline ID",
    "record length",
    "record with",
    "there is no contrecord flag",
    "unexpected pageaddr",
];

impl RecoveryLog {
    /// Reads the lines of a log, of one start of a server.
    pub fn read<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = Self::default();
        for line in lines {
            if let Some((_, message)) = line.split_once("LOG:  ") {
                found.take(message);
            } else if let Some((_, message)) = line.split_once("FATAL:  ") {
                found.take_fatal(message);
            }
        }
        found
    }

    fn take(&mut self, message: &str) {
        if let Some(stop) = message.strip_prefix("recovery stopping ") {
            self.stopped = Some(stop.to_owned());
        } else if let Some(rest) = message.strip_prefix("redo done at ") {
            self.redo_done = rest.split(' ').next().and_then(|lsn| lsn.parse().ok());
        } else if let Some(time) =
            message.strip_prefix("last completed transaction was at log time ")
        {
            self.last_transaction = time_of(time);
        } else if self.redo_done.is_none() && is_unreadable(message) {
            self.unreadable = Some(message.to_owned());
        } else if message.starts_with("restored log file ") {
            // What could not be read before was read from here.
            self.unreadable = None;
        }
    }

    fn take_fatal(&mut self, message: &str) {
        if message.starts_with("recovery ended before configured recovery target was reached") {
            self.target_not_reached = true;
        } else if message.starts_with("requested recovery stop point is before consistent") {
            self.target_before_consistency = true;
        } else if message.starts_with("could not restore file ") {
            self.restore_failed = true;
        }
    }
}

fn is_unreadable(message: &str) -> bool {
    UNREADABLE.iter().any(|start| message.starts_with(start))
}

/// `2026-11-23 03:09:59.674082+00`; the server's time zone is UTC.
fn time_of(text: &str) -> Option<Timestamp> {
    let text = text.trim().strip_suffix("+00")?;
    format!("{text}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_recovery_to_a_time_tells_where_it_stopped() {
        let log = [
            "2026-11-23 11:00:00.000 UTC [7] LOG:  starting archive recovery",
            "2026-11-23 11:00:00.000 UTC [7] LOG:  restored log file \"00000001000000000000002B\" from archive",
            "2026-11-23 11:00:00.000 UTC [7] LOG:  recovery stopping before commit of transaction 769, time 2026-11-23 03:10:43.114512+00",
            "2026-11-23 11:00:00.000 UTC [7] LOG:  redo done at 0/2B0001A8 system usage: CPU: user: 0.00 s",
            "2026-11-23 11:00:00.000 UTC [7] LOG:  last completed transaction was at log time 2026-11-23 03:10:36.55+00",
        ];
        let expected = RecoveryLog {
            stopped: Some(
                "before commit of transaction 769, time 2026-11-23 03:10:43.114512+00".to_owned(),
            ),
            redo_done: Some(Lsn(0x2B00_01A8)),
            last_transaction: "2026-11-23T03:10:36.55Z".parse().ok(),
            ..RecoveryLog::default()
        };
        assert_eq!(RecoveryLog::read(log), expected);
    }

    #[test]
    fn what_cannot_be_read_counts_only_where_nothing_could_be_read_instead() {
        let bad = "LOG:  incorrect resource manager data checksum in record at 0/3000110";
        let better = "LOG:  restored log file \"000000010000000000000003\" from archive";
        let done = "LOG:  redo done at 0/30000D8 system usage: …";
        assert!(RecoveryLog::read([bad, done]).unreadable.is_some());
        assert!(RecoveryLog::read([bad, better, done]).unreadable.is_none());
        assert!(RecoveryLog::read([done, bad]).unreadable.is_none());
    }

    #[test]
    fn a_target_out_of_reach_is_told_with_what_was_last() {
        let log = [
            "LOG:  redo done at 0/2C000108 system usage: …",
            "LOG:  last completed transaction was at log time 2026-11-23 03:10:43.1145+00",
            "FATAL:  recovery ended before configured recovery target was reached",
        ];
        let found = RecoveryLog::read(log);
        assert!(found.target_not_reached && found.last_transaction.is_some());
        let early = "FATAL:  requested recovery stop point is before consistent recovery point";
        assert!(RecoveryLog::read([early]).target_before_consistency);
    }

    proptest! {
        #[test]
        fn no_log_makes_it_panic(lines in prop::collection::vec("(LOG|FATAL):  (redo done at |last completed transaction was at log time )?[ -~]{0,30}", 0..10)) {
            let _ = RecoveryLog::read(lines.iter().map(String::as_str));
        }
    }
}
