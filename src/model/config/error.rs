//! What is wrong with a configuration: where, what, and what to write instead.

use std::fmt;
use std::ops::Range;

use crate::base::names::StoreName;
use crate::base::text::printable;
use crate::model::store_spec::{StoreSpecError, UnknownKey, secret_in_clear};

/// A configuration that cannot be used. No part of the file is repeated but keys and values of
/// the wrong type: another line may hold what must not be shown.
#[derive(Debug)]
pub struct ConfigError {
    /// The line it is about, counted from 1; none where something is missing altogether.
    pub line: Option<usize>,
    /// What is wrong there.
    pub problem: ConfigProblem,
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    /// Not TOML, a missing key, or a value of the wrong type or range.
    #[error("{0}")]
    Value(String),
    /// A key that nothing reads.
    #[error("{0}")]
    UnknownKey(UnknownKey),
    /// A secret where only its whereabouts may stand.
    #[error(
        "`{0}` must not stand in the configuration; name a file with `{0}_file` or set the environment"
    )]
    SecretInClear(&'static str),
    /// A store that cannot be what it says.
    #[error(transparent)]
    Store(#[from] StoreSpecError),
    /// Two stores whose environment variables would be the same.
    #[error("stores {other} and {name} share a name, or their environment variables; rename one")]
    StoresAlike {
        /// The later one.
        name: StoreName,
        /// The earlier one.
        other: StoreName,
    },
    /// Nowhere to put anything.
    #[error("there is no store; add a [[store]] table with `name` and `type`")]
    NoStore,
    /// One stolen host would be both the secrets and what opens them.
    #[error(
        "[open] and [source] exclude each other: an identity never lies on the host that is escrowed; open escrows on another box"
    )]
    SourceAndOpen,
    /// Manifests are always signed.
    #[error(
        "[source] needs [signing] with `key_file` and `signer`: what is not signed counts for nothing"
    )]
    NothingToSignWith,
}

impl ConfigError {
    pub(super) fn of(problem: ConfigProblem) -> Self {
        Self {
            line: None,
            problem,
        }
    }

    pub(super) fn at(text: &str, span: Range<usize>, problem: ConfigProblem) -> Self {
        let before = text.as_bytes().get(..span.start).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Self {
            line: Some(line),
            problem,
        }
    }

    /// Takes position and message only: the full text of a TOML error quotes the line, and
    /// with it whatever stands there.
    pub(super) fn from_toml(text: &str, error: &toml::de::Error) -> Self {
        let problem = match UnknownKey::from_serde(error.message()) {
            Some(unknown) => match secret_in_clear(&unknown.key) {
                Some(key) => ConfigProblem::SecretInClear(key),
                None => ConfigProblem::UnknownKey(unknown),
            },
            None => {
                ConfigProblem::Value(printable(&error.message().replace('\n', ", ")).into_owned())
            }
        };
        match error.span() {
            Some(span) => Self::at(text, span, problem),
            None => Self::of(problem),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        fmt::Display::fmt(&self.problem, f)
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.problem.source()
    }
}
