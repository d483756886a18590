//! `replicate`: every store holds what it should.

use std::sync::Arc;

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::names::Slug;
use crate::base::text::{bytes, printable};
use crate::base::time::SystemClock;
use crate::cli::args::{Global, Replicate};
use crate::cli::author::Signing;
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::{Output, table};
use crate::cli::progress::Progress;
use crate::cli::{hints, wire};
use crate::ops::commit::Ports;
use crate::ops::replicate::{self, Completeness, Looking, Report};
use crate::ops::state::State;

#[derive(Serialize)]
struct Document<'a> {
    instance: &'a Slug,
    #[serde(flatten)]
    report: &'a Report,
    exit: u8,
}

pub(in crate::cli) fn run(
    args: &Replicate,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let config = wire::need_config(global)?;
    let signing = Signing::read(&config, "what was copied is signed into the chain")?;
    let destinations = wire::destinations(&config, cancel)?;
    let ports = Ports {
        destinations: &destinations,
        state: &State::new(config.resolve(&config.state.dir)),
        clock: &SystemClock,
        cancel,
    };
    let looking = match args.full {
        true => Looking::Whole,
        false => Looking::Listed,
    };
    let progress = Progress::new(global, "copying", None);
    let counter = progress.clone();
    let on_bytes = Arc::new(move |count| counter.add(count));
    let report = replicate::run(signing.author(&config), ports, looking, on_bytes)
        .map_err(hints::replicate)?;
    drop(progress);
    let exit = match report.completeness() {
        Completeness::Whole => Exit::Done,
        Completeness::Partial => Exit::Partial,
        Completeness::Alarm => Exit::Integrity,
    };
    let document = Document {
        instance: &config.instance,
        report: &report,
        exit: exit.code(),
    };
    output.result(&document, || {
        text(&report) + &super::findings::text(&report.findings)
    })?;
    complain(&report, output);
    super::findings::complain(&report.findings, output);
    Ok(exit)
}

/// Tells what stores lack, which a quiet run under cron must tell too.
pub(super) fn complain(report: &Report, output: &Output) {
    for missing in &report.missing {
        output.complain(&format!("store {} lacks: {}", missing.store, missing.why));
    }
}

/// What was copied.
pub(super) fn text(report: &Report) -> String {
    let mut out = match (report.copied.as_slice(), report.documents) {
        ([], 0) => "Nothing had to be copied.\n".to_owned(),
        (copied, documents) => format!(
            "Copied {} payloads and {documents} small documents.\n",
            copied.len()
        ),
    };
    let copied = report.copied.iter().map(|one| {
        let (escrow, store) = (one.escrow.to_string(), one.store.to_string());
        vec![format!("  {escrow}"), store, bytes(one.bytes)]
    });
    let missing = report.missing.iter().map(|one| {
        let why = format!("LACKING: {}", printable(&one.why));
        vec![format!("  {}", one.store), why]
    });
    out.push_str(&table(&copied.collect::<Vec<_>>()));
    out.push_str(&table(&missing.collect::<Vec<_>>()));
    if let Some(mark) = &report.amend {
        out.push_str(&format!("Manifest {} reports the copies.\n", mark.seq));
    }
    out
}
