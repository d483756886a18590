//! The command line of `drill`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::{EscrowChoice, Reading};
use crate::databasus::api::Address;
use crate::model::audit::span::Span;

/// Arguments of `drill`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow drill --identity alice.key --policy policies/production.toml --dry-run
  databasus-escrow drill --identity alice.key --policy policies/production.toml \\
    --read-only-credentials reader --scratch /srv/drills
  0 6 1 */3 *  databasus-escrow drill --identity alice.key --policy production.toml --quiet

Databasus itself (level 5), started by a command on what the drill brought back, unattended:
  databasus-escrow drill --identity alice.key --policy production.toml \\
    --read-only-credentials reader --application http://127.0.0.1:4005 \\
    --application-start 'docker run -d --rm --name drill -p 127.0.0.1:4005:4005 \\
      -e IS_DISABLE_ANONYMOUS_TELEMETRY=true -v \"$DRILL_DATA_DIR\":/databasus-data \\
      databasus/databasus:v3.49.0' --application-stop 'docker stop drill'
… by yourself, when the drill says where (the same without the two commands) … or before the drill,
on a directory that `rehydrate` made:
  databasus-escrow rehydrate --target ./clone --identity alice.key --read-only-credentials reader
  databasus-escrow drill --identity alice.key --policy production.toml \\
    --application http://127.0.0.1:4005

Exit codes: 0 all of it came back and holds · 3 something could not be told or done, or a store lacks
the report · 4 a demand is not met: a sentinel, the time, the age · 10 no such escrow · 11 another
drill of this instance runs in the same folder · 12 no identity or key opens it · 13 an escrow or a
backup is not what it was · 14 refused: the disk is too small, or this is the source. What was brought back is gone afterwards, however it ended.")]
pub struct Drill {
    /// Policy whose table `[drill]` says what has to come back
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// age identity file or SSH key that opens the escrow; `-` reads standard input; repeatable
    #[arg(long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
    /// Where several custodians are elsewhere: print a one-time recipient, and wait for what they
    /// answer to it, in this file or on standard input (`-`)
    #[arg(long, value_name = "FILE|-", conflicts_with = "identities")]
    pub unlock: Option<PathBuf>,
    /// Which escrow: an id, or `latest`
    #[arg(long, value_name = "ESCROW", default_value = "latest")]
    pub escrow: EscrowChoice,
    /// Folder in which the throwaway place is made [default: the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Folder of PostgreSQL's programs; repeatable, one for each major
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Vec<PathBuf>,
    /// Credentials that can only read Databasus' storages, from `ESCROW_<NAME>_ACCESS_KEY_ID` and
    /// `ESCROW_<NAME>_SECRET_ACCESS_KEY`; for one storage alone: STORAGE=NAME; repeatable
    #[arg(long, value_name = "[STORAGE=]NAME")]
    pub read_only_credentials: Vec<String>,
    /// Prove level 5 too: a Databasus that answers here, on this host or in a private network, lists
    /// and serves what was brought back. It may run already, on a directory that was rehydrated
    /// earlier; else the drill waits for it. A download token for one backup of each storage is all
    /// that is ever written there
    #[arg(long, value_name = "http://HOST:PORT")]
    pub application: Option<Address>,
    /// How long Databasus may take until it answers
    #[arg(
        long,
        value_name = "SPAN",
        default_value = "10m",
        requires = "application"
    )]
    pub application_wait: Span,
    /// Command for /bin/sh that starts Databasus on the directory in $DRILL_DATA_DIR; it may end at
    /// once or run as long as Databasus does. It sees no variable whose name begins with ESCROW_
    #[arg(long, value_name = "COMMAND", requires = "application")]
    pub application_start: Option<String>,
    /// Command that stops it again; without it, what the other command left running is ended
    #[arg(long, value_name = "COMMAND", requires = "application_start")]
    pub application_stop: Option<String>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Where to read from.
    #[command(flatten)]
    pub reading: Reading,
}
