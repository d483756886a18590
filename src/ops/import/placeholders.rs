//! What a backup says of a database that nobody knows: enough to list it under one.

use uuid::Uuid;

use crate::databasus::catalogue_rows::{Engine, Placeholder, placeholder_id};
use crate::databasus::objects::sidecar::Encryption;

use super::attribution::Content;
use super::examine::{Examined, What};

/// A release that Databasus knows, where a backup does not tell which it is of. Whoever gives a
/// placeholder a real host corrects it.
const SOME_VERSION: [(Engine, &str); 5] = [
    (Engine::Postgres, "17"),
    (Engine::PostgresWalV1, "17"),
    (Engine::MySql, "8.0"),
    (Engine::MariaDb, "10.11"),
    (Engine::MongoDb, "7"),
];

/// The database that a backup would be listed under; none where the backup says too little: WAL
/// and what stands on others follow a full backup.
pub(super) fn for_backup(one: &Examined, storage: Uuid) -> Option<Placeholder> {
    let label = one.name.label()?;
    let (engine, source, version) = match &one.what {
        What::Dump(dump) => (
            engine_of(dump.content, dump.mariadb),
            dump.source.clone(),
            dump.version.as_deref().and_then(major),
        ),
        What::WalV1Base(base) => {
            let major = base.pg_major.map(|major| major.to_string());
            (Engine::PostgresWalV1, None, major)
        }
        What::Full(full, _) => {
            let major = (full.pg_version / 10_000).to_string();
            (Engine::PostgresPhysical, None, Some(major))
        }
        _ => return None,
    };
    let (id, name, system_identifier) = match &one.what {
        What::Full(full, _) => (
            full.database,
            one.name
                .label_without_kind()
                .map_or(label, |(name, _)| name),
            Some(full.system_identifier),
        ),
        _ => (
            placeholder_id(label, engine, source.as_deref()),
            label,
            None,
        ),
    };
    Some(Placeholder {
        id,
        name: name.to_owned(),
        engine,
        version: version.unwrap_or_else(|| some_version(engine)),
        source,
        system_identifier,
        workspace: None,
        storage,
        encrypted: one.encryption != Encryption::None,
    })
}

fn engine_of(content: Content, mariadb: bool) -> Engine {
    match (content, mariadb) {
        (Content::PgDump, _) => Engine::Postgres,
        (Content::Sql, false) => Engine::MySql,
        (Content::Sql, true) => Engine::MariaDb,
        (Content::MongoArchive, _) => Engine::MongoDb,
        (Content::WalV1, _) => Engine::PostgresWalV1,
    }
}

/// `17` of `17.10 (Debian 17.10-1)`.
fn major(version: &str) -> Option<String> {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

fn some_version(engine: Engine) -> String {
    let known = SOME_VERSION.iter().find(|(known, _)| *known == engine);
    known.map_or("17", |(_, version)| version).to_owned()
}
