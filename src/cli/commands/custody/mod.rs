//! `custody`: opening together, proving who still can, and who joins and leaves.

use crate::base::cancel::Cancel;
use crate::cli::args::{Custody, CustodyCommand, Global};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;

mod open;

pub(in crate::cli) fn run(
    args: &Custody,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    match &args.command {
        CustodyCommand::Open(args) => open::run(args, global, output, cancel),
    }
}
