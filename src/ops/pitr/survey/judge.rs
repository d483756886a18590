//! From what names, sidecars and looks say to facts. Reads nothing.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::look::{Inside, Label, Look, Page, switches};
use crate::base::error_chain::error_chain;
use crate::base::text::shortened;
use crate::databasus::backup_chain::facts::{
    Base, BaseKind, History, Seal, Segment, Spoilt, Stored,
};
use crate::databasus::objects::group::{BackupGroup, Standing};
use crate::databasus::objects::name::BackupName;
use crate::databasus::objects::sidecar::{self, BaseBackup, Encryption, Incremental, Sidecar};
use crate::postgres::lsn::Lsn;
use crate::postgres::wal_page::FirstPage;
use crate::postgres::wal_segment::{SegmentName, SegmentSize};

/// How many a `server_version_num` counts for a major release.
const PER_MAJOR: u32 = 10_000;

/// All that was read of one backup, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Read {
    /// Its sidecar, as it is.
    pub(super) sidecar: Option<String>,
    /// What a look into it found; none where nobody looked.
    pub(super) look: Option<Look>,
    /// What reading all of a base of `WAL_V1` told.
    pub(super) whole: Option<Whole>,
}

/// What only the whole of a base of `WAL_V1` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Whole {
    /// Its cluster's.
    pub(super) system: u64,
    /// The position behind the segment that it is consistent in.
    pub(super) stop: u64,
    /// The release.
    pub(super) major: Option<u32>,
}

/// What a backup is to chains.
#[derive(Debug)]
pub(super) enum Finding {
    Base(Box<Base>, Option<Spoilt>),
    Segment(Box<Segment>, Option<Spoilt>),
    History(History, Option<Spoilt>),
    /// Of a cluster, and nothing to build on; the words say why.
    Unusable(String),
    /// No key opens it, and nothing else says what it is.
    Closed,
    /// Nobody looked into it, and nothing else says what it is.
    NotLooked,
    /// Of one database alone.
    Dump,
}

/// What a sidecar says, where there is one.
pub(super) fn sidecar_of(group: &BackupGroup, read: &Read) -> Result<Option<Sidecar>, String> {
    let Some(text) = &read.sidecar else {
        return Ok(None);
    };
    let sidecar = Sidecar::parse(text.as_bytes(), &group.name);
    let sidecar = sidecar.map_err(|error| shortened(&error_chain(&error)));
    sidecar.map(Some)
}

/// Whether looking into it says more than its name and its sidecar.
pub(super) fn is_of_interest(group: &BackupGroup, sidecar: Option<&Sidecar>) -> bool {
    match (&group.name, sidecar) {
        (_, Some(Sidecar::Logical(_))) | (BackupName::Bare(_), _) => false,
        (BackupName::Wal { .. } | BackupName::History { .. }, None) => false,
        _ => matches!(group.standing(), Standing::Committed | Standing::Unproven),
    }
}

/// Judges one backup by all that was read of it.
pub(super) fn judge(group: &Arc<BackupGroup>, read: &Read) -> Finding {
    let is_physical = !matches!(group.name.label_without_kind(), Some((_, None)) | None)
        || group.name.database().is_some();
    let unusable = |words: &str| match is_physical {
        true => Finding::Unusable(words.to_owned()),
        false => Finding::Dump,
    };
    match group.standing() {
        Standing::FailedDump => return unusable("there is nothing in it: the backup failed"),
        Standing::Incomplete => return unusable("parts of it are missing"),
        Standing::ContentMissing => return unusable("nothing but its sidecar or manifest is left"),
        Standing::Committed | Standing::Unproven => {}
    }
    let one = One { group, read };
    match sidecar_of(group, read) {
        Err(words) => unusable(&format!("nothing says that it is complete: {words}")),
        Ok(Some(Sidecar::Logical(_))) => Finding::Dump,
        Ok(Some(Sidecar::Full(full))) => one.base(&full, BaseKind::Full),
        Ok(Some(Sidecar::Incremental(Incremental {
            backup,
            root,
            parent,
        }))) => one.base(&backup, BaseKind::Incremental { root, parent }),
        Ok(Some(Sidecar::Wal(wal))) => one.segment(&wal),
        Ok(Some(Sidecar::History(history))) => one.history(&history),
        Ok(None) => match &group.name {
            BackupName::Labelled { label, at, id } => {
                let at = Timestamp::from_second(at.unix()).unwrap_or(Timestamp::UNIX_EPOCH);
                one.without_sidecar(label, at, *id)
            }
            BackupName::Bare(_) => Finding::Dump,
            _ => unusable("it has no sidecar: nothing says that it is complete"),
        },
    }
}

