//! The files of the data directory beside `pgdata`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{EntrySink, SinkError, SourceContent, SourceEntry, SourceError};
use crate::databasus::secret_key::SecretKey;

/// There is no key that could be escrowed.
#[derive(Debug, thiserror::Error)]
pub enum SecretKeyProblem {
    /// Not there.
    #[error("{0} does not exist")]
    Absent(PathBuf),
    /// Nothing in it.
    #[error("{0} is empty")]
    Empty(PathBuf),
    /// Not readable.
    #[error("cannot read {path}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What was not copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeftOut {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Reads the key.
pub fn read_secret_key(dir: &Path) -> Result<SecretKey, SecretKeyProblem> {
    let path = dir.join("secret.key");
    match fs::read(&path) {
        Ok(bytes) => SecretKey::new(bytes).map_err(|_| SecretKeyProblem::Empty(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(SecretKeyProblem::Absent(path))
        }
        Err(source) => Err(SecretKeyProblem::Unreadable { path, source }),
    }
}

/// Instance id.
pub fn instance_id(_dir: &Path) -> Option<String> {
    None
}

/// Copies.
pub fn copy_beside_pgdata(
    _dir: &Path,
    key: &SecretKey,
    sink: &mut dyn EntrySink,
) -> Result<LeftOut, SourceError> {
    let mut bytes = key.expose();
    sink.entry(SourceEntry {
        path: "secret.key".to_owned(),
        mode: 0o600,
        content: SourceContent::File {
            size: bytes.len() as u64,
            reader: &mut bytes,
        },
    })?;
    let _: Option<(File, SinkError)> = None;
    Ok(LeftOut::default())
}
