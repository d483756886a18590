//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::base::fingerprint::Fingerprint;
use crate::base::names::{EscrowId, SignerName, Slug};
use crate::model::mark::Mark;
use crate::model::proof::Level;
use crate::ops::select::Selection;

mod audit;
mod backups;
mod close_fork;
mod custody;
mod doctor;
mod drill;
mod import;
mod key;
mod pitr;
mod point_in_time;
mod prune;
mod recover;
mod rehydrate;
mod rekey;
mod replicate;
mod stopped;
mod unfence;

pub use audit::{Audit, Policy, PolicyCheck, PolicyCommand};
pub use backups::Backups;
pub use close_fork::CloseFork;
pub use custody::{
    Custody, CustodyAdd, CustodyChallenge, CustodyCheckin, CustodyCommand, CustodyOpen,
    CustodyRemove, CustodyStatus,
};
pub use doctor::{Doctor, DoctorCommand, DoctorStores, LockProbe, RoleName};
pub use drill::Drill;
pub use import::{Decisions, Import, Importing};
pub use key::{Key, KeyCommand, KeyCompare, KeyExport, KeyFingerprint};
pub use pitr::{Checks, Pitr, PitrCommand, PitrList, PitrRestore, Point, Remembered};
pub use prune::Prune;
pub use recover::Recover;
pub use rehydrate::{Fencing, FromKey, Rehydrate};
pub use rekey::Rekey;
pub use replicate::Replicate;
pub use stopped::StoppedDirectory;
pub use unfence::Unfence;

/// Key custody and disaster-recovery escrow for Databasus.
#[derive(Debug, Parser)]
#[command(
    name = "databasus-escrow",
    version,
    propagate_version = true,
    after_help = "\
Exit codes:
  0 done · 1 failed · 2 usage or configuration, nothing touched · 3 partial
  4 audit found violations · 10 no such escrow · 11 busy or lost a race
  12 no identity opens it · 13 integrity or authenticity · 14 refused
  130, 143 stopped by a signal. Codes not listed mean failure.

On an empty box, after a disaster: take the trust card and begin with
  databasus-escrow list --instance NAME --store 's3://…' --trust SHA256:…"
)]
pub struct Args {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, ClapArgs)]
pub struct Global {
    /// Configuration file [default: escrow.toml here, else /etc/databasus-escrow/escrow.toml]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DATABASUS_ESCROW_CONFIG"
    )]
    pub config: Option<PathBuf>,
    /// Print one JSON document on standard output instead of text; errors become one on standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more on standard error; twice for details
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a configuration, a signing key and the policy files; print the trust card
    Init(Box<Init>),
    /// Print the trust card again
    Card(Card),
    /// Find out what stores do in truth
    Doctor(Doctor),
    /// Take a snapshot, seal it and commit it to every store
    Snapshot(Snapshot),
    /// List escrows, and what is wrong with the chain
    List(List),
    /// Show one escrow's manifest
    Show(Show),
    /// Verify signatures, chain and every copy; with an identity, the content too
    Verify(Verify),
    /// Audit escrows without any key: hold what stores and signers say against a policy
    Audit(Box<Audit>),
    /// Policies of audits
    Policy(Policy),
    /// Copy sealed escrows to every store that lacks them
    Replicate(Replicate),
    /// Let old escrows go: a plan, an announcement, deletion
    Prune(Prune),
    /// Say that a fork of the chain has been looked into
    CloseFork(CloseFork),
    /// Seal retained escrows again, to the custodians now in force
    Rekey(Rekey),
    /// Rebuild a data directory from an escrow
    Rehydrate(Box<Rehydrate>),
    /// Bring an escrow and the backups behind it back in a throwaway place, and sign what came of it
    Drill(Box<Drill>),
    /// Custodians: open together, prove who still can, join and leave
    Custody(Box<Custody>),
    /// Databasus' master key: its id, whether its copies are the same, one for the safe
    Key(Box<Key>),
    /// Recover a backup of Databasus straight from its bucket or directory
    Recover(Box<Recover>),
    /// Rewind a cluster to a chosen second, straight from its bucket or directory
    Pitr(Pitr),
    /// Bring a rehydrated catalogue up to what Databasus' storages hold
    Import(Import),
    /// Take the fence of a rehydrated data directory back: it becomes production
    Unfence(Box<Unfence>),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Write the manual pages
    Man(Man),
}

