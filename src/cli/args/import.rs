//! The command line of `import`, and what other commands ask about imports.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::StoppedDirectory;

/// Whether the catalogue is brought up to date.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Catalogue import")]
pub struct Importing {
    /// Leave the catalogue as it was at the time of the snapshot
    #[arg(long, conflicts_with_all = ["assign", "placeholders"])]
    pub no_import: bool,
    /// What the import cannot decide.
    #[command(flatten)]
    pub decisions: Decisions,
}

/// What an import cannot decide by itself.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Catalogue import")]
pub struct Decisions {
    /// Give backups whose names begin with NAME, or the one object NAME, to this database of
    /// Databasus (its name or id); repeatable
    #[arg(long, value_name = "NAME=DATABASE", value_parser = assignment)]
    pub assign: Vec<(String, String)>,
    /// Make a database that is switched off for backups of databases that the catalogue does not
    /// know
    #[arg(long)]
    pub placeholders: bool,
}

/// Splits `NAME=DATABASE` at the last sign: objects' names may hold it too.
fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, database) = text
        .rsplit_once('=')
        .ok_or("not of the form NAME=DATABASE")?;
    match name.is_empty() || database.is_empty() {
        true => Err("not of the form NAME=DATABASE".to_owned()),
        false => Ok((name.to_owned(), database.to_owned())),
    }
}

/// Arguments of `import`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow import --data-dir /srv/databasus-data --dry-run
  databasus-escrow import --data-dir /srv/databasus-data --read-only-credentials r2 \\
    --assign shop=store --assign 'orders-20261123-031158-7a4faa4c-…=orders-old'

Exit codes: 0 all imported · 3 something was not, or waits for a decision · 13 damaged backups were
found, the others are imported · 14 refused: Databasus runs on the directory, or its schema is
half-migrated. A second import changes nothing.")]
pub struct Import {
    /// What it works on.
    #[command(flatten)]
    pub directory: StoppedDirectory,
    /// A file with another secret.key that older backups may be encrypted under; repeatable
    #[arg(long = "further-key", value_name = "FILE")]
    pub further_keys: Vec<PathBuf>,
    /// Look into everything, tell what would be done, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// What the import cannot decide.
    #[command(flatten)]
    pub decisions: Decisions,
}
