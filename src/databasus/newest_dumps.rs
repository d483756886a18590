//! The newest dump of every database, or in every storage, that a catalogue calls completed,
//! encrypted or not.

use uuid::Uuid;

use super::schema::{Generation, Schema};
use crate::base::time::UtcTime;
use crate::postgres::wire::{Connection, PgError, Row};

/// A row of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewestDump {
    /// `databases.id`.
    pub database: Uuid,
    /// Where it lies.
    pub storage: Uuid,
    /// The row's own id.
    pub id: Uuid,
    /// Name of the object, without prefix.
    pub object: String,
    /// When it was begun.
    pub begun: UtcTime,
    /// What the database took on its server, in bytes; none where the row does not say.
    pub raw_size: Option<u64>,
}

/// The newest of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newest {
    /// One of each database, wherever it lies.
    OfDatabase,
    /// One in each storage, whosever it is.
    InStorage,
}

/// Reads them.
pub fn read(
    session: &mut Connection,
    schema: &Schema,
    generation: Generation,
    newest: Newest,
) -> Result<Vec<NewestDump>, PgError> {
    let rows = session.simple_query(&select(schema, generation, newest))?;
    rows.into_iter().map(dump_of).collect()
}

/// What of `WAL_V1` stands in the same table is no dump.
fn select(schema: &Schema, generation: Generation, newest: Newest) -> String {
    let group = match newest {
        Newest::OfDatabase => "b.database_id",
        Newest::InStorage => "b.storage_id",
    };
    let table = generation.backups();
    let has = |column: &str| schema.has(table, column);
    let name = if has("file_name") {
        "b.file_name"
    } else {
        "b.id::text"
    };
    let raw_size = match has("backup_raw_db_size_mb") {
        true => "(b.backup_raw_db_size_mb * 1048576)::bigint::text",
        false => "NULL",
    };
    let is_dump = match has("pg_wal_backup_type") {
        true => "AND b.pg_wal_backup_type IS NULL",
        false => "",
    };
    format!(
        "SELECT DISTINCT ON ({group}) b.database_id::text, b.storage_id::text, b.id::text, \
         {name}, floor(extract(epoch FROM b.created_at))::bigint::text, {raw_size} \
         FROM public.{table} b WHERE b.status = 'COMPLETED' {is_dump} \
         ORDER BY {group}, b.created_at DESC, (b.encryption = 'ENCRYPTED') DESC, b.id"
    )
}

fn dump_of(row: Row) -> Result<NewestDump, PgError> {
    let malformed = || PgError::Protocol("a row of the catalogue without an id".to_owned());
    let mut columns = row.into_iter();
    let mut next = || columns.next().flatten();
    let mut id = || {
        let text = next().ok_or_else(malformed)?;
        Uuid::try_parse(&text).map_err(|_| malformed())
    };
    let (database, storage, id) = (id()?, id()?, id()?);
    let object = next().unwrap_or_default();
    let begun = next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let raw_size = next().and_then(|text| text.parse().ok());
    Ok(NewestDump {
        database,
        storage,
        id,
        object,
        begun: UtcTime::from_unix(begun),
        raw_size: raw_size.filter(|size| *size > 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_row_is_read() {
        let id = Uuid::nil().to_string();
        let texts = [&id, &id, &id, "shop-1", "1780000000", "0"].map(|t| Some(t.to_owned()));
        let dump = dump_of(texts.to_vec()).unwrap();
        assert_eq!(dump.object, "shop-1");
        assert_eq!(dump.begun.unix(), 1_780_000_000);
        assert_eq!(dump.raw_size, None);
    }

    proptest! {
        #[test]
        fn no_row_makes_reading_panic(row in prop::collection::vec(any::<Option<String>>(), 0..8)) {
            let _ = dump_of(row);
        }
    }
}
