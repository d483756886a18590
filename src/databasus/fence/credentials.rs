//! The storages' credentials: what reaches the backups themselves.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::FENCED_HOST;
use super::statements::Change;
use crate::databasus::fields::{NONCE_BYTES, seal_field};
use crate::databasus::schema::Schema;
use crate::databasus::secret_key::SecretKey;
use crate::databasus::storages::S3Keys;
use crate::postgres::sql::literal;

/// What becomes of the credentials of storages.
#[derive(Default)]
pub enum StorageCredentials {
    /// All are blanked: this copy reads no backup.
    #[default]
    Blank,
    /// These S3 storages get keys that can only read; the credentials of all others are blanked.
    ReadOnly(BTreeMap<Uuid, S3Keys>),
    /// They stay as they are: whoever uses this copy can delete production's backups.
    Keep,
}

/// The same without the keys, as it is put on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageCredentialsState {
    /// All blank.
    Blanked,
    /// Some were replaced by others that were given as read-only, the rest is blank.
    ReadOnly,
    /// Untouched.
    Kept,
}

/// Tables of storages with the columns that Databasus encrypts (DATABASUS.md §2.3).
pub(super) const SECRETS: &[(&str, &[&str])] = &[
    ("s3_storages", &["s3_access_key", "s3_secret_key"]),
    ("ftp_storages", &["password"]),
    ("nas_storages", &["password"]),
    ("sftp_storages", &["password", "private_key"]),
    ("azure_blob_storages", &["connection_string", "account_key"]),
    ("google_drive_storages", &["client_secret", "token_json"]),
    ("rclone_storages", &["config_content"]),
];

/// Tables of storages that are reached by a host: one that lets anybody in needs no password.
pub(super) const HOSTS: &[&str] = &["ftp_storages", "nas_storages", "sftp_storages"];

/// Whether Databasus encrypts this column of a storage.
pub fn is_secret(table: &str, column: &str) -> bool {
    let mut secrets = SECRETS.iter();
    secrets.any(|(name, columns)| *name == table && columns.contains(&column))
}

/// The column that names a storage in each of these tables.
const KEY: &str = "storage_id";

impl StorageCredentials {
    /// What is put on record.
    pub fn state(&self) -> StorageCredentialsState {
        match self {
            Self::Blank => StorageCredentialsState::Blanked,
            Self::ReadOnly(_) => StorageCredentialsState::ReadOnly,
            Self::Keep => StorageCredentialsState::Kept,
        }
    }

    /// The S3 storages that get other keys.
    pub fn replaced(&self) -> impl Iterator<Item = &Uuid> {
        let keys = match self {
            Self::ReadOnly(keys) => Some(keys),
            Self::Blank | Self::Keep => None,
        };
        keys.into_iter().flat_map(BTreeMap::keys)
    }

    /// The changes for a schema; keys are sealed as Databasus seals them.
    pub fn changes(&self, schema: &Schema, key: &SecretKey) -> Vec<Change> {
        if matches!(self, Self::Keep) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        if let Self::ReadOnly(keys) = self {
            for (storage, keys) in keys {
                changes.push(replace(storage, "s3_access_key", &keys.access_key_id, key));
                changes.push(replace(
                    storage,
                    "s3_secret_key",
                    &keys.secret_access_key,
                    key,
                ));
            }
        }
        let spared: Vec<String> = self.replaced().map(Uuid::to_string).collect();
        for (table, columns) in SECRETS {
            changes.extend(columns.iter().map(|column| blank(table, column, &spared)));
        }
        changes.extend(HOSTS.iter().map(|table| no_host(table)));
        changes.retain(|change| change.fits(schema));
        changes
    }
}

fn replace(storage: &Uuid, column: &'static str, plain: &str, key: &SecretKey) -> Change {
    let nonce: [u8; NONCE_BYTES] = rand::random();
    Change {
        table: "s3_storages",
        key: KEY,
        column,
        to: literal(&seal_field(plain, key, nonce)),
        only: format!("t.storage_id::text = {}", literal(&storage.to_string())),
    }
}

fn blank(table: &'static str, column: &'static str, spared: &[String]) -> Change {
    let mut only = format!("t.{column} <> ''");
    if table == "s3_storages" && !spared.is_empty() {
        let spared: Vec<String> = spared.iter().map(|id| literal(id)).collect();
        only.push_str(&format!(
            " AND t.storage_id::text NOT IN ({})",
            spared.join(", ")
        ));
    }
    Change {
        table,
        key: KEY,
        column,
        to: "''".to_owned(),
        only,
    }
}

fn no_host(table: &'static str) -> Change {
    Change {
        table,
        key: KEY,
        column: "host",
        to: literal(FENCED_HOST),
        only: "t.host IS NOT NULL".to_owned(),
    }
}

impl StorageCredentialsState {
    /// As it stands in `escrow_fence.fence`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blanked => "blanked",
            Self::ReadOnly => "read-only",
            Self::Kept => "kept",
        }
    }

    /// Reads what [`StorageCredentialsState::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Blanked, Self::ReadOnly, Self::Kept]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_on_record_reads_back() {
        for credentials in [
            StorageCredentials::Blank,
            StorageCredentials::ReadOnly(BTreeMap::new()),
            StorageCredentials::Keep,
        ] {
            let state = credentials.state();
            assert_eq!(StorageCredentialsState::parse(state.as_str()), Some(state));
        }
        assert_eq!(StorageCredentialsState::parse("open"), None);
    }
}