struct One<'a> {
    group: &'a Arc<BackupGroup>,
    read: &'a Read,
}

impl One<'_> {
    fn stored(&self, id: Uuid, said: Option<&Encryption>) -> Stored {
        let seal = match (&self.read.look, said) {
            (Some(Look::Plain(_)), _) => Seal::Plain,
            (Some(Look::Key(key, _)), _) => Seal::Encrypted {
                id,
                key: Some(*key),
            },
            (_, Some(Encryption::None)) => Seal::Plain,
            _ => Seal::Encrypted { id, key: None },
        };
        Stored {
            group: Arc::clone(self.group),
            seal,
        }
    }

    /// What a look says against an object; `compare` judges what is inside.
    fn spoilt(&self, compare: impl FnOnce(&Inside) -> Option<Spoilt>) -> Option<Spoilt> {
        match self.read.look.as_ref()? {
            Look::Plain(inside) | Look::Key(_, inside) => compare(inside),
            Look::NoKey => Some(Spoilt::NoKey),
            Look::Empty => Some(Spoilt::Damaged("there is nothing in it".to_owned())),
            Look::Damaged(words) => Some(Spoilt::Damaged(words.clone())),
        }
    }

    fn base(&self, told: &BaseBackup, kind: BaseKind) -> Finding {
        let label = self.group.name.label_without_kind();
        let base = Base {
            stored: self.stored(told.id, Some(&told.encryption)),
            kind,
            database: Some(told.database),
            label: label.map_or_else(String::new, |(label, _)| label.to_owned()),
            system_identifier: Some(told.system_identifier),
            pg_major: Some(told.pg_version / PER_MAJOR),
            timeline: told.timeline,
            start: told.start_lsn,
            stop: Some(told.stop_lsn),
            compression: told.compression,
            begun: told.created_at,
            completed: Some(told.completed_at),
        };
        let spoilt = self.spoilt(|inside| match inside {
            Inside::Base(Label { begins: None, .. }) => None,
            Inside::Base(label) => {
                let told = Some((told.timeline, told.start_lsn.0));
                (label.begins != told).then(|| {
                    let words = "it begins elsewhere in the log than its sidecar says";
                    Spoilt::Damaged(words.to_owned())
                })
            }
            other => Some(wrong(other)),
        });
        Finding::Base(Box::new(base), spoilt)
    }

    fn segment(&self, told: &sidecar::Wal) -> Finding {
        let bytes = told.end_lsn.0.checked_sub(told.start_lsn.0);
        let size = bytes.and_then(|bytes| SegmentSize::new(u32::try_from(bytes).ok()?));
        let fits = |size: &SegmentSize| {
            SegmentName::at(told.segment.timeline, told.start_lsn, *size) == told.segment
        };
        let Some(size) = size.filter(fits) else {
            let words = "its sidecar names positions that no such segment has";
            return Finding::Unusable(words.to_owned());
        };
        let page = self.page();
        let segment = Segment {
            stored: self.stored(told.id, Some(&told.encryption)),
            database: Some(told.database),
            label: None,
            name: told.segment,
            start: told.start_lsn,
            size,
            system_identifier: page.map(|page| page.system_identifier),
            pg_major: page.and_then(|page| page.pg_major),
            received: Some(told.received_at),
        };
        let spoilt = self.spoilt(|inside| match (page, inside) {
            (Some(page), _) if page.segment_size != size => {
                Some(Spoilt::OtherSize(page.segment_size.bytes()))
            }
            (Some(page), _) if !begins(&page, &segment) => Some(Spoilt::OtherSegment(page.segment)),
            (Some(_), _) => None,
            (None, other) => Some(wrong(other)),
        });
        Finding::Segment(Box::new(segment), spoilt)
    }

    fn page(&self) -> Option<FirstPage> {
        match self.read.look.as_ref()?.inside()? {
            Inside::Segment(page) => Page::page(*page),
            _ => None,
        }
    }

    fn history(&self, told: &sidecar::History) -> Finding {
        let inside = self.read.look.as_ref().and_then(Look::inside);
        let known = match inside {
            Some(Inside::History(history)) => Some(switches(history)),
            _ => None,
        };
        let spoilt = self.spoilt(|inside| match inside {
            Inside::History(_) => None,
            other => Some(wrong(other)),
        });
        let history = History {
            stored: self.stored(told.id, Some(&told.encryption)),
            database: told.database,
            timeline: told.timeline,
            switches: known,
        };
        Finding::History(history, spoilt)
    }

    /// `WAL_V1`, of which only the content tells; or a dump of a release that wrote no sidecars.
    fn without_sidecar(&self, label: &str, at: Timestamp, id: Uuid) -> Finding {
        let Some(look) = &self.read.look else {
            return Finding::NotLooked;
        };
        match look.inside() {
            Some(Inside::Segment(page)) => match page.page() {
                Some(page) => self.wal_v1_segment(label, at, id, page),
                None => Finding::NotLooked,
            },
            Some(Inside::Base(inside)) => self.wal_v1_base(label, at, id, *inside),
            Some(Inside::History(_) | Inside::Other(_)) => Finding::Dump,
            None => match look {
                Look::NoKey => Finding::Closed,
                Look::Damaged(words) => Finding::Unusable(words.clone()),
                _ => Finding::Dump,
            },
        }
    }

    fn wal_v1_segment(&self, label: &str, at: Timestamp, id: Uuid, page: FirstPage) -> Finding {
        let segment = Segment {
            stored: self.stored(id, None),
            database: None,
            label: Some(label.to_owned()),
            name: page.segment,
            start: page.start,
            size: page.segment_size,
            system_identifier: Some(page.system_identifier),
            pg_major: page.pg_major,
            received: Some(at),
        };
        Finding::Segment(Box::new(segment), None)
    }

    fn wal_v1_base(&self, label: &str, at: Timestamp, id: Uuid, inside: Label) -> Finding {
        if inside.is_named_so {
            let words = "it has no sidecar: the backup was never completed";
            return Finding::Unusable(words.to_owned());
        }
        let Some((timeline, start)) = inside.begins else {
            return Finding::Unusable("its tar does not begin with a backup_label".to_owned());
        };
        let whole = self.read.whole;
        let base = Base {
            stored: self.stored(id, None),
            kind: BaseKind::WalV1,
            database: None,
            label: label.to_owned(),
            system_identifier: whole.map(|whole| whole.system),
            pg_major: whole.and_then(|whole| whole.major),
            timeline,
            start: Lsn(start),
            stop: whole.map(|whole| Lsn(whole.stop)),
            compression: inside.compression(),
            begun: at,
            completed: None,
        };
        Finding::Base(Box::new(base), None)
    }
}

/// Whether a segment can begin with this page. The first segment of a timeline begins with a copy
/// of what the timeline before it held there, pages that name that timeline included.
fn begins(page: &FirstPage, segment: &Segment) -> bool {
    page.start == segment.start && page.segment.timeline <= segment.name.timeline
}

fn wrong(inside: &Inside) -> Spoilt {
    let words = match inside {
        Inside::Segment(_) => "a WAL segment",
        Inside::Base(_) => "a base backup",
        Inside::History(_) => "a history file",
        Inside::Other(words) => words,
    };
    Spoilt::Damaged(format!("it is {words}"))
}
