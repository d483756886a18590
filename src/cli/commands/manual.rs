//! `completions` and `man`, both made from the definition of the command line.

use clap::CommandFactory;

use crate::cli::args::{Args, Completions, Man};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;

/// Prints a completion script.
pub(in crate::cli) fn completions(args: &Completions, output: &Output) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut Args::command(),
        "databasus-escrow",
        &mut script,
    );
    output.raw(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Writes one page per command.
pub(in crate::cli) fn man(args: &Man, output: &Output) -> Result<Exit, CliError> {
    clap_mangen::generate_to(Args::command(), &args.dir).map_err(|error| CliError {
        message: format!(
            "cannot write the manual pages into {}: {error}",
            args.dir.display()
        ),
        ..CliError::failed(error)
    })?;
    output.remark(&format!("manual pages are in {}", args.dir.display()));
    Ok(Exit::Done)
}
