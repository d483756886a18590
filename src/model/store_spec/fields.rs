//! A store's flat form, shared by `[[store]]` tables and command-line queries: the checks are
//! written once.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::lock::{self, LockFields};
use super::{
    CredentialsSource, Place, S3Place, SecretPlace, StoreProblem, StoreSpec, StoreSpecError,
};
use crate::base::names::StoreName;

/// Every key a store can have. Which of them go together is decided by [`StoreFields::check`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::model) struct StoreFields {
    name: StoreName,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default = "yes")]
    required: bool,
    provider: Option<String>,
    lock: Option<LockFields>,
    path: Option<PathBuf>,
    bucket: Option<String>,
    prefix: Option<String>,
    endpoint: Option<String>,
    region: Option<String>,
    path_style: Option<bool>,
    access_key_id: Option<String>,
    secret_access_key_file: Option<PathBuf>,
    session_token_file: Option<PathBuf>,
    account_id: Option<String>,
    token_id: Option<String>,
    token_value_file: Option<PathBuf>,
    temporary_credentials: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    S3,
    Dir,
}

fn yes() -> bool {
    true
}

/// The secret that `key` would hold in clear, if it is one of those people try to write down.
pub(in crate::model) fn secret_in_clear(key: &str) -> Option<&'static str> {
    ["secret_access_key", "token_value", "session_token"]
        .into_iter()
        .find(|secret| *secret == key)
}

impl StoreFields {
    /// Turns the keys into a store, or says which of them is wrong.
    pub(in crate::model) fn check(self) -> Result<StoreSpec, StoreSpecError> {
        let store = self.name.clone();
        self.spec()
            .map_err(|problem| StoreSpecError { store, problem })
    }

    fn spec(self) -> Result<StoreSpec, StoreProblem> {
        demand(self.provider.as_deref(), "provider", LABEL, is_label)?;
        Ok(StoreSpec {
            name: self.name.clone(),
            required: self.required,
            provider: self.provider.clone(),
            lock: self.lock.as_ref().map(LockFields::check).transpose()?,
            place: match self.kind {
                Kind::Dir => self.dir()?,
                Kind::S3 => Place::S3(self.s3()?),
            },
        })
    }

    fn dir(self) -> Result<Place, StoreProblem> {
        let s3_keys = [
            ("lock", self.lock.is_some()),
            ("bucket", self.bucket.is_some()),
            ("prefix", self.prefix.is_some()),
            ("endpoint", self.endpoint.is_some()),
            ("region", self.region.is_some()),
            ("path_style", self.path_style.is_some()),
            ("access_key_id", self.access_key_id.is_some()),
            (
                "secret_access_key_file",
                self.secret_access_key_file.is_some(),
            ),
            ("session_token_file", self.session_token_file.is_some()),
            ("account_id", self.account_id.is_some()),
            ("token_id", self.token_id.is_some()),
            ("token_value_file", self.token_value_file.is_some()),
            (
                "temporary_credentials",
                self.temporary_credentials.is_some(),
            ),
        ];
        if let Some((key, _)) = s3_keys.into_iter().find(|(_, given)| *given) {
            return Err(StoreProblem::Misplaced { kind: "dir", key });
        }
        let path = self.path.ok_or(StoreProblem::Missing {
            kind: "dir",
            key: "path",
        })?;
        demand_path(Some(&path), "path")?;
        Ok(Place::Dir { path })
    }

