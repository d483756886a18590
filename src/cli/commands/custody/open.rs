//! `custody open`: one custodian's step.

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::names::{CustodianName, EscrowId};
use crate::cli::args::{CustodyOpen, Global};
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::identities;
use crate::cli::output::Output;
use crate::cli::small_files;
use crate::cli::wire::Reader;
use crate::model::manifest::Manifest;
use crate::model::recipients::{RecipientKind, RecipientSpec};
use crate::ops::custody::step::{self, Opened, Signed};
use crate::ops::select::select;
use crate::sealing::custody::{EscrowIdentity, MAX_LAYER_BYTES, armored, dearmored, seal_armored};
use crate::sealing::identities::{Identities, age_recipient};

/// Base64 is a third larger than what it holds.
const MAX_TEXT: usize = 2 * MAX_LAYER_BYTES;

#[derive(Serialize)]
struct Document<'a> {
    escrow_id: &'a EscrowId,
    step: usize,
    of: usize,
    /// Whose turn it is now; null after the last step.
    next: Option<&'a CustodianName>,
    /// What to hand on, as text.
    file: &'a str,
}

pub(in crate::cli) fn run(
    args: &CustodyOpen,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let to = args.to.as_deref().map(one_time).transpose()?;
    let reader = Reader::open(&args.reading, global, cancel)?;
    let identities = identities::read(&args.identities, reader.config.as_ref())?
        .ok_or_else(identities::none_given)?;
    let history = reader.history(output, cancel)?;
    let (entry, _) = select(&history, &args.escrow.selection()).map_err(hints::select)?;
    let manifest = history.load(entry).map_err(hints::history)?;
    let (signed, opened) = take_step(args, &manifest, &reader, &identities)?;
    check_number(args, &signed)?;
    let (next, file) = match opened {
        Opened::Layer { next, bytes } => (Some(next), armored(&bytes).map_err(CliError::failed)?),
        Opened::Identity(identity) => (None, handed_over(&identity, to.as_ref())?),
    };
    tell(
        args,
        output,
        &signed,
        &manifest.escrow_id,
        next.as_ref(),
        &file,
    )?;
    Ok(Exit::Done)
}

fn take_step<'m>(
    args: &CustodyOpen,
    manifest: &'m Manifest,
    reader: &Reader,
    identities: &Identities,
) -> Result<(Signed<'m>, Opened), CliError> {
    let Some(path) = &args.file else {
        return step::first(manifest, &reader.stores, &args.others, identities)
            .map_err(hints::step);
    };
    let file = dearmored(&small_files::read(path, MAX_TEXT)?)
        .map_err(|error| CliError::in_file(path, error))?;
    let signed = Signed::find(manifest, file).map_err(hints::step)?;
    check_number(args, &signed)?;
    let opened = signed.open(identities).map_err(hints::step)?;
    Ok((signed, opened))
}

fn check_number(args: &CustodyOpen, signed: &Signed<'_>) -> Result<(), CliError> {
    match args.step {
        Some(step) if step != signed.number() => Err(CliError::usage(format!(
            "this is the file for step {}, not for step {step}",
            signed.number()
        ))),
        _ => Ok(()),
    }
}

/// Nothing of the escrow's identity is ever shown in clear.
fn handed_over(identity: &EscrowIdentity, to: Option<&RecipientSpec>) -> Result<String, CliError> {
    let to = to.ok_or_else(|| CliError {
        exit: Exit::Refused,
        message: "this is the last step, and what is inside opens the escrow: it is not shown \
                  in clear"
            .to_owned(),
        hint: Some("--to age1…, the one-time recipient that rehydrate --unlock printed".to_owned()),
    })?;
    let recipient = age_recipient(to).map_err(CliError::failed)?;
    seal_armored(identity.text().as_bytes(), &[recipient]).map_err(CliError::failed)
}

/// Anybody's lasting recipient would leave the escrow's identity lying around for them.
fn one_time(text: &str) -> Result<RecipientSpec, CliError> {
    let spec =
        RecipientSpec::parse("one-time", text).map_err(|error| hints::recipients(None, error))?;
    match spec.kind {
        RecipientKind::X25519 => Ok(spec),
        _ => Err(CliError::usage(format!(
            "--to is no one-time recipient, but {}",
            spec.kind.name()
        ))
        .hint("age1…, as the run that waits for the answer printed it")),
    }
}

fn tell(
    args: &CustodyOpen,
    output: &Output,
    signed: &Signed<'_>,
    escrow_id: &EscrowId,
    next: Option<&CustodianName>,
    file: &str,
) -> Result<(), CliError> {
    let (step, of) = (signed.number(), signed.of());
    output.remark(&match next {
        Some(next) => format!("step {step} of {of} is done; hand the file on to {next}"),
        None => format!("step {step} of {of} is done; give the file to who rehydrates"),
    });
    if let Some(path) = &args.output {
        return small_files::create(path, file.as_bytes());
    }
    let document = Document {
        escrow_id,
        step,
        of,
        next,
        file,
    };
    output.product(&document, file)
}
