//! The command line of `unfence`.

use clap::Args as ClapArgs;

use super::{Importing, Reading, StoppedDirectory};

/// Arguments of `unfence`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow unfence --data-dir /srv/databasus-data --dry-run
  databasus-escrow unfence --data-dir /srv/databasus-data --confirm heatwave-prod \\
    --store 's3://…' --trust SHA256:…
  databasus-escrow unfence --data-dir /srv/databasus-data --confirm heatwave-prod \\
    --production-is-dead --accept-deletions shop

Exit codes: 0 everything is as it was · 3 unfenced, but something was not given back, not imported,
or is held back from retention; it is listed and kept in the schema escrow_leftover · 14 refused:
production lives or nobody can tell, Databasus runs on the directory, the name was not confirmed.")]
pub struct Unfence {
    /// What it works on.
    #[command(flatten)]
    pub directory: StoppedDirectory,
    /// The instance's name: says that production is dead and stays dead. Asked for on a terminal
    #[arg(long, value_name = "INSTANCE")]
    pub confirm: Option<String>,
    /// Answer for production's death where the chain of escrows or a storage cannot tell. What
    /// shows that it lives is not overruled by this
    #[arg(long)]
    pub production_is_dead: bool,
    /// Let retention delete what the preview shows for this database (its name or id); repeatable
    #[arg(long, value_name = "DATABASE")]
    pub accept_deletions: Vec<String>,
    /// Look at everything, tell what would be done and deleted, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// What the catalogue gets.
    #[command(flatten)]
    pub importing: Importing,
    /// Where escrows of the instance are: a newer one shows that production lives.
    #[command(flatten)]
    pub reading: Reading,
}
