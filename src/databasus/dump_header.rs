//! The header of PostgreSQL's custom archive format, which `pg_dump -Fc` begins with: when and
//! of which database (PostgreSQL's `pg_backup_archiver.c`, `ReadHead`).

use jiff::civil::DateTime;

/// Archive versions that are read: 1.12 (PostgreSQL 9.0) to 1.16 (17 and 18).
const VERSIONS: std::ops::RangeInclusive<(u8, u8)> = (1, 12)..=(1, 16);

/// The first version that names the compression instead of a level.
const NAMES_COMPRESSION: (u8, u8) = (1, 15);

/// `archCustom`.
const CUSTOM: u8 = 1;

/// Names of databases have at most 63 bytes, versions of servers less.
const MAX_TEXT: usize = 1024;

/// The first bytes of an archive.
pub const MAGIC: &[u8] = b"PGDMP";

/// What an archive says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpHeader {
    /// Of the format: (1, 16).
    pub version: (u8, u8),
    /// How the data is compressed.
    pub compression: DumpCompression,
    /// When the dump was begun, by the wall clock of the host that ran `pg_dump`: the archive
    /// does not name its time zone. Databasus' image runs on UTC.
    pub created: DateTime,
    /// The database.
    pub database: String,
    /// `server_version`: `17.10`, or with the packager's words behind it.
    pub server_version: String,
    /// Of `pg_dump`.
    pub dump_version: String,
}

/// How an archive's data is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpCompression {
    /// Not.
    None,
    /// With zlib.
    Gzip,
    /// With LZ4.
    Lz4,
    /// With Zstandard.
    Zstd,
}

/// An archive whose header cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DumpHeaderError {
    /// Another file.
    #[error("not an archive of pg_dump")]
    NotADump,
    /// A release that this tool does not know.
    #[error("an archive of pg_dump of version {0}.{1}, which this tool does not know")]
    Version(u8, u8),
    /// It ends in the middle, or its fields make no sense.
    #[error("the archive's header is damaged")]
    Damaged,
}

impl DumpHeader {
    /// Reads it from the beginning of an archive.
    pub fn parse(beginning: &[u8]) -> Result<Self, DumpHeaderError> {
        let rest = beginning.strip_prefix(MAGIC);
        let mut fields = Fields {
            rest: rest.ok_or(DumpHeaderError::NotADump)?,
            int_size: 0,
        };
        let version = (fields.byte()?, fields.byte()?);
        if !VERSIONS.contains(&version) {
            return Err(DumpHeaderError::Version(version.0, version.1));
        }
        let _revision = fields.byte()?;
        fields.int_size = usize::from(fields.byte()?);
        let _offset_size = fields.byte()?;
        let is_custom = fields.byte()? == CUSTOM;
        if !(4..=8).contains(&fields.int_size) || !is_custom {
            return Err(DumpHeaderError::Damaged);
        }
        Ok(Self {
            version,
            compression: fields.compression(version)?,
            created: fields.time()?,
            database: fields.text()?,
            server_version: fields.text()?,
            dump_version: fields.text()?,
        })
    }
}

