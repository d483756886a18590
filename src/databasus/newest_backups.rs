//! The newest encrypted backup of every storage and database that a catalogue calls completed.

use uuid::Uuid;

use super::backup_file::Header;
use super::schema::{Generation, Schema};
use crate::postgres::wire::{Connection, PgError, Row};

/// A row of the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct NewestBackup {
    /// Of the row; goes into the key.
    pub id: Uuid,
    /// Where it lies.
    pub storage: Uuid,
    /// The database's name, as people gave it.
    pub database: String,
    /// What it is.
    pub kind: BackupKind,
    /// Name of the object, without prefix.
    pub object: String,
    /// Salt and nonce; none where the row has none.
    pub header: Option<Header>,
    /// What the row says of its size; none where that is nothing exact.
    pub size: Option<u64>,
}

/// What a row describes. Of each the newest is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BackupKind {
    /// A dump of PostgreSQL.
    PgDump,
    /// A dump of another database.
    OtherDump,
    /// A base backup of the agent, up to 3.42.
    WalV1Full,
    /// A WAL segment of the agent, up to 3.42.
    WalV1Segment,
    /// A physical FULL.
    Full,
    /// A physical INCREMENTAL.
    Incremental,
    /// A WAL segment, from 3.43.
    WalSegment,
}

impl NewestBackup {
    /// Whether a file of these sizes is the one that the row describes. Rows hold the size before
    /// encryption or the stored one, by kind and release (DATABASUS.md §4.6); a cut file fits
    /// neither.
    pub fn fits(&self, plain: u64, stored: u64) -> bool {
        self.size.is_none_or(|size| size == plain || size == stored)
    }
}

/// One table of the catalogue.
struct Source {
    table: &'static str,
    /// SQL for the kind.
    kind: &'static str,
    name: &'static str,
    size: &'static str,
    time: &'static str,
    /// Which rows are whole.
    whole: &'static str,
}

/// PostgreSQL sorts by no bare constant.
const LOGICAL_KIND: &str = "'logical'::text";

const KIND_WITH_WAL_V1: &str = "CASE b.pg_wal_backup_type \
    WHEN 'PG_FULL_BACKUP' THEN 'wal-v1-full' WHEN 'PG_WAL_SEGMENT' THEN 'wal-v1-segment' \
    ELSE 'logical' END";

const LOGICAL: Source = Source {
    table: "logical_backups",
    kind: LOGICAL_KIND,
    name: "b.file_name",
    size: "b.backup_size_mb",
    time: "b.created_at",
    whole: "b.status = 'COMPLETED'",
};

const PHYSICAL: [Source; 3] = [
    Source {
        table: "physical_full_backups",
        kind: "'full'::text",
        whole: "b.status = 'COMPLETED' AND b.file_name IS NOT NULL",
        ..LOGICAL
    },
    Source {
        table: "physical_incremental_backups",
        kind: "'incremental'::text",
        whole: "b.status = 'COMPLETED' AND b.file_name IS NOT NULL",
        ..LOGICAL
    },
    Source {
        table: "physical_wal_segments",
        kind: "'wal-segment'::text",
        name: "b.file_name",
        size: "b.compressed_size_mb",
        time: "b.received_at",
        whole: "b.file_name IS NOT NULL",
    },
];

/// Reads them.
pub fn read(
    session: &mut Connection,
    schema: &Schema,
    generation: Generation,
) -> Result<Vec<NewestBackup>, PgError> {
    let mut found = Vec::new();
    for source in sources(schema, generation) {
        let rows = session.simple_query(&source.select())?;
        for row in rows {
            found.push(backup_of(row)?);
        }
    }
    Ok(found)
}

/// Before 3.13 an object is named by its row's id, and before 3.17 there is no `WAL_V1`.
fn sources(schema: &Schema, generation: Generation) -> Vec<Source> {
    match generation {
        Generation::From343 => [LOGICAL].into_iter().chain(PHYSICAL).collect(),
        Generation::UpTo342 => vec![Source {
            table: "backups",
            kind: match schema.has("backups", "pg_wal_backup_type") {
                true => KIND_WITH_WAL_V1,
                false => LOGICAL_KIND,
            },
            name: match schema.has("backups", "file_name") {
                true => "b.file_name",
                false => "b.id::text",
            },
            ..LOGICAL
        }],
    }
}

