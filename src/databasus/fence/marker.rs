//! `escrow-fence.json` at the top of a data directory: says that it is a fenced clone to those
//! who see files only. A cold or frozen snapshot cannot look into the schema.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::side_schema::FenceRecord;
use crate::base::names::{EscrowId, Slug};
use crate::base::time::UtcTime;

/// Its name. Databasus ignores what it does not know in its data directory.
pub const MARKER: &str = "escrow-fence.json";

/// A marker is some hundred bytes long; what is longer is none of this tool's.
const LARGEST: u64 = 64 << 10;

/// What stands in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The instance that the directory is a copy of.
    pub instance: Slug,
    /// The escrow that it comes from.
    pub escrow_id: EscrowId,
    /// When it was fenced.
    pub fenced_at: UtcTime,
    /// Name and version of the tool that fenced it.
    pub tool: String,
}

/// The marker could not be written, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum MarkerError {
    /// The filesystem said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The marker.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is there, and this tool did not write it so.
    #[error("{} is not a marker of this tool", path.display())]
    Malformed {
        /// The marker.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl Marker {
    /// The marker of a fence on record.
    pub fn of(record: &FenceRecord) -> Self {
        Self {
            instance: record.instance.clone(),
            escrow_id: record.escrow_id.clone(),
            fenced_at: record.made_at,
            tool: record.tool.clone(),
        }
    }

    /// Writes it, durably, over one that may be there.
    pub fn write(&self, data_dir: &Path) -> Result<(), MarkerError> {
        let path = data_dir.join(MARKER);
        let text = serde_json::to_vec_pretty(self).map_err(|source| MarkerError::Malformed {
            path: path.clone(),
            source,
        })?;
        replace(data_dir, &path, &text).map_err(failed("write", &path))
    }

    /// Reads it; none where there is none.
    pub fn read(data_dir: &Path) -> Result<Option<Self>, MarkerError> {
        let path = data_dir.join(MARKER);
        let mut bytes = Vec::new();
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed("open", &path))?,
        };
        let read = file.take(LARGEST).read_to_end(&mut bytes);
        read.map_err(failed("read", &path))?;
        let marker = serde_json::from_slice(&bytes);
        marker.map_err(|source| MarkerError::Malformed { path, source })
    }

    /// Removes it, durably; false where there was none.
    pub fn remove(data_dir: &Path) -> Result<bool, MarkerError> {
        let path = data_dir.join(MARKER);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.map_err(failed("remove", &path))?,
        }
        let directory = File::open(data_dir).and_then(|directory| directory.sync_all());
        directory.map_err(failed("remove", &path))?;
        Ok(true)
    }
}

/// Whether a data directory is marked as a clone, whatever the marker says.
pub fn is_marked(data_dir: &Path) -> bool {
    data_dir.join(MARKER).symlink_metadata().is_ok()
}

fn replace(directory: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> MarkerError + 'a {
    move |source| MarkerError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker() -> Marker {
        Marker {
            instance: "heatwave-prod".parse().unwrap(),
            escrow_id: "20260612T020000Z-0123456789abcdef".parse().unwrap(),
            fenced_at: UtcTime::from_unix(1_800_000_000),
            tool: "databasus-escrow 0.1.0".to_owned(),
        }
    }

    #[test]
    fn a_marker_comes_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Marker::read(dir.path()).unwrap(), None);
        marker().write(dir.path()).unwrap();
        marker().write(dir.path()).unwrap();
        assert!(is_marked(dir.path()));
        assert_eq!(Marker::read(dir.path()).unwrap(), Some(marker()));
        assert!(Marker::remove(dir.path()).unwrap());
        assert!(!Marker::remove(dir.path()).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_marker_marks_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(MARKER), "{}").unwrap();
        assert!(is_marked(dir.path()));
        assert!(matches!(
            Marker::read(dir.path()),
            Err(MarkerError::Malformed { .. })
        ));
    }
}
