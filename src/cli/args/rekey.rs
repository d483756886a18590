//! The command line of `rekey`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use crate::base::names::EscrowId;

/// Arguments of `rekey`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples, on a box that is not the source's, after `custody add` or `custody remove`:
  databasus-escrow rekey --dry-run
  databasus-escrow rekey --identity alice.key
  databasus-escrow rekey --identity alice.key --identity bob.key
  databasus-escrow rekey --identity alice.key --escrow 20260612T020000Z-0123456789abcdef

Every escrow that retention keeps is sealed to the custodians in the recipients file, as many of them
together as custody.k says. The payload is decrypted in memory and encrypted under a new file key; it is
not unpacked. The old one stays in force until the new one lies in every required store and a signed
manifest says so; then it is deleted, unless a lock holds it: until its date the old custodians open
that copy. Interrupted anywhere, run it again.

Exit codes: 0 all are sealed to the custodians in force · 1 a store does not answer: nothing was changed
3 some are not, or something could not be deleted · 10 no such escrow · 11 another run is at work
12 no identity opens them: nothing was changed · 13 the chain or a copy is not what was signed
14 refused on the source's own box, and where too
few custodians in force have checked in or give their identities here.")]
pub struct Rekey {
    /// Seal only this escrow again; repeatable
    #[arg(long = "escrow", value_name = "ID")]
    pub escrows: Vec<EscrowId>,
    /// Open the escrows with this age identity file or SSH key; `-` reads standard input; repeatable
    #[arg(long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
    /// With a single --escrow whose custodians are elsewhere: print a one-time recipient, and wait for
    /// what they answer to it, in this file or on standard input (`-`)
    #[arg(long, value_name = "FILE|-", conflicts_with = "identities")]
    pub unlock: Option<PathBuf>,
    /// Tell what would be sealed again and who could open it; write and delete nothing
    #[arg(long)]
    pub dry_run: bool,
}
