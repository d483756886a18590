//! The command line of `pitr`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use jiff::Timestamp;
use uuid::Uuid;

use super::Backups;
use super::point_in_time::point_in_time;
use crate::postgres::lsn::Lsn;

/// Arguments of `pitr`.
#[derive(Debug, ClapArgs)]
pub struct Pitr {
    /// What to do.
    #[command(subcommand)]
    pub command: PitrCommand,
}

/// The commands of `pitr`.
#[derive(Debug, Subcommand)]
pub enum PitrCommand {
    /// List the backup chains of clusters, and which points in time each reaches
    List(Box<PitrList>),
    /// Make a PostgreSQL directory as of a chosen second
    Restore(Box<PitrRestore>),
}

/// Arguments of `pitr list`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow pitr list --from 's3://prod/backups?endpoint=https://…' \\
    --secret-key secret.key
  databasus-escrow pitr list --from /databasus-data/backups --secret-key secret.key \\
    --database shop --json

Exit codes: 0 listed · 3 some objects could not be read · 10 no backup of a cluster is there.")]
pub struct PitrList {
    /// Where the backups are, and the keys that open them.
    #[command(flatten)]
    pub backups: Backups,
    /// Only this one: its name in Databasus, or its id
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// Names, sizes and sidecars alone; else the first MiB of each object is fetched. WAL of
    /// releases up to 3.42 has neither and is then not seen
    #[arg(long)]
    pub no_probe: bool,
    /// Folder of PostgreSQL's programs: pg_waldump tells the exact ends of windows
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// What earlier looks found out.
    #[command(flatten)]
    pub remembered: Remembered,
}

/// Where the results of looking into objects are kept.
#[derive(Debug, ClapArgs)]
pub struct Remembered {
    /// Folder in which what was found out about objects is kept, by name and ETag: no content and
    /// no key [default: `XDG_CACHE_HOME`/databasus-escrow, or that in ~/.cache]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Keep nothing, and use nothing that was kept
    #[arg(long, conflicts_with = "cache")]
    pub no_cache: bool,
}

/// Arguments of `pitr restore`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow pitr restore --from 's3://prod/backups?endpoint=https://…' \\
    --secret-key secret.key --database shop --to 2026-11-23T14:31:59Z --output /srv/rewound \\
    --check 'SELECT count(*) FROM orders' --expect 4711
  databasus-escrow pitr restore --from 's3://…' --secret-key escrow --identity alice.key \\
    --database shop --to '2026-11-23 15:31:59+01:00' --output /srv/rewound --dry-run
  databasus-escrow pitr restore --from /mnt/backups --secret-key secret.key --database shop \\
    --latest --output /srv/rewound --pg-bin /usr/lib/postgresql/18/bin

Exit codes: 0 restored and proven · 2 usage, nothing touched · 3 restored, but a check did not hold
· 10 nothing there reaches that point · 12 no key opens it · 13 damaged, or a segment of something
else · 14 refused: output not empty, disk too small, tablespaces, no PostgreSQL of that major.
The output appears only once it is complete.")]
pub struct PitrRestore {
    /// Where the backups are, and the keys that open them.
    #[command(flatten)]
    pub backups: Backups,
    /// Whose cluster: its name in Databasus, or its id
    #[arg(long, value_name = "NAME")]
    pub database: String,
    /// Which cluster, where several went by that name: the system identifier that `pitr list` shows
    #[arg(long, value_name = "SYSTEM-ID")]
    pub cluster: Option<u64>,
    /// Which point.
    #[command(flatten)]
    pub point: Point,
    /// The timeline to follow [default: the newest that reaches the point]
    #[arg(long, value_name = "N")]
    pub timeline: Option<u32>,
    /// A backup or segment to do without, by its object's name or id; repeatable
    #[arg(long, value_name = "NAME|ID")]
    pub without: Vec<String>,
    /// Directory to make; must not exist, or be empty
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Folder of PostgreSQL's programs, of the cluster's major
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// Image to run PostgreSQL from where this host has none [default: postgres:MAJOR]
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// The cluster's superuser
    #[arg(long, value_name = "ROLE", default_value = "postgres")]
    pub superuser: String,
    /// What must hold afterwards.
    #[command(flatten)]
    pub checks: Checks,
    /// Say what would be fetched and how much room it takes, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not start PostgreSQL: leave a directory that replays to the point when it is started
    #[arg(long, conflicts_with = "checks")]
    pub prepare_only: bool,
    /// What earlier looks found out.
    #[command(flatten)]
    pub remembered: Remembered,
}

/// Which point a cluster is taken back to.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub struct Point {
    /// The last moment to keep, with its zone: 2026-11-23T14:31:59Z, '2026-11-23 15:31:59+01:00'.
    /// What was committed at that very time is there, what came later is not
    #[arg(long, value_name = "TIME", value_parser = point_in_time)]
    pub to: Option<Timestamp>,
    /// The last position in the log to keep, as 0/1A2B3C4D
    #[arg(long, value_name = "LSN")]
    pub to_lsn: Option<Lsn>,
    /// The end of the log that there is
    #[arg(long)]
    pub latest: bool,
    /// The moment when this backup was complete, by its id
    #[arg(long, value_name = "ID")]
    pub backup: Option<Uuid>,
}

/// Queries that must give a certain answer.
#[derive(Debug, ClapArgs)]
pub struct Checks {
    /// A query to run once the point is reached, in a transaction that cannot write; repeatable
    #[arg(long = "check", value_name = "SQL", requires = "expected")]
    pub checks: Vec<String>,
    /// The text that the query before must give in its first column and row; one for each
    #[arg(long = "expect", value_name = "VALUE", requires = "checks")]
    pub expected: Vec<String>,
    /// Database to run them in [default: the only one besides postgres, else postgres]
    #[arg(long, value_name = "NAME")]
    pub check_database: Option<String>,
}
