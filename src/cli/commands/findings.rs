//! Findings as every reading command shows them.

use crate::base::text::printable;
use crate::cli::exit::Exit;
use crate::cli::output::table;
use crate::model::finding::{Finding, Severity, worst};

/// A table of findings; nothing where there are none.
pub(super) fn text(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|finding| {
            vec![
                finding.severity.to_string(),
                finding.id.to_owned(),
                printable(&finding.message).into_owned(),
            ]
        })
        .collect();
    format!("\nFindings:\n{}", table(&rows))
}

/// The code for findings about the chain alone.
pub(super) fn exit(findings: &[Finding]) -> Exit {
    match worst(findings) {
        Some(Severity::Violation) => Exit::Integrity,
        Some(Severity::Warning) => Exit::Partial,
        Some(Severity::Note) | None => Exit::Done,
    }
}
