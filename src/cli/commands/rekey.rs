//! `rekey`: retained escrows are sealed to the custodians in force.

use std::sync::Arc;

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::names::{CustodianName, Slug};
use crate::base::text::{bytes, printable};
use crate::cli::args::{Global, Reading, Rekey};
use crate::cli::author::Writer;
use crate::cli::custodians::Custodians;
use crate::cli::exit::{CliError, Exit};
use crate::cli::opening::Opening;
use crate::cli::output::{Output, table};
use crate::cli::progress::Progress;
use crate::cli::wire::Reader;
use crate::cli::{hints, identities, wire};
use crate::model::config::Config;
use crate::ops::rekey::{self, Openers, Outcome, Report, Row, Settings};
use crate::ops::select::{Selection, select};
use crate::sealing::identities::Identities;
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
    args: &Rekey,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    identities::refuse_on_the_source(
        Some(&wire::need_config(global)?),
        "rekey on another box, with [signing] and [[store]] in its configuration and without \
         [source]",
    )?;
    let writer = Writer::open(
        global,
        "what is sealed again is signed into the chain",
        // What it replaces goes.
        Rights::to_delete(args.dry_run),
        cancel,
    )?;
    let config = &writer.config;
    let custodians = Custodians::read(config)?;
    let mut settings = Settings {
        recipients: &custodians.recipients,
        quorum: custodians.quorum.as_ref(),
        recipients_text: &custodians.text,
        identities: None,
        escrows: &args.escrows,
    };
    let planned = rekey::plan(writer.author(), writer.ports(cancel), &settings);
    let mut report = planned.map_err(hints::rekey)?;
    if !args.dry_run {
        let is_due = |row: &Row| row.outcome == Outcome::Due;
        let opened = match report.escrows.iter().any(is_due) {
            true => Some(identities(args, config, global, output, cancel)?),
            false => None,
        };
        settings.identities = opened.as_deref();
        let progress = Progress::new(global, "sealing again", None);
        let counter = progress.clone();
        let told: rekey::Told = Arc::new(move |count| counter.add(count));
        let run = rekey::run(writer.author(), writer.ports(cancel), &settings, &told);
        report = run.map_err(hints::rekey)?;
    }
    let exit = Exit::from(report.completeness());
    let document = Document {
        instance: &config.instance,
        dry_run: args.dry_run,
        report: &report,
        exit: exit.code(),
    };
    output.result(&document, || text(&report, args.dry_run))?;
    complain(&report, output);
    Ok(exit)
}

fn identities(
    args: &Rekey,
    config: &Config,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Arc<Identities>, CliError> {
    let unlock = args.unlock.as_deref();
    let opening = Opening::of(&args.identities, unlock, Some(config))?;
    let opening = opening.ok_or_else(identities::none_given)?;
    match (&opening, args.escrows.as_slice()) {
        (Opening::Identities(identities), _) => Ok(identities.clone()),
        (Opening::Answer(_), [escrow]) => {
            let reader = Reader::open(&Reading::default(), global, cancel)?;
            let history = reader.history(output, cancel)?;
            let selection = Selection::Id(escrow.clone());
            let (entry, _) = select(&history, &selection).map_err(hints::select)?;
            let manifest = history.load(entry).map_err(hints::history)?;
            opening.identities(&manifest, &reader, output, cancel)
        }
        (Opening::Answer(_), _) => Err(one_at_a_time()),
    }
}

fn one_at_a_time() -> CliError {
    CliError::usage("--unlock needs exactly one --escrow")
        .hint("the answer of custodians elsewhere opens one escrow; ask them again for the next")
}

fn text(report: &Report, dry_run: bool) -> String {
    let heading = [
        "SEQ",
        "ESCROW",
        "TAKEN",
        "SIZE",
        "OPENED BY",
        "FROM NOW ON",
        "",
    ];
    let mut lines = vec![heading.map(str::to_owned).to_vec()];
    lines.extend(report.escrows.iter().map(line));
    let mut out = table(&lines);
    let locked: Vec<_> = report.escrows.iter().flat_map(locked).collect();
    if !locked.is_empty() {
        out.push_str("\nLocks keep these as they were, for who could open them:\n");
        out.push_str(&table(&locked));
    }
    let deleted: Vec<_> = report.deleted.iter().map(super::prune::deleted).collect();
    if !deleted.is_empty() {
        out.push_str("\nWhat was replaced, or never committed:\n");
        out.push_str(&table(&deleted));
    }
    if dry_run {
        out.push_str("Nothing was written or deleted.\n");
    }
    out.push_str(&super::findings::text(&report.findings));
    out
}

fn line(row: &Row) -> Vec<String> {
    let after = match row.outcome {
        Outcome::Closed { .. } | Outcome::Failed { .. } => &row.before,
        _ => &row.after,
    };
    vec![
        row.seq.to_string(),
        row.id.to_string(),
        row.snapshot_at.to_string(),
        bytes(row.size),
        people(&row.before),
        people(after),
        outcome(&row.outcome),
    ]
}

fn people(openers: &Openers) -> String {
    let names: Vec<&str> = openers
        .custodians
        .iter()
        .map(CustodianName::as_str)
        .collect();
    let names = names.join(", ");
    match openers.takes {
        0 | 1 => names,
        takes => format!("{takes} of {names}"),
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::InForce => "as it should be".to_owned(),
        Outcome::Due => "would be sealed again".to_owned(),
        Outcome::Rekeyed { by } => format!("sealed again, says manifest {}", by.seq),
        Outcome::Closed { why } => format!("NOT OPENED: {}", printable(why)),
        Outcome::Failed { why } => format!("FAILED: {}", printable(why)),
    }
}

/// Copies that nobody can delete yet.
fn locked(row: &Row) -> Vec<Vec<String>> {
    let is_replaced = matches!(row.outcome, Outcome::Due | Outcome::Rekeyed { .. });
    let copies = row.copies_before.iter().filter(|_| is_replaced);
    let locked = copies.filter_map(|copy| Some((copy, copy.locked_until?)));
    locked
        .map(|(copy, until)| {
            vec![
                format!("  {}", copy.store),
                row.id.to_string(),
                people(&row.before),
                format!("locked until {until}"),
            ]
        })
        .collect()
}

/// Tells what was not done, which a quiet run must tell too.
fn complain(report: &Report, output: &Output) {
    for row in &report.escrows {
        if let Outcome::Closed { why } | Outcome::Failed { why } = &row.outcome {
            output.complain(&format!("escrow {}: {}", row.id, printable(why)));
        }
    }
    super::prune::complain(&report.deleted, output);
    super::findings::complain(&report.findings, output);
}
