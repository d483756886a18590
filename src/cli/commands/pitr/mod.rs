//! `pitr`: clusters as of a chosen second, straight from Databasus' storage.

use crate::base::cancel::Cancel;
use crate::cli::args::{Global, Pitr, PitrCommand};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;

mod list;
mod report;
mod restore;
mod text;

pub(in crate::cli) fn run(
    args: &Pitr,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    match &args.command {
        PitrCommand::List(args) => list::run(args, global, output, cancel),
        PitrCommand::Restore(args) => restore::run(args, global, output, cancel),
    }
}