/// The fields of a header, one after the other.
struct Fields<'a> {
    rest: &'a [u8],
    /// How many bytes the writer's `int` had.
    int_size: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DumpHeaderError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(DumpHeaderError::Damaged)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, DumpHeaderError> {
        self.take(1)?
            .first()
            .copied()
            .ok_or(DumpHeaderError::Damaged)
    }

    /// A sign, then the amount, little-endian.
    fn int(&mut self) -> Result<i64, DumpHeaderError> {
        let is_negative = self.byte()? != 0;
        let bytes = self.take(self.int_size)?.iter().rev();
        let amount = bytes.fold(0u64, |amount, byte| (amount << 8) | u64::from(*byte));
        let amount = i64::try_from(amount).map_err(|_| DumpHeaderError::Damaged)?;
        Ok(if is_negative { -amount } else { amount })
    }

    /// A length, then so many bytes. A length below zero stands for no text.
    fn text(&mut self) -> Result<String, DumpHeaderError> {
        let Ok(length) = usize::try_from(self.int()?) else {
            return Ok(String::new());
        };
        if length > MAX_TEXT {
            return Err(DumpHeaderError::Damaged);
        }
        let bytes = self.take(length)?;
        // No text of PostgreSQL holds one.
        if bytes.contains(&0) {
            return Err(DumpHeaderError::Damaged);
        }
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn compression(&mut self, version: (u8, u8)) -> Result<DumpCompression, DumpHeaderError> {
        if version < NAMES_COMPRESSION {
            let level = self.int()?;
            return Ok(match level {
                0 => DumpCompression::None,
                _ => DumpCompression::Gzip,
            });
        }
        match self.byte()? {
            0 => Ok(DumpCompression::None),
            1 => Ok(DumpCompression::Gzip),
            2 => Ok(DumpCompression::Lz4),
            3 => Ok(DumpCompression::Zstd),
            _ => Err(DumpHeaderError::Damaged),
        }
    }

    /// The fields of C's `struct tm`, and whether it was summer time.
    fn time(&mut self) -> Result<DateTime, DumpHeaderError> {
        let [second, minute, hour, day, month, year] = [
            self.int()?,
            self.int()?,
            self.int()?,
            self.int()?,
            self.int()?,
            self.int()?,
        ];
        let _is_dst = self.int()?;
        let small = |value: i64| i8::try_from(value).map_err(|_| DumpHeaderError::Damaged);
        let year =
            i16::try_from(year.saturating_add(1900)).map_err(|_| DumpHeaderError::Damaged)?;
        // A leap second is the second before it.
        let (month, second) = (small(month.saturating_add(1))?, small(second.min(59))?);
        DateTime::new(
            year,
            month,
            small(day)?,
            small(hour)?,
            small(minute)?,
            second,
            0,
        )
        .map_err(|_| DumpHeaderError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn int(value: i32) -> Vec<u8> {
        let mut bytes = vec![u8::from(value < 0)];
        bytes.extend(value.unsigned_abs().to_le_bytes());
        bytes
    }

    fn text(value: &str) -> Vec<u8> {
        let length = i32::try_from(value.len()).unwrap();
        [int(length), value.as_bytes().to_vec()].concat()
    }

    fn header(minor: u8, compression: &[u8]) -> Vec<u8> {
        let time = [58, 11, 3, 23, 10, 126, 0].map(int).concat();
        [
            &b"PGDMP"[..],
            &[1, minor, 0, 4, 8, 1],
            compression,
            &time,
            &text("billing"),
            &text("17.10"),
            &text("18.6 (Debian 18.6-1)"),
        ]
        .concat()
    }

    #[test]
    fn a_header_says_when_and_of_what() {
        let found = DumpHeader::parse(&header(16, &[3])).unwrap();
        assert_eq!(found.version, (1, 16));
        assert_eq!(found.compression, DumpCompression::Zstd);
        assert_eq!(found.created.to_string(), "2026-11-23T03:11:58");
        assert_eq!(found.database, "billing");
        assert_eq!(found.server_version, "17.10");
        assert_eq!(found.dump_version, "18.6 (Debian 18.6-1)");
    }

    #[test]
    fn older_headers_have_a_level_in_place_of_a_method() {
        let compression = |minor, level| {
            let header = header(minor, &int(level));
            DumpHeader::parse(&header).unwrap().compression
        };
        assert_eq!(compression(12, 5), DumpCompression::Gzip);
        assert_eq!(compression(14, -1), DumpCompression::Gzip);
        assert_eq!(compression(13, 0), DumpCompression::None);
    }

    #[test]
    fn other_files_and_releases_are_told_apart() {
        use DumpHeaderError::{Damaged, NotADump, Version};
        let refused = |bytes: &[u8]| DumpHeader::parse(bytes).unwrap_err();
        assert_eq!(refused(b""), NotADump);
        assert_eq!(refused(b"PGRSUS01"), NotADump);
        assert_eq!(refused(&header(17, &[3])), Version(1, 17));
        assert_eq!(refused(&header(11, &int(5))), Version(1, 11));
        assert_eq!(refused(&header(16, &[9])), Damaged);
        let mut month = header(16, &[0]);
        month[33] = 12;
        assert_eq!(refused(&month), Damaged);
    }

    #[test]
    fn a_header_that_is_cut_anywhere_is_damaged() {
        let whole = header(16, &[3]);
        for length in MAGIC.len()..whole.len() {
            let cut = DumpHeader::parse(&whole[..length]);
            assert_eq!(cut, Err(DumpHeaderError::Damaged), "{length}");
        }
    }

    #[test]
    fn lengths_that_lie_are_damage() {
        let good = header(16, &[3]);
        let at = good
            .windows(7)
            .position(|bytes| bytes == b"billing")
            .unwrap();
        let mut lie = good.clone();
        lie[at - 1] = 0x7F;
        assert_eq!(DumpHeader::parse(&lie), Err(DumpHeaderError::Damaged));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(minor in 10u8..20, int_size: u8, bytes: Vec<u8>) {
            let head = [&b"PGDMP"[..], &[1, minor, 0, int_size, 8, 1], &bytes].concat();
            let _ = DumpHeader::parse(&head);
            let _ = DumpHeader::parse(&bytes);
        }
    }
}
