//! Floor 4: one file per job. Ports come in as arguments; nothing here opens a configuration,
//! reads the environment or prints.

pub mod backup_object;
pub mod bucket;
pub mod card;
pub mod commit;
pub mod destination;
pub mod escrowed_key;
pub mod fence;
pub mod fetch;
pub mod from_key;
pub mod history;
pub mod import;
pub mod init;
pub mod inventory;
pub mod join;
pub mod lock_probe;
pub mod locks;
pub mod noncurrent;
pub mod open;
pub mod open_uploads;
pub mod pitr;
pub mod proof;
pub mod prune;
pub mod recover;
pub mod rehydrate;
pub mod replicate;
pub mod select;
pub mod snapshot;
pub mod state;
pub mod stopped_instance;
pub mod storages;
pub mod stored_copy;
pub mod unfence;
pub mod upload;
pub mod verify;
