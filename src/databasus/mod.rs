//! Floor 2: what this tool knows of Databasus: its key, its tables, how it is started.

pub mod api;
pub mod backup_chain;
pub mod backup_file;
pub mod catalogue_rows;
pub mod compose;
pub mod dump_header;
pub mod fence;
pub mod fields;
pub mod instance;
pub mod logical_copy;
pub mod newest_backups;
pub mod newest_dumps;
pub mod objects;
pub mod restore_md;
pub mod retention;
pub mod risks;
pub mod schema;
pub mod sealed_fields;
pub mod secret_key;
pub mod storages;
