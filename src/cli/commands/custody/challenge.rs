//! `custody challenge`: the commands that a custodian answers with.

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::names::{CustodianName, EscrowId};
use crate::cli::args::{CustodyChallenge, Global};
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::Output;
use crate::cli::wire::Reader;
use crate::ops::custody::challenge::Challenge;

#[derive(Serialize)]
struct Document<'a> {
    custodian: &'a CustodianName,
    escrow_id: &'a EscrowId,
    seq: u64,
    canary_sha256: Digest,
    nonce_sha256: Digest,
    commands: &'a str,
    /// Of the commands, to be compared by voice.
    commands_sha256: Digest,
}

pub(in crate::cli) fn run(
    args: &CustodyChallenge,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let reader = Reader::open(&args.reading, global, cancel)?;
    let history = reader.history(output, cancel)?;
    let challenge =
        Challenge::newest(&history, &reader.stores, &args.custodian).map_err(hints::challenge)?;
    let commands = challenge.to_string();
    let document = Document {
        custodian: &args.custodian,
        escrow_id: &challenge.escrow_id,
        seq: challenge.seq,
        canary_sha256: challenge.canary.sha256,
        nonce_sha256: challenge.canary.nonce_sha256,
        commands: &commands,
        commands_sha256: Digest::of(commands.as_bytes()),
    };
    output.product(&document, &commands)?;
    output.remark(&format!(
        "SHA-256 of these commands, for {} to compare by voice before running them: {}",
        args.custodian, document.commands_sha256
    ));
    Ok(Exit::Done)
}
