//! Names of objects in a Databasus storage, relative to its prefix (DATABASUS.md §3.2, §3.4).
//!
//! A name is read from the right, where its form is fixed; what stands on the left is a
//! database's name and can be anything. A name is Databasus' own only if writing it again gives
//! the same text: everything else is foreign and is left alone.

use std::fmt;

use uuid::Uuid;

use crate::base::time::UtcTime;
use crate::postgres::wal_segment::SegmentName;

/// What names one backup, without the suffixes of the objects that make it up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackupName {
    /// `<backup id>`: releases up to 3.12.
    Bare(Uuid),
    /// `<label>-<YYYYMMDD-HHMMSS>-<backup id>`: logical backups since 3.13, `WAL_V1` since 3.17,
    /// physical ones since 3.43.
    Labelled {
        /// The database's name at that time, sanitised; for physical backups with `-FULL` or
        /// `-INCR` behind it, which a database's own name can end in as well: only the sidecar
        /// tells.
        label: String,
        /// When it was begun.
        at: UtcTime,
        /// The id of the row, and the last part of the name.
        id: Uuid,
    },
    /// `<database id>-WAL-tl<timeline>-<segment>.zst`. The row's id is in the sidecar only.
    Wal {
        /// `databases.id`.
        database: Uuid,
        /// Which segment, and of which timeline.
        segment: SegmentName,
    },
    /// `<database id>-HIST-tl<timeline>.history.zst`. The row's id is in the sidecar only.
    History {
        /// `databases.id`.
        database: Uuid,
        /// The timeline that the file tells the origin of.
        timeline: u32,
    },
}

/// What an object holds of its backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The backup itself, or a piece of it.
    Content(Piece),
    /// `.manifest`: PostgreSQL's `backup_manifest` of a physical backup, or a piece of it.
    Manifest(Piece),
    /// `.metadata`: the sidecar, which commits the backup.
    Sidecar,
}

/// How an object holds a stream (DATABASUS.md §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Piece {
    /// All of it.
    Whole,
    /// `.partNNNNNN`, counted from 1.
    Part(u32),
    /// `.parts`: the list of the parts, written last.
    List,
}

/// An object of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// Which backup.
    pub backup: BackupName,
    /// Which of its objects.
    pub role: Role,
}

/// The word that a physical backup's label ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelKind {
    /// `-FULL`.
    Full,
    /// `-INCR`.
    Incremental,
}

const UUID: usize = 36;
const STAMP: usize = "YYYYMMDD-HHMMSS".len();

impl ObjectName {
    /// Reads a name relative to the storage's prefix; none if it is not one that Databasus gives
    /// to a backup's objects.
    pub fn parse(name: &str) -> Option<Self> {
        let (backup, role) = match name.strip_suffix(".metadata") {
            Some(base) => (base, Role::Sidecar),
            None => {
                let (stream, piece) = split_piece(name);
                match stream.strip_suffix(".manifest") {
                    Some(base) => (base, Role::Manifest(piece)),
                    None => (stream, Role::Content(piece)),
                }
            }
        };
        let backup = BackupName::parse(backup)?;
        Some(Self { backup, role })
    }
}

/// The name of a stream, and what of it an object holds.
fn split_piece(name: &str) -> (&str, Piece) {
    if let Some(stream) = name.strip_suffix(".parts") {
        return (stream, Piece::List);
    }
    let part = name.rsplit_once(".part").and_then(|(stream, digits)| {
        let decimal = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits
            .parse()
            .ok()
            .filter(|number| decimal && *number > 0)?;
        Some((stream, Piece::Part(number)))
    });
    part.unwrap_or((name, Piece::Whole))
}

impl BackupName {
    /// Reads a name without suffixes.
    pub fn parse(name: &str) -> Option<Self> {
        let found = Self::labelled(name)
            .or_else(|| Self::stream(name))
            .or_else(|| Uuid::try_parse(name).ok().map(Self::Bare))?;
        // Leaves out keys of folders, and whatever a reader is more tolerant of than Databasus'
        // writer: UUIDs in capitals or braces, signs before numbers.
        (found.to_string() == name && !name.contains('/')).then_some(found)
    }

