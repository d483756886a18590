//! What `doctor stores` found, for people.

use crate::base::text::printable;
use crate::cli::hints;
use crate::cli::output::table;
use crate::ops::access::{AccessReport, Fit, Role, Try};
use crate::ops::lock_probe::Outcome;

pub(super) fn text(reports: &[AccessReport]) -> String {
    let mut rows = vec![
        ["STORE", "TRIED", "ANSWER", "VERDICT", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    for report in reports {
        rows.extend(report.tries.iter().map(|one| row(report, one)));
    }
    let mut out = table(&rows);
    for report in reports {
        out.push_str(&format!("\n{}\n", summary(report)));
    }
    out
}

fn row(report: &AccessReport, one: &Try) -> Vec<String> {
    let answer = match one.answer {
        Outcome::Refused => "refused",
        Outcome::Allowed => "allowed",
        Outcome::Unknown => "UNKNOWN",
    };
    let fit = match one.fit {
        Fit::Right => "right",
        Fit::Wider => "wider",
        Fit::Unknown => "UNKNOWN",
        Fit::Missing => "MISSING",
        Fit::TooWide => "TOO WIDE",
    };
    vec![
        report.store.to_string(),
        one.name.clone(),
        answer.to_owned(),
        fit.to_owned(),
        printable(&one.detail).into_owned(),
    ]
}

pub(super) fn summary(report: &AccessReport) -> String {
    let role = match report.role {
        Role::Writer => "a writer",
        Role::Auditor => "an auditor",
        Role::Pruner => "a pruner",
    };
    let names = report.because().join(", ");
    let verdict = match report.fit {
        Fit::Right => format!("as {role} should have them"),
        Fit::Wider => format!("wider than {role} needs: {names}"),
        Fit::Unknown => format!("unknown whether they fit {role}: {names}"),
        Fit::Missing => format!("not enough for {role}: {names}"),
        Fit::TooWide => format!("TOO WIDE for {role}: {names}"),
    };
    format!("store {}: credentials {verdict}", report.store)
}

/// What to do next.
pub(super) fn hint(report: &AccessReport) -> Option<&'static str> {
    match (report.failure, report.fit) {
        (Some(kind), _) => hints::store_kind(kind),
        (None, Fit::Wider) => Some(
            "give the host credentials that cannot delete; where a service has none, versions or a \
             lock on the bucket keep what is deleted, and R2 knows `temporary_credentials = true`",
        ),
        (None, Fit::TooWide) if report.role == Role::Auditor => {
            Some("give auditors credentials that can only read and list")
        }
        (None, Fit::TooWide) => Some(
            "locks that these credentials can lift keep nothing from who steals them: take away \
             the permission to bypass governance, or lock with `compliance`; `doctor lock-probe` \
             tells whether the store keeps to its locks at all",
        ),
        (None, Fit::Missing) => Some(
            "let these credentials do what is MISSING above; where the store itself cannot, it is \
             no place for this",
        ),
        (None, Fit::Right | Fit::Unknown) => None,
    }
}
