//! The command line of `doctor`.

use clap::{Args as ClapArgs, Subcommand};

use crate::base::names::StoreName;

/// Arguments of `doctor`.
#[derive(Debug, ClapArgs)]
pub struct Doctor {
    /// What is examined.
    #[command(subcommand)]
    pub command: DoctorCommand,
}

/// What can be examined.
#[derive(Debug, Subcommand)]
pub enum DoctorCommand {
    /// Try to break a lock in each store that has one, and tell whether it held
    LockProbe(LockProbe),
}

/// Arguments of `doctor lock-probe`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Writes a few bytes below INSTANCE/probe/ with a lock of some minutes, then tries to overwrite them,
to shorten and downgrade the lock, and to delete the version, with and without bypass. The next
snapshot's manifest carries the result. The next probe removes what this one had to leave.

It needs credentials that may delete versions and set locks, since the refusal of others says nothing:
set ESCROW_<NAME>_ACCESS_KEY_ID and ESCROW_<NAME>_SECRET_ACCESS_KEY for this one run.

Exit codes: 0 every lock held · 3 one could not be tried · 13 one did not hold.")]
pub struct LockProbe {
    /// Only these stores of the configuration, locked or not [default: all with `lock`]
    #[arg(value_name = "STORE")]
    pub stores: Vec<StoreName>,
}
