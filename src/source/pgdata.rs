//! The files of a cluster that does not change: what cold and frozen copies have in common.

use std::path::{Path, PathBuf};

use super::tree::{self, Keep, Node, Sender, TreeError, difference, read_error};
use super::{EntrySink, PgFacts, SourceError};
use crate::base::cancel::Cancel;
use crate::base::text::printable;
use crate::base::time::UtcTime;
use crate::postgres::control_file::{ClusterState, ControlFile};

/// The file that says where replay begins. A copy without it is none, so it comes last.
const CONTROL: &str = "global/pg_control";

/// Directories whose content means nothing to another server (`excludeDirContents` in
/// PostgreSQL's `basebackup.c`). Slots are among them: a clone that held them would keep log
/// for readers it does not have.
const EMPTIED: [&str; 7] = [
    "pg_dynshmem",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
];

/// Files of a running server, or of an earlier copy (`excludeFiles`, same place). Unlike there,
/// a `backup_label` stays: in a cluster that was copied and never started it says where replay
/// must begin.
const LEFT_OUT: [&str; 8] = [
    "backup_label.old",
    "backup_manifest",
    "current_logfiles",
    "current_logfiles.tmp",
    "postgresql.auto.conf.tmp",
    "postmaster.opts",
    "postmaster.pid",
    "tablespace_map.old",
];

/// Beginnings of names of temporary files and of caches that the server makes anew.
const LEFT_OUT_ANYWHERE: [&str; 2] = ["pgsql_tmp", "pg_internal.init"];

fn keep(path: &str) -> Keep {
    let name = path.rsplit('/').next().unwrap_or(path);
    if LEFT_OUT.contains(&path)
        || LEFT_OUT_ANYWHERE
            .iter()
            .any(|start| name.starts_with(start))
    {
        Keep::Nothing
    } else if EMPTIED.contains(&path) {
        Keep::Empty
    } else {
        Keep::Whole
    }
}

/// A cluster's directory is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum PgdataError {
    /// Something that every cluster has is not there.
    #[error("{} is no PostgreSQL data directory: it has no {missing}", pgdata.display())]
    NoCluster {
        /// The directory.
        pgdata: PathBuf,
        /// What it lacks.
        missing: &'static str,
    },
    /// `PG_VERSION` holds something else than a number.
    #[error("PG_VERSION says {:?}", printable(.0))]
    Version(String),
}

/// A listing of a cluster's files.
pub(super) struct Pgdata {
    root: PathBuf,
    root_mode: u32,
    nodes: Vec<Node>,
}

impl Pgdata {
    /// Lists what a copy takes of `root`.
    pub(super) fn list(root: PathBuf) -> Result<Self, SourceError> {
        let metadata = std::fs::metadata(&root).map_err(|error| read_error(&root, error))?;
        let nodes = tree::list(&root, &keep)?;
        let found = Self {
            root_mode: std::os::unix::fs::MetadataExt::mode(&metadata) & 0o7777,
            root,
            nodes,
        };
        for missing in ["PG_VERSION", CONTROL, "pg_wal"] {
            if found.node(missing).is_none() {
                let pgdata = found.root;
                return Err(PgdataError::NoCluster { pgdata, missing }.into());
            }
        }
        Ok(found)
    }

    /// Bytes in all files.
    pub(super) fn bytes(&self) -> u64 {
        self.nodes
            .iter()
            .filter_map(|node| node.file)
            .map(|file| file.size)
            .sum()
    }

    /// When any of the files was last written.
    pub(super) fn last_write(&self) -> UtcTime {
        let times = self
            .nodes
            .iter()
            .filter_map(|node| node.file)
            .map(|file| file.modified());
        UtcTime::from_unix(times.max().unwrap_or(0))
    }

    fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.path == path)
    }

    /// Copies everything, `pg_control` last; fails if anything has changed since it was listed.
    pub(super) fn copy(
        &self,
        sink: &mut dyn EntrySink,
        cancel: &Cancel,
        snapshot_at: UtcTime,
    ) -> Result<PgFacts, SourceError> {
        let mut sender = Sender {
            root: &self.root,
            prefix: "pgdata/",
            sink,
            cancel,
        };
        sender.send_root("pgdata", self.root_mode)?;
        for node in self.nodes.iter().filter(|node| node.path != CONTROL) {
            sender.send(node)?;
        }
        let bytes = self.read(CONTROL)?;
        let control = ControlFile::parse(&bytes)?;
        if let Some(node) = self.node(CONTROL) {
            sender.send_bytes(node, &bytes)?;
        }
        let version = self.major()?;
        self.unchanged()?;
        Ok(facts(version, &control, snapshot_at))
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, TreeError> {
        let place = self.root.join(path);
        match self.node(path).and_then(|node| node.file) {
            Some(stamp) => tree::read_listed(&place, stamp),
            None => Err(TreeError::Changed(place)),
        }
    }

    fn major(&self) -> Result<String, SourceError> {
        let bytes = self.read("PG_VERSION")?;
        let text = String::from_utf8_lossy(&bytes);
        let major = text.trim();
        if major.parse::<u32>().is_err() {
            return Err(PgdataError::Version(major.chars().take(20).collect()).into());
        }
        Ok(major.to_owned())
    }

    /// Looks again, and compares.
    fn unchanged(&self) -> Result<(), TreeError> {
        let again = tree::list(&self.root, &keep)?;
        match difference(&self.nodes, &again) {
            Some(path) => Err(TreeError::Changed(self.root.join(path))),
            None => Ok(()),
        }
    }
}

fn facts(pg_version: String, control: &ControlFile, snapshot_at: UtcTime) -> PgFacts {
    let clean = control.state == ClusterState::ShutDown;
    PgFacts {
        pg_version,
        system_identifier: control.system_identifier,
        timeline: control.timeline,
        start_lsn: Some(control.redo.to_string()),
        stop_lsn: clean.then(|| control.checkpoint.to_string()),
        data_checksums: control.data_checksum_version != 0,
        snapshot_at,
    }
}

/// Where Databasus keeps its cluster.
pub(super) fn pgdata_of(data_dir: &Path) -> PathBuf {
    data_dir.join("pgdata")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_nothing_to_another_server_is_left_out() {
        for gone in [
            "postmaster.pid",
            "postmaster.opts",
            "backup_manifest",
            "global/pg_internal.init",
            "base/5/pg_internal.init.4711",
            "base/pgsql_tmp",
            "base/pgsql_tmp/pgsql_tmp123.0",
        ] {
            assert_eq!(keep(gone), Keep::Nothing, "{gone}");
        }
        for emptied in EMPTIED {
            assert_eq!(keep(emptied), Keep::Empty, "{emptied}");
        }
        for kept in [
            "backup_label",
            "base/1/postmaster.pid",
            "global/pg_control",
            "pg_tblspc",
            "pg_wal",
            "pg_wal/archive_status",
            "postgresql.auto.conf",
        ] {
            assert_eq!(keep(kept), Keep::Whole, "{kept}");
        }
    }
}
