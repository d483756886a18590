//! Databasus' own backups, as `--backups` names them.

use std::collections::BTreeMap;

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

/// Looks into each storage, without any key. One that cannot be looked into is unknown, and holds
/// up nothing else.
pub(super) fn look(
    args: &Audit,
    global: &Global,
    cancel: &Cancel,
) -> Result<BTreeMap<StoreName, Seen<BackupsSeen>>, CliError> {
    let mut seen = BTreeMap::new();
    for address in &args.backups {
        let store = from::open(address, cancel)?;
        let name = store.name().clone();
        let keys = KeyRing::default();
        let storage = Storage {
            store: &store,
            keys: &keys,
        };
        let found = survey::survey(storage, Depth::Sidecars, &args.remembered, global, cancel);
        cancel.check().map_err(CliError::failed)?;
        let found = match found {
            Ok(survey) => Seen::Known(backups::seen(&survey)),
            Err(error) => Seen::unknown(error_chain(&error)),
        };
        if seen.insert(name.clone(), found).is_some() {
            return Err(CliError::usage(format!("--backups names {name} twice"))
                .hint("give each storage a name of its own: --backups NAME=s3://…"));
        }
    }
    Ok(seen)
}
