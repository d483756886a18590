//! Arguments of `audit` and `policy`.

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs, Subcommand};

use super::Reading;

/// Arguments of `audit`.
#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("report_file").args(["html", "report_json"]).multiple(true)))]
#[command(after_help = "\
Examples:
  databasus-escrow audit --policy policies/production.toml
  databasus-escrow audit --policy policies/production.toml --full      every byte of every copy
  databasus-escrow audit --policy policies/minimal.toml --head         every few minutes
  databasus-escrow audit --policy policies/production.toml --html audit.html --sign-report
  databasus-escrow audit --policy production.toml --instance demo --store 's3://…' --trust SHA256:…

Exit codes: 0 everything that the policy demands holds · 3 something could not be looked at · 4 a demand
is not met · 13 something is not what a signer said it was.")]
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
    /// Sign the newest manifest that was seen, and store the word in every store
    #[arg(long)]
    pub witness: bool,
    /// Write a report for people, too: one HTML file that needs nothing else
    #[arg(long, value_name = "PATH")]
    pub html: Option<PathBuf>,
    /// Write what --json prints into a file, too
    #[arg(long, value_name = "PATH")]
    pub report_json: Option<PathBuf>,
    /// Sign each report file, into PATH.sig beside it, with the key of [signing]
    #[arg(long, requires = "report_file")]
    pub sign_report: bool,
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
