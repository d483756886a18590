//! The command line of `key`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::Reading;
use crate::base::names::Slug;

/// Arguments of `key`.
#[derive(Debug, ClapArgs)]
pub struct Key {
    /// What to do.
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// The commands of `key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Print the id of a key, which gives nothing of it away
    Fingerprint(KeyFingerprint),
    /// Hold the live key, every escrow's and a copy from outside against each other
    Compare(KeyCompare),
    /// Seal the key to the custodians, for the safe: text, QR code, and a page that says how
    Export(KeyExport),
}

/// Arguments of `key fingerprint`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow key fingerprint
  databasus-escrow key fingerprint --instance heatwave-prod --secret-key secret.key")]
pub struct KeyFingerprint {
    /// A file with the exact bytes of `secret.key` [default: the configured source's]
    #[arg(long, value_name = "FILE")]
    pub secret_key: Option<PathBuf>,
    /// Whose key it is: its id depends on that [default: the configuration's]
    #[arg(long, value_name = "NAME")]
    pub instance: Option<Slug>,
}

/// Arguments of `key compare`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow key compare
  op read 'op://vault/databasus/secret.key.b64' | databasus-escrow key compare --base64 -

Exit codes: 0 all are the same key · 10 there is nothing to compare · 13 one of them differs. An older
escrow may have an older key: that is shown, and is no difference.")]
pub struct KeyCompare {
    /// A file with the exact bytes of `secret.key` [default: the configured source's]
    #[arg(long, value_name = "FILE")]
    pub secret_key: Option<PathBuf>,
    /// A copy from outside, in Base64, in this file; `-` reads standard input
    #[arg(long, value_name = "FILE|-")]
    pub base64: Option<PathBuf>,
    /// Where to read escrows from.
    #[command(flatten)]
    pub reading: Reading,
}

/// Arguments of `key export`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  databasus-escrow key export                    the page, and a QR code, on the terminal
  databasus-escrow key export --output safe      as files: a page and a picture, to be printed")]
pub struct KeyExport {
    /// A file with the exact bytes of `secret.key` [default: the configured source's]
    #[arg(long, value_name = "FILE")]
    pub secret_key: Option<PathBuf>,
    /// Folder to write a page and a picture into, for each set of custodians that opens them
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}
