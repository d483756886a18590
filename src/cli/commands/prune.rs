//! `prune`: old escrows go.

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::names::Slug;
use crate::base::text::{bytes, printable};
use crate::cli::args::{Global, Prune};
use crate::cli::author::Writer;
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::{Output, table};
use crate::ops::commit::Completeness;
use crate::ops::prune::{self, Deleted, Left, Report, Row, Settings, State as Fate, Swept};
use crate::store::Rights;

#[derive(Serialize)]
struct Document<'a> {
    instance: &'a Slug,
    dry_run: bool,
    #[serde(flatten)]
    report: &'a Report,
    exit: u8,
}

pub(in crate::cli) fn run(
    args: &Prune,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let writer = Writer::open(
        global,
        "what goes is announced in a signed manifest",
        Rights::to_delete(args.dry_run),
        cancel,
    )?;
    let settings = Settings {
        rules: writer.config.retention.rules(),
        dry_run: args.dry_run,
    };
    let report = prune::run(writer.author(), writer.ports(cancel), &settings);
    let report = report.map_err(hints::prune)?;
    let exit = exit(&report);
    let document = Document {
        instance: &writer.config.instance,
        dry_run: args.dry_run,
        report: &report,
        exit: exit.code(),
    };
    output.result(&document, || text(&report, args.dry_run))?;
    complain(&report.deleted, output);
    super::findings::complain(&report.findings, output);
    Ok(exit)
}

/// Tells what could not be deleted, which a quiet run must tell too.
pub(super) fn complain(deleted: &[Deleted], output: &Output) {
    for one in deleted {
        if let Fate::Failed { why } = &one.state {
            output.complain(&format!("not deleted: {}", printable(why)));
        }
    }
}

fn exit(report: &Report) -> Exit {
    let fates = report.deleted.iter().map(|one| &one.state);
    let swept = report.swept.iter().filter_map(|one| one.outcome.as_ref());
    let has_failed = |fate: &Fate| matches!(fate, Fate::Failed { .. });
    let has_failed = fates.chain(swept).any(has_failed);
    Completeness::of(&report.findings, has_failed).into()
}

fn text(report: &Report, dry_run: bool) -> String {
    let heading = ["SEQ", "ESCROW", "TAKEN", "SIZE", "", "WHY"];
    let mut lines = vec![heading.map(str::to_owned).to_vec()];
    lines.extend(report.escrows.iter().map(|row| line(row, dry_run)));
    let mut out = table(&lines);
    out.push_str(&table(
        &report.deleted.iter().map(deleted).collect::<Vec<_>>(),
    ));
    out.push_str(&table(&report.swept.iter().map(swept).collect::<Vec<_>>()));
    if let Some(mark) = &report.announced_by {
        out.push_str(&format!("Manifest {} announces what goes.\n", mark.seq));
    }
    if dry_run {
        out.push_str("Nothing was written or deleted.\n");
    }
    out.push_str(&super::findings::text(&report.findings));
    out
}

fn line(row: &Row, dry_run: bool) -> Vec<String> {
    let decision = match (row.goes(), dry_run) {
        (false, _) => "kept",
        (true, true) => "would go",
        (true, false) => "goes",
    };
    let reasons: Vec<String> = row.kept_for.iter().map(ToString::to_string).collect();
    let why = match (reasons.as_slice(), row.let_go_by) {
        ([], Some(seq)) => format!("manifest {seq} says so too"),
        ([], None) => "its day, week and month are others' or too long ago".to_owned(),
        (reasons, _) => reasons.join(", "),
    };
    vec![
        row.seq.to_string(),
        row.id.to_string(),
        row.snapshot_at.to_string(),
        bytes(row.size),
        decision.to_owned(),
        why,
    ]
}

/// What became of an escrow's objects in a store.
pub(super) fn deleted(deleted: &Deleted) -> Vec<String> {
    let escrow = deleted.escrow.as_ref().map(ToString::to_string);
    vec![
        format!("  {}", deleted.store),
        escrow.unwrap_or_default(),
        fate(&deleted.state),
    ]
}

fn swept(swept: &Swept) -> Vec<String> {
    let what = match &swept.what {
        Left::Orphan {
            escrow,
            rekey: None,
        } => format!("objects of {escrow}, which was never committed"),
        Left::Orphan {
            escrow,
            rekey: Some(rekey),
        } => format!("objects of {escrow}, sealed again as {rekey}, which was never committed"),
        Left::Upload { key, since, .. } => {
            format!("an upload of {} from {since}", printable(key))
        }
    };
    let outcome = swept
        .outcome
        .as_ref()
        .map_or("to be swept".to_owned(), fate);
    vec![format!("  {}", swept.store), what, outcome]
}

fn fate(state: &Fate) -> String {
    match state {
        Fate::Gone => "deleted".to_owned(),
        Fate::Locked { until } => format!("kept: locked until {until}"),
        Fate::Failed { why } => format!("NOT DELETED: {}", printable(why)),
    }
}
