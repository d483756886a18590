//! `custody`: opening together, proving who still can, and who joins and leaves.

use crate::base::cancel::Cancel;
use crate::cli::args::{Custody, CustodyCommand, Global};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;

mod challenge;
mod change;
mod checkin;
mod open;
mod status;

pub(in crate::cli) fn run(
    args: &Custody,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    match &args.command {
        CustodyCommand::Open(args) => open::run(args, global, output, cancel),
        CustodyCommand::Challenge(args) => challenge::run(args, global, output, cancel),
        CustodyCommand::Checkin(args) => checkin::run(args, global, output, cancel),
        CustodyCommand::Status(args) => status::run(args, global, output, cancel),
        CustodyCommand::Add(args) => change::add(args, global, output),
        CustodyCommand::Remove(args) => change::remove(args, global, output, cancel),
    }
}
