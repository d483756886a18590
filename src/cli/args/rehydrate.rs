//! The command line of `rehydrate`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::{EscrowChoice, Importing, Reading};
use crate::base::time::UtcTime;
use crate::model::proof::Level;

/// Arguments of `rehydrate`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow rehydrate --instance heatwave-prod --store 's3://…' --trust SHA256:… \\
    --identity alice.key --target /srv/databasus-data --read-only-credentials reader
  databasus-escrow rehydrate --from-key secret.key --fresh /srv/databasus-data --storage 's3://…'
  databasus-escrow rehydrate --at 2026-06-12T02:00:00Z --identity alice.key --target /srv/old
  databasus-escrow rehydrate --dry-run --identity alice.key --target /srv/databasus-data

Exit codes: 0 rehydrated and proven · 3 rehydrated, but a store or the chain is damaged, or a
check failed · 10 no such escrow · 12 no identity opens it · 13 not what was signed · 14 refused.
The target appears only once it is complete.")]
pub struct Rehydrate {
    /// Data directory to make; must not exist, or be empty
    #[arg(long, value_name = "DIR", required_unless_present = "from_key")]
    pub target: Option<PathBuf>,
    /// age identity file or SSH key that opens the escrow; `-` reads standard input; repeatable
    #[arg(long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
    /// Where several custodians are elsewhere: print a one-time recipient, and wait for what they
    /// answer to it, in this file or on standard input (`-`)
    #[arg(long, value_name = "FILE|-", conflicts_with = "identities")]
    pub unlock: Option<PathBuf>,
    /// Which escrow: an id, or `latest`
    #[arg(
        long,
        value_name = "ESCROW",
        default_value = "latest",
        conflicts_with = "at"
    )]
    pub escrow: EscrowChoice,
    /// The newest escrow from this time or before
    #[arg(long, value_name = "TIME")]
    pub at: Option<UtcTime>,
    /// Restore files only; PostgreSQL is not started
    #[arg(long, conflicts_with = "from_logical")]
    pub files_only: bool,
    /// Build a new cluster from the logical copy
    #[arg(long)]
    pub from_logical: bool,
    /// Folder of PostgreSQL's programs, of the recorded major
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// Databasus image to run PostgreSQL from, and to name in what is printed
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// How far to try the key: 1 every encrypted field, 2 the beginning of every database's newest
    /// backup, 3 a whole backup of every storage; 0 not at all
    #[arg(long, value_name = "N", default_value = "2")]
    pub proof: Level,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// What becomes of the metadata.
    #[command(flatten)]
    pub fencing: Fencing,
    /// What becomes of the catalogue.
    #[command(flatten)]
    pub importing: Importing,
    /// What to do without an escrow.
    #[command(flatten)]
    pub from_key: FromKey,
    /// Where to read from.
    #[command(flatten)]
    pub reading: Reading,
}

/// For the day on which no escrow can be opened, and secret.key is at hand.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Without an escrow")]
pub struct FromKey {
    /// A copy of secret.key, byte for byte: the catalogue is built from the bucket
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "identities", "unlock", "files_only", "from_logical"])]
    pub from_key: Option<PathBuf>,
    /// Data directory of a Databasus that was started once with that key, without a network, and
    /// stopped; without it, how to make one is printed
    #[arg(long, value_name = "DIR", requires = "from_key")]
    pub fresh: Option<PathBuf>,
    /// The backups' bucket: s3://BUCKET/PREFIX?endpoint=URL&region=R. Credentials, best ones that
    /// can only read, come from `ESCROW_STORAGE_ACCESS_KEY_ID` and
    /// `ESCROW_STORAGE_SECRET_ACCESS_KEY`
    #[arg(long, value_name = "BUCKET", requires = "from_key")]
    pub storage: Option<String>,
}

/// What keeps a rehydrated Databasus from touching production.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Fence")]
pub struct Fencing {
    /// Do not fence: the clone takes production's place. Demands the instance's name
    #[arg(long)]
    pub live: bool,
    /// The instance's name, for --live without a terminal
    #[arg(long, value_name = "INSTANCE", requires = "live")]
    pub confirm: Option<String>,
    /// Leave the storages' own credentials in the fenced metadata: whoever uses the clone can then
    /// delete production's backups
    #[arg(long, conflicts_with_all = ["live", "read_only_credentials"])]
    pub keep_storage_credentials: bool,
    /// Credentials that can only read Databasus' storages, from `ESCROW_<NAME>_ACCESS_KEY_ID` and
    /// `ESCROW_<NAME>_SECRET_ACCESS_KEY`; for one storage alone: STORAGE=NAME; repeatable
    #[arg(long, value_name = "[STORAGE=]NAME")]
    pub read_only_credentials: Vec<String>,
}
