//! What a fence did, for people: every task of Databasus and why it is harmless now.

use crate::base::text::printable;
use crate::cli::output::table;
use crate::ops::fence::{FenceReport, Stopped};

/// A table of tasks; of those that this release of Databasus has.
pub(super) fn text(report: &FenceReport) -> String {
    let there = report
        .tasks
        .iter()
        .filter(|task| task.stopped != Stopped::Absent);
    let rows: Vec<Vec<String>> = there
        .map(|task| {
            let stopped = match task.stopped {
                Stopped::Harmless => "harmless",
                Stopped::Absent => "absent",
                Stopped::ByStart => "by start",
                Stopped::Open => "OPEN",
                Stopped::Unknown => "UNKNOWN",
            };
            let what = format!("  {}", task.task.name());
            vec![what, stopped.to_owned(), task.detail.clone()]
        })
        .collect();
    let mut out = format!("\nFenced, task by task:\n{}", table(&rows));
    if !report.unknown.is_empty() {
        out.push_str("\nNot known to this release; look at them before it gets a network:\n");
    }
    for column in &report.unknown {
        let name = format!("{}.{}", column.table, column.column);
        out.push_str(&format!("  {}\n", printable(&name)));
    }
    out
}
