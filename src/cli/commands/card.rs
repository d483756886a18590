//! `card`: the trust card, printed again.

use crate::base::cancel::Cancel;
use crate::base::time::{Clock, SystemClock};
use crate::cli::args::{Card, Global, Reading};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::wire::{self, Reader};
use crate::ops::card::{self, CardHead, CardRequest};
use crate::ops::history::History;

pub(in crate::cli) fn run(
    args: &Card,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let config = wire::need_config(global)?;
    let head = if args.offline {
        None
    } else {
        let reader = Reader::open(&Reading::default(), global, cancel)?;
        newest(&reader.history(output, cancel)?)
    };
    let card = card::from_config(CardRequest {
        config: &config,
        recipients: &wire::read_text(&config.resolve(&config.recipients.file))?,
        allowed_signers: &wire::read_text(&config.resolve(&config.trust.allowed_signers))?,
        head,
        tool_sha256: wire::own_digest(),
        now: SystemClock.now(),
    })
    .map_err(CliError::failed)?;
    output.result(&card, || card.text())?;
    Ok(Exit::Done)
}

fn newest(history: &History) -> Option<CardHead> {
    history.head().map(|head| CardHead {
        seq: head.link.seq,
        digest: head.link.digest,
        created_at: head.link.created_at,
        signed_by: head.fingerprint,
    })
}
