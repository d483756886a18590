//! The command line of `close-fork`.

use clap::Args as ClapArgs;

/// Arguments of `close-fork`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow close-fork --dry-run
  databasus-escrow close-fork 41 --confirm acme
  databasus-escrow close-fork --json --confirm acme

A fork is a place in the chain that two valid manifests claim: two hosts took snapshots, a host came
back from an image, or a signing key was stolen. While one is open, `prune` deletes nothing. Find out
which it was first (runbooks/findings.md); if a key was stolen, replace it with `init --join`.

Closing deletes nothing either. The escrow that the chain does not go on from fills no slot of
retention, is never the newest, and stays; `--escrow ID` opens it. Another manifest in the same place
opens the fork again.

Exit codes: 0 done · 1 a store does not answer · 3 a store lacks the manifest that closes it · 10 no such
fork · 13 something else is wrong with the chain · 14 not confirmed · 11 another run is at work.")]
pub struct CloseFork {
    /// Sequence numbers of the forks [default: all that are open]
    #[arg(value_name = "SEQ")]
    pub seqs: Vec<u64>,
    /// Show the forks; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The instance's name, instead of typing it
    #[arg(long, value_name = "INSTANCE", conflicts_with = "dry_run")]
    pub confirm: Option<String>,
}
