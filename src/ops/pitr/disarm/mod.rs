//! Disarming: a rewound directory must not act as the source did. It would archive into the
//! source's archive, stream from its primary, run its commands and load libraries that this host
//! lacks.
//!
//! Everything that was armed is listed, whether it was taken away, cannot run any more, or merely
//! deserves to be known.

use serde::Serialize;

mod catalogues;
mod files;
mod mask;
mod own;

pub use catalogues::catalogues;
pub use files::files;
pub use own::{Finished, configure, write_signal};

/// A database that every cluster has and lets a superuser into.
pub const ANY_DATABASE: &str = "template1";

/// Something of the source that could have acted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Armed {
    /// What sort of thing.
    pub kind: Kind,
    /// Its name: of a setting, a subscription, a file.
    pub name: String,
    /// Its value, with what looks like a secret masked.
    pub value: String,
    /// Where it stood: a file, with its line, or a catalogue.
    pub place: String,
    /// What became of it.
    pub now: Now,
    /// What else is to be known.
    pub note: Option<String>,
}

/// What could have acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// WAL would have been archived.
    Archiving,
    /// A program would have been run.
    Command,
    /// A connection to a primary, or what waits for a standby.
    Replication,
    /// A library would have been loaded.
    Library,
    /// Replay would have stopped somewhere else.
    RecoveryTarget,
    /// It would have listened.
    Listening,
    /// A file or folder outside of the directory.
    FileOutside,
    /// A line that no server reads.
    Unreadable,
    /// A file that changes how a server starts.
    SignalFile,
    /// A replication slot.
    Slot,
    /// A subscription to a publication elsewhere.
    Subscription,
    /// A server elsewhere that queries reach.
    ForeignServer,
    /// Functions of an extension whose library this PostgreSQL lacks.
    MissingLibrary,
    /// A prepared transaction, which holds its locks until somebody ends it.
    PreparedTransaction,
    /// A database that could not be looked into.
    Unknown,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Now {
    /// It is gone from what the server reads.
    Removed,
    /// It is there and cannot act.
    Idle,
    /// It is there as it was.
    Kept,
}
