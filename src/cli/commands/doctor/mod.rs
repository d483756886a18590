//! `doctor`: what stores do in truth, and what their credentials may.

mod lock_probe;
mod stores;

use crate::base::cancel::Cancel;
use crate::base::names::StoreName;
use crate::cli::args::{Doctor, DoctorCommand, Global};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::model::store_spec::StoreSpec;

pub(in crate::cli) fn run(
    args: &Doctor,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    match &args.command {
        DoctorCommand::Stores(args) => stores::run(args, global, output, cancel),
        DoctorCommand::LockProbe(args) => lock_probe::run(args, global, output, cancel),
    }
}

/// The stores with these names, in the configuration's order.
fn named<'s>(specs: &'s [StoreSpec], names: &[StoreName]) -> Result<Vec<&'s StoreSpec>, CliError> {
    let is_unknown = |name: &&StoreName| !specs.iter().any(|spec| spec.name == **name);
    if let Some(name) = names.iter().find(is_unknown) {
        return Err(CliError::usage(format!(
            "the configuration has no store {name}"
        )));
    }
    let chosen = specs.iter().filter(|spec| names.contains(&spec.name));
    Ok(chosen.collect())
}
