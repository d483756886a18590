//! Where a store's credentials are, and how they are fetched at the last moment.

use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize;

use crate::base::names::StoreName;

/// Where a store's credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsSource {
    /// Both halves from the environment: `ESCROW_<NAME>_ACCESS_KEY_ID`,
    /// `…_SECRET_ACCESS_KEY` and perhaps `…_SESSION_TOKEN`; where none of them is set, the
    /// `AWS_…` variables.
    Environment,
    /// An access key id with its secret elsewhere.
    AccessKey {
        /// Not a secret.
        id: String,
        /// `ESCROW_<NAME>_SECRET_ACCESS_KEY`, or a file.
        secret: SecretPlace,
        /// With credentials that somebody else made for a short while:
        /// `ESCROW_<NAME>_SESSION_TOKEN` where that is set, or a file.
        session_token: SecretPlace,
    },
    /// A Cloudflare R2 API token.
    R2Token {
        /// Part of R2's host name.
        account_id: String,
        /// Serves as access key id.
        token_id: String,
        /// `ESCROW_<NAME>_TOKEN_VALUE`, or a file.
        token_value: SecretPlace,
        /// Whether each run signs short-lived credentials with it, for this bucket and prefix
        /// and what the command at hand needs, and makes its requests with those.
        temporary: bool,
    },
}

/// Where a single secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// In the variable that belongs to the store.
    Environment,
    /// In a file that holds nothing else; one newline at its end is not part of it.
    File(PathBuf),
}

/// What requests to a store are signed with.
#[derive(Debug)]
pub struct Credentials {
    /// Not a secret.
    pub access_key_id: String,
    /// The signing key.
    pub secret_access_key: SecretString,
    /// Only with temporary credentials.
    pub session_token: Option<SecretString>,
}

/// The credentials are not where they should be.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Nothing at all.
    #[error(
        "store {store} has no credentials: set {prefix}ACCESS_KEY_ID and {prefix}SECRET_ACCESS_KEY (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), or configure `access_key_id` and `secret_access_key_file`"
    )]
    None {
        /// The store.
        store: StoreName,
        /// What its variables begin with.
        prefix: String,
    },
    /// The variable that the rest of the configuration calls for.
    #[error("store {store}: the environment variable {variable} is not set")]
    Variable {
        /// The store.
        store: StoreName,
        /// Its name.
        variable: String,
    },
    /// The file cannot be read.
    #[error("store {store}: cannot read {}", path.display())]
    File {
        /// The store.
        store: StoreName,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The secret is empty, or more than one word.
    #[error("store {store}: {place} must hold the secret alone, in one line")]
    NotASecret {
        /// The store.
        store: StoreName,
        /// The variable or the file.
        place: String,
    },
}

/// What a store's environment variables begin with: `ESCROW_USB_2_` for `usb-2`.
pub(in crate::model) fn variable_prefix(store: &StoreName) -> String {
    let name = store.as_str().to_ascii_uppercase().replace(['.', '-'], "_");
    format!("ESCROW_{name}_")
}

/// The environment and the files, as the caller sees them.
struct Surroundings<'a> {
    store: &'a StoreName,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    read_file: &'a dyn Fn(&Path) -> io::Result<String>,
}

