//! `audit --nagios`: one line, and the exit codes of a plugin, whatever happens.

use std::ffi::OsString;

use crate::base::cancel::Cancel;
use crate::cli::args::{Audit, Global};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::render::nagios::{self, Status};

use super::{Audited, audited, files};

/// Whether a command line is a plugin's, before anybody knows whether it can be understood: then,
/// too, the answer is one line and a number that the caller knows.
pub(in crate::cli) fn is_plugin(words: &[OsString]) -> bool {
    words.iter().any(|word| word == "--nagios")
}

/// The answer where no audit came about.
pub(in crate::cli) fn no_audit(why: &str) -> Exit {
    // Whom should a failure be told when the reader has gone?
    let _ = Output::raw_without_arguments(&nagios::no_audit(why));
    Exit::Plugin(Status::Unknown)
}

/// The same of a command line, by the first paragraph of what clap says of it.
pub(in crate::cli) fn not_understood(error: &clap::Error) -> Exit {
    let told = error.to_string();
    let first = told.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = first
        .trim_start_matches("error: ")
        .split_whitespace()
        .collect();
    no_audit(&words.join(" "))
}

pub(super) fn run(
    args: &Audit,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let audited = match audited(args, global, output, cancel) {
        Ok(audited) => audited,
        Err(error) => return Ok(no_audit(&error.message)),
    };
    let status = status(&audited);
    match (files::write(args, &audited), status) {
        (Ok(()), _) => {}
        (Err(error), Status::Ok | Status::Warning) => return Ok(no_audit(&error.message)),
        // What cannot be written hides nothing that is worse.
        (Err(error), _) => output.error(&error),
    }
    output.raw(&nagios::line(status, &audited.report, &audited.facts))?;
    Ok(Exit::Plugin(status))
}

fn status(audited: &Audited) -> Status {
    match (Status::of(&audited.report), audited.exit) {
        // All holds, but the witness that was asked for is not in every store.
        (Status::Ok | Status::Warning, Exit::Partial) => Status::Unknown,
        (status, _) => status,
    }
}