    fn s3(self) -> Result<S3Place, StoreProblem> {
        if self.path.is_some() {
            return Err(StoreProblem::Misplaced {
                kind: "s3",
                key: "path",
            });
        }
        let credentials = self.credentials()?;
        let bucket = self.bucket.ok_or(StoreProblem::Missing {
            kind: "s3",
            key: "bucket",
        })?;
        demand(Some(&bucket), "bucket", BUCKET, is_bucket)?;
        let prefix = self.prefix.unwrap_or_default().trim_matches('/').to_owned();
        demand(Some(&prefix), "prefix", PREFIX, is_prefix)?;
        if let Some(endpoint) = &self.endpoint {
            check_endpoint(endpoint)?;
        }
        let region = self.region.unwrap_or_else(|| "auto".to_owned());
        demand(Some(&region), "region", LABEL, is_label)?;
        let place = S3Place {
            bucket,
            prefix,
            endpoint: self
                .endpoint
                .map(|url| url.trim_end_matches('/').to_owned()),
            region,
            path_style: self.path_style.unwrap_or(true),
            credentials,
        };
        if place.endpoint_url().is_none() && place.region == "auto" {
            return Err(malformed(
                "region",
                "an AWS region where no `endpoint` is given",
            ));
        }
        Ok(place)
    }

    fn credentials(&self) -> Result<CredentialsSource, StoreProblem> {
        self.check_words()?;
        let alone = |key, partner| StoreProblem::Alone { key, partner };
        let r2 = match (&self.account_id, &self.token_id) {
            (Some(account), Some(token)) => Some((account.clone(), token.clone())),
            (None, None) if self.token_value_file.is_some() => {
                return Err(alone("token_value_file", "token_id"));
            }
            (None, None) if self.temporary_credentials.is_some() => {
                return Err(alone("temporary_credentials", "token_id"));
            }
            (None, None) => None,
            (Some(_), None) => return Err(alone("account_id", "token_id")),
            (None, Some(_)) => return Err(alone("token_id", "account_id")),
        };
        let files = (&self.secret_access_key_file, &self.session_token_file);
        match (r2, &self.access_key_id, files) {
            (None, Some(id), (secret, session_token)) => Ok(CredentialsSource::AccessKey {
                id: id.clone(),
                secret: SecretPlace::from_file(secret),
                session_token: SecretPlace::from_file(session_token),
            }),
            (None, None, (Some(_), _)) => Err(alone("secret_access_key_file", "access_key_id")),
            (None, None, (_, Some(_))) => Err(alone("session_token_file", "access_key_id")),
            (None, None, (None, None)) => Ok(CredentialsSource::Environment),
            (Some((account_id, token_id)), None, (None, None)) => Ok(CredentialsSource::R2Token {
                account_id,
                token_id,
                token_value: SecretPlace::from_file(&self.token_value_file),
                temporary: self.temporary_credentials.unwrap_or(false),
            }),
            (Some(_), _, _) => Err(StoreProblem::TwoCredentials),
        }
    }

    /// Each of the credentials' parts by itself.
    fn check_words(&self) -> Result<(), StoreProblem> {
        for (word, key) in [
            (&self.access_key_id, "access_key_id"),
            (&self.token_id, "token_id"),
        ] {
            demand(word.as_deref(), key, WORD, is_word)?;
        }
        demand(
            self.account_id.as_deref(),
            "account_id",
            ACCOUNT,
            is_account,
        )?;
        for (file, key) in [
            (&self.secret_access_key_file, "secret_access_key_file"),
            (&self.session_token_file, "session_token_file"),
            (&self.token_value_file, "token_value_file"),
        ] {
            demand_path(file.as_deref(), key)?;
        }
        Ok(())
    }
}

impl StoreSpec {
    /// The store as a table of `escrow.toml`; [`super::super::config::Config::parse`] reads it
    /// back to the same value. Holds no secret.
    pub fn to_toml_table(&self) -> toml::Table {
        let mut table = toml::Table::new();
        let mut text = |key: &str, value: &str| {
            table.insert(key.to_owned(), value.into());
        };
        text("name", self.name.as_str());
        if let Some(provider) = &self.provider {
            text("provider", provider);
        }
        match &self.place {
            Place::Dir { path } => {
                text("type", "dir");
                text("path", &path.to_string_lossy());
            }
            Place::S3(place) => place.write(&mut text),
        }
        if !self.required {
            table.insert("required".to_owned(), false.into());
        }
        if let Place::S3(S3Place {
            path_style: false, ..
        }) = self.place
        {
            table.insert("path_style".to_owned(), false.into());
        }
        if let Place::S3(place) = &self.place
            && place.is_temporary()
        {
            table.insert("temporary_credentials".to_owned(), true.into());
        }
        if let Some(policy) = &self.lock {
            table.insert("lock".to_owned(), lock::to_table(policy).into());
        }
        table
    }
}

