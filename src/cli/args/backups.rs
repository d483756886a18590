//! Where Databasus' own backups are, and the keys that open them.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::{KeyChoice, Reading};

/// Arguments of the commands that read backups straight from their storage.
#[derive(Debug, ClapArgs)]
pub struct Backups {
    /// Where the backups are: s3://BUCKET/PREFIX?endpoint=URL&region=R, or a directory of objects.
    /// Credentials come from `ESCROW_FROM_ACCESS_KEY_ID` and `ESCROW_FROM_SECRET_ACCESS_KEY`; with
    /// NAME= in front, that name stands in place of FROM
    #[arg(long, value_name = "STORAGE")]
    pub from: String,
    /// A file with Databasus' `secret.key`, or `escrow` for the key in the newest escrow,
    /// `escrow:ID` for that one's, `escrow:all` for every key that any holds; repeatable
    #[arg(long = "secret-key", value_name = "FILE|escrow")]
    pub secret_keys: Vec<KeyChoice>,
    /// age identity file or SSH key that opens escrows; `-` reads standard input; repeatable
    #[arg(long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
    /// Where several custodians are elsewhere: print a one-time recipient for each escrow, and
    /// wait for what they answer to it, in this file or on standard input (`-`)
    #[arg(long, value_name = "FILE|-", conflicts_with = "identities")]
    pub unlock: Option<PathBuf>,
    /// Where escrows are, for --secret-key escrow.
    #[command(flatten)]
    pub reading: Reading,
}
