//! The command line of `drill`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::{EscrowChoice, Reading};

/// Arguments of `drill`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow drill --identity alice.key --policy policies/production.toml --dry-run
  databasus-escrow drill --identity alice.key --policy policies/production.toml \\
    --read-only-credentials reader --scratch /srv/drills
  0 6 1 */3 *  databasus-escrow drill --identity alice.key --policy production.toml --quiet

Exit codes: 0 all of it came back and holds · 3 something could not be told or done, or a store lacks
the report · 4 a demand is not met: a sentinel, the time, the age · 12 no identity or key opens it ·
13 an escrow or a backup is not what it was · 14 refused: the disk is too small, or this is the
source. What was brought back is gone afterwards, however it ended.")]
pub struct Drill {
    /// Policy whose table [drill] says what has to come back
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// age identity file or SSH key that opens the escrow; `-` reads standard input; repeatable
    #[arg(long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
    /// Where several custodians are elsewhere: print a one-time recipient, and wait for what they
    /// answer to it, in this file or on standard input (`-`)
    #[arg(long, value_name = "FILE|-", conflicts_with = "identities")]
    pub unlock: Option<PathBuf>,
    /// Which escrow: an id, or `latest`
    #[arg(long, value_name = "ESCROW", default_value = "latest")]
    pub escrow: EscrowChoice,
    /// Folder in which the throwaway place is made [default: the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Folder of PostgreSQL's programs; repeatable, one for each major
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Vec<PathBuf>,
    /// Credentials that can only read Databasus' storages, from `ESCROW_<NAME>_ACCESS_KEY_ID` and
    /// `ESCROW_<NAME>_SECRET_ACCESS_KEY`; for one storage alone: STORAGE=NAME; repeatable
    #[arg(long, value_name = "[STORAGE=]NAME")]
    pub read_only_credentials: Vec<String>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Where to read from.
    #[command(flatten)]
    pub reading: Reading,
}
