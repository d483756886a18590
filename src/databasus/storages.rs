//! Where an instance keeps its backups: the rows of `storages` and `s3_storages`.

use uuid::Uuid;
use zeroize::Zeroizing;

use super::fields::{FieldError, open_field};
use super::schema::Schema;
use super::secret_key::SecretKey;
use crate::postgres::wire::{Connection, PgError, Row};

/// A place that Databasus writes backups to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// `storages.id`.
    pub id: Uuid,
    /// `storages.name`, as people gave it.
    pub name: String,
    /// What it is.
    pub kind: StorageKind,
}

/// Kinds of storages, as far as this tool reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageKind {
    /// Files in `backups/` of the data directory.
    Local,
    /// A bucket.
    S3(S3Storage),
    /// Another one; Databasus' name of the type: `NAS`, `SFTP`, `RCLONE`, …
    Other(String),
}

/// A row of `s3_storages`.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Storage {
    /// The bucket.
    pub bucket: String,
    /// Its region; may be empty.
    pub region: String,
    /// With or without `http://` or `https://`; none means AWS.
    pub endpoint: Option<String>,
    /// As the user typed it; see [`S3Storage::key_prefix`].
    pub prefix: String,
    /// Whether the bucket is part of the host name.
    pub virtual_hosted_style: bool,
    /// Whether certificates are not to be checked.
    pub skip_tls_verify: bool,
    access_key: String,
    secret_key: String,
}

/// What opens a bucket.
#[derive(Clone)]
pub struct S3Keys {
    /// The access key id.
    pub access_key_id: Zeroizing<String>,
    /// Its secret.
    pub secret_access_key: Zeroizing<String>,
}

impl S3Storage {
    /// What stands before every object's name: one leading slash goes, a trailing one comes
    /// (DATABASUS.md §3.1).
    pub fn key_prefix(&self) -> String {
        let prefix = self.prefix.strip_prefix('/').unwrap_or(&self.prefix);
        match prefix {
            "" => String::new(),
            whole if whole.ends_with('/') => whole.to_owned(),
            bare => format!("{bare}/"),
        }
    }

    /// The endpoint with its scheme; none means AWS.
    pub fn endpoint_url(&self) -> Option<String> {
        let endpoint = self.endpoint.as_deref().filter(|text| !text.is_empty())?;
        let has_scheme = endpoint.starts_with("http://") || endpoint.starts_with("https://");
        Some(match has_scheme {
            true => endpoint.to_owned(),
            false => format!("https://{endpoint}"),
        })
    }

    /// The credentials in clear; none where a fence has blanked them.
    pub fn keys(&self, key: &SecretKey) -> Result<Option<S3Keys>, FieldError> {
        let keys = S3Keys {
            access_key_id: open_field(&self.access_key, key)?,
            secret_access_key: open_field(&self.secret_key, key)?,
        };
        let blank = keys.access_key_id.is_empty() || keys.secret_access_key.is_empty();
        Ok((!blank).then_some(keys))
    }
}

/// Without the credentials.
impl std::fmt::Debug for S3Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Storage")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

const READ: &str = "\
SELECT s.id::text, s.name, s.type, b.s3_bucket, b.s3_region, b.s3_endpoint, b.s3_prefix, \
       b.s3_use_virtual_hosted_style::text, b.skip_tls_verify::text, \
       b.s3_access_key, b.s3_secret_key \
FROM public.storages s LEFT JOIN public.s3_storages b ON b.storage_id = s.id ORDER BY s.id";

/// Reads all storages of a metadata database whose schema has them.
pub fn read(session: &mut Connection, schema: &Schema) -> Result<Vec<Storage>, PgError> {
    if !schema.has_table("storages") || !schema.has_table("s3_storages") {
        return Ok(Vec::new());
    }
    let rows = session.simple_query(READ)?;
    rows.into_iter().map(storage_of).collect()
}

/// The columns of `s3_storages`, in the order in which [`storage_of`] takes them.
pub(super) const S3_COLUMNS: [&str; 8] = [
    "s3_bucket",
    "s3_region",
    "s3_endpoint",
    "s3_prefix",
    "s3_use_virtual_hosted_style",
    "skip_tls_verify",
    "s3_access_key",
    "s3_secret_key",
];

/// Reads id, name, type, then [`S3_COLUMNS`].
pub(super) fn storage_of(row: Row) -> Result<Storage, PgError> {
    let mut columns = row.into_iter();
    let mut next = || columns.next().flatten();
    let id = next().and_then(|text| Uuid::try_parse(&text).ok());
    let id = id.ok_or_else(|| PgError::Protocol("a storage without an id".to_owned()))?;
    let (name, kind) = (next().unwrap_or_default(), next().unwrap_or_default());
    let bucket = next();
    let kind = match (kind.as_str(), bucket) {
        ("LOCAL", _) => StorageKind::Local,
        ("S3", Some(bucket)) => StorageKind::S3(S3Storage {
            bucket,
            region: next().unwrap_or_default(),
            endpoint: next(),
            prefix: next().unwrap_or_default(),
            virtual_hosted_style: next().as_deref() == Some("true"),
            skip_tls_verify: next().as_deref() == Some("true"),
            access_key: next().unwrap_or_default(),
            secret_key: next().unwrap_or_default(),
        }),
        _ => StorageKind::Other(kind),
    };
    Ok(Storage { id, name, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(prefix: &str, endpoint: Option<&str>) -> S3Storage {
        S3Storage {
            bucket: "prod".to_owned(),
            region: String::new(),
            endpoint: endpoint.map(str::to_owned),
            prefix: prefix.to_owned(),
            virtual_hosted_style: false,
            skip_tls_verify: false,
            access_key: "AK".to_owned(),
            secret_key: String::new(),
        }
    }

    #[test]
    fn a_prefix_is_read_as_databasus_reads_it() {
        let cases = [
            ("", ""),
            ("/", ""),
            ("hw", "hw/"),
            ("/a/b/", "a/b/"),
            ("//a", "/a/"),
        ];
        for (typed, expected) in cases {
            assert_eq!(s3(typed, None).key_prefix(), expected, "{typed:?}");
        }
    }

    #[test]
    fn an_endpoint_without_a_scheme_is_https() {
        let url = |endpoint| s3("", endpoint).endpoint_url();
        assert_eq!(
            url(Some("x.example:9000")).as_deref(),
            Some("https://x.example:9000")
        );
        assert_eq!(url(Some("http://x")).as_deref(), Some("http://x"));
        assert_eq!((url(Some("")), url(None)), (None, None));
    }

    #[test]
    fn blank_credentials_are_none() {
        let key = SecretKey::new(vec![b'k'; 72]).unwrap();
        assert!(s3("", None).keys(&key).unwrap().is_none());
    }
}
