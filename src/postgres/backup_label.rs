//! `backup_label`: where the WAL of a base backup begins (PostgreSQL's `xlogbackup.c`).

use super::lsn::Lsn;
use super::wal_segment::SegmentName;

/// The largest label that is read; real ones have some 200 bytes.
pub const MAX_LABEL_BYTES: u64 = 64 << 10;

/// The longest label that PostgreSQL gives a backup, in bytes (`MAXPGPATH`).
const MAX_NAME_BYTES: usize = 1024;

/// What a base backup says of its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupLabel {
    /// The first WAL that the backup needs.
    pub start: Lsn,
    /// The segment which holds it.
    pub start_segment: SegmentName,
    /// The timeline it was taken on.
    pub timeline: u32,
    /// What the backup was called by whoever took it.
    pub label: String,
    /// What an incremental backup stands on; none for a full one.
    pub incremental_from: Option<IncrementalFrom>,
}

/// The beginning of the backup that an incremental one stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncrementalFrom {
    /// Its start.
    pub start: Lsn,
    /// Its timeline.
    pub timeline: u32,
}

impl BackupLabel {
    /// Reads the file's text; none if it is not a label.
    pub fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        };
        let (start, file) = value("START WAL LOCATION")?.split_once(" (file ")?;
        let start_segment: SegmentName = file.strip_suffix(')')?.parse().ok()?;
        let timeline = match value("START TIMELINE") {
            Some(timeline) => timeline.parse().ok()?,
            None => start_segment.timeline,
        };
        let incremental_from = match value("INCREMENTAL FROM LSN") {
            Some(start) => Some(IncrementalFrom {
                start: start.parse().ok()?,
                timeline: value("INCREMENTAL FROM TLI")?.parse().ok()?,
            }),
            None => None,
        };
        let label = value("LABEL").unwrap_or_default();
        if label.len() > MAX_NAME_BYTES {
            return None;
        }
        Some(Self {
            start: start.parse().ok()?,
            start_segment,
            timeline,
            label: label.to_owned(),
            incremental_from,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FULL: &str = "\
START WAL LOCATION: 0/23000028 (file 000000010000000000000023)
CHECKPOINT LOCATION: 0/23000080
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-23 03:09:08 UTC
LABEL: pg17_cluster-FULL-20261123-030908-a9b91706-0fb4-4894-b4a6-34b7325573ed
START TIMELINE: 1
";

    #[test]
    fn a_full_backup_says_where_it_begins() {
        let label = BackupLabel::parse(FULL).unwrap();
        assert_eq!(label.start.to_string(), "0/23000028");
        assert_eq!(label.start_segment.to_string(), "000000010000000000000023");
        assert_eq!(label.timeline, 1);
        assert!(label.label.starts_with("pg17_cluster-FULL-"));
        assert_eq!(label.incremental_from, None);
    }

    #[test]
    fn an_incremental_backup_says_what_it_stands_on() {
        let text = format!("{FULL}INCREMENTAL FROM LSN: 0/21000028\nINCREMENTAL FROM TLI: 1\n");
        let from = BackupLabel::parse(&text).unwrap().incremental_from.unwrap();
        assert_eq!((from.start, from.timeline), (Lsn(0x2100_0028), 1));
    }

    #[test]
    fn other_texts_are_no_label() {
        for other in [
            "",
            "LABEL: x\n",
            "START WAL LOCATION: 0/23000028\n",
            "START WAL LOCATION: 0/23000028 (file x)\n",
            &FULL.replace("TIMELINE: 1", "TIMELINE: one"),
        ] {
            assert_eq!(BackupLabel::parse(other), None, "{other:?}");
        }
        let half = format!("{FULL}INCREMENTAL FROM LSN: 0/21000028\n");
        assert_eq!(BackupLabel::parse(&half), None);
    }

    #[test]
    fn a_label_that_postgresql_would_not_give_is_none() {
        let long = |length| FULL.replace("pg17_cluster", &"x".repeat(length));
        let rest = FULL.lines().find(|line| line.starts_with("LABEL: "));
        let rest = rest.unwrap().len() - "LABEL: pg17_cluster".len();
        assert!(BackupLabel::parse(&long(MAX_NAME_BYTES - rest)).is_some());
        assert_eq!(BackupLabel::parse(&long(MAX_NAME_BYTES - rest + 1)), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(START WAL LOCATION: |[0-9A-F/ (file)\n]{0,9})*") {
            let _ = BackupLabel::parse(&text);
        }
    }
}