    fn labelled(name: &str) -> Option<Self> {
        let (rest, id) = split_tail(name, UUID)?;
        let (label, stamp) = split_tail(rest, STAMP)?;
        let at = UtcTime::from_compact(&format!("{}Z", stamp.replacen('-', "T", 1)))?;
        let id = Uuid::try_parse(id).ok()?;
        let label = label.to_owned();
        (!label.is_empty()).then_some(Self::Labelled { label, at, id })
    }

    /// WAL and history files, whose names begin with the id of their database.
    fn stream(name: &str) -> Option<Self> {
        let database = Uuid::try_parse(name.get(..UUID)?).ok()?;
        let rest = name.get(UUID..)?.strip_suffix(".zst")?;
        if let Some(rest) = rest.strip_prefix("-WAL-tl") {
            let (_, segment) = rest.split_once('-')?;
            let segment = segment.parse().ok()?;
            return Some(Self::Wal { database, segment });
        }
        let timeline = rest.strip_prefix("-HIST-tl")?.strip_suffix(".history")?;
        let timeline = timeline.parse().ok().filter(|timeline| *timeline > 0)?;
        Some(Self::History { database, timeline })
    }

    /// The id of the backup, where the name tells it: not of WAL and history files.
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::Bare(id) | Self::Labelled { id, .. } => Some(*id),
            Self::Wal { .. } | Self::History { .. } => None,
        }
    }

    /// The database's name as the name has it, whole.
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Labelled { label, .. } => Some(label),
            _ => None,
        }
    }

    /// The label without `-FULL` or `-INCR`, and which: right where a sidecar says that the
    /// backup is physical, a guess elsewhere.
    pub fn label_without_kind(&self) -> Option<(&str, Option<LabelKind>)> {
        let label = self.label()?;
        let suffixes = [
            ("-FULL", LabelKind::Full),
            ("-INCR", LabelKind::Incremental),
        ];
        let found = suffixes.iter().find_map(|(suffix, kind)| {
            let bare = label.strip_suffix(suffix)?;
            (!bare.is_empty()).then_some((bare, Some(*kind)))
        });
        Some(found.unwrap_or((label, None)))
    }

    /// When the backup was begun, where the name tells it.
    pub fn begun_at(&self) -> Option<UtcTime> {
        match self {
            Self::Labelled { at, .. } => Some(*at),
            _ => None,
        }
    }

    /// The database's id, where the name tells it: of WAL and history files.
    pub fn database(&self) -> Option<Uuid> {
        match self {
            Self::Wal { database, .. } | Self::History { database, .. } => Some(*database),
            Self::Bare(_) | Self::Labelled { .. } => None,
        }
    }

    /// The name of one of the backup's objects.
    pub fn object(&self, role: Role) -> String {
        format!("{self}{role}")
    }
}

/// `<head>-<tail>`, where the tail has `length` bytes.
fn split_tail(text: &str, length: usize) -> Option<(&str, &str)> {
    let at = text.len().checked_sub(length)?;
    let head = text.get(..at)?.strip_suffix('-')?;
    Some((head, text.get(at..)?))
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare(id) => id.fmt(f),
            Self::Labelled { label, at, id } => {
                let stamp = at.compact().replacen('T', "-", 1);
                write!(f, "{label}-{}-{id}", stamp.trim_end_matches('Z'))
            }
            Self::Wal { database, segment } => {
                write!(f, "{database}-WAL-tl{}-{segment}.zst", segment.timeline)
            }
            Self::History { database, timeline } => {
                write!(f, "{database}-HIST-tl{timeline}.history.zst")
            }
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content(piece) => piece.fmt(f),
            Self::Manifest(piece) => write!(f, ".manifest{piece}"),
            Self::Sidecar => f.write_str(".metadata"),
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Part(number) => write!(f, ".part{number:06}"),
            Self::List => f.write_str(".parts"),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.backup, self.role)
    }
}

/// A database's name as Databasus puts it into object names: a space becomes `_`, what file
/// systems refuse becomes `-`, the rest stays (`backend/internal/util/files/sanitizer.go`).
pub fn sanitise(name: &str) -> String {
    let safe = |c: char| match c {
        ' ' => '_',
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '-',
        other => other,
    };
    name.chars().map(safe).collect()
}

#[cfg(test)]
mod tests;
