//! `pitr list`: which points in time can be reached.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::cancel::Cancel;
use crate::cli::args::{Global, PitrList, Remembered};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::programs::Wanted;
use crate::cli::progress::Progress;
use crate::cli::wire::environment;
use crate::cli::{from, hints, keys};
use crate::ops::pitr::cache::Cache;
use crate::ops::pitr::exact;
use crate::ops::pitr::listing::Listing;
use crate::ops::pitr::open::Storage;
use crate::ops::pitr::survey::{self, Depth, Step, Survey};
use crate::ops::recover::find::FindError;
use crate::ops::recover::keys::KeyRing;
use crate::postgres::binaries::{Launcher, PgBinaries};
use crate::postgres::wal_dump::WAL_DUMP;
use crate::store::Store;

use super::text;

pub(super) fn run(
    args: &PitrList,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let store = from::open(&args.backups.from, cancel)?;
    let keys = keys::gather(&args.backups, global, output, cancel)?;
    let storage = Storage {
        store: &store,
        keys: &keys,
    };
    let depth = match args.no_probe {
        true => Depth::Sidecars,
        false => Depth::Beginnings,
    };
    let cache = cache(&args.remembered, &store, &keys);
    let mut survey = survey(storage, depth, cache, global, cancel)?;
    measure(args, &mut survey, storage, cancel);
    let probed = depth == Depth::Beginnings;
    let database = args.database.as_deref();
    let listing = Listing::of(&survey, database, store.location(), probed, &keys);
    output.result(&listing, || text::listing(&listing))?;
    Ok(
        match (listing.unread.is_empty(), listing.clusters.is_empty()) {
            (false, _) => Exit::Partial,
            (true, true) => Exit::NotFound,
            (true, false) => Exit::Done,
        },
    )
}

/// Surveys a storage, and shows how far that is.
pub(super) fn survey(
    storage: Storage<'_>,
    depth: Depth,
    cache: Option<Cache>,
    global: &Global,
    cancel: &Cancel,
) -> Result<Survey, CliError> {
    let progress = Progress::count(global, "objects");
    let (mut looked, mut all) = (0, 0);
    let mut on_step = |step| match step {
        Step::Listed(seen) => progress.reach(seen),
        Step::Backups(count) => {
            all = count;
            progress.say("backups looked at", all);
        }
        Step::Looked => {
            looked += 1;
            progress.reach(looked);
        }
        Step::Whole => progress.say("base backups read whole", all),
    };
    let survey = survey::take(storage, depth, cache, cancel, &mut on_step);
    survey.map_err(|error| hints::find(FindError::List(error)))
}

/// What earlier looks found out, where that is kept. It is no reason to fail.
pub(super) fn cache(args: &Remembered, store: &Arc<dyn Store>, keys: &KeyRing) -> Option<Cache> {
    if args.no_cache {
        return None;
    }
    let usual = || {
        let cache = environment("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.filter(|dir| dir.is_absolute());
        let home = || Some(PathBuf::from(environment("HOME")?).join(".cache"));
        let dir = cache.or_else(home)?;
        dir.is_absolute().then(|| dir.join("databasus-escrow"))
    };
    let dir = args.cache.clone().or_else(usual)?;
    match Cache::open(&dir, &store.location(), keys) {
        Ok(cache) => Some(cache),
        Err(error) => {
            tracing::warn!(
                "nothing is kept in {} for the next time: {error}",
                dir.display()
            );
            None
        }
    }
}

/// Looks at the ends of windows where the program for it is at hand.
fn measure(args: &PitrList, survey: &mut Survey, storage: Storage<'_>, cancel: &Cancel) {
    if args.no_probe {
        return;
    }
    let temp = std::env::temp_dir();
    let database = args.database.as_deref();
    for cluster in &mut survey.clusters {
        let is_meant = database.is_none_or(|name| cluster.is_called(name));
        let binaries = cluster.pg_major.and_then(|major| wal_dump(args, major));
        if let Some(binaries) = binaries.filter(|_| is_meant) {
            exact::measure(cluster, storage, &binaries, &temp, cancel);
        }
    }
}

fn wal_dump(args: &PitrList, major: u32) -> Option<PgBinaries> {
    let wanted = Wanted {
        major,
        pg_bin: args.pg_bin.as_deref(),
        image: None,
    };
    match wanted.launcher().ok()? {
        Launcher::Local(binaries) => binaries.program(WAL_DUMP).is_file().then_some(binaries),
        Launcher::Docker { .. } => None,
    }
}
