//! What lies in a storage, looked at with progress shown and earlier looks remembered.

use std::path::PathBuf;

use crate::base::cancel::Cancel;
use crate::cli::args::{Global, Remembered};
use crate::cli::exit::CliError;
use crate::cli::hints;
use crate::cli::output::Output;
use crate::cli::progress::Progress;
use crate::cli::wire::environment;
use crate::ops::pitr::cache::Cache;
use crate::ops::pitr::open::Storage;
use crate::ops::pitr::survey::{self, Depth, Step, Survey};

pub(super) fn survey(
    storage: Storage<'_>,
    depth: Depth,
    remembered: &Remembered,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Survey, CliError> {
    let cache = cache(storage, remembered, output);
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
    let found = survey::take(storage, depth, cache, cancel, &mut on_step);
    found.map_err(hints::storage)
}

/// What cannot be remembered costs time and nothing else.
fn cache(storage: Storage<'_>, remembered: &Remembered, output: &Output) -> Option<Cache> {
    if remembered.no_cache {
        return None;
    }
    let dir = remembered.cache.clone().or_else(default_folder)?;
    match Cache::open(&dir, &storage.store.location(), storage.keys) {
        Ok(cache) => Some(cache),
        Err(error) => {
            let dir = dir.display();
            output.remark(&format!("nothing is remembered in {dir}: {error}"));
            None
        }
    }
}

fn default_folder() -> Option<PathBuf> {
    let xdg = environment("XDG_CACHE_HOME").map(PathBuf::from);
    let xdg = xdg.filter(|dir| dir.is_absolute());
    let home = || Some(PathBuf::from(environment("HOME")?).join(".cache"));
    Some(xdg.or_else(home)?.join("databasus-escrow"))
}
