//! `policy check`, and how a policy file is read.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::digest::Digest;
use crate::cli::args::{Policy, PolicyCheck, PolicyCommand};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::{hints, small_files, wire};
use crate::model::audit::policy::{AuditPolicy, MAX_BYTES};
use crate::model::recipients::Recipients;

/// A policy, as a file holds it.
pub(super) struct PolicyFile {
    /// What is demanded.
    pub(super) policy: AuditPolicy,
    /// Digest of the file.
    pub(super) sha256: Digest,
}

#[derive(Serialize)]
struct Row<'a> {
    file: &'a PathBuf,
    sha256: Option<Digest>,
    /// What is wrong; null where it can be used.
    error: Option<String>,
}

impl PolicyFile {
    /// Reads a policy, and the recipients file that it names.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let bytes = small_files::read(path, MAX_BYTES)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| CliError::usage(format!("{} is not UTF-8", path.display())))?;
        let mut policy = AuditPolicy::parse(text).map_err(|error| {
            CliError::in_file(path, error)
                .hint("policies/production.toml has every key, with its meaning")
        })?;
        if let Some(named) = policy.recipients_file() {
            let file = path.parent().unwrap_or(Path::new(".")).join(named);
            let recipients = Recipients::parse(&wire::read_text(&file)?)
                .map_err(|error| hints::recipients(Some(&file), error))?;
            policy.add_recipients(&recipients);
        }
        Ok(Self {
            policy,
            sha256: Digest::of(&bytes),
        })
    }
}

pub(in crate::cli) fn run(args: &Policy, output: &Output) -> Result<Exit, CliError> {
    match &args.command {
        PolicyCommand::Check(check) => run_check(check, output),
    }
}

fn run_check(args: &PolicyCheck, output: &Output) -> Result<Exit, CliError> {
    let rows: Vec<Row<'_>> = args.files.iter().map(Row::of).collect();
    let usable = rows.iter().all(|row| row.error.is_none());
    output.result(&rows, || rows.iter().map(Row::text).collect())?;
    for row in rows.iter().filter(|row| row.error.is_some()) {
        output.complain(row.text().trim_end());
    }
    Ok(match usable {
        true => Exit::Done,
        false => Exit::Usage,
    })
}

impl<'a> Row<'a> {
    fn of(file: &'a PathBuf) -> Self {
        match PolicyFile::read(file) {
            Ok(read) => Self {
                file,
                sha256: Some(read.sha256),
                error: None,
            },
            Err(error) => Self {
                file,
                sha256: None,
                error: Some(error.message),
            },
        }
    }

    fn text(&self) -> String {
        match &self.error {
            // It names the file itself.
            Some(error) => format!("{error}\n"),
            None => format!("{}: can be used\n", self.file.display()),
        }
    }
}
