//! Arguments of `audit` and `policy`.

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs, Subcommand};

use super::{Reading, Remembered};

/// Arguments of `audit`.
#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("report_file").args(["html", "report_json"]).multiple(true)))]
#[command(after_help = "\
Examples:
  databasus-escrow audit --policy policies/production.toml
  databasus-escrow audit --policy policies/production.toml --full      every byte of every copy
  databasus-escrow audit --policy policies/minimal.toml --head         every few minutes
  databasus-escrow audit --policy policies/production.toml \\
    --backups 'prod=s3://backups?endpoint=https://…&region=us-east-1'
  databasus-escrow audit --policy policies/production.toml --html audit.html --sign-report
  databasus-escrow audit --policy production.toml --instance demo --store 's3://…' --trust SHA256:…
  databasus-escrow audit --policy production.toml --prometheus /var/lib/node_exporter/escrow.prom
  databasus-escrow audit --policy production.toml --junit audit.xml    for CI
  databasus-escrow audit --policy production.toml --head --nagios      as a plugin

Exit codes: 0 everything that the policy demands holds · 3 something could not be looked at, or a store
lacks the witness · 4 a demand is not met · 13 something is not what a signer said it was. With --nagios:
0 OK · 1 WARNING: it holds, and somebody should look · 2 CRITICAL: a demand is not met, or tampering ·
3 UNKNOWN: something could not be looked at, a store lacks the witness, or there was no audit.")]
pub struct Audit {
    /// What is demanded
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// Read and hash so many parts, whatever the policy says; 0 reads none
    #[arg(long, value_name = "N", conflicts_with = "full")]
    pub sample: Option<u32>,
    /// Read and hash every part of every copy
    #[arg(long)]
    pub full: bool,
    /// Look at the newest manifest alone, in few requests
    #[arg(long, conflicts_with_all = ["sample", "full", "witness"])]
    pub head: bool,
    /// A storage with Databasus' own backups, for `[[backups]]` in the policy:
    /// NAME=s3://BUCKET/PREFIX?endpoint=URL&region=R, or NAME=dir:/path; repeatable. Credentials, which
    /// need to read and no more, come from `ESCROW_<NAME>_ACCESS_KEY_ID` and
    /// `ESCROW_<NAME>_SECRET_ACCESS_KEY`
    #[arg(long, value_name = "NAME=STORAGE", conflicts_with = "head")]
    pub backups: Vec<String>,
    /// Sign the newest manifest that was seen, and store the word in every store
    #[arg(long)]
    pub witness: bool,
    /// Write a report for people, too: one HTML file that needs nothing else
    #[arg(long, value_name = "PATH")]
    pub html: Option<PathBuf>,
    /// Write what --json prints into a file, too
    #[arg(long, value_name = "PATH")]
    pub report_json: Option<PathBuf>,
    /// Sign each report file, into PATH.sig beside it, with the key of `[signing]`
    #[arg(long, requires = "report_file")]
    pub sign_report: bool,
    /// Write metrics for node_exporter's textfile collector: NAME.prom in its folder
    #[arg(long, value_name = "PATH")]
    pub prometheus: Option<PathBuf>,
    /// Write JUnit XML, which CI systems show as tests
    #[arg(long, value_name = "PATH")]
    pub junit: Option<PathBuf>,
    /// Print the one line of a Nagios plugin instead, and exit as one: 0, 1, 2, 3
    #[arg(long, conflicts_with = "json")]
    pub nagios: bool,
    /// What earlier looks at storages of Databasus found out.
    #[command(flatten)]
    pub remembered: Remembered,
    /// Where to read from.
    #[command(flatten)]
    pub reading: Reading,
}

/// Arguments of `policy`.
#[derive(Debug, ClapArgs)]
pub struct Policy {
    /// What to do.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// The commands of `policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Say whether policy files can be used, and what is wrong with them
    Check(PolicyCheck),
}

/// Arguments of `policy check`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example: databasus-escrow policy check policies/*.toml

Exit codes: 0 each of them can be used · 2 one cannot.")]
pub struct PolicyCheck {
    /// Policy files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}
