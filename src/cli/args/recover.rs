//! The command line of `recover`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::Backups;

/// Arguments of `recover`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow recover --from 's3://prod/backups?endpoint=https://…' \\
    --secret-key secret.key --list
  databasus-escrow recover --from /databasus-data/backups --secret-key secret.key \\
    --latest shop --output shop.dump
  databasus-escrow recover --from 's3://…' --secret-key escrow:all --identity alice.key \\
    7a4faa4c-adf4-4cf2-b5d3-7d537474402e --output - | pg_restore --list

Exit codes: 0 recovered, every byte authenticated · 10 no such backup · 12 no key opens it ·
13 damaged or cut: no file is left, and what went to standard output must not be used ·
14 refused: the dump failed when it was made, or the output exists.")]
pub struct Recover {
    /// Where the backups are, and the keys that open them.
    #[command(flatten)]
    pub backups: Backups,
    /// Which backup: the name of its object, or its id
    #[arg(
        value_name = "NAME|ID",
        required_unless_present_any = ["latest", "list"],
        conflicts_with_all = ["latest", "list"]
    )]
    pub backup: Option<String>,
    /// The newest committed backup of this database
    #[arg(long, value_name = "DATABASE", conflicts_with = "list")]
    pub latest: Option<String>,
    /// List the backups, and which key opens each
    #[arg(long)]
    pub list: bool,
    /// With --list: names, sizes and sidecars alone; else the first MiB of each backup is fetched
    #[arg(long, requires = "list", conflicts_with_all = ["backup", "latest"])]
    pub no_probe: bool,
    /// File to write, or `-` for standard output [default: the object's name, here]
    #[arg(short, long, value_name = "FILE", conflicts_with = "list")]
    pub output: Option<PathBuf>,
    /// Replace the file if it exists, and write even what is neither known to be a backup nor said
    /// to be one by a sidecar
    #[arg(long, conflicts_with = "list")]
    pub force: bool,
    /// How many threads decrypt [default: one for each processor]
    #[arg(long, value_name = "N", hide = true)]
    pub threads: Option<std::num::NonZeroUsize>,
}
