//! `replicate`: every store holds what it should.

use std::sync::Arc;

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::names::Slug;
use crate::base::text::{bytes, printable};
use crate::cli::args::{Global, Replicate};
use crate::cli::author::Writer;
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::{Output, table};
use crate::cli::progress::Progress;
use crate::ops::replicate::{self, Looking, Report};
use crate::store::Rights;

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
    let writer = Writer::open(
        global,
        "what was copied is signed into the chain",
        Rights::Write,
        cancel,
    )?;
    let looking = match args.full {
        true => Looking::Whole,
        false => Looking::Listed,
    };
    let progress = Progress::new(global, "copying", None);
    let counter = progress.clone();
    let on_bytes = Arc::new(move |count| counter.add(count));
    let report = replicate::run(writer.author(), writer.ports(cancel), looking, on_bytes)
        .map_err(hints::replicate)?;
    drop(progress);
    let exit = Exit::from(report.completeness());
    let document = Document {
        instance: &writer.config.instance,
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
