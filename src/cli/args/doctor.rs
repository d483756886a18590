//! The command line of `doctor`.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use crate::base::names::{Slug, StoreName};
use crate::ops::access::Role;

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
    /// Try whether each store's credentials suffice for a role, and are not too wide for it
    Stores(DoctorStores),
    /// Try to break a lock in each store that has one, and tell whether it held
    LockProbe(LockProbe),
}

/// Arguments of `doctor stores`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
A writer, on the source's host, must write (in parts and without overwriting, too), read and list, and
should not delete. An auditor, where escrows are verified and rehydrated, must read and list, and must
not write or delete. A pruner must delete too. Nobody may delete or shorten what a lock holds, which is
tried where the store has `lock`.

Everything is tried on objects of its own below INSTANCE/probe/, about 10 MiB for a writer; they are
removed again where the credentials allow it, and named where they do not.

Examples:
  databasus-escrow doctor stores
  databasus-escrow doctor stores second --as pruner
  databasus-escrow doctor stores --as auditor --instance heatwave-prod --store 's3://…'

Exit codes: 0 they fit · 1 they do not suffice, or are wrong · 3 something could not be found out, or
a writer can delete · 13 too wide: a lock can be broken, or an auditor can write or delete.")]
pub struct DoctorStores {
    /// Only these stores [default: all]
    #[arg(value_name = "STORE")]
    pub names: Vec<StoreName>,
    /// What the credentials are for
    #[arg(long = "as", value_name = "ROLE", value_enum, default_value = "writer")]
    pub role: RoleName,
    /// Without a configuration: the instance, as its trust card names it
    #[arg(long, value_name = "NAME", requires = "stores")]
    pub instance: Option<Slug>,
    /// Without a configuration: a store, as the trust card has it; repeatable
    #[arg(long = "store", value_name = "STORE", requires = "instance")]
    pub stores: Vec<String>,
}

/// What credentials are for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RoleName {
    /// Takes snapshots and copies them
    Writer,
    /// Verifies and rehydrates
    Auditor,
    /// Lets old escrows go
    Pruner,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Writer => Self::Writer,
            RoleName::Auditor => Self::Auditor,
            RoleName::Pruner => Self::Pruner,
        }
    }
}

/// Arguments of `doctor lock-probe`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Writes a few bytes below INSTANCE/probe/ with a lock of some minutes, then tries to overwrite them,
to shorten and downgrade the lock, and to delete the version, with and without bypass. The next
snapshot's manifest carries the result. The next probe, or `prune`, removes what
this one had to leave.

It needs credentials that may delete versions and set locks, since the refusal of others says nothing:
set ESCROW_<NAME>_ACCESS_KEY_ID and ESCROW_<NAME>_SECRET_ACCESS_KEY for this one run.

Exit codes: 0 every lock held · 3 one could not be tried · 13 one did not hold.")]
pub struct LockProbe {
    /// Only these stores of the configuration, locked or not [default: all with `lock`]
    #[arg(value_name = "STORE")]
    pub stores: Vec<StoreName>,
}
