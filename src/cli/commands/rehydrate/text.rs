//! What `rehydrate` tells people.

use super::super::{fenced, findings, import};
use super::Document;
use crate::base::text::printable;
use crate::base::time::{Clock, SystemClock};
use crate::cli::output::table;
use crate::ops::rehydrate::Outcome;

/// Said where a cluster was built for a later PostgreSQL than Databasus' image has.
const ANOTHER_MAJOR: &str = "
This cluster is of a later PostgreSQL major than the one in Databasus' image, which cannot start it.
Rehydrate with the recorded major to run Databasus on it.
";

/// Said where files were restored and nothing was started.
const NOT_READY: &str = "
Do not start Databasus on it yet. PostgreSQL has to recover these files first: if it cannot within
30 seconds, Databasus' own start script throws their log away. RESTORE.md in the escrow says how, or
rehydrate again without --files-only.
";

/// What would be done.
pub(super) fn planned(document: &Document<'_>) -> String {
    let mut out = format!("Would rehydrate {}:\n", taken(document));
    for (number, step) in document.plan.iter().enumerate() {
        out.push_str(&format!("  {}. {step}\n", number + 1));
    }
    out.push_str("Nothing was done (--dry-run).\n");
    out.push_str(&findings::text(document.findings));
    out
}

fn taken(document: &Document<'_>) -> String {
    let now = SystemClock.now();
    format!(
        "escrow {} (number {}), taken {} ({})",
        document.escrow_id,
        document.seq,
        document.snapshot_at,
        document.snapshot_at.relative_to(now)
    )
}

/// The report of a finished rehydrate.
pub(super) fn finished(document: &Document<'_>) -> String {
    let mut out = format!(
        "Rehydrated {} into {} in {} s.\n\n",
        taken(document),
        document.target.display(),
        document.seconds
    );
    let rows: Vec<Vec<String>> = document
        .proofs
        .iter()
        .map(|proof| {
            let outcome = match proof.outcome {
                Outcome::Proven => "proven",
                Outcome::Failed => "FAILED",
                Outcome::Unknown => "unknown",
                Outcome::NotDone => "not done",
            };
            vec![
                format!("  {}", proof.what),
                outcome.to_owned(),
                printable(&proof.detail).into_owned(),
            ]
        })
        .collect();
    out.push_str(&table(&rows));
    if let Some(import) = document.import.filter(|import| !import.is_whole()) {
        out.push_str("\nCatalogue import:\n");
        out.push_str(&import::text::finished(import));
    }
    if let Some(fence) = document.fence {
        out.push_str(&fenced::text(fence));
    }
    if !document.warnings.is_empty() {
        out.push_str("\nSaid on the night it was taken:\n");
    }
    for warning in document.warnings {
        out.push_str(&format!("  {}\n", printable(warning)));
    }
    out.push_str(&findings::text(document.findings));
    match &document.start {
        Some(start) => out.push_str(&format!(
            "\nTo start Databasus on it, compose.yaml:\n\n{}\nor:\n\n{}\n",
            start.compose, start.docker_run
        )),
        None if document.recovered => out.push_str(ANOTHER_MAJOR),
        None => out.push_str(NOT_READY),
    }
    out
}
