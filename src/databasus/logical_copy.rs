//! What a logical copy of the metadata database says of fields, storages and backups, row by row
//! as it passes: as much as a proof needs, and nothing of it is kept that need not be.

use std::collections::BTreeMap;

use super::newest_backups::{self, NewestBackup};
use super::sealed_fields::{self, FieldCounts};
use super::secret_key::SecretKey;
use super::storages::{self, Storage};
use crate::postgres::copy_text::RowSink;
use crate::postgres::wire::{PgError, Row};

/// Tables that hold backups, with what [`newest_backups`] calls their rows.
const BACKUP_TABLES: [(&str, &str); 5] = [
    ("backups", "logical"),
    ("logical_backups", "logical"),
    ("physical_full_backups", "full"),
    ("physical_incremental_backups", "incremental"),
    ("physical_wal_segments", "wal-segment"),
];

/// A row by the names of its columns.
type Named = BTreeMap<String, String>;

/// Collects what passes.
pub struct LogicalCopy {
    key: SecretKey,
    fields: FieldCounts,
    /// Name and type of each database, by its id.
    databases: BTreeMap<String, (String, String)>,
    storages: Vec<Named>,
    s3_storages: BTreeMap<String, Named>,
    /// The newest row by storage, database and kind.
    newest: BTreeMap<[String; 3], Named>,
}

impl LogicalCopy {
    /// Collects under a key, which is tried on every encrypted field.
    pub fn new(key: SecretKey) -> Self {
        Self {
            key,
            fields: FieldCounts::new(),
            databases: BTreeMap::new(),
            storages: Vec::new(),
            s3_storages: BTreeMap::new(),
            newest: BTreeMap::new(),
        }
    }

    /// What trying the encrypted fields came to.
    pub fn fields(&self) -> &FieldCounts {
        &self.fields
    }

    /// The storages.
    pub fn storages(&self) -> Result<Vec<Storage>, PgError> {
        let blank = Named::new();
        let rows = self.storages.iter().map(|storage| {
            let id = storage.get("id").cloned().unwrap_or_default();
            let bucket = self.s3_storages.get(&id).unwrap_or(&blank);
            let own = ["id", "name", "type"].map(|column| storage.get(column).cloned());
            let of_bucket = storages::S3_COLUMNS.map(|column| {
                let value = bucket.get(column)?;
                Some(truth_of(column, value).to_owned())
            });
            storages::storage_of(own.into_iter().chain(of_bucket).collect())
        });
        rows.collect()
    }

    /// The newest encrypted backups.
    pub fn backups(&self) -> Result<Vec<NewestBackup>, PgError> {
        let rows = self.newest.iter().map(|([storage, database, kind], row)| {
            let get = |column: &str| row.get(column).cloned();
            let (name, database_type) = self.databases.get(database).cloned().unwrap_or_default();
            newest_backups::backup_of(vec![
                get("id"),
                Some(storage.clone()),
                Some(name),
                Some(database_type),
                Some(kind.clone()),
                get("file_name").or_else(|| get("id")),
                get("encryption_salt"),
                get("encryption_iv"),
                get("backup_size_mb").or_else(|| get("compressed_size_mb")),
            ])
        });
        rows.collect()
    }

    fn see_backup(&mut self, row: Named, kind: &str) {
        let get = |column: &str| row.get(column).map_or("", String::as_str);
        // A segment has no status; up to 3.12 there is no name, later none means unfinished.
        let is_whole = matches!(get("status"), "COMPLETED") || kind == "wal-segment";
        let is_named = kind == "logical" || !get("file_name").is_empty();
        if get("encryption") != "ENCRYPTED" || !is_whole || !is_named {
            return;
        }
        let kind = match get("pg_wal_backup_type") {
            "PG_FULL_BACKUP" => "wal-v1-full",
            "PG_WAL_SEGMENT" => "wal-v1-segment",
            _ => kind,
        };
        let place = [get("storage_id"), get("database_id"), kind].map(str::to_owned);
        let known = self.newest.get(&place);
        if known.is_none_or(|known| made_at(known) < made_at(&row)) {
            self.newest.insert(place, row);
        }
    }
}

/// One dump has one time zone, so its times compare as texts.
fn made_at(row: &Named) -> &str {
    let column = row.get("received_at").or_else(|| row.get("created_at"));
    column.map_or("", String::as_str)
}

/// Booleans are `t` and `f` in a dump, and `true` and `false` as text.
fn truth_of<'a>(column: &str, value: &'a str) -> &'a str {
    match (column, value) {
        ("s3_use_virtual_hosted_style" | "skip_tls_verify", "t") => "true",
        _ => value,
    }
}

impl RowSink for LogicalCopy {
    fn row(&mut self, table: &str, columns: &[String], row: Row) {
        for (column, value) in columns.iter().zip(&row) {
            let value = value.as_deref().unwrap_or_default();
            sealed_fields::count(&mut self.fields, table, column, value, &self.key);
        }
        let backups = BACKUP_TABLES.iter().find(|(name, _)| *name == table);
        if backups.is_none() && !matches!(table, "databases" | "storages" | "s3_storages") {
            return;
        }
        let named = columns.iter().cloned().zip(row);
        let named: Named = named
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let get = |column: &str| named.get(column).cloned().unwrap_or_default();
        match (table, backups) {
            (_, Some((_, kind))) => self.see_backup(named, kind),
            ("databases", _) => {
                self.databases.insert(get("id"), (get("name"), get("type")));
            }
            ("storages", _) => self.storages.push(named),
            _ => {
                self.s3_storages.insert(get("storage_id"), named);
            }
        }
    }
}
