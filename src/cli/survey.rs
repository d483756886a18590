//! What lies in a storage, looked at with progress shown and earlier looks remembered.

use std::path::{Path, PathBuf};

use crate::base::cancel::Cancel;
use crate::cli::args::{Global, Remembered};
use crate::cli::programs::Wanted;
use crate::cli::progress::Progress;
use crate::cli::wire::environment;
use crate::databasus::backup_chain::cluster::Cluster;
use crate::ops::pitr::cache::Cache;
use crate::ops::pitr::exact;
use crate::ops::pitr::open::Storage;
use crate::ops::pitr::survey::{self, Depth, Step, Survey};
use crate::postgres::binaries::{Launcher, PgBinaries};
use crate::postgres::wal_dump::WAL_DUMP;
use crate::store::StoreError;

/// Surveys a storage, and shows how far that is.
pub(in crate::cli) fn survey(
    storage: Storage<'_>,
    depth: Depth,
    remembered: &Remembered,
    global: &Global,
    cancel: &Cancel,
) -> Result<Survey, StoreError> {
    let cache = cache(storage, remembered);
    let progress = Progress::count(global, "objects");
    let mut looked = 0;
    let mut on_step = |step| match step {
        Step::Listed(seen) => progress.reach(seen),
        Step::Backups(count) => progress.say("backups looked at", count),
        Step::Looked => {
            looked += 1;
            progress.reach(looked);
        }
        Step::Whole => progress.turn("reading a base backup whole"),
    };
    survey::take(storage, depth, cache, cancel, &mut on_step)
}

/// What earlier looks found out, where that is kept. What cannot be kept costs time and nothing
/// else.
fn cache(storage: Storage<'_>, remembered: &Remembered) -> Option<Cache> {
    if remembered.no_cache {
        return None;
    }
    let dir = remembered.cache.clone().or_else(usual_folder)?;
    match Cache::open(&dir, &storage.store.location(), storage.keys) {
        Ok(cache) => Some(cache),
        Err(error) => {
            let dir = dir.display();
            tracing::warn!("nothing is kept in {dir} for the next time: {error}");
            None
        }
    }
}

fn usual_folder() -> Option<PathBuf> {
    let absolute = |dir: String| Some(PathBuf::from(dir)).filter(|dir| dir.is_absolute());
    let home = || Some(absolute(environment("HOME")?)?.join(".cache"));
    let cache = environment("XDG_CACHE_HOME").and_then(absolute);
    Some(cache.or_else(home)?.join("databasus-escrow"))
}

/// Reads the exact ends of a cluster's windows in its WAL, where the program for it is at hand.
pub(in crate::cli) fn measure(
    cluster: &mut Cluster,
    pg_bin: Option<&Path>,
    storage: Storage<'_>,
    cancel: &Cancel,
) {
    let binaries = cluster.pg_major.and_then(|major| wal_dump(pg_bin, major));
    if let Some(binaries) = binaries {
        exact::measure(cluster, storage, &binaries, &std::env::temp_dir(), cancel);
    }
}

fn wal_dump(pg_bin: Option<&Path>, major: u32) -> Option<PgBinaries> {
    let wanted = Wanted {
        major,
        pg_bin,
        image: None,
    };
    match wanted.launcher().ok()? {
        Launcher::Local(binaries) => binaries.program(WAL_DUMP).is_file().then_some(binaries),
        Launcher::Docker { .. } => None,
    }
}
