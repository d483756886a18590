//! The command line of `prune`.

use clap::Args as ClapArgs;

/// Arguments of `prune`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow prune --dry-run
  databasus-escrow prune --json

What is kept stands in [retention]: the best escrow of each of the newest 7 days, 5 weeks and 12 months
that have one. Always kept are the newest, the last that holds a secret.key, what a required store
lacks, and the floor. What goes is named in a signed manifest first; what a lock holds stays until its
date. Objects that nobody signed change nothing. Run it where the credentials that may delete are,
best not on the host that takes snapshots.

Exit codes: 0 done · 1 a store does not answer: nothing was deleted · 3 something could not be deleted
13 the chain is in doubt: nothing was deleted · 14 refused: the newest escrow is not proven, or the key
has changed · 11 another run is at work.")]
pub struct Prune {
    /// Tell what would go, and why the rest stays; write and delete nothing
    #[arg(long)]
    pub dry_run: bool,
}
