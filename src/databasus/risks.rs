//! What an instance is set up for that a disaster would punish, as its metadata database shows it.

use super::schema::{Generation, Schema, SchemaError};
use crate::postgres::wire::{Connection, PgError};

/// Set-ups that work every day and fail in a disaster. Names are Databasus' own, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Risks {
    /// Storages of type LOCAL that backups are kept in: their objects die with the host.
    pub local_storages: Vec<String>,
    /// Databases whose backups are not encrypted: who can read the bucket can read them.
    pub unencrypted: Vec<String>,
    /// Databases backed up as `WAL_V1`, beside which releases from 3.43 refuse to start.
    pub wal_v1: Vec<String>,
}

/// The database could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum RisksError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] PgError),
    /// It is no schema that was seen.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl Risks {
    /// Looks for them over a session with the metadata database.
    pub fn read(session: &mut Connection, schema: &Schema) -> Result<Self, RisksError> {
        let generation = schema.generation()?;
        let configs = generation.backup_configs();
        Ok(Self {
            local_storages: names(session, &local_storages(schema, generation))?,
            unencrypted: names(session, &unencrypted(schema, configs))?,
            wal_v1: match schema.has("postgresql_databases", "backup_type") {
                true => names(session, WAL_V1)?,
                false => Vec::new(),
            },
        })
    }
}

const WAL_V1: &str = "\
SELECT DISTINCT d.name FROM public.databases d \
JOIN public.postgresql_databases p ON p.database_id = d.id \
WHERE p.backup_type = 'WAL_V1' ORDER BY 1";

const CONFIGS_OF_PHYSICAL: &str = "physical_backup_configs";

/// Those that something is backed up to, or that hold backups.
fn local_storages(schema: &Schema, generation: Generation) -> String {
    let tables = [
        generation.backup_configs(),
        generation.backups(),
        CONFIGS_OF_PHYSICAL,
        "physical_full_backups",
    ];
    let there = tables
        .into_iter()
        .filter(|table| schema.has(table, "storage_id"));
    let uses: Vec<String> = there
        .map(|table| format!("EXISTS (SELECT FROM public.{table} u WHERE u.storage_id = s.id)"))
        .collect();
    format!(
        "SELECT DISTINCT s.name FROM public.storages s \
         WHERE s.type = 'LOCAL' AND ({}) ORDER BY 1",
        uses.join(" OR ")
    )
}

fn unencrypted(schema: &Schema, configs: &str) -> String {
    let tables = [configs, CONFIGS_OF_PHYSICAL];
    let there = tables
        .into_iter()
        .filter(|table| schema.has(table, "encryption"));
    let set: Vec<String> = there
        .map(|table| {
            format!(
                "EXISTS (SELECT FROM public.{table} c \
                 WHERE c.database_id = d.id AND c.encryption = 'NONE')"
            )
        })
        .collect();
    let condition = if set.is_empty() {
        "false".to_owned()
    } else {
        set.join(" OR ")
    };
    format!("SELECT DISTINCT d.name FROM public.databases d WHERE {condition} ORDER BY 1")
}

fn names(session: &mut Connection, sql: &str) -> Result<Vec<String>, PgError> {
    let rows = session.simple_query(sql)?;
    Ok(rows.into_iter().flatten().flatten().collect())
}
