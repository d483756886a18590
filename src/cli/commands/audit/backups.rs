//! Databasus' own backups, as `--backups` names them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::cancel::Cancel;
use crate::base::error_chain::error_chain;
use crate::base::names::StoreName;
use crate::cli::args::{Audit, Global};
use crate::cli::exit::CliError;
use crate::cli::{from, survey};
use crate::model::audit::facts::{BackupsSeen, Seen};
use crate::ops::audit::backups;
use crate::ops::pitr::open::Storage;
use crate::ops::pitr::survey::Depth;
use crate::ops::recover::keys::KeyRing;
use crate::store::Store;

/// Opens each storage: one that cannot even be opened is a mistake in the arguments, which is told
/// before anything is looked at.
pub(super) fn open(args: &Audit, cancel: &Cancel) -> Result<Vec<Arc<dyn Store>>, CliError> {
    let mut names = BTreeSet::new();
    let mut storages = Vec::with_capacity(args.backups.len());
    for address in &args.backups {
        let storage = from::open(address, cancel)?;
        let name = storage.name();
        if !names.insert(name.clone()) {
            return Err(CliError::usage(format!("--backups names {name} twice"))
                .hint("give each storage a name of its own: --backups NAME=s3://…"));
        }
        storages.push(storage);
    }
    Ok(storages)
}

/// Looks into each storage, without any key. One that cannot be looked into is unknown, and holds
/// up nothing else.
pub(super) fn look(
    storages: &[Arc<dyn Store>],
    args: &Audit,
    global: &Global,
    cancel: &Cancel,
) -> Result<BTreeMap<StoreName, Seen<BackupsSeen>>, CliError> {
    let mut seen = BTreeMap::new();
    for store in storages {
        let keys = KeyRing::default();
        let storage = Storage { store, keys: &keys };
        let found = survey::survey(storage, Depth::Sidecars, &args.remembered, global, cancel);
        cancel.check().map_err(CliError::failed)?;
        let found = match found {
            Ok(survey) => Seen::Known(backups::seen(&survey)),
            Err(error) => Seen::unknown(error_chain(&error)),
        };
        seen.insert(store.name().clone(), found);
    }
    Ok(seen)
}
