//! What a look into an object found, small enough to be kept: numbers, and no content.

use std::io::{self, Read as _};

use serde::{Deserialize, Serialize};

use crate::base::error_chain::error_chain;
use crate::base::text::shortened;
use crate::databasus::backup_chain::facts::{Seal, Stored, Switch};
use crate::databasus::objects::content::Content;
use crate::databasus::objects::sidecar::Compression;
use crate::databasus::objects::unpack::unpack;
use crate::ops::bucket::probe::{Opening, Probe};
use crate::ops::pitr::open::{OpenError, Storage};
use crate::postgres::history_file;
use crate::postgres::lsn::Lsn;
use crate::postgres::wal_page::FirstPage;
use crate::postgres::wal_segment::{SegmentName, SegmentSize};

/// Far more than a history file of thousands of timelines.
const MAX_HISTORY_BYTES: u64 = 1 << 20;

/// Whether an object opened, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Look {
    /// It is not encrypted.
    Plain(Inside),
    /// The key at this place opens it.
    Key(usize, Inside),
    /// No key does.
    NoKey,
    /// There is nothing in it.
    Empty,
    /// It is damaged; the words say how.
    Damaged(String),
}

/// What an object holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Inside {
    /// A WAL segment.
    Segment(Page),
    /// The tar of a base backup.
    Base(Label),
    /// A history file: where each timeline was left.
    History(Vec<(u32, u64)>),
    /// Something else.
    Other(String),
}

/// The numbers of [`FirstPage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Page {
    timeline: u32,
    start: u64,
    system: u64,
    size: u32,
    major: Option<u32>,
}

/// What a base backup's `backup_label` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Label {
    /// Around the tar: `z`, `g` or a space.
    packing: char,
    /// Timeline and start; none where there is no label at the beginning.
    pub(super) begins: Option<(u32, u64)>,
    /// Whether it was called like its object, as releases since 3.43 call them.
    pub(super) is_named_so: bool,
}

impl Page {
    fn of(page: &FirstPage) -> Self {
        Self {
            timeline: page.segment.timeline,
            start: page.start.0,
            system: page.system_identifier,
            size: u32::try_from(page.segment_size.bytes()).unwrap_or(0),
            major: page.pg_major,
        }
    }

    /// None where it was altered since.
    pub(super) fn page(self) -> Option<FirstPage> {
        let segment_size = SegmentSize::new(self.size)?;
        let start = Lsn(self.start);
        (self.timeline > 0).then(|| FirstPage {
            segment: SegmentName::at(self.timeline, start, segment_size),
            start,
            system_identifier: self.system,
            segment_size,
            pg_major: self.major,
        })
    }
}

impl Label {
    pub(super) fn compression(self) -> Compression {
        match self.packing {
            'z' => Compression::Zstd,
            'g' => Compression::Gzip,
            _ => Compression::None,
        }
    }
}

impl Look {
    /// What there is inside.
    pub(super) fn inside(&self) -> Option<&Inside> {
        match self {
            Self::Plain(inside) | Self::Key(_, inside) => Some(inside),
            Self::NoKey | Self::Empty | Self::Damaged(_) => None,
        }
    }

    /// What a probe of the object of this name found.
    pub(super) fn of(probe: &Probe, name: &str) -> Self {
        let inside = || Inside::of(probe.content.as_ref(), name);
        match &probe.opening {
            Opening::Plain => Self::Plain(inside()),
            Opening::Key(place) => Self::Key(*place, inside()),
            Opening::NoKey => Self::NoKey,
            Opening::NoId => Self::Damaged("its sidecar does not tell its id".to_owned()),
            Opening::FailedDump => Self::Empty,
            Opening::Damaged(error) => Self::Damaged(error.to_string()),
        }
    }
}

impl Inside {
    fn of(content: Option<&Content>, name: &str) -> Self {
        match content {
            Some(Content::WalSegment(page)) => Self::Segment(Page::of(page)),
            Some(Content::BaseBackup { compression, label }) => Self::Base(Label {
                packing: match compression {
                    Compression::Zstd => 'z',
                    Compression::Gzip => 'g',
                    Compression::None => ' ',
                },
                begins: label.as_ref().map(|label| (label.timeline, label.start.0)),
                is_named_so: label.as_ref().is_some_and(|label| label.label == name),
            }),
            Some(other) => Self::Other(other.words().to_owned()),
            None => Self::Other("nothing".to_owned()),
        }
    }
}

/// Reads a history file whole. An error means that it could not be looked at.
pub(super) fn history(
    storage: Storage<'_>,
    stored: &Stored,
    timeline: u32,
) -> Result<Look, OpenError> {
    let opened = match storage.content(stored, 1) {
        Ok(opened) => opened,
        Err(OpenError::NoKey { .. }) => return Ok(Look::NoKey),
        Err(OpenError::Damaged { what, .. }) => return Ok(Look::Damaged(what)),
        Err(error) => return Err(error),
    };
    let text = match read_text(opened.reader) {
        Ok(text) => text,
        Err(error) => return Ok(Look::Damaged(shortened(&error_chain(&error)))),
    };
    let inside = match history_file::parse(&text, timeline) {
        Ok(history) => {
            Inside::History(history.iter().map(|one| (one.timeline, one.at.0)).collect())
        }
        Err(error) => return Ok(Look::Damaged(error.to_string())),
    };
    Ok(match stored.seal {
        Seal::Plain => Look::Plain(inside),
        Seal::Encrypted { key, .. } => Look::Key(key.unwrap_or(0), inside),
    })
}

fn read_text(reader: impl io::BufRead + Send) -> io::Result<String> {
    let mut text = String::new();
    let mut inflated = unpack(reader, Compression::Zstd)?.take(MAX_HISTORY_BYTES + 1);
    inflated.read_to_string(&mut text)?;
    match text.len() as u64 > MAX_HISTORY_BYTES {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(text),
    }
}

/// Where each timeline was left.
pub(super) fn switches(history: &[(u32, u64)]) -> Vec<Switch> {
    let switch = |(timeline, at): &(u32, u64)| Switch {
        timeline: *timeline,
        at: Lsn(*at),
    };
    history.iter().map(switch).collect()
}
