//! Where the escrows are, as somebody on another box reaches them.

use std::path::PathBuf;

use serde::Serialize;

use crate::base::names::StoreName;
use crate::model::config::Config;
use crate::model::store_spec::{CredentialsSource, Place, S3Place, SecretPlace, StoreSpec};

/// A place that holds escrows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CardStore {
    /// The name in the configuration.
    pub name: StoreName,
    /// Whose it is, where the configuration says so.
    pub provider: Option<String>,
    /// Where it is.
    pub place: CardPlace,
    /// The same as `--store` takes it, unquoted.
    pub argument: String,
    /// Variables to set before a command is run.
    pub variables: Vec<CardVariable>,
}

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CardPlace {
    /// A directory of the host that made the card.
    Dir(PathBuf),
    /// A bucket.
    S3 {
        /// Its name.
        bucket: String,
        /// Empty where escrows lie at the bucket's root.
        prefix: String,
        /// None for AWS itself.
        endpoint: Option<String>,
        /// What requests are signed for.
        region: String,
    },
}

/// An environment variable that carries a secret, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CardVariable {
    /// Its name.
    pub name: String,
    /// What it has to hold, in words.
    pub holds: &'static str,
}

impl CardStore {
    pub(super) fn of(spec: &StoreSpec, config: &Config) -> Self {
        let reader = elsewhere(spec, config);
        Self {
            name: spec.name.clone(),
            provider: spec.provider.clone(),
            argument: reader.to_argument(),
            variables: variables(&reader),
            place: CardPlace::of(&reader.place),
        }
    }
}

impl CardPlace {
    fn of(place: &Place) -> Self {
        match place {
            Place::Dir { path } => Self::Dir(path.clone()),
            Place::S3(place) => Self::S3 {
                bucket: place.bucket.clone(),
                prefix: place.prefix.clone(),
                endpoint: place.endpoint_url(),
                region: place.region.clone(),
            },
        }
    }
}

/// The store as another box reads it, where relative paths mean nothing and the files with this
/// host's secrets do not exist. What only a writer needs is left out: people will type it.
pub(super) fn elsewhere(spec: &StoreSpec, config: &Config) -> StoreSpec {
    let place = match &spec.place {
        Place::Dir { path } => Place::Dir {
            path: config.resolve(path),
        },
        Place::S3(place) => Place::S3(S3Place {
            credentials: from_environment(&place.credentials),
            ..place.clone()
        }),
    };
    StoreSpec {
        name: spec.name.clone(),
        required: true,
        provider: None,
        lock: None,
        place,
    }
}

fn from_environment(credentials: &CredentialsSource) -> CredentialsSource {
    let mut credentials = credentials.clone();
    match &mut credentials {
        CredentialsSource::Environment => {}
        CredentialsSource::AccessKey {
            secret,
            session_token,
            ..
        } => {
            *secret = SecretPlace::Environment;
            *session_token = SecretPlace::Environment;
        }
        // In a disaster the token itself has less that can go wrong.
        CredentialsSource::R2Token {
            token_value,
            temporary,
            ..
        } => {
            *token_value = SecretPlace::Environment;
            *temporary = false;
        }
    }
    credentials
}

fn variables(spec: &StoreSpec) -> Vec<CardVariable> {
    let named = match &spec.place {
        Place::Dir { .. } => Vec::new(),
        Place::S3(place) => place.credentials.variables(&spec.name),
    };
    let named = named.into_iter();
    named
        .map(|(name, holds)| CardVariable { name, holds })
        .collect()
}