/// Where to read from, and whom to trust.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Reading without a configuration")]
pub struct Reading {
    /// The instance, as its trust card names it
    #[arg(long, value_name = "NAME")]
    pub instance: Option<Slug>,
    /// A store: NAME=s3://BUCKET/PREFIX?endpoint=URL&region=R or NAME=dir:/PATH; repeatable.
    /// Credentials come from `ESCROW_<NAME>_ACCESS_KEY_ID` and `ESCROW_<NAME>_SECRET_ACCESS_KEY`
    #[arg(long = "store", value_name = "STORE")]
    pub stores: Vec<String>,
    /// Fingerprint of the signer's key, from the trust card; repeatable
    #[arg(long, value_name = "SHA256:…")]
    pub trust: Vec<Fingerprint>,
    /// File of signers to trust
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
    /// The newest manifest seen before, from the trust card or an earlier report
    #[arg(long, value_name = "SEQ:SHA256")]
    pub mark: Option<Mark>,
    /// Take the chain as it was with this manifest: escrows, copies, re-sealings and deletions that
    /// later ones report do not count
    #[arg(long, value_name = "SEQ")]
    pub up_to: Option<u64>,
}

/// Arguments of `init`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow init --instance heatwave-prod \\
    --recipient alice=age1… --recipient bob=age1… \\
    --store 'r2=s3://escrow-bucket/databasus?account_id=…&token_id=…&provider=r2'
  databasus-escrow init --join --trust SHA256:… --instance heatwave-prod --store '…'")]
pub struct Init {
    /// Folder to write into
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Name of the Databasus installation: a-z, 0-9, '.', '_', '-'
    #[arg(long, value_name = "NAME")]
    pub instance: Slug,
    /// Who can open escrows: NAME=RECIPIENT, any recipient of age; repeatable
    #[arg(long = "recipient", value_name = "NAME=RECIPIENT")]
    pub recipients: Vec<String>,
    /// A store: NAME=s3://BUCKET/PREFIX?endpoint=URL&region=R or NAME=dir:/PATH; repeatable
    #[arg(long = "store", value_name = "STORE", required = true)]
    pub stores: Vec<String>,
    /// Name under which this host signs
    #[arg(long, value_name = "NAME", default_value = "escrow-host")]
    pub signer: SignerName,
    /// Databasus' data directory as this host sees it
    #[arg(long, value_name = "DIR", default_value = "/databasus-data")]
    pub data_dir: PathBuf,
    /// Host of Databasus' embedded PostgreSQL
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub pg_host: String,
    /// Port of Databasus' embedded PostgreSQL
    #[arg(long, value_name = "PORT", default_value = "5437")]
    pub pg_port: std::num::NonZeroU16,
    /// Reach PostgreSQL through the network namespace of this container (needs root)
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Image that Databasus runs from, recorded for rehydrate
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Release of Databasus that runs there, recorded for rehydrate
    #[arg(long, value_name = "VERSION")]
    pub databasus_version: Option<String>,
    /// Continue the chain that the stores hold, on a host that lost its signing key
    #[arg(long)]
    pub join: bool,
    /// With --join: fingerprint of the lost key, from the trust card; repeatable
    #[arg(long, value_name = "SHA256:…", requires = "join")]
    pub trust: Vec<Fingerprint>,
    /// With --join: a file of signers to trust
    #[arg(long, value_name = "FILE", requires = "join")]
    pub allowed_signers: Option<PathBuf>,
    /// With --join: the newest manifest that the trust card knows of
    #[arg(long, value_name = "SEQ:SHA256", requires = "join")]
    pub mark: Option<Mark>,
    /// With --join: go on although there are newer manifests that no trusted key signed
    #[arg(long, requires = "join")]
    pub ignore_newer: bool,
    /// Write the files although a store could not be probed
    #[arg(long)]
    pub skip_probe: bool,
}

/// Arguments of `card`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example: databasus-escrow card > trust-card.txt   (then print it, and keep it off this host)")]
pub struct Card {
    /// Do not ask the stores for the newest manifest
    #[arg(long)]
    pub offline: bool,
}

/// Arguments of `snapshot`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow snapshot
  30 2 * * *  databasus-escrow --config /etc/databasus-escrow/escrow.toml snapshot --quiet

