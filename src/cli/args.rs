//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::base::fingerprint::Fingerprint;
use crate::base::names::{EscrowId, SignerName, Slug};
use crate::base::time::UtcTime;
use crate::model::mark::Mark;
use crate::model::proof::Level;

mod unfence;

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
    /// Take a snapshot, seal it and commit it to every store
    Snapshot(Snapshot),
    /// List escrows, and what is wrong with the chain
    List(List),
    /// Show one escrow's manifest
    Show(Show),
    /// Verify signatures, chain and every copy; with an identity, the content too
    Verify(Verify),
    /// Rebuild a data directory from an escrow
    Rehydrate(Box<Rehydrate>),
    /// Recover a backup of Databasus straight from its bucket or directory
    Recover(Box<Recover>),
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

/// Arguments of `rehydrate`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow rehydrate --instance heatwave-prod --store 's3://…' --trust SHA256:… \\
    --identity alice.key --target /srv/databasus-data
  databasus-escrow rehydrate --at 2026-06-12T02:00:00Z --identity alice.key --target /srv/old
  databasus-escrow rehydrate --dry-run --identity alice.key --target /srv/databasus-data

Exit codes: 0 rehydrated and proven · 3 rehydrated, but a store or the chain is damaged, or a
check failed · 10 no such escrow · 12 no identity opens it · 13 not what was signed · 14 refused.
The target appears only once it is complete.")]
pub struct Rehydrate {
    /// Data directory to make; must not exist, or be empty
    #[arg(long, value_name = "DIR", required_unless_present = "from_key")]
    pub target: Option<PathBuf>,
    /// age identity file or SSH key that opens the escrow; `-` reads standard input; repeatable
    #[arg(long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
    /// Which escrow: an id, or `latest`
    #[arg(
        long,
        value_name = "ESCROW",
        default_value = "latest",
        conflicts_with = "at"
    )]
    pub escrow: EscrowChoice,
    /// The newest escrow from this time or before
    #[arg(long, value_name = "TIME")]
    pub at: Option<UtcTime>,
    /// Restore files only; PostgreSQL is not started
    #[arg(long, conflicts_with = "from_logical")]
    pub files_only: bool,
    /// Build a new cluster from the logical copy
    #[arg(long)]
    pub from_logical: bool,
    /// Folder of PostgreSQL's programs, of the recorded major
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// Databasus image to run PostgreSQL from, and to name in what is printed
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// What becomes of the metadata.
    #[command(flatten)]
    pub fencing: Fencing,
    /// What becomes of the catalogue.
    #[command(flatten)]
    pub importing: Importing,
    /// What to do without an escrow.
    #[command(flatten)]
    pub from_key: FromKey,
    /// Where to read from.
    #[command(flatten)]
    pub reading: Reading,
}

/// For the day on which no escrow can be opened, and secret.key is at hand.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Without an escrow")]
pub struct FromKey {
    /// A copy of secret.key, byte for byte: the catalogue is built from the bucket
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "identities", "files_only", "from_logical"])]
    pub from_key: Option<PathBuf>,
    /// Data directory of a Databasus that was started once with that key, without a network, and
    /// stopped; without it, how to make one is printed
    #[arg(long, value_name = "DIR", requires = "from_key")]
    pub fresh: Option<PathBuf>,
    /// The backups' bucket: s3://BUCKET/PREFIX?endpoint=URL&region=R. Credentials, best ones that
    /// can only read, come from `ESCROW_STORAGE_ACCESS_KEY_ID` and
    /// `ESCROW_STORAGE_SECRET_ACCESS_KEY`
    #[arg(long, value_name = "BUCKET", requires = "from_key")]
    pub storage: Option<String>,
}

/// What keeps a rehydrated Databasus from touching production.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Fence")]
pub struct Fencing {
    /// Do not fence: the clone takes production's place. Demands the instance's name
    #[arg(long)]
    pub live: bool,
    /// The instance's name, for --live without a terminal
    #[arg(long, value_name = "INSTANCE", requires = "live")]
    pub confirm: Option<String>,
    /// Leave the storages' own credentials in the fenced metadata: whoever uses the clone can then
    /// delete production's backups
    #[arg(long, conflicts_with_all = ["live", "read_only_credentials"])]
    pub keep_storage_credentials: bool,
    /// Credentials that can only read Databasus' storages, from `ESCROW_<NAME>_ACCESS_KEY_ID` and
    /// `ESCROW_<NAME>_SECRET_ACCESS_KEY`; for one storage alone: STORAGE=NAME; repeatable
    #[arg(long, value_name = "[STORAGE=]NAME")]
    pub read_only_credentials: Vec<String>,
}

