//! The command line of `custody`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::{EscrowChoice, Reading};
use crate::base::names::CustodianName;

/// Arguments of `custody`.
#[derive(Debug, ClapArgs)]
pub struct Custody {
    /// What to do.
    #[command(subcommand)]
    pub command: CustodyCommand,
}

/// The commands of `custody`.
#[derive(Debug, Subcommand)]
pub enum CustodyCommand {
    /// Take your layer off an unlock file, for the next custodian or for who rehydrates
    Open(CustodyOpen),
}

/// Arguments of `custody open`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples, of two custodians on two machines and a third that rehydrates:
  databasus-escrow custody open --step 1 --with bob --identity alice.key --output for-bob.age
  databasus-escrow custody open --step 2 for-bob.age --identity bob.key --to age1…

Exit codes: 0 done · 10 no such escrow · 12 it is another custodian's turn · 13 the file is not of this
escrow, and was not opened.")]
pub struct CustodyOpen {
    /// The file that the custodian before you handed on, or an unlock file of the escrow; `-`
    /// reads standard input. Without it the unlock file is fetched
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Which step you take it for, counted from 1
    #[arg(long, value_name = "N")]
    pub step: Option<usize>,
    /// Which escrow: an id, or `latest`
    #[arg(long, value_name = "ESCROW", default_value = "latest")]
    pub escrow: EscrowChoice,
    /// Without FILE: who else takes part; repeatable
    #[arg(long = "with", value_name = "NAME", conflicts_with = "file")]
    pub others: Vec<CustodianName>,
    /// Your age identity file or SSH key; `-` reads standard input; repeatable
    #[arg(long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
    /// In the last step: the one-time recipient that `rehydrate --unlock` printed. Compare it by
    /// voice: whoever holds its identity can open the escrow then
    #[arg(long, value_name = "age1…")]
    pub to: Option<String>,
    /// Write the result there, not to standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where to read from.
    #[command(flatten)]
    pub reading: Reading,
}
