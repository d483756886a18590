//! `verify`: signatures, chain, every copy, and with an identity the content.

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::names::Slug;
use crate::base::text::bytes;
use crate::base::time::{Clock, SystemClock};
use crate::cli::args::{Global, Verify};
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::opening::Opening;
use crate::cli::output::{Output, table};
use crate::cli::programs;
use crate::cli::progress::Progress;
use crate::cli::storages::{Haste, Storages};
use crate::cli::wire::Reader;
use crate::model::finding::{Finding, Severity, worst};
use crate::model::proof::Level;
use crate::ops::history::{Entry, History};
use crate::ops::open::OnBytes;
use crate::ops::select::{SelectError, Selection, select};
use crate::ops::verify::{CopyState, EscrowReport, Ports, ProofPorts, VerifyError, verify};

#[derive(Serialize)]
struct Document<'a> {
    instance: &'a Slug,
    escrows: &'a [EscrowReport],
    findings: Vec<Finding>,
    exit: u8,
}

pub(in crate::cli) fn run(
    args: &Verify,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let reader = Reader::open(&args.reading, global, cancel)?;
    let unlock = args.unlock.as_deref();
    let opening = Opening::of(&args.identities, unlock, reader.config.as_ref())?;
    let history = reader.history(output, cancel)?;
    if opening.is_none() && args.proof > Level::KeyId {
        return Err(CliError::usage("--proof needs an identity")
            .hint("--identity FILE opens the escrow, whose key is then tried"));
    }
    let storages = storages(args, cancel)?;
    let restore_tool = (args.proof > Level::KeyId)
        .then(programs::restore_tool)
        .flatten();
    let mut reports = Vec::new();
    for entry in chosen(args, &history).map_err(hints::select)? {
        let manifest = history.load(entry).map_err(hints::history)?;
        let identities = match &opening {
            Some(opening) => Some(opening.identities(&manifest, &reader, output, cancel)?),
            None => None,
        };
        let ports = Ports {
            stores: &reader.stores,
            identities: identities.as_deref(),
            proof: ProofPorts {
                wanted: args.proof,
                storages: &storages,
                restore_tool: restore_tool.as_ref(),
            },
            now: SystemClock.now(),
            cancel,
        };
        let passes = ports.stores.len() as u64 + u64::from(identities.is_some());
        let progress = Progress::new(global, "verifying", Some(manifest.payload.size * passes));
        let on_bytes = || -> OnBytes {
            let progress = progress.clone();
            Box::new(move |count| progress.add(count))
        };
        reports.push(verify(&manifest, &ports, &on_bytes).map_err(failed)?);
    }
    let exit = verdict(args, &history, &reports);
    let document = Document {
        instance: &reader.slug,
        findings: all_findings(&history, &reports),
        escrows: &reports,
        exit: exit.code(),
    };
    output.result(&document, || text(&history, &document))?;
    super::findings::complain(&document.findings, output);
    Ok(exit)
}

fn storages(args: &Verify, cancel: &Cancel) -> Result<Storages, CliError> {
    // Backups in LOCAL storages are in no escrow.
    Storages::new(Haste::Look, None, &args.read_only_credentials, cancel)
}

fn chosen<'h>(args: &Verify, history: &'h History) -> Result<Vec<&'h Entry>, SelectError> {
    // The payload of what retention let go may be gone, and nobody misses it.
    let kept = history.escrows().filter(|(_, escrow)| !escrow.is_let_go());
    let mut escrows = kept.map(|(entry, _)| entry);
    match args.escrow.selection() {
        Selection::Newest if args.all => {
            let all: Vec<&Entry> = escrows.collect();
            // Nothing must not look like a pass.
            let some = (!all.is_empty()).then_some(all);
            some.ok_or(SelectError::None)
        }
        // What is newest may be in doubt; the verdict says so, and the newest there is gets
        // verified all the same.
        Selection::Newest => {
            let newest = escrows.next_back().ok_or(SelectError::None)?;
            Ok(vec![newest])
        }
        selection => Ok(vec![select(history, &selection)?.0]),
    }
}

fn failed(error: VerifyError) -> CliError {
    match error {
        VerifyError::Interrupted(_) => CliError::failed(error),
        VerifyError::Content { id, source } => {
            let told = hints::unpack(source);
            CliError {
                message: format!("cannot verify the content of escrow {id}: {}", told.message),
                ..told
            }
        }
    }
}

fn all_findings(history: &History, reports: &[EscrowReport]) -> Vec<Finding> {
    let copies = reports.iter().flat_map(EscrowReport::findings);
    history.findings.iter().cloned().chain(copies).collect()
}

/// An escrow named by its id is judged by its own copies; damage elsewhere makes it partial.
fn verdict(args: &Verify, history: &History, reports: &[EscrowReport]) -> Exit {
    let own: Vec<Finding> = reports.iter().flat_map(EscrowReport::findings).collect();
    let named = matches!(args.escrow, crate::cli::args::EscrowChoice::Id(_));
    let chain = super::findings::exit(&history.findings);
    match (worst(&own), chain) {
        (Some(Severity::Violation), _) => Exit::Integrity,
        // Nothing was found to be wrong, and nothing to be right either.
        _ if reports.iter().any(|report| !report.has_a_copy()) => Exit::Failed,
        (_, Exit::Integrity) if !named => Exit::Integrity,
        (Some(Severity::Warning), _) | (_, Exit::Integrity | Exit::Partial) => Exit::Partial,
        _ => Exit::Done,
    }
}

fn text(history: &History, document: &Document<'_>) -> String {
    let mut rows = vec![["ESCROW", "STORE", "COPY"].map(str::to_owned).to_vec()];
    for report in document.escrows {
        for copy in &report.copies {
            let state = match copy.state {
                CopyState::Verified => "every part is as signed",
                CopyState::NeverStored => "never stored",
                CopyState::Missing => "MISSING",
                CopyState::Unknown => "UNKNOWN, could not be read",
                CopyState::Damaged => "DAMAGED",
            };
            let lock = copy.lock.as_ref().map(super::show::lock);
            rows.push(vec![
                report.id.to_string(),
                copy.store.to_string(),
                format!("{state}{}", lock.unwrap_or_default()),
            ]);
        }
        if let Some(content) = &report.content {
            rows.push(vec![
                report.id.to_string(),
                "content".to_owned(),
                format!(
                    "{} entries, {}, all as indexed",
                    content.entries,
                    bytes(content.bytes)
                ),
            ]);
            rows.push(vec![
                report.id.to_string(),
                "key".to_owned(),
                super::show::proof(Some(&content.proof)),
            ]);
        }
    }
    let mut out = table(&rows);
    let signed = history.entries.len();
    out.push_str(&format!("\nManifests with good signatures: {signed}.\n"));
    out.push_str(&super::findings::text(&document.findings));
    out
}
