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
    /// Print the commands by which a custodian shows, with stock tools, that the identity opens
    Challenge(CustodyChallenge),
    /// Verify a custodian's answer, and keep it in every store
    Checkin(CustodyCheckin),
    /// Who can open escrows, who has shown it, and how many may be lost
    Status(CustodyStatus),
    /// Let somebody open what is sealed from now on
    Add(CustodyAdd),
    /// Seal to somebody no more, and show what they can still open
    Remove(CustodyRemove),
}

/// Arguments of `custody open`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples, of two custodians on two machines and a third that rehydrates; of more, each hands its
output on to the next:
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
    /// In the last step: the one-time recipient that `rehydrate --unlock` printed, of X25519 and no
    /// other kind. Compare it by voice: whoever holds its identity can open the escrow then
    #[arg(long, value_name = "age1…")]
    pub to: Option<String>,
    /// Write the result there, not to standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where to read from.
    #[command(flatten)]
    pub reading: Reading,
}

/// Arguments of `custody challenge`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow custody challenge alice > for-alice.sh
    send it to her, it is no secret; and read out the SHA-256 that is printed beside it
  databasus-escrow custody challenge alice --instance heatwave-prod --store 's3://…' --trust SHA256:…
    on Alice's own machine, as her trust card has it: then nobody has to be asked")]
pub struct CustodyChallenge {
    /// Who is to show that the identity opens something
    #[arg(value_name = "NAME")]
    pub custodian: CustodianName,
    /// Where to read from.
    #[command(flatten)]
    pub reading: Reading,
}

/// Arguments of `custody checkin`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example: databasus-escrow custody checkin checkin.json   (with checkin.json.sig beside it)

It counts from the date of the canary on, whatever date it has. The canary is at most 14 days old, or the
newest; each is answered once.

Exit codes: 0 verified and in every store · 3 verified, but a store lacks it · 13 it proves nothing.")]
pub struct CustodyCheckin {
    /// The answer; its signature lies beside it, with .sig behind its name
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `custody status`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow custody status
  databasus-escrow custody status --json | jq .may_be_lost

Exit codes: 0 everybody has checked in, and somebody can be spared · 3 somebody has not, or nobody can.")]
pub struct CustodyStatus {
    /// Where to read from.
    #[command(flatten)]
    pub reading: Reading,
}

/// Arguments of `custody add`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example: databasus-escrow custody add carol=age1…   (what `age-keygen -y carol.key` prints)")]
pub struct CustodyAdd {
    /// Who joins, and the recipient: NAME=RECIPIENT, any recipient of age
    #[arg(value_name = "NAME=RECIPIENT")]
    pub custodian: String,
}

/// Arguments of `custody remove`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow custody remove bob --dry-run    what bob can still open, and until when
  databasus-escrow custody remove bob

Refused until enough of those who are left have shown, by a check-in, that their identities open
anything: somebody who has just joined may have given the wrong key.

Exit codes: 0 removed · 3 removed, and nobody can be spared any more · 14 refused: too few would be left,
or too few of them have shown that they can open anything.")]
pub struct CustodyRemove {
    /// Who leaves
    #[arg(value_name = "NAME")]
    pub custodian: CustodianName,
    /// Show what the leaver can still open, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Remove them although too few of the others have shown that they can open anything
    #[arg(long)]
    pub unproven: bool,
}
