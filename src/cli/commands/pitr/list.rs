//! `pitr list`: which points in time can be reached.

use crate::base::cancel::Cancel;
use crate::cli::args::{Global, PitrList};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::{from, hints, keys};
use crate::ops::pitr::listing::Listing;
use crate::ops::pitr::open::Storage;
use crate::ops::pitr::survey::Depth;

use super::text;
use crate::cli::survey::{measure, survey};

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
    let mut survey =
        survey(storage, depth, &args.remembered, global, cancel).map_err(hints::listing)?;
    if !args.no_probe {
        let wanted = args.database.as_deref();
        let meant = survey.clusters.iter_mut();
        for cluster in meant.filter(|one| wanted.is_none_or(|name| one.is_called(name))) {
            measure(cluster, args.pg_bin.as_deref(), storage, cancel);
        }
    }
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
