//! placeholder
use crate::base::cancel::Cancel;
use crate::cli::args::Global;
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
pub(in crate::cli) fn run(
    _: &crate::cli::args::Init,
    _: &Global,
    _: &Output,
    _: &Cancel,
) -> Result<Exit, CliError> {
    Err(CliError::usage("later"))
}
