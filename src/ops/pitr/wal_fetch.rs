//! Fetching one WAL segment or history file: opened, decrypted, inflated and checked on the way
//! into a file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::digest::{Digest, Hasher};
use crate::base::error_chain::error_chain;
use crate::base::file_error::{FileError, failed};
use crate::base::text::printable;
use crate::databasus::backup_chain::facts::{History, Segment, Stored};
use crate::databasus::objects::name::{Piece, Role};
use crate::databasus::objects::sidecar::Compression;
use crate::databasus::objects::unpack::unpack;
use crate::postgres::control_file::ControlFile;
use crate::postgres::history_file::{self, HistoryError};
use crate::postgres::wal_check::{BadSegment, Expected, SegmentCheck, Sound};
use crate::postgres::wal_segment::{SegmentName, SegmentSize};

use super::fault::Fault;
use super::open::{OpenError, Opened, Storage};

const COPY_BUFFER: usize = 256 << 10;

/// The largest history file that is read: of some ten thousand promotions.
const MAX_HISTORY_BYTES: u64 = 1 << 20;

/// The cluster whose WAL is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its system identifier.
    pub system_identifier: u64,
    /// The size of its segments.
    pub segment_size: SegmentSize,
    /// Its major release.
    pub pg_major: u32,
}

impl Cluster {
    /// What a data directory says of its cluster; none where no cluster has such segments.
    pub fn of(control: &ControlFile, pg_major: u32) -> Option<Self> {
        Some(Self {
            system_identifier: control.system_identifier,
            segment_size: SegmentSize::new(control.wal_segment_size)?,
            pg_major,
        })
    }

    /// What a segment of it must be.
    fn expects(self, segment: SegmentName) -> Expected {
        Expected {
            segment,
            system_identifier: self.system_identifier,
            size: self.segment_size,
            pg_major: self.pg_major,
        }
    }
}

/// What became of fetching something.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be read to its end.
    #[error("cannot read {} to its end", printable(.object))]
    Read {
        /// Its object.
        object: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not the segment that it should be.
    #[error("{} is not segment {segment} of this cluster", printable(.object))]
    Bad {
        /// Its object.
        object: String,
        /// What it should be.
        segment: SegmentName,
        /// What it is.
        #[source]
        source: BadSegment,
    },
    /// One segment is stored twice, and not the same.
    #[error(
        "segment {segment} is stored twice with different content: {} and {}",
        printable(.first),
        printable(.second)
    )]
    Differ {
        /// Which segment.
        segment: SegmentName,
        /// One object.
        first: String,
        /// The other one.
        second: String,
    },
    /// It is no timeline history.
    #[error("{} is no history of timeline {timeline}", printable(.object))]
    History {
        /// Its object.
        object: String,
        /// Whose it should be.
        timeline: u32,
        /// Why not.
        #[source]
        source: HistoryError,
    },
    /// It cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Nobody needs it any more.
    #[error("fetching was stopped")]
    Stopped,
}

impl FetchError {
    /// What it says of what is stored.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Open(error) => error.fault(),
            Self::Bad { .. } | Self::Differ { .. } | Self::History { .. } => Fault::Damaged,
            Self::Read { source, .. } => Fault::of_reading(source),
            Self::File(_) | Self::Interrupted(_) | Self::Stopped => Fault::Elsewhere,
        }
    }
}

/// A segment that was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Where it lies.
    pub file: PathBuf,
    /// What was seen of it.
    pub sound: Sound,
    /// Objects of it that could not be used beside one that could, and why.
    pub passed_over: Vec<String>,
}

/// Fetches from one storage for one cluster.
pub struct Fetcher<'a> {
    /// Where the objects are.
    pub storage: Storage<'a>,
    /// Whose they must be.
    pub cluster: Cluster,
    /// Ends it with [`FetchError::Interrupted`].
    pub cancel: &'a Cancel,
}

