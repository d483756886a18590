//! Databases that stand for ones the catalogue never heard of: made after the last snapshot, or
//! before a catalogue was lost altogether.
//!
//! A placeholder reaches nothing and does nothing by itself: its host ends in `.invalid`
//! (RFC 6761), and no backup, health check or retention is switched on.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Engine;
use super::add::insert_from_json;
use crate::base::digest::Hasher;
use crate::databasus::schema::{Generation, Schema};
use crate::postgres::wire::{Connection, PgError};

/// A name that no resolver may ever find.
const HOST: &str = "placeholder.invalid";

/// A database that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder {
    /// `databases.id`.
    pub id: Uuid,
    /// As its backups are named.
    pub name: String,
    /// What it is.
    pub engine: Engine,
    /// What the server called it, where a dump says so.
    pub source: Option<String>,
    /// The server's major release, as far as its backups tell.
    pub version: String,
    /// Of the cluster, for physical backups.
    pub system_identifier: Option<u64>,
    /// Where it belongs.
    pub workspace: Option<Uuid>,
    /// Where its backups are.
    pub storage: Uuid,
    /// Whether they are encrypted.
    pub encrypted: bool,
}

/// Makes the rows of a database. In the caller's transaction.
pub fn add_placeholder(
    session: &mut Connection,
    schema: &Schema,
    generation: Generation,
    placeholder: &Placeholder,
) -> Result<(), PgError> {
    for (table, columns) in placeholder.rows(generation) {
        if let Value::Object(columns) = columns
            && schema.has_table(table)
        {
            insert(session, schema, table, columns)?;
        }
    }
    Ok(())
}

fn insert(
    session: &mut Connection,
    schema: &Schema,
    table: &str,
    columns: Map<String, Value>,
) -> Result<(), PgError> {
    let insert = insert_from_json(schema, table, &[columns])?;
    session.simple_query(&insert).map(|_| ())
}

impl Placeholder {
    /// Every table that has something to say of a database, in the order of their references.
    fn rows(&self, generation: Generation) -> Vec<(&'static str, Value)> {
        let (source, config) = match self.engine {
            Engine::PostgresPhysical => (
                ("postgresql_physical_databases", self.physical_source()),
                ("physical_backup_configs", self.physical_config()),
            ),
            _ => (
                self.logical_source(generation),
                (generation.backup_configs(), self.logical_config()),
            ),
        };
        vec![
            ("databases", self.database(generation)),
            source,
            config,
            ("healthcheck_configs", self.healthcheck()),
        ]
    }

    fn database(&self, generation: Generation) -> Value {
        let kind = match (self.engine, generation) {
            (Engine::Postgres | Engine::PostgresWalV1, Generation::UpTo342) => "POSTGRES",
            (Engine::PostgresPhysical, _) => "POSTGRES_PHYSICAL",
            (Engine::MySql, _) => "MYSQL",
            (Engine::MariaDb, _) => "MARIADB",
            (Engine::MongoDb, _) => "MONGODB",
            (Engine::Postgres | Engine::PostgresWalV1 | Engine::Unknown, _) => "POSTGRES_LOGICAL",
        };
        json!({"id": self.id, "name": self.name, "type": kind,
            "workspace_id": self.workspace, "health_status": null,
            "is_agent_token_generated": false})
    }

    fn logical_source(&self, generation: Generation) -> (&'static str, Value) {
        let (table, port) = match self.engine {
            Engine::MySql => ("mysql_databases", 3306),
            Engine::MariaDb => ("mariadb_databases", 3306),
            Engine::MongoDb => ("mongodb_databases", 27017),
            _ => (generation.postgresql_databases(), 5432),
        };
        let mut columns = self.reach(port);
        // Where the column may not be null, an empty one says as little.
        let unknown = match self.engine {
            Engine::MongoDb => json!(""),
            _ => Value::Null,
        };
        columns["database"] = self.source.as_ref().map_or(unknown, |source| json!(source));
        if self.engine == Engine::PostgresWalV1 {
            columns["backup_type"] = json!("WAL_V1");
        }
        (table, columns)
    }

