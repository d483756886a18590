//! Floor 5: arguments in, ports wired, one job run, its result told; nothing is decided here.

pub mod args;
mod author;
mod commands;
mod confirm;
mod custodians;
mod exit;
mod from;
mod hints;
mod identities;
mod keys;
mod opening;
mod output;
mod programs;
mod progress;
pub mod render;
mod signals;
mod small_files;
mod source;
mod stopped;
mod storages;
mod survey;
mod terminal;
mod wire;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::base::cancel::Cancel;
use crate::model::recipients::holds_private_key;

use args::{Args, Command};
use exit::{CliError, Exit};
use output::Output;

/// Parses the command line, runs the command and returns its exit code.
pub fn run() -> ExitCode {
    signals::keep_secrets_out_of_core_dumps();
    let words: Vec<OsString> = std::env::args_os().collect();
    let json = words.iter().any(|word| word == "--json");
    let is_plugin = commands::audit::is_plugin(&words);
    if let Err(error) = refuse_secrets(&words) {
        if is_plugin {
            return commands::audit::no_audit(&error.message).into();
        }
        Output::told_without_arguments(&error, json);
        return error.exit.into();
    }
    let args = match Args::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => {
            if is_plugin && error.use_stderr() {
                return commands::audit::not_understood(&error).into();
            }
            // Help and version are asked for, anything else is a mistake: clap knows.
            Output::usage_error(&error, json);
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let output = Output::new(&args.global);
    output.start_logging();
    let cancel = Cancel::new();
    let result = signals::watch(&cancel)
        .map_err(CliError::from)
        .and_then(|()| dispatch(&args, &output, &cancel));
    let exit = match result {
        Ok(exit) => exit,
        Err(error) => {
            let error = error.or_interrupted(&cancel);
            output.error(&error);
            error.exit
        }
    };
    exit.into()
}

/// Whatever an argument was meant for, a key in it has been shown to every process on this host;
/// no message may show it again.
fn refuse_secrets(words: &[OsString]) -> Result<(), CliError> {
    match words
        .iter()
        .position(|word| holds_private_key(&word.to_string_lossy()))
    {
        None => Ok(()),
        Some(number) => Err(CliError::usage(format!(
            "argument {number} holds a private key; consider it disclosed"
        ))
        .hint(
            "arguments are in the process list and in the shell's history: keys come in files, \
             or on standard input with --identity -; for --recipient give what `age-keygen -y \
             FILE` prints",
        )),
    }
}

fn dispatch(args: &Args, output: &Output, cancel: &Cancel) -> Result<Exit, CliError> {
    let global = &args.global;
    match &args.command {
        Command::Init(init) => commands::init::run(init, global, output, cancel),
        Command::Card(card) => commands::card::run(card, global, output, cancel),
        Command::Doctor(doctor) => commands::doctor::run(doctor, global, output, cancel),
        Command::Snapshot(snapshot) => commands::snapshot::run(snapshot, global, output, cancel),
        Command::List(list) => commands::list::run(list, global, output, cancel),
        Command::Show(show) => commands::show::run(show, global, output, cancel),
        Command::Verify(verify) => commands::verify::run(verify, global, output, cancel),
        Command::Audit(audit) => commands::audit::run(audit, global, output, cancel),
        Command::Policy(policy) => commands::policy::run(policy, output),
        Command::Prune(prune) => commands::prune::run(prune, global, output, cancel),
        Command::Replicate(replicate) => {
            commands::replicate::run(replicate, global, output, cancel)
        }
        Command::CloseFork(fork) => commands::close_fork::run(fork, global, output, cancel),
        Command::Rekey(rekey) => commands::rekey::run(rekey, global, output, cancel),
        Command::Rehydrate(rehydrate) => {
            commands::rehydrate::run(rehydrate, global, output, cancel)
        }
        Command::Drill(drill) => commands::drill::run(drill, global, output, cancel),
        Command::Custody(custody) => commands::custody::run(custody, global, output, cancel),
        Command::Key(key) => commands::key::run(key, global, output, cancel),
        Command::Recover(recover) => commands::recover::run(recover, global, output, cancel),
        Command::Pitr(pitr) => commands::pitr::run(pitr, global, output, cancel),
        Command::Import(import) => commands::import::run(import, global, output, cancel),
        Command::Unfence(unfence) => commands::unfence::run(unfence, global, output, cancel),
        Command::Completions(shell) => commands::manual::completions(shell, output),
        Command::Man(man) => commands::manual::man(man, output),
    }
}
