//! Findings as every reading command shows them.

use crate::base::text::printable;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, table};
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

/// Says what needs somebody where the result is not printed.
pub(super) fn complain(findings: &[Finding], output: &Output) {
    for finding in findings {
        if finding.severity >= Severity::Warning {
            output.complain(&format!(
                "{}: {}: {}",
                finding.severity, finding.id, finding.message
            ));
        }
    }
}

/// The code for findings about the chain alone.
pub(super) fn exit(findings: &[Finding]) -> Exit {
    match worst(findings) {
        Some(Severity::Violation) => Exit::Integrity,
        Some(Severity::Warning) => Exit::Partial,
        Some(Severity::Note) | None => Exit::Done,
    }
}

/// The code for findings beside an escrow that verifies by itself: nothing that is damaged
/// elsewhere blocks it.
pub(super) fn exit_beside(findings: &[Finding]) -> Exit {
    match worst(findings) {
        Some(Severity::Violation | Severity::Warning) => Exit::Partial,
        Some(Severity::Note) | None => Exit::Done,
    }
}