impl Fetcher<'_> {
    /// Fetches a segment into a file that `new_file` makes. Where it is stored more than once,
    /// all copies are fetched: those that are sound must be the same. Ends early once `stopped`.
    pub fn segment(
        &self,
        copies: &[Segment],
        new_file: impl Fn() -> Result<(PathBuf, File), FileError>,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Fetched, FetchError> {
        let mut best: Option<(Landed, String)> = None;
        let mut failures = Vec::new();
        for copy in copies {
            let landing = Landing::new(new_file()?, copies.len() > 1);
            let landed = self.copy(copy, landing, stopped);
            let object = object_name(&copy.stored);
            match (landed, &best) {
                (Ok(landed), None) => best = Some((landed, object)),
                (Ok(landed), Some((known, _))) if landed.digest == known.digest => drop(landed),
                (Ok(_), Some((_, first))) => {
                    return Err(FetchError::Differ {
                        segment: copy.name,
                        first: first.clone(),
                        second: object,
                    });
                }
                (Err(error), _) if error.fault() == Fault::Elsewhere => return Err(error),
                (Err(error), _) => failures.push(error),
            }
        }
        let Some((landed, _)) = best else {
            return Err(failures.into_iter().next().unwrap_or(FetchError::Stopped));
        };
        let tell = |error: &FetchError| error_chain(error);
        Ok(Fetched {
            sound: landed.sound,
            passed_over: failures.iter().map(tell).collect(),
            file: landed.keep(),
        })
    }

    fn copy(
        &self,
        segment: &Segment,
        mut landing: Landing,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Landed, FetchError> {
        let object = object_name(&segment.stored);
        let bad = |source| FetchError::Bad {
            object: object.clone(),
            segment: segment.name,
            source,
        };
        let mut content = self.open(&segment.stored)?;
        let mut check = SegmentCheck::new(self.cluster.expects(segment.name));
        let mut buffer = vec![0; COPY_BUFFER];
        loop {
            self.cancel.check()?;
            if stopped() {
                return Err(FetchError::Stopped);
            }
            let read = content.read(&mut buffer).map_err(unread(&object))?;
            match buffer.get(..read) {
                None | Some([]) => break,
                Some(bytes) => {
                    check.take(bytes).map_err(bad)?;
                    landing.take(bytes)?;
                }
            }
        }
        Ok(Landed {
            sound: check.finish().map_err(bad)?,
            digest: landing.hasher.map(Hasher::finish),
            file: landing.file,
        })
    }

    /// Fetches a history file.
    pub fn history(&self, history: &History) -> Result<Vec<u8>, FetchError> {
        let object = object_name(&history.stored);
        let mut text = Vec::new();
        let content = self.open(&history.stored)?;
        let limited = content.take(MAX_HISTORY_BYTES).read_to_end(&mut text);
        limited.map_err(unread(&object))?;
        let timeline = history.timeline;
        let parsed = history_file::parse(&String::from_utf8_lossy(&text), timeline);
        match parsed {
            Ok(_) => Ok(text),
            Err(source) => Err(FetchError::History {
                object,
                timeline,
                source,
            }),
        }
    }

    fn open(&self, stored: &Stored) -> Result<Box<dyn Read + Send>, FetchError> {
        let Opened { reader, .. } = self.storage.content(stored, 1)?;
        let content = unpack(reader, Compression::Zstd);
        content.map_err(unread(&object_name(stored)))
    }
}

/// What a stored backup's content is called in its storage.
fn object_name(stored: &Stored) -> String {
    stored.group.name.object(Role::Content(Piece::Whole))
}

fn unread(object: &str) -> impl FnOnce(io::Error) -> FetchError + '_ {
    |source| FetchError::Read {
        object: object.to_owned(),
        source,
    }
}

/// Where a copy of a segment is written.
struct Landing {
    /// Removed again unless all of it arrives.
    file: Temporary,
    handle: File,
    /// Where there is another one to compare it with.
    hasher: Option<Hasher>,
}

impl Landing {
    fn new((path, handle): (PathBuf, File), is_compared: bool) -> Self {
        Self {
            file: Temporary(Some(path)),
            handle,
            hasher: is_compared.then(Hasher::new),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let written = self.handle.write_all(bytes);
        written.map_err(failed("write", self.file.path()))?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        Ok(())
    }
}

/// A copy of a segment, whole and checked; removed unless it is kept.
struct Landed {
    file: Temporary,
    sound: Sound,
    digest: Option<Digest>,
}

impl Landed {
    fn keep(mut self) -> PathBuf {
        self.file.0.take().unwrap_or_default()
    }
}

/// A file that is removed with the value.
struct Temporary(Option<PathBuf>);

impl Temporary {
    fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}
