//! What `drill` tells people.

use std::collections::BTreeMap;

use super::super::findings;
use super::Document;
use crate::base::names::StoreName;
use crate::base::text::{bytes, printable};
use crate::base::time::{Clock, SystemClock, span};
use crate::cli::output::table;
use crate::model::audit::drill_demands::{PointBack, SubjectDemand};
use crate::model::drill::{DrillReport, Expectation, Measured, Outcome, Subject};
use crate::ops::drill::{Entry, Kept, Outlook, Request};

/// What would be done, or is about to be.
pub(super) fn planned(request: &Request<'_>, plan: &[String], outlook: &Outlook) -> String {
    let manifest = request.manifest;
    let mut out = format!(
        "The drill of escrow {}, taken {} ({}):\n",
        manifest.escrow_id,
        manifest.snapshot_at,
        manifest.snapshot_at.relative_to(SystemClock.now())
    );
    for (number, step) in plan.iter().enumerate() {
        out.push_str(&format!("  {}. {step}\n", number + 1));
    }
    out.push_str(&format!(
        "It fetches {} and what the backups take; in {} it takes at least {}, and {} are free.\n",
        bytes(outlook.to_fetch),
        request.scratch.display(),
        bytes(outlook.room_needed),
        bytes(outlook.room_free)
    ));
    out
}

/// A line of the plan.
pub(super) fn subject(demand: &SubjectDemand) -> String {
    let how = match demand.to {
        PointBack::Newest => "as new as there is".to_owned(),
        PointBack::Ago(span) => format!("as of {span} ago"),
        PointBack::At(time) => format!("as of {time}"),
    };
    let (kind, name) = (demand.kind.word(), printable(&demand.name));
    let count = demand.sentinels.len();
    let plural = if count == 1 { "" } else { "s" };
    format!("bring the {kind} {name} back {how}, and ask it {count} sentinel{plural}")
}

/// The report of a finished drill.
pub(super) fn finished(document: &Document<'_>, entries: &[Entry]) -> String {
    let Some(report) = document.report else {
        return String::new();
    };
    let mut out = format!("{}\n\n", headline(report));
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    out.push_str(&table(&rows));
    for subject in &report.subjects {
        out.push_str(&came_back(subject));
    }
    out.push_str(&format!(
        "\nlevel  {} of {}\nRTO    {}\nRPO    {}\n",
        reached(report),
        report.level.wanted,
        measured(&report.rto, "not everything came back"),
        measured(&report.rpo, "nothing tells how old all of it is")
    ));
    if let Some(stored) = &document.stored {
        let (key, sha256) = (stored.key, stored.sha256);
        out.push_str(&format!("report {key}, SHA-256 {sha256}\n"));
        for (store, why) in stored.lacking {
            let why = printable(why);
            out.push_str(&format!("store {store} lacks the report: {why}\n"));
        }
    }
    out.push_str(&findings::text(document.findings));
    out
}

fn headline(report: &DrillReport) -> &'static str {
    match report.outcome {
        Outcome::Proven => "The drill is proven: all of it came back and holds.",
        Outcome::Failed => "The drill FAILED.",
        Outcome::Unknown | Outcome::NotDone => {
            "The drill proves less than the policy demands: something could not be told or done."
        }
    }
}

fn row(entry: &Entry) -> Vec<String> {
    let step = &entry.step;
    let subject = step.subject.as_deref().unwrap_or_default();
    let seconds = step.seconds.map(|seconds| format!("{seconds} s"));
    let level = step.level.map(|level| level.to_string());
    let words = match entry.words.as_str() {
        "" => &step.detail,
        words => words,
    };
    vec![
        format!("  {}", step.name),
        subject.to_owned(),
        level.unwrap_or_default(),
        word(step.outcome).to_owned(),
        seconds.unwrap_or_default(),
        words.to_owned(),
    ]
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Proven => "proven",
        Outcome::Failed => "FAILED",
        Outcome::Unknown => "unknown",
        Outcome::NotDone => "not done",
    }
}

fn came_back(subject: &Subject) -> String {
    let mut out = format!("\n{} {}", subject.kind.word(), subject.name);
    match (subject.as_of, subject.rpo_seconds) {
        (Some(as_of), Some(age)) => out.push_str(&format!(
            ": as of {as_of}; what came later than {} before the drill would be lost\n",
            span(age)
        )),
        (Some(as_of), None) => out.push_str(&format!(": as of {as_of}\n")),
        (None, _) => out.push_str(" did not come back\n"),
    }
    let rows = subject.sentinels.iter().map(|sentinel| {
        vec![
            format!("  {}", printable(&sentinel.name)),
            expectation(sentinel.expects).to_owned(),
            match sentinel.outcome {
                Outcome::Proven => "holds".to_owned(),
                other => word(other).to_owned(),
            },
        ]
    });
    out.push_str(&table(&rows.collect::<Vec<_>>()));
    out
}

fn expectation(expects: Expectation) -> &'static str {
    match expects {
        Expectation::Equals => "equals",
        Expectation::AtLeast => "at least",
        Expectation::NewerThan => "newer than",
        Expectation::Unknown => "",
    }
}

fn reached(report: &DrillReport) -> String {
    let reached = report.level.reached;
    reached.map_or_else(|| "none".to_owned(), |level| level.to_string())
}

fn measured(measured: &Measured, unknown: &str) -> String {
    let found = match measured.seconds {
        None => format!("unknown: {unknown}"),
        Some(seconds) => format!("{seconds} s"),
    };
    match measured.limit {
        None => found,
        Some(limit) if measured.exceeds() => {
            format!("{found}, MORE than the {limit} s of the policy")
        }
        Some(limit) => format!("{found}, at most {limit} s by the policy"),
    }
}

/// What needs somebody, where the result is not printed.
pub(super) fn complaints(report: &DrillReport, kept: &Kept) -> Vec<String> {
    let mut lines = Vec::new();
    if report.outcome != Outcome::Proven {
        lines.push(format!("{} Its report: {}", headline(report), kept.key));
    }
    for (store, why) in &kept.lacking {
        lines.push(format!("store {store} lacks the drill's report: {why}"));
    }
    lines
}

/// Each store, and why it has no report.
pub(super) fn lacking(lacking: &BTreeMap<StoreName, String>) -> String {
    let each = lacking.iter().map(|(store, why)| format!("{store}: {why}"));
    printable(&each.collect::<Vec<_>>().join("; ")).into_owned()
}
