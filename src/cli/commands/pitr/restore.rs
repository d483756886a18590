//! `pitr restore`: a cluster as of a chosen second.

use crate::base::cancel::Cancel;
use crate::cli::args::{Global, PitrRestore};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::{from, keys};

pub(super) fn run(
    args: &PitrRestore,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let _store = from::open(&args.backups.from, cancel)?;
    let _keys = keys::gather(&args.backups, global, output, cancel)?;
    Ok(Exit::Done)
}