    fn physical_source(&self) -> Value {
        let mut columns = self.reach(5432);
        columns["replication_slot_name"] = json!(format!("databasus_slot_{}", self.id.simple()));
        columns["system_identifier"] = json!(self.system_identifier.map(|id| id.to_string()));
        columns["backup_type"] = json!("FULL_INCREMENTAL_WAL_STREAM");
        columns
    }

    fn reach(&self, port: u16) -> Value {
        json!({"id": self.derived("source"), "database_id": self.id, "version": self.version,
            "host": HOST, "port": port, "username": "", "password": ""})
    }

    /// Without a default in the schema are some columns only; `FOREVER` deletes nothing, should
    /// somebody switch backups on.
    fn logical_config(&self) -> Value {
        json!({"database_id": self.id, "is_backups_enabled": false, "storage_id": self.storage,
            "send_notifications_on": "", "encryption": self.encryption(),
            "retention_policy_type": "TIME_PERIOD", "retention_time_period": "FOREVER",
            "interval_type": "DAILY", "time_of_day": "03:00"})
    }

    fn physical_config(&self) -> Value {
        json!({"database_id": self.id, "is_backups_enabled": false, "storage_id": self.storage,
            "full_interval_type": "WEEKLY", "full_time_of_day": "03:00", "full_weekday": 1,
            "incremental_interval_type": "DAILY", "incremental_time_of_day": "03:00",
            "retention": "CHAINS", "chains_retention_count": 1_000_000,
            "encryption": self.encryption()})
    }

    fn healthcheck(&self) -> Value {
        json!({"database_id": self.id, "is_healthcheck_enabled": false,
            "is_sent_notification_when_unavailable": false, "interval_minutes": 1,
            "attempts_before_considered_as_down": 3, "store_attempts_days": 7})
    }

    fn encryption(&self) -> &'static str {
        match self.encrypted {
            true => "ENCRYPTED",
            false => "NONE",
        }
    }

    fn derived(&self, what: &str) -> Uuid {
        derived_id(&[what.as_bytes(), self.id.as_bytes()])
    }
}

/// The id of the placeholder for dumps of this name: a second import finds what the first made,
/// and two databases of one name get one each.
pub fn placeholder_id(name: &str, engine: Engine, source: Option<&str>) -> Uuid {
    let source = source.map_or([b"unknown".as_slice(), b""], |source| {
        [b"of", source.as_bytes()]
    });
    let engine = format!("{engine:?}");
    let words = [b"placeholder", name.as_bytes(), engine.as_bytes()];
    derived_id(&[words, [source[0], source[1], b""]].concat())
}

/// An id that the same words always give. Of version 8 (RFC 9562), for it is no other's.
fn derived_id(words: &[&[u8]]) -> Uuid {
    let mut digest = Hasher::new();
    for word in words {
        digest.update(&(word.len() as u64).to_be_bytes());
        digest.update(word);
    }
    let digest = digest.finish();
    let mut bytes = [0; 16];
    let taken = digest.as_bytes().iter().zip(&mut bytes);
    taken.for_each(|(from, to)| *to = *from);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_backups_always_have_the_same_placeholder() {
        let id = |name, source| placeholder_id(name, Engine::Postgres, source);
        assert_eq!(id("shop", Some("prod")), id("shop", Some("prod")));
        let others = [
            id("shop", Some("test")),
            id("shop", None),
            id("shop", Some("")),
            id("store", Some("prod")),
            placeholder_id("shop", Engine::MySql, Some("prod")),
        ];
        assert!(!others.contains(&id("shop", Some("prod"))));
        assert_ne!(id("shop", None), id("shop", Some("")));
    }
}
