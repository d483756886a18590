//! Where a store is and how to reach it, without a single secret: as a table of `escrow.toml`
//! or as one word of a command line.

mod argument;
mod credentials;
mod fields;
mod lock;

use std::path::PathBuf;

use super::lock::LockPolicy;
use crate::base::names::StoreName;

pub(super) use self::credentials::variable_prefix;
pub use self::credentials::{Credentials, CredentialsError, CredentialsSource, SecretPlace};
pub(super) use self::fields::{StoreFields, secret_in_clear};
pub use super::suggest::UnknownKey;

/// A store as the configuration or the command line names it.
///
/// It exists only once its parts have been checked, save where tests build one by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSpec {
    /// What people call it.
    pub name: StoreName,
    /// Whether a run that did not reach it counts as partial.
    pub required: bool,
    /// A label for the manifest: `r2`, `aws`, `latitude`.
    pub provider: Option<String>,
    /// How what is written there is locked; none where it is not.
    pub lock: Option<LockPolicy>,
    /// Where it is.
    pub place: Place,
}

/// Where a store's objects lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A directory.
    Dir {
        /// As written; relative to the configuration file where it came from one.
        path: PathBuf,
    },
    /// A bucket behind an S3 interface.
    S3(S3Place),
}

/// A bucket, or the part of one below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Place {
    /// The bucket's name.
    pub bucket: String,
    /// Without slashes at its ends; empty where the store is the whole bucket.
    pub prefix: String,
    /// Base URL of the S3 interface, as written; see [`S3Place::endpoint_url`].
    pub endpoint: Option<String>,
    /// What requests are signed for; `auto` on R2.
    pub region: String,
    /// Whether the bucket's name goes into the path rather than the host name.
    pub path_style: bool,
    /// Where the credentials are found when they are needed.
    pub credentials: CredentialsSource,
}

impl S3Place {
    /// Base URL of the S3 interface: as written, else R2's for the token's account; none means
    /// AWS itself, in the region given.
    pub fn endpoint_url(&self) -> Option<String> {
        match (&self.endpoint, &self.credentials) {
            (Some(endpoint), _) => Some(endpoint.clone()),
            (None, CredentialsSource::R2Token { account_id, .. }) => {
                Some(format!("https://{account_id}.r2.cloudflarestorage.com"))
            }
            (None, _) => None,
        }
    }

    /// Whether each run makes its requests with short-lived credentials that it signs itself.
    pub fn is_temporary(&self) -> bool {
        let CredentialsSource::R2Token { temporary, .. } = &self.credentials else {
            return false;
        };
        *temporary
    }
}

/// A store that cannot be what it says.
#[derive(Debug, thiserror::Error)]
#[error("store {store}: {problem}")]
pub struct StoreSpecError {
    /// The store.
    pub store: StoreName,
    /// What is wrong with it.
    pub problem: StoreProblem,
}

/// What is wrong with a store's description. Values are never repeated: one of them may be a
/// secret in the wrong place.
#[derive(Debug, thiserror::Error)]
pub enum StoreProblem {
    /// Neither `dir:` nor `s3://`.
    #[error("the address must be dir:/path or s3://bucket/prefix, after an optional NAME=")]
    Address,
    /// The word before `=` is no name.
    #[error(
        "the name before `=` must be 1 to 63 of a-z, 0-9, '.', '_', '-', starting with a letter or digit"
    )]
    Name,
    /// A key that this kind of store cannot do without.
    #[error("a store of type {kind} needs `{key}`")]
    Missing {
        /// `s3` or `dir`.
        kind: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A key of the other kind.
    #[error("`{key}` means nothing to a store of type {kind}; remove it")]
    Misplaced {
        /// `s3` or `dir`.
        kind: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A value that cannot be right.
    #[error("`{key}` must be {expected}")]
    Malformed {
        /// The key.
        key: String,
        /// What a right value looks like.
        expected: &'static str,
    },
    /// One half of a pair.
    #[error("`{key}` needs `{partner}` beside it")]
    Alone {
        /// The key that was given.
        key: &'static str,
        /// The one that was not.
        partner: &'static str,
    },
    /// Two kinds of credentials at once.
    #[error("give either `access_key_id` or the R2 token (`account_id`, `token_id`), not both")]
    TwoCredentials,
    /// A user or password in a URL, where logs and process lists would show it.
    #[error("credentials do not belong into an address; name a file or set the environment")]
    UserInfo,
    /// A secret where only its whereabouts may stand.
    #[error(
        "`{0}` must not stand here in clear; name a file with `{0}_file` or set the environment"
    )]
    SecretInClear(&'static str),
    /// A query key twice.
    #[error("`{0}` is given twice")]
    Twice(String),
    /// A query key that nothing reads.
    #[error("{0}")]
    UnknownKey(UnknownKey),
    /// The query does not fit together otherwise.
    #[error("{0}")]
    Query(String),
}
