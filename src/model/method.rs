//! How a snapshot was made consistent.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a source made its copy consistent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// `BASE_BACKUP` over the replication protocol from the running server.
    Online,
    /// The stopped container's files.
    Cold,
    /// A frozen tree (a filesystem snapshot): crash-consistent.
    Frozen,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Online => "online",
            Self::Cold => "cold",
            Self::Frozen => "frozen",
        })
    }
}
