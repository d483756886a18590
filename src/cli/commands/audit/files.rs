//! An audit as files, for programs.

use crate::cli::args::Audit;
use crate::cli::exit::CliError;
use crate::cli::render::{junit, metrics};
use crate::cli::small_files;

use super::Audited;

/// Whether the files that are asked for can be written, as far as that can be told before.
pub(super) fn check(args: &Audit) -> Result<(), CliError> {
    let mut paths = args.prometheus.iter().chain(&args.junit);
    paths.try_for_each(|path| small_files::check_place(path))
}

/// Writes each file that is asked for.
pub(super) fn write(args: &Audit, audited: &Audited) -> Result<(), CliError> {
    let Audited { report, facts, .. } = audited;
    if let Some(path) = &args.prometheus {
        let text = metrics::render(report, facts).map_err(CliError::failed)?;
        small_files::publish(path, &text)?;
    }
    if let Some(path) = &args.junit {
        let text = junit::render(report).map_err(CliError::failed)?;
        small_files::publish(path, &text)?;
    }
    Ok(())
}