impl S3Place {
    fn write(&self, text: &mut impl FnMut(&str, &str)) {
        text("type", "s3");
        text("bucket", &self.bucket);
        if !self.prefix.is_empty() {
            text("prefix", &self.prefix);
        }
        if let Some(endpoint) = &self.endpoint {
            text("endpoint", endpoint);
        }
        if self.region != "auto" {
            text("region", &self.region);
        }
        match &self.credentials {
            CredentialsSource::Environment => {}
            CredentialsSource::AccessKey {
                id,
                secret,
                session_token,
            } => {
                text("access_key_id", id);
                secret.write("secret_access_key_file", text);
                session_token.write("session_token_file", text);
            }
            CredentialsSource::R2Token {
                account_id,
                token_id,
                token_value,
                ..
            } => {
                text("account_id", account_id);
                text("token_id", token_id);
                token_value.write("token_value_file", text);
            }
        }
    }
}

impl SecretPlace {
    fn from_file(file: &Option<PathBuf>) -> Self {
        file.clone().map_or(Self::Environment, Self::File)
    }

    fn write(&self, key: &str, text: &mut impl FnMut(&str, &str)) {
        if let Self::File(path) = self {
            text(key, &path.to_string_lossy());
        }
    }
}

const LABEL: &str = "1 to 63 of a-z, 0-9, '.', '_', '-'";
const BUCKET: &str = "1 to 255 of letters, digits, '.', '_', '-'";
const PREFIX: &str = "names separated by single slashes, none of them '.' or '..'";
const WORD: &str = "one word of visible ASCII characters";
const ACCOUNT: &str = "the account id, 1 to 64 letters and digits";
const PATH: &str = "a path without control characters";
const ENDPOINT: &str = "a base URL such as https://host:port, without query or fragment";

fn malformed(key: &str, expected: &'static str) -> StoreProblem {
    StoreProblem::Malformed {
        key: key.to_owned(),
        expected,
    }
}

fn demand(
    value: Option<&str>,
    key: &str,
    expected: &'static str,
    holds: fn(&str) -> bool,
) -> Result<(), StoreProblem> {
    if value.is_none_or(holds) {
        Ok(())
    } else {
        Err(malformed(key, expected))
    }
}

fn demand_path(path: Option<&Path>, key: &str) -> Result<(), StoreProblem> {
    let text = path.map(Path::to_string_lossy);
    demand(text.as_deref(), key, PATH, |path| {
        !path.is_empty() && !path.contains(char::is_control)
    })
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

fn is_bucket(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn is_prefix(text: &str) -> bool {
    text.is_empty()
        || (text.len() <= 512
            && !text.contains(char::is_control)
            && text.split('/').all(|part| !matches!(part, "" | "." | "..")))
}

fn is_word(text: &str) -> bool {
    (1..=512).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The account id becomes part of a host name.
fn is_account(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn check_endpoint(url: &str) -> Result<(), StoreProblem> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| malformed("endpoint", ENDPOINT))?;
    if rest.contains('@') {
        return Err(StoreProblem::UserInfo);
    }
    let host = rest.split('/').next().unwrap_or_default();
    let visible = rest
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"?#\\\"<>".contains(&b));
    if host.is_empty() || !visible {
        return Err(malformed("endpoint", ENDPOINT));
    }
    Ok(())
}
