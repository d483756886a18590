//! An audit as a person reads it: what is wrong first.

use crate::base::text::printable;
use crate::cli::output::table;
use crate::model::audit::check::{Check, Outcome, Verdict};
use crate::model::audit::report::Report;

use super::Document;

pub(super) fn of(document: &Document<'_>, paints: bool) -> String {
    let report = document.report;
    let mut out = heading(report);
    out.push_str(&rows(report, paints));
    if let Some(witness) = &document.witness {
        out.push_str(&format!("\nWitnessed as {}.\n", witness.key));
        for (store, why) in &witness.lacking {
            let why = printable(why);
            out.push_str(&format!("store {store} lacks the witness: {why}\n"));
        }
    }
    let verdict = match report.verdict {
        Verdict::Pass => "PASS: everything that the policy demands holds.",
        Verdict::Unknown => "UNKNOWN: something could not be looked at.",
        Verdict::Fail => "FAIL: a demand of the policy is not met.",
        Verdict::Tampering => "TAMPERING: something is not what a signer said it was.",
    };
    out.push_str(&format!("\n{verdict}\n"));
    out
}

fn heading(report: &Report) -> String {
    let head = match report.head {
        Some(head) => format!("head {head}"),
        None => "no head".to_owned(),
    };
    let known = match report.known_before {
        Some(mark) => format!("manifest {} was known before", mark.seq),
        None => "first contact".to_owned(),
    };
    let (instance, at) = (&report.instance, report.audited_at);
    format!("Audit of {instance} at {at}: {head}; {known}.\n\n")
}

/// The worst first; within that in the order of the rules.
fn rows(report: &Report, paints: bool) -> String {
    let mut checks: Vec<&Check> = report.checks.iter().collect();
    checks.sort_by_key(|check| std::cmp::Reverse((check.is_tampering, check.outcome)));
    let rows: Vec<Vec<String>> = checks
        .iter()
        .map(|check| {
            let message = printable(&check.message).into_owned();
            vec![word(check).to_owned(), check.id.to_owned(), message]
        })
        .collect();
    let plain = table(&rows);
    match paints {
        false => plain,
        true => plain.lines().map(painted).collect(),
    }
}

pub(super) fn word(check: &Check) -> &'static str {
    match check.outcome {
        _ if check.is_tampering => "TAMPERING",
        Outcome::Fail => "FAIL",
        Outcome::Unknown => "UNKNOWN",
        Outcome::Warn => "WARN",
        Outcome::Pass => "pass",
        Outcome::Off => "off",
    }
}

/// Colours the first word: the width of columns was counted without.
fn painted(line: &str) -> String {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let colour = match word {
        "TAMPERING" | "FAIL" => "1;31",
        "UNKNOWN" => "1;35",
        "WARN" => "33",
        "pass" => "32",
        _ => "2",
    };
    format!("\u{1b}[{colour}m{word}\u{1b}[0m {rest}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_goes_around_the_first_word_alone() {
        assert_eq!(
            painted("pass  chain  x"),
            "\u{1b}[32mpass\u{1b}[0m  chain  x\n"
        );
    }
}