Exit codes: 0 committed and read back in every required store · 3 committed, but a required
store lacks it, or a proof failed · 11 another run is at work · 13 committed, but the stores hold something that
nobody here signed · 14 refused, for one because --require-proof is not met · others: nothing was committed.")]
pub struct Snapshot {
    /// How far to prove that the key opens the backups: 0 key, 1 fields, 2 newest backups,
    /// 3 whole backups [default: the configuration's]
    #[arg(long, value_name = "LEVEL")]
    pub proof: Option<Level>,
    /// Commit nothing unless this level is proven
    #[arg(long, value_name = "LEVEL")]
    pub require_proof: Option<Level>,
}

/// Arguments of `list`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow list
  databasus-escrow list --json | jq -r '.escrows[-1].id'")]
pub struct List {
    /// Where to read from.
    #[command(flatten)]
    pub reading: Reading,
}

/// Arguments of `show`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow show
  databasus-escrow show 20260612T020000Z-0123456789abcdef --json")]
pub struct Show {
    /// Which escrow: an id, or `latest`
    #[arg(value_name = "ESCROW", default_value = "latest")]
    pub escrow: EscrowChoice,
    /// Where to read from.
    #[command(flatten)]
    pub reading: Reading,
}

/// Arguments of `verify`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow verify                         the newest escrow, every copy
  databasus-escrow verify --all                   all of them
  databasus-escrow verify --identity alice.key    its content too
  databasus-escrow verify --identity alice.key --proof 2    and that its key opens the backups

Exit codes: 0 all is as signed · 1 no copy could be read · 3 a copy is missing, a proof failed, or
something else in the chain is damaged · 12 no identity opens it · 13 a copy or the chain is not what was
signed, or all copies are gone.")]
pub struct Verify {
    /// Which escrow: an id, or `latest`
    #[arg(
        value_name = "ESCROW",
        default_value = "latest",
        conflicts_with = "all"
    )]
    pub escrow: EscrowChoice,
    /// Verify every escrow
    #[arg(long)]
    pub all: bool,
    /// Open the payload with this age identity file or SSH key; `-` reads standard input
    #[arg(long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
    /// Where several custodians are elsewhere: print a one-time recipient, and wait for what they
    /// answer to it, in this file or on standard input (`-`)
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["identities", "all"])]
    pub unlock: Option<PathBuf>,
    /// With an identity: how far to prove that the key inside opens the backups: 0 key, 1 fields,
    /// 2 newest backups, 3 whole backups. From 1 on pg_restore reads the metadata's logical copy
    #[arg(long, value_name = "LEVEL", default_value = "0")]
    pub proof: Level,
    /// For --proof 2 and 3: credentials for Databasus' storages in place of those in its metadata,
    /// from `ESCROW_<NAME>_ACCESS_KEY_ID` and `ESCROW_<NAME>_SECRET_ACCESS_KEY`; for one storage
    /// alone: STORAGE=NAME; repeatable
    #[arg(long, value_name = "[STORAGE=]NAME")]
    pub read_only_credentials: Vec<String>,
    /// Where to read from.
    #[command(flatten)]
    pub reading: Reading,
}

/// Arguments of `completions`.
#[derive(Debug, ClapArgs)]
pub struct Completions {
    /// For which shell
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, ClapArgs)]
pub struct Man {
    /// Folder to write the pages into
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// An escrow on the command line.
#[derive(Clone, Debug)]
pub enum EscrowChoice {
    /// `latest`.
    Latest,
    /// By its id.
    Id(EscrowId),
}

impl EscrowChoice {
    /// What it selects.
    pub fn selection(&self) -> Selection {
        match self {
            Self::Latest => Selection::Newest,
            Self::Id(id) => Selection::Id(id.clone()),
        }
    }
}

impl std::str::FromStr for EscrowChoice {
    type Err = crate::base::names::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "latest" => Ok(Self::Latest),
            id => id.parse().map(Self::Id),
        }
    }
}

/// A `secret.key` on the command line.
#[derive(Clone, Debug)]
pub enum KeyChoice {
    /// A file that holds its exact bytes.
    File(PathBuf),
    /// The one in an escrow.
    Escrow(EscrowChoice),
    /// Every one that any escrow holds.
    AllEscrows,
}

impl std::str::FromStr for KeyChoice {
    type Err = crate::base::names::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("escrow") {
            Some("") => Ok(Self::Escrow(EscrowChoice::Latest)),
            Some(":all") => Ok(Self::AllEscrows),
            Some(rest) if rest.starts_with(':') => {
                rest.trim_start_matches(':').parse().map(Self::Escrow)
            }
            _ => Ok(Self::File(PathBuf::from(text))),
        }
    }
}
