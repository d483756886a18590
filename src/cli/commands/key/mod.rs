//! `key`: Databasus' master key, and whether its copies are the same.

use std::path::{Path, PathBuf};

use crate::base::cancel::Cancel;
use crate::cli::args::{Global, Key, KeyCommand};
use crate::cli::exit::{CliError, Exit};
use crate::cli::keys::read_key;
use crate::cli::output::Output;
use crate::databasus::secret_key::SecretKey;
use crate::model::config::Config;

mod compare;
mod export;
mod fingerprint;

pub(in crate::cli) fn run(
    args: &Key,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    match &args.command {
        KeyCommand::Fingerprint(args) => fingerprint::run(args, global, output),
        KeyCommand::Compare(args) => compare::run(args, global, output, cancel),
        KeyCommand::Export(args) => export::run(args, global, output),
    }
}

/// The key that is named, else the one that the configured source has; none without either.
fn chosen(
    named: Option<&Path>,
    config: Option<&Config>,
    output: &Output,
) -> Result<Option<SecretKey>, CliError> {
    let live = || -> Option<PathBuf> {
        let config = config?;
        let source = config.source.as_ref()?;
        Some(config.resolve(&source.data_dir).join("secret.key"))
    };
    let path = named.map(Path::to_owned).or_else(live);
    path.map(|path| read_key(&path, output)).transpose()
}

fn no_key() -> CliError {
    CliError::usage("no key is named, and this configuration has no source")
        .hint("--secret-key FILE, with the exact bytes of secret.key")
}
