//! What opens an escrow: identities on this machine, or the answer of custodians on others.

mod answer;
mod request;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::cancel::Cancel;
use crate::cli::exit::CliError;
use crate::cli::identities;
use crate::cli::output::Output;
use crate::cli::wire::Reader;
use crate::model::config::Config;
use crate::model::manifest::{CustodyMode, Manifest};
use crate::sealing::custody::{EscrowIdentity, LayerError, NotAnEscrowIdentity, open_armored};
use crate::sealing::identities::Identities;

use answer::Answers;
use request::Request;

/// What opens escrows in this run.
pub(super) enum Opening {
    /// Identities, whoever's they are.
    Identities(Arc<Identities>),
    /// Custodians elsewhere, whose answer comes in through this file; `-` is standard input.
    Answer(Mutex<Answers>),
}

impl Opening {
    /// By the command line, else by the configuration; none where neither names anything.
    pub(super) fn of(
        files: &[PathBuf],
        unlock: Option<&Path>,
        config: Option<&Config>,
    ) -> Result<Option<Self>, CliError> {
        if let Some(answer) = unlock {
            identities::refuse_beside_the_source(config)?;
            return Ok(Some(Self::Answer(Mutex::new(Answers::new(answer)))));
        }
        let identities = identities::read(files, config)?;
        Ok(identities.map(|identities| Self::Identities(Arc::new(identities))))
    }

    /// What opens this escrow. Custodians elsewhere are asked for it, and waited for.
    pub(super) fn identities(
        &self,
        manifest: &Manifest,
        reader: &Reader,
        output: &Output,
        cancel: &Cancel,
    ) -> Result<Arc<Identities>, CliError> {
        match self {
            Self::Identities(identities) => Ok(identities.clone()),
            Self::Answer(answers) => {
                let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                ask(manifest, &mut answers, reader, output, cancel).map(Arc::new)
            }
        }
    }
}

/// An answer that was not made for this run, or is none.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error(transparent)]
    Content(#[from] NotAnEscrowIdentity),
}

/// The one-time identity exists in this process alone, for as long as it waits. An answer that does
/// not open is no reason to make another one: people are on the telephone about this one.
fn ask(
    manifest: &Manifest,
    answers: &mut Answers,
    reader: &Reader,
    output: &Output,
    cancel: &Cancel,
) -> Result<Identities, CliError> {
    if manifest.custody.mode == CustodyMode::Any {
        return Err(CliError::usage(format!(
            "escrow {} is opened by each of its custodians alone",
            manifest.escrow_id
        ))
        .hint("--identity FILE in place of --unlock"));
    }
    let one_time = EscrowIdentity::generate();
    let request = Request {
        manifest,
        recipient: &one_time.recipient_text(),
        stores: &reader.store_arguments,
        answer: answers.from(),
    };
    output.ask(&request.to_string());
    let one_time = one_time.into_identities("one-time");
    loop {
        let answer = answers.next(output, cancel)?;
        match opened(&answer, &one_time) {
            Ok(identity) => return Ok(identity.into_identities("the escrow's own")),
            Err(why) => output.ask(&format!(
                "the answer does not open: {why}; it must be made with --to and the one-time \
                 recipient above. Still waiting"
            )),
        }
    }
}

fn opened(answer: &[u8], one_time: &Identities) -> Result<EscrowIdentity, Unusable> {
    let text = open_armored(answer, one_time)?;
    Ok(EscrowIdentity::parse(&text)?)
}