impl Source {
    fn select(&self) -> String {
        let Self {
            table,
            kind,
            name,
            size,
            time,
            whole,
        } = self;
        format!(
            "SELECT DISTINCT ON (b.storage_id, b.database_id, {kind}) \
             b.id::text, b.storage_id::text, d.name, d.type, {kind}, {name}, \
             b.encryption_salt, b.encryption_iv, {size}::text \
             FROM public.{table} b JOIN public.databases d ON d.id = b.database_id \
             WHERE b.encryption = 'ENCRYPTED' AND {whole} \
             ORDER BY b.storage_id, b.database_id, {kind}, {time} DESC, b.id"
        )
    }
}

/// Reads id, storage, name and type of the database, kind, object, salt, nonce, size.
pub(super) fn backup_of(row: Row) -> Result<NewestBackup, PgError> {
    let malformed = || PgError::Protocol("a row of the catalogue without an id".to_owned());
    let mut columns = row.into_iter();
    let mut next = || columns.next().flatten().unwrap_or_default();
    let id = Uuid::try_parse(&next()).map_err(|_| malformed())?;
    let storage = Uuid::try_parse(&next()).map_err(|_| malformed())?;
    let (database, database_type) = (next(), next());
    let kind = kind_of(&next(), &database_type);
    let object = next();
    let (salt, nonce) = (next(), next());
    let has_exact_size = kind != BackupKind::OtherDump || database_type == "MONGODB";
    Ok(NewestBackup {
        id,
        storage,
        database,
        kind,
        object,
        header: Header::from_base64(&salt, &nonce),
        size: bytes_of(&next()).filter(|size| has_exact_size && *size > 0),
    })
}

fn kind_of(word: &str, database_type: &str) -> BackupKind {
    match word {
        "wal-v1-full" => BackupKind::WalV1Full,
        "wal-v1-segment" => BackupKind::WalV1Segment,
        "full" => BackupKind::Full,
        "incremental" => BackupKind::Incremental,
        "wal-segment" => BackupKind::WalSegment,
        _ if database_type.starts_with("POSTGRES") => BackupKind::PgDump,
        _ => BackupKind::OtherDump,
    }
}

/// Databasus keeps bytes divided by 2^20 as a double, which is exact up to 2^53.
fn bytes_of(megabytes: &str) -> Option<u64> {
    let bytes = megabytes.parse::<f64>().ok()? * f64::from(1 << 20);
    let is_count = bytes.is_finite() && (0.0..9e15).contains(&bytes);
    is_count.then_some(bytes.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(kind: &str, database_type: &str, size: &str) -> NewestBackup {
        let (id, name) = (Uuid::nil().to_string(), "shop".to_owned());
        let texts = [&id, &id, &name, database_type, kind, &name, "", "", size];
        backup_of(texts.iter().map(|text| Some((*text).to_owned())).collect()).unwrap()
    }

    #[test]
    fn a_cut_file_fits_no_row() {
        let dump = row("logical", "POSTGRES", "0.0159149169921875");
        assert_eq!(dump.size, Some(16_688));
        assert!(dump.fits(16_688, 16_772) && dump.fits(16_604, 16_688));
        assert!(!dump.fits(16_687, 16_771));
    }

    #[test]
    fn sizes_that_are_not_of_the_file_are_not_compared() {
        let mysql = row("logical", "MYSQL", "1.5");
        assert_eq!((mysql.kind, mysql.size), (BackupKind::OtherDump, None));
        // Imported by one who knew no better.
        assert_eq!(row("logical", "POSTGRES_LOGICAL", "0").size, None);
        assert_eq!(row("full", "POSTGRES_PHYSICAL", "NaN").size, None);
        assert!(row("logical", "MONGODB", "1.5").size.is_some());
    }

    proptest! {
        #[test]
        fn counts_of_bytes_survive_the_double(bytes in 0..1_u64 << 52) {
            let megabytes = bytes as f64 / 1_048_576.0;
            prop_assert_eq!(bytes_of(&megabytes.to_string()), Some(bytes));
        }

        #[test]
        fn no_row_makes_reading_panic(row in prop::collection::vec(any::<Option<String>>(), 0..12)) {
            let _ = backup_of(row);
        }
    }
}