impl CredentialsSource {
    /// Fetches the credentials of `store`. `lookup` is the environment, `read_file` is handed
    /// paths as they are written in the configuration.
    pub fn resolve(
        &self,
        store: &StoreName,
        lookup: &dyn Fn(&str) -> Option<String>,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<Credentials, CredentialsError> {
        let around = Surroundings {
            store,
            lookup,
            read_file,
        };
        match self {
            Self::Environment => around.environment(),
            Self::AccessKey {
                id,
                secret,
                session_token,
            } => Ok(Credentials {
                access_key_id: id.clone(),
                secret_access_key: around.secret(secret, "SECRET_ACCESS_KEY")?,
                session_token: match session_token {
                    SecretPlace::Environment => around.session_token(&variable_prefix(store))?,
                    SecretPlace::File(_) => Some(around.secret(session_token, "SESSION_TOKEN")?),
                },
            }),
            Self::R2Token {
                token_id,
                token_value,
                ..
            } => Ok(Credentials {
                access_key_id: token_id.clone(),
                secret_access_key: r2_secret(&around.secret(token_value, "TOKEN_VALUE")?),
                session_token: None,
            }),
        }
    }
}

impl CredentialsSource {
    /// The environment variables in which [`CredentialsSource::resolve`] first looks for what
    /// `store` needs, each with what it holds. Empty where files hold it.
    pub fn variables(&self, store: &StoreName) -> Vec<(String, &'static str)> {
        let wanted: &[(&str, &'static str)] = match self {
            Self::Environment => &[
                ("ACCESS_KEY_ID", "the access key's id"),
                ("SECRET_ACCESS_KEY", "the access key's secret"),
            ],
            Self::AccessKey {
                secret: SecretPlace::Environment,
                ..
            } => &[("SECRET_ACCESS_KEY", "the access key's secret")],
            Self::R2Token {
                token_value: SecretPlace::Environment,
                ..
            } => &[("TOKEN_VALUE", "the API token's value")],
            Self::AccessKey { .. } | Self::R2Token { .. } => &[],
        };
        let prefix = variable_prefix(store);
        let named = wanted.iter();
        named
            .map(|(name, holds)| (format!("{prefix}{name}"), *holds))
            .collect()
    }
}

impl Surroundings<'_> {
    /// An empty variable counts as unset: that is how compose files leave one out.
    fn variable(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn environment(&self) -> Result<Credentials, CredentialsError> {
        let own = variable_prefix(self.store);
        let prefixes = [own.as_str(), "AWS_"];
        let set = |prefix: &&str| {
            ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY"]
                .iter()
                .any(|name| self.variable(&format!("{prefix}{name}")).is_some())
        };
        let Some(prefix) = prefixes.into_iter().find(set) else {
            let store = self.store.clone();
            return Err(CredentialsError::None { store, prefix: own });
        };
        Ok(Credentials {
            access_key_id: self.demanded(&format!("{prefix}ACCESS_KEY_ID"))?,
            secret_access_key: self.secret_variable(&format!("{prefix}SECRET_ACCESS_KEY"))?,
            session_token: self.session_token(prefix)?,
        })
    }

    fn session_token(&self, prefix: &str) -> Result<Option<SecretString>, CredentialsError> {
        let name = format!("{prefix}SESSION_TOKEN");
        self.variable(&name)
            .map(|value| self.sealed(value, &name))
            .transpose()
    }

    fn demanded(&self, name: &str) -> Result<String, CredentialsError> {
        self.variable(name)
            .ok_or_else(|| CredentialsError::Variable {
                store: self.store.clone(),
                variable: name.to_owned(),
            })
    }

    fn secret_variable(&self, name: &str) -> Result<SecretString, CredentialsError> {
        self.sealed(self.demanded(name)?, name)
    }

    fn secret(&self, place: &SecretPlace, name: &str) -> Result<SecretString, CredentialsError> {
        match place {
            SecretPlace::Environment => {
                self.secret_variable(&format!("{}{name}", variable_prefix(self.store)))
            }
            SecretPlace::File(path) => {
                let text = (self.read_file)(path).map_err(|source| CredentialsError::File {
                    store: self.store.clone(),
                    path: path.clone(),
                    source,
                })?;
                self.sealed(text, &path.display().to_string())
            }
        }
    }

    fn sealed(&self, mut text: String, place: &str) -> Result<SecretString, CredentialsError> {
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let one_word = !line.is_empty() && !line.contains(char::is_whitespace);
        let secret = SecretString::from(line);
        text.zeroize();
        one_word
            .then_some(secret)
            .ok_or_else(|| CredentialsError::NotASecret {
                store: self.store.clone(),
                place: place.to_owned(),
            })
    }
}

/// The S3 secret of an R2 API token: the lower-case hexadecimal SHA-256 of its value
/// (Cloudflare R2 documentation, "Get S3 API credentials from an API token").
fn r2_secret(token_value: &SecretString) -> SecretString {
    let digest = Sha256::digest(token_value.expose_secret().as_bytes());
    SecretString::from(hex::encode(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        source: &CredentialsSource,
        variables: &[(&str, &str)],
        files: &[(&str, &str)],
    ) -> Result<Credentials, CredentialsError> {
        let find = |list: &[(&str, &str)], key: &str| {
            let found = list.iter().find(|(name, _)| *name == key);
            found.map(|(_, value)| (*value).to_owned())
        };
        source.resolve(
            &"usb-2".parse().unwrap(),
            &|name| find(variables, name),
            &|path| find(files, path.to_str().unwrap()).ok_or(io::ErrorKind::NotFound.into()),
        )
    }

    fn secret(credentials: &Credentials) -> &str {
        credentials.secret_access_key.expose_secret()
    }

    #[test]
    fn a_stores_own_variables_win_over_the_common_ones() {
        let both = [
            ("ESCROW_USB_2_ACCESS_KEY_ID", "own"),
            ("ESCROW_USB_2_SECRET_ACCESS_KEY", "own-secret"),
            ("AWS_ACCESS_KEY_ID", "aws"),
            ("AWS_SECRET_ACCESS_KEY", "aws-secret"),
            ("AWS_SESSION_TOKEN", "aws-token"),
        ];
        let own = resolve(&CredentialsSource::Environment, &both, &[]).unwrap();
        assert_eq!(
            (own.access_key_id.as_str(), secret(&own)),
            ("own", "own-secret")
        );
        assert!(own.session_token.is_none());
        let aws = resolve(&CredentialsSource::Environment, &both[2..], &[]).unwrap();
        assert_eq!(
            (aws.access_key_id.as_str(), secret(&aws)),
            ("aws", "aws-secret")
        );
        assert!(aws.session_token.is_some());
    }

    #[test]
    fn halves_of_two_credentials_are_never_put_together() {
        let mixed = [
            ("ESCROW_USB_2_ACCESS_KEY_ID", "own"),
            ("AWS_SECRET_ACCESS_KEY", "aws-secret"),
        ];
        let error = resolve(&CredentialsSource::Environment, &mixed, &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "store usb-2: the environment variable ESCROW_USB_2_SECRET_ACCESS_KEY is not set"
        );
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let empty = [("ESCROW_USB_2_ACCESS_KEY_ID", "")];
        let error = resolve(&CredentialsSource::Environment, &empty, &[]).unwrap_err();
        assert!(matches!(error, CredentialsError::None { .. }), "{error}");
        assert!(error.to_string().contains("ESCROW_USB_2_ACCESS_KEY_ID"));
    }

    #[test]
    fn a_secret_file_loses_its_last_newline_and_nothing_else() {
        let source = CredentialsSource::AccessKey {
            id: "AK".to_owned(),
            secret: SecretPlace::File("key.txt".into()),
            session_token: SecretPlace::Environment,
        };
        for text in ["s3cr3t", "s3cr3t\n", "s3cr3t\r\n"] {
            let found = resolve(&source, &[], &[("key.txt", text)]).unwrap();
            assert_eq!(secret(&found), "s3cr3t");
        }
        for text in ["", "\n", "s3cr3t\n\n", "two words"] {
            let error = resolve(&source, &[], &[("key.txt", text)]).unwrap_err();
            assert!(matches!(error, CredentialsError::NotASecret { .. }));
            assert!(!error.to_string().contains("words"));
        }
        let error = resolve(&source, &[], &[]).unwrap_err();
        assert_eq!(error.to_string(), "store usb-2: cannot read key.txt");
    }

    #[test]
    fn a_session_token_comes_from_its_file_or_from_the_stores_own_variable() {
        let source = |session_token| CredentialsSource::AccessKey {
            id: "AK".to_owned(),
            secret: SecretPlace::File("key.txt".into()),
            session_token,
        };
        let files = [("key.txt", "s3cr3t\n"), ("token.txt", "from-file\n")];
        let variables = [
            ("ESCROW_USB_2_SESSION_TOKEN", "own"),
            ("AWS_SESSION_TOKEN", "somebody-elses"),
        ];
        let token = |source: CredentialsSource, variables| {
            let found = resolve(&source, variables, &files).unwrap();
            found.session_token.map(|t| t.expose_secret().to_owned())
        };
        let file = SecretPlace::File("token.txt".into());
        assert_eq!(token(source(file), &variables).unwrap(), "from-file");
        let environment = || source(SecretPlace::Environment);
        assert_eq!(token(environment(), &variables).unwrap(), "own");
        assert_eq!(token(environment(), &variables[1..]), None);
        let gone = source(SecretPlace::File("gone.txt".into()));
        assert!(resolve(&gone, &variables, &files).is_err());
    }

    /// `printf %s token-value | sha256sum`
    #[test]
    fn an_r2_token_signs_with_the_digest_of_its_value() {
        let source = CredentialsSource::R2Token {
            account_id: "0123456789abcdef0123456789abcdef".to_owned(),
            token_id: "token-id".to_owned(),
            token_value: SecretPlace::Environment,
            temporary: false,
        };
        let value = [("ESCROW_USB_2_TOKEN_VALUE", "token-value")];
        let found = resolve(&source, &value, &[]).unwrap();
        assert_eq!(found.access_key_id, "token-id");
        assert_eq!(
            secret(&found),
            "e6c02a5742ea9d4de588eb9b9de7bed43dc17011552186bed3e98b2c5958ff4a"
        );
    }

    #[test]
    fn the_variables_it_names_are_all_it_needs() {
        let sources = [
            CredentialsSource::Environment,
            CredentialsSource::AccessKey {
                id: "AK".to_owned(),
                secret: SecretPlace::Environment,
                session_token: SecretPlace::Environment,
            },
            CredentialsSource::R2Token {
                account_id: "0123456789abcdef0123456789abcdef".to_owned(),
                token_id: "token-id".to_owned(),
                token_value: SecretPlace::Environment,
                temporary: true,
            },
        ];
        for source in sources {
            let named = source.variables(&"usb-2".parse().unwrap());
            let set: Vec<(&str, &str)> = named.iter().map(|(name, _)| (&**name, "value")).collect();
            assert!(resolve(&source, &set, &[]).is_ok(), "{source:?}");
            assert!(resolve(&source, &set[1..], &[]).is_err(), "{source:?}");
        }
    }

    #[test]
    fn debug_output_hides_secrets() {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "aws"),
            ("AWS_SECRET_ACCESS_KEY", "hush-hush"),
        ];
        let found = resolve(&CredentialsSource::Environment, &variables, &[]).unwrap();
        assert!(!format!("{found:?}").contains("hush"));
    }
}
