//! What no rule covers: switches, hosts and credentials of a schema that this release has not
//! seen (DATABASUS.md §4.8: list what a schema has).

use super::credentials::{HOSTS, SECRETS};
use super::rules::{REMOVE, SET};
use crate::databasus::schema::{Column, Schema};

/// A column that may let this copy act, and that nothing is known about.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct UnknownColumn {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// What it looks like.
    pub looks_like: LooksLike,
}

/// What a column's name and type say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LooksLike {
    /// Something that can be on.
    Switch,
    /// Where to, or what with.
    HostOrCredential,
}

/// Words in the names of columns that say where to, or what with.
const WORDS: [&str; 21] = [
    "address",
    "cert",
    "connection",
    "credential",
    "credentials",
    "dsn",
    "endpoint",
    "headers",
    "host",
    "hostname",
    "hosts",
    "passphrase",
    "passwd",
    "password",
    "proxy",
    "secret",
    "token",
    "uri",
    "url",
    "webhook",
    "key",
];

/// Columns that look like something and can do nothing: behind a fenced host, behind a notifier
/// that no database is linked to, for people who sign in, of a table that nothing reads.
/// `*` is every column of the table.
const HARMLESS: &[(&str, &[&str])] = &[
    ("audit_logs", &["*"]),
    ("azure_blob_storages", &["endpoint"]),
    ("backups", &["*"]),
    ("database_plans", &["*"]),
    ("databases", &["is_agent_token_generated"]),
    ("discord_notifiers", &["channel_webhook_url"]),
    ("email_notifiers", &["smtp_host", "smtp_password"]),
    ("invoices", &["*"]),
    ("logical_backups", &["*"]),
    ("mariadb_databases", SOURCE),
    (
        "mattermost_notifiers",
        &[
            "webhook_url",
            "server_url",
            "bot_token",
            "override_icon_url",
        ],
    ),
    ("mongodb_databases", SOURCE),
    ("mysql_databases", SOURCE),
    ("password_reset_codes", &["*"]),
    ("physical_full_backups", &["*"]),
    ("physical_incremental_backups", &["*"]),
    ("physical_wal_history_files", &["*"]),
    ("physical_wal_segments", &["*"]),
    ("postgres_monitoring_metrics", &["*"]),
    ("postgres_monitoring_settings", &["*"]),
    ("postgresql_databases", SOURCE),
    ("postgresql_logical_databases", SOURCE),
    ("postgresql_physical_databases", SOURCE),
    ("s3_storages", &["s3_endpoint"]),
    ("secret_keys", &["*"]),
    ("sftp_storages", &["skip_host_key_verify"]),
    ("slack_notifiers", &["bot_token"]),
    ("subscription_events", &["*"]),
    ("subscriptions", &["*"]),
    ("teams_notifiers", &["power_automate_url"]),
    (
        "telegram_notifiers",
        &["bot_token", "is_proxy_enabled", "proxy_url"],
    ),
    ("users", &["hashed_password", "password_creation_time"]),
    ("verification_agents", &["token_hash"]),
    (
        "webhook_notifiers",
        &["webhook_url", "headers", "webhook_method"],
    ),
    ("webhook_records", &["*"]),
];

/// Behind the host of a source, or of its bastion.
const SOURCE: &[&str] = &[
    "password",
    "is_direct_connection",
    "ssl_client_cert",
    "ssl_client_key",
    "ssl_root_cert",
    "ssh_password",
    "ssh_private_key",
    "ssh_private_key_passphrase",
];

/// Every column of a schema that looks as if it could let this copy act, and that nothing is
/// known about. Empty for every schema that was read for this release.
pub fn columns(schema: &Schema) -> Vec<UnknownColumn> {
    let all = schema.columns();
    let unknown =
        all.filter(|(table, name, _)| !is_covered(table, name) && !is_harmless(table, name));
    unknown
        .filter_map(|(table, name, column)| {
            Some(UnknownColumn {
                table: table.to_owned(),
                column: name.to_owned(),
                looks_like: looks_like(name, column)?,
            })
        })
        .collect()
}

fn looks_like(name: &str, column: &Column) -> Option<LooksLike> {
    let words: Vec<&str> = name.split('_').collect();
    if column.data_type == "boolean" {
        let is_switch = words.contains(&"is") && name.ends_with("enabled");
        return is_switch.then_some(LooksLike::Switch);
    }
    let text = column.data_type.starts_with("text")
        || column.data_type.starts_with("character")
        || column.data_type.starts_with("json")
        || column.data_type == "bytea";
    let named = words.iter().any(|word| WORDS.contains(word)) || name == "config_content";
    (text && named).then_some(LooksLike::HostOrCredential)
}

fn is_covered(table: &str, column: &str) -> bool {
    let set = SET
        .iter()
        .any(|rule| (rule.table, rule.column) == (table, column));
    let secret = SECRETS
        .iter()
        .any(|(name, columns)| *name == table && columns.contains(&column));
    let removed = REMOVE.iter().any(|rule| rule.table == table);
    set || secret || removed || (column == "host" && HOSTS.contains(&table))
}

fn is_harmless(table: &str, column: &str) -> bool {
    HARMLESS.iter().any(|(name, columns)| {
        *name == table && (columns.contains(&"*") || columns.contains(&column))
    })
}
