//! What an import says.

use std::collections::BTreeMap;

use crate::base::text::{bytes, printable};
use crate::cli::output::table;
use crate::ops::import::report::{DatabaseReport, ImportReport, LeftOut, Reason, StorageOutcome};

/// Objects named below one heading; all of them are in the JSON.
const NAMED: usize = 20;

/// The whole report.
pub(in crate::cli::commands) fn finished(report: &ImportReport) -> String {
    let mut out = storages(report);
    out.push_str(&databases(report));
    out.push_str(&left_out(report));
    if !report.in_progress.is_empty() {
        out.push_str(&format!(
            "\nRunning at the snapshot, and nothing of them is stored: {}. A listing does not show \
             unfinished uploads.\n",
            report.in_progress.len()
        ));
    }
    for made in &report.placeholders {
        let name = printable(&made.name);
        out.push_str(&format!(
            "\nMade for backups of an unknown database: {name} ({})",
            made.id
        ));
    }
    if !report.remarks.is_empty() {
        out.push_str("\nRemarkable:\n");
    }
    for remark in report.remarks.iter().take(NAMED) {
        let (object, what) = (printable(&remark.object), printable(&remark.what));
        out.push_str(&format!("  {object} {what}\n"));
    }
    out.push_str(&format!("\n{}\n", summary(report)));
    out
}

/// The one line that says what came of it.
pub(in crate::cli::commands) fn summary(report: &ImportReport) -> String {
    let imported = report.imported();
    let ghosts: u64 = report.databases.iter().map(|one| one.ghosts).sum();
    let open = report.left_out.iter();
    let open = open.filter(|one| one.reason.needs_attention()).count();
    match report.dry_run {
        false => format!(
            "Imported {imported} backups, moved {ghosts} rows aside, {open} objects need somebody."
        ),
        true => format!(
            "Would import {imported} backups and move {ghosts} rows aside; {open} objects need \
             somebody. Nothing was done (--dry-run)."
        ),
    }
}

fn storages(report: &ImportReport) -> String {
    let mut out = String::new();
    for storage in &report.storages {
        let name = printable(&storage.name);
        match &storage.outcome {
            StorageOutcome::Listed {
                objects,
                backups,
                foreign,
                copies,
                ghosts_kept,
            } => {
                out.push_str(&format!(
                    "{name}: {objects} objects, {backups} backups, {foreign} objects of others"
                ));
                if *copies > 0 {
                    out.push_str(&format!(", {copies} copies of backups in other storages"));
                }
                out.push('\n');
                if let Some(kept) = ghosts_kept {
                    let (rows, why) = (kept.rows, kept.why);
                    out.push_str(&format!("  {rows} rows without an object stay: {why}\n"));
                }
            }
            StorageOutcome::NotListed {
                why,
                advice,
                in_use,
            } => {
                let unused = if *in_use {
                    ""
                } else {
                    " (nothing is said to be there)"
                };
                out.push_str(&format!(
                    "{name}: NOT IMPORTED{unused}: {why}\n  {advice}\n"
                ));
            }
        }
    }
    out
}

/// Those that have something to tell, by name.
fn databases(report: &ImportReport) -> String {
    let headings = ["DATABASE", "KNOWN", "NEW", "COMPLETED", "GHOSTS"];
    let counts = |one: &DatabaseReport| [one.known, one.inserted, one.promoted, one.ghosts];
    let told = report.databases.iter().filter(|one| counts(one) != [0; 4]);
    let mut rows: Vec<Vec<String>> = told
        .map(|one| {
            let name = printable(&one.name).into_owned();
            let counts = counts(one).map(|count| count.to_string());
            std::iter::once(name).chain(counts).collect()
        })
        .collect();
    rows.sort();
    let silent = report.databases.len() - rows.len();
    rows.insert(0, headings.map(str::to_owned).to_vec());
    let mut out = format!("\n{}", table(&rows));
    if silent > 0 {
        out.push_str(&format!("{silent} more databases have no backups\n"));
    }
    out
}

fn left_out(report: &ImportReport) -> String {
    let mut by_reason: BTreeMap<Reason, Vec<&LeftOut>> = BTreeMap::new();
    for one in &report.left_out {
        by_reason.entry(one.reason).or_default().push(one);
    }
    let mut out = String::new();
    for (reason, objects) in by_reason {
        out.push_str(&format!(
            "\nNot imported: {} ({})\n",
            reason.words(),
            objects.len()
        ));
        for one in objects.iter().take(NAMED) {
            let (name, size) = (printable(&one.object), bytes(one.size));
            out.push_str(&format!("  {name}, {size}: {}\n", printable(&one.detail)));
            for fit in &one.fits {
                out.push_str(&format!("    fits {}\n", printable(fit)));
            }
        }
        if objects.len() > NAMED {
            out.push_str("  … all of them with --json\n");
        }
    }
    out
}
