//! What a backup is, by its own first bytes (DATABASUS.md §3.5, §3.6).
//!
//! Names and sidecars say what Databasus meant to store; `WAL_V1` and releases before 3.14 left no
//! sidecar at all. The content itself tells: a first MiB is enough.

use std::io::Read as _;

use super::inflate::{Packing, inflate};
use super::sidecar::Compression;
use crate::databasus::dump_header::{self, DumpHeader, DumpHeaderError};
use crate::postgres::backup_label::{BackupLabel, MAX_LABEL_BYTES};
use crate::postgres::lsn::Lsn;
use crate::postgres::wal_page::FirstPage;

/// How much of something compressed is looked at. A tar of `pg_basebackup` begins with
/// `backup_label`.
const INFLATED: u64 = 1 << 20;

/// How many entries of a tar are looked at for its `backup_label`.
const TAR_ENTRIES: usize = 64;

/// The first bytes of `mongodump --archive` (mongo-tools, `archive.MagicNumber`).
const MONGO_ARCHIVE: &[u8] = &[0x6D, 0xE2, 0x99, 0x81];

/// How much of a text is looked at.
const TEXT: usize = 4096;

/// What a backup is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// No bytes: a dump that failed at once.
    Empty,
    /// `pg_dump -Fc`.
    PgDump(DumpHeader),
    /// `pg_dump -Fc`, whose header is damaged or of a release that this tool does not know.
    UnreadPgDump(DumpHeaderError),
    /// SQL text through zstd: MySQL and MariaDB.
    Sql {
        /// As the dump's first comment names it.
        database: Option<String>,
    },
    /// `mongodump --archive --gzip`.
    MongoArchive,
    /// A WAL segment through zstd.
    WalSegment(FirstPage),
    /// A timeline history file through zstd.
    TimelineHistory,
    /// The tar of a base backup.
    BaseBackup {
        /// Around the tar.
        compression: Compression,
        /// Its `backup_label`; none where it is not among the first entries.
        label: Option<BackupLabel>,
    },
    /// Anything else.
    Unknown,
}

impl Content {
    /// What it is, in a few words.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Empty => "nothing",
            Self::PgDump(_) | Self::UnreadPgDump(_) => "an archive of pg_dump",
            Self::Sql { .. } => "SQL text in zstd",
            Self::MongoArchive => "an archive of mongodump in gzip",
            Self::WalSegment(_) => "a WAL segment in zstd",
            Self::TimelineHistory => "a timeline history file in zstd",
            Self::BaseBackup { compression, .. } => match compression {
                Compression::Zstd => "the tar of a base backup in zstd",
                Compression::Gzip => "the tar of a base backup in gzip",
                Compression::None => "the tar of a base backup",
            },
            Self::Unknown => "of a kind that this tool does not know",
        }
    }

    /// What names of such files end in: Databasus' own endings of downloads, and those of tars.
    pub fn extension(&self) -> &'static str {
        match self {
            Self::PgDump(_) | Self::UnreadPgDump(_) => ".dump",
            Self::Sql { .. } => ".sql.zst",
            Self::MongoArchive => ".archive",
            Self::WalSegment(_) | Self::TimelineHistory => ".zst",
            Self::BaseBackup { compression, .. } => match compression {
                Compression::Zstd => ".tar.zst",
                Compression::Gzip => ".tar.gz",
                Compression::None => ".tar",
            },
            Self::Empty | Self::Unknown => "",
        }
    }
}

/// Tells what a backup is from the beginning of its plaintext.
pub fn recognise(beginning: &[u8]) -> Content {
    if beginning.is_empty() {
        return Content::Empty;
    }
    if beginning.starts_with(dump_header::MAGIC) {
        return match DumpHeader::parse(beginning) {
            Ok(header) => Content::PgDump(header),
            Err(error) => Content::UnreadPgDump(error),
        };
    }
    let inside = inflate(beginning, INFLATED);
    match Packing::of(beginning) {
        Packing::Zstd => zstd_content(&inside),
        Packing::Gzip if inside.starts_with(MONGO_ARCHIVE) => Content::MongoArchive,
        Packing::Gzip => base_backup(&inside, Compression::Gzip),
        Packing::None => base_backup(&inside, Compression::None),
    }
}

/// Whether a dump in SQL is MariaDB's own: its programs say so in the first lines, or begin with
/// a comment that no other server reads (`/*M!999999\- enable the sandbox mode */`).
pub fn is_of_mariadb(beginning: &[u8]) -> bool {
    let inside = inflate(beginning, INFLATED);
    first_text(&inside).is_some_and(|text| text.contains("MariaDB") || text.contains("/*M!"))
}

fn zstd_content(inside: &[u8]) -> Content {
    if let Some(page) = FirstPage::parse(inside) {
        return Content::WalSegment(page);
    }
    match first_text(inside) {
        Some(text) if is_history(text) => Content::TimelineHistory,
        Some(text) if is_sql(text) => Content::Sql {
            database: sql_database(text),
        },
        _ => base_backup(inside, Compression::Zstd),
    }
}

fn base_backup(inside: &[u8], compression: Compression) -> Content {
    match inside.get(257..262) {
        Some(b"ustar") => Content::BaseBackup {
            compression,
            label: backup_label(inside),
        },
        _ => Content::Unknown,
    }
}

/// The `backup_label` among the first entries of a tar, which may end in the middle.
fn backup_label(tar: &[u8]) -> Option<BackupLabel> {
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().ok()?.take(TAR_ENTRIES) {
        let mut entry = entry.ok()?;
        let path = entry.path_bytes();
        if matches!(path.as_ref(), b"backup_label" | b"./backup_label") {
            let mut text = String::new();
            let mut bounded = entry.by_ref().take(MAX_LABEL_BYTES);
            bounded.read_to_string(&mut text).ok()?;
            return BackupLabel::parse(&text);
        }
    }
    None
}

/// The text at the beginning, if it is text: what is cut off in the middle of a letter is left
/// out.
fn first_text(bytes: &[u8]) -> Option<&str> {
    let head = bytes.get(..TEXT.min(bytes.len()))?;
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
    };
    (!text.is_empty() && !text.contains('\0')).then_some(text)
}

/// `1<TAB>0/5000000<TAB>reason`, one line for every timeline before.
fn is_history(text: &str) -> bool {
    let mut fields = text.lines().next().unwrap_or_default().split('\t');
    let timeline = fields.next().and_then(|field| field.parse::<u32>().ok());
    let position = fields.next().and_then(|field| field.parse::<Lsn>().ok());
    timeline.is_some() && position.is_some()
}

/// Dumps begin with a comment (`-- MySQL dump`, `/*M!999999\- enable the sandbox mode */`), or
/// without comments with the first statement.
fn is_sql(text: &str) -> bool {
    let text = text.trim_start();
    let begins = ["--", "/*", "SET ", "DROP ", "CREATE ", "INSERT ", "USE "];
    begins.iter().any(|begin| text.starts_with(begin))
}

/// `-- Host: db    Database: shop`, as mysqldump and mariadb-dump write it.
fn sql_database(text: &str) -> Option<String> {
    let host = text.lines().find(|line| line.starts_with("-- Host: "))?;
    let (_, database) = host.rsplit_once("Database: ")?;
    let database = database.trim();
    (!database.is_empty()).then(|| database.to_owned())
}

#[cfg(test)]
mod tests;