/// Whether the catalogue is brought up to date.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Catalogue import")]
pub struct Importing {
    /// Leave the catalogue as it was at the time of the snapshot
    #[arg(long, conflicts_with_all = ["assign", "placeholders"])]
    pub no_import: bool,
    /// What the import cannot decide.
    #[command(flatten)]
    pub decisions: Decisions,
}

/// What an import cannot decide by itself.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Catalogue import")]
pub struct Decisions {
    /// Give backups whose names begin with NAME, or the one object NAME, to this database of
    /// Databasus (its name or id); repeatable
    #[arg(long, value_name = "NAME=DATABASE", value_parser = assignment)]
    pub assign: Vec<(String, String)>,
    /// Make a database that is switched off for backups of databases that the catalogue does not
    /// know
    #[arg(long)]
    pub placeholders: bool,
}

/// Splits `NAME=DATABASE` at the last sign: objects' names may hold it too.
fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, database) = text
        .rsplit_once('=')
        .ok_or("not of the form NAME=DATABASE")?;
    match name.is_empty() || database.is_empty() {
        true => Err("not of the form NAME=DATABASE".to_owned()),
        false => Ok((name.to_owned(), database.to_owned())),
    }
}

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
    /// Where the backups are: s3://BUCKET/PREFIX?endpoint=URL&region=R, or a directory of objects.
    /// Credentials come from `ESCROW_FROM_ACCESS_KEY_ID` and `ESCROW_FROM_SECRET_ACCESS_KEY`; with
    /// NAME= in front, that name stands in place of FROM
    #[arg(long, value_name = "STORAGE")]
    pub from: String,
    /// A file with Databasus' `secret.key`, or `escrow` for the key in the newest escrow,
    /// `escrow:ID` for that one's, `escrow:all` for every key that any holds; repeatable
    #[arg(long = "secret-key", value_name = "FILE|escrow")]
    pub secret_keys: Vec<KeyChoice>,
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
    /// Replace the file if it exists
    #[arg(long, conflicts_with = "list")]
    pub force: bool,
    /// How many threads decrypt [default: one for each processor]
    #[arg(long, value_name = "N", hide = true)]
    pub threads: Option<std::num::NonZeroUsize>,
    /// age identity file or SSH key that opens escrows; `-` reads standard input; repeatable
    #[arg(long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
    /// Where escrows are, for --secret-key escrow.
    #[command(flatten)]
    pub reading: Reading,
}

/// Arguments of `import`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow import --data-dir /srv/databasus-data --dry-run
  databasus-escrow import --data-dir /srv/databasus-data --read-only-credentials r2 \\
    --assign shop=store --assign 'orders-20261123-031158-7a4faa4c-…=orders-old'

Exit codes: 0 all imported · 3 something was not, or waits for a decision · 13 damaged backups were
found, the others are imported · 14 refused: Databasus runs on the directory, or its schema is
half-migrated. A second import changes nothing.")]
pub struct Import {
    /// A data directory of Databasus, on which nothing runs
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// A file with another secret.key that older backups may be encrypted under; repeatable
    #[arg(long = "further-key", value_name = "FILE")]
    pub further_keys: Vec<PathBuf>,
    /// Credentials for Databasus' storages, where those in its metadata are blank or no longer
    /// valid: from `ESCROW_<NAME>_ACCESS_KEY_ID` and `ESCROW_<NAME>_SECRET_ACCESS_KEY`; for one
    /// storage alone: STORAGE=NAME; repeatable
    #[arg(long, value_name = "[STORAGE=]NAME")]
    pub read_only_credentials: Vec<String>,
    /// The container that mounts the directory: that it has exited proves that nothing runs
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Folder of PostgreSQL's programs, of the directory's major
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// Databasus image to run PostgreSQL from
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Look into everything, tell what would be done, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// What the import cannot decide.
    #[command(flatten)]
    pub decisions: Decisions,
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
