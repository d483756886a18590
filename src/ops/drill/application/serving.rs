//! Whether Databasus serves what lies in its storage.

use std::io;

use crate::base::digest::Digest;
use crate::databasus::newest_dumps::NewestDump;
use crate::ops::drill::database;
use crate::ops::drill::trouble::Trouble;
use crate::ops::drill::work::Work;

use super::client::Api;
use super::trouble::ApplicationTrouble;

/// A backup that Databasus serves as it was stored.
pub(super) struct Served {
    size: u64,
    sha256: Digest,
    misannounced: bool,
}

/// Reads the backup straight from its storage, then through Databasus; nothing of either is kept.
pub(super) fn serve(work: &Work<'_>, api: &Api<'_>, dump: &NewestDump) -> Result<Served, Trouble> {
    let name = work.catalogue.name_of(dump.database);
    let backup = database::open(work, name, dump)?;
    let right = backup.copy_to(&mut io::sink(), work.cancel, &|_| {})?;
    let served = api.download(dump.id, right.size, work.cancel)?;
    match (served.size, served.sha256) == (right.size, right.sha256) {
        true => Ok(Served {
            size: right.size,
            sha256: right.sha256,
            misannounced: served.misannounced,
        }),
        false => Err(ApplicationTrouble::OtherContent {
            served: served.sha256,
            served_size: served.size,
            sha256: right.sha256,
            size: right.size,
        }
        .into()),
    }
}

impl std::fmt::Display for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, SHA-256 {}", self.size, self.sha256)?;
        match self.misannounced {
            true => f.write_str(", announced with another length, as Databasus does with MySQL"),
            false => Ok(()),
        }
    }
}
