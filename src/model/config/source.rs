//! `[source]`: the Databasus to make snapshots of.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

/// How a snapshot is to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceMethod {
    /// Online where the server answers, cold where it is proven stopped.
    #[default]
    Auto,
    /// Over the replication protocol.
    Online,
    /// The stopped container's files.
    Cold,
    /// A file system snapshot.
    Frozen,
}

impl SourceMethod {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Online => "online",
            Self::Cold => "cold",
            Self::Frozen => "frozen",
        }
    }
}

/// The Databasus to make snapshots of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SourceKeys")]
pub struct Source {
    /// How.
    pub method: SourceMethod,
    /// What the container sees as `/databasus-data`; with method `frozen` the frozen tree.
    pub data_dir: PathBuf,
    /// Where the embedded PostgreSQL listens.
    pub host: String,
    /// Its port.
    pub port: NonZeroU16,
    /// A role that may replicate.
    pub user: String,
    /// The metadata database.
    pub database: String,
    /// Whose network namespace PostgreSQL is reached through.
    pub reach: Option<Reach>,
    /// A `pg_dump` at least as new as the server; none means look for one.
    pub pg_dump: Option<PathBuf>,
    /// The image in use, for whoever rehydrates.
    pub image: Option<String>,
    /// The release in use, likewise.
    pub version: Option<String>,
    /// Only with method `frozen`.
    pub frozen: Option<Frozen>,
}

/// The way into PostgreSQL's network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The namespace of a container, by the container's name.
    Container(String),
    /// A namespace's file.
    Netns(PathBuf),
}

/// Commands around a frozen copy: a program and its arguments, run without a shell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frozen {
    /// Makes the snapshot.
    #[serde(default, deserialize_with = "command")]
    pub prepare: Option<Vec<String>>,
    /// Lets it go; run in every case.
    #[serde(default, deserialize_with = "command")]
    pub release: Option<Vec<String>>,
}

impl Default for Source {
    /// What the Databasus image fixes.
    fn default() -> Self {
        Self {
            method: SourceMethod::Auto,
            data_dir: data_dir(),
            host: "127.0.0.1".to_owned(),
            port: port(),
            user: "postgres".to_owned(),
            database: "databasus".to_owned(),
            reach: None,
            pg_dump: None,
            image: None,
            version: None,
            frozen: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceKeys {
    #[serde(default)]
    method: SourceMethod,
    #[serde(default = "data_dir")]
    data_dir: PathBuf,
    host: Option<String>,
    #[serde(default = "port")]
    port: NonZeroU16,
    user: Option<String>,
    database: Option<String>,
    container: Option<String>,
    netns: Option<PathBuf>,
    pg_dump: Option<PathBuf>,
    image: Option<String>,
    version: Option<String>,
    frozen: Option<Frozen>,
}

fn data_dir() -> PathBuf {
    PathBuf::from("/databasus-data")
}

/// Fixed in the Databasus image.
fn port() -> NonZeroU16 {
    const { NonZeroU16::new(5437).unwrap() }
}

impl TryFrom<SourceKeys> for Source {
    type Error = String;

    fn try_from(keys: SourceKeys) -> Result<Self, String> {
        keys.check_frozen()?;
        let reach = match (keys.container, keys.netns) {
            (Some(_), Some(_)) => {
                return Err(
                    "`container` and `netns` are two ways to one place; keep one".to_owned(),
                );
            }
            (Some(container), None) => Some(Reach::Container(word(container, "container")?)),
            (None, Some(netns)) => Some(Reach::Netns(netns)),
            (None, None) => None,
        };
        let default = Self::default();
        let optional_word =
            |value: Option<String>, key| value.map(|text| word(text, key)).transpose();
        Ok(Self {
            method: keys.method,
            data_dir: keys.data_dir,
            host: keys.host.map_or(Ok(default.host), host)?,
            port: keys.port,
            user: keys.user.unwrap_or(default.user),
            database: keys.database.unwrap_or(default.database),
            reach,
            pg_dump: keys.pg_dump,
            image: optional_word(keys.image, "image")?,
            version: optional_word(keys.version, "version")?,
            frozen: keys.frozen,
        })
    }
}

impl SourceKeys {
    fn check_frozen(&self) -> Result<(), String> {
        if self.frozen.is_some() && self.method != SourceMethod::Frozen {
            return Err(
                "[source.frozen] goes with method = \"frozen\" only; remove it, or set the method"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// Container names, images and versions end up in commands that people copy.
fn word(text: String, key: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@+".contains(&b);
    if text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(plain)
    {
        return Ok(text);
    }
    Err(format!(
        "`{key}` must begin with a letter or digit and go on with those or . _ - / : @ +"
    ))
}

fn host(text: String) -> Result<String, String> {
    let name = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if text.parse::<IpAddr>().is_ok() || (!text.is_empty() && text.bytes().all(name)) {
        return Ok(text);
    }
    Err("`host` must be a host name or an address; the port has its own key".to_owned())
}

fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let words = Vec::<String>::deserialize(deserializer)?;
    if words.first().is_none_or(String::is_empty) {
        return Err(serde::de::Error::custom(
            "a command needs a program: [\"zfs\", \"snapshot\", …]",
        ));
    }
    Ok(Some(words))
}
