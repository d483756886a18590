//! The command line of `replicate`.

use clap::Args as ClapArgs;

/// Arguments of `replicate`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow replicate
  databasus-escrow replicate --full --json

Every `snapshot` does this by itself once a store that had failed answers again. Nothing is ever
overwritten: a copy that is not what was signed is reported, and stays until somebody removes it.

Exit codes: 0 every required store holds everything · 3 something is missing, and why · 13 a copy is
not what was signed, or the chain is not · 11 another run is at work.")]
pub struct Replicate {
    /// Read every byte of every copy, also of those that look as they should
    #[arg(long)]
    pub full: bool,
}
