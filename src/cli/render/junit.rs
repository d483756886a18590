//! An audit as JUnit XML: a suite for each rule, a case for each check. CI systems show it as tests.

use std::collections::BTreeMap;

use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite};

use crate::base::text::printable;
use crate::model::audit::check::{Check, Outcome, Rule};
use crate::model::audit::report::Report;

/// The document could not be written.
pub(in crate::cli) type RenderError = quick_junit::SerializeError;

/// A failure is a demand that is not met, its type the finding's id; an error is what could not be
/// looked at; what the policy does not demand is skipped; a warning stands in the case's output.
pub(in crate::cli) fn render(report: &Report) -> Result<String, RenderError> {
    let name = format!("databasus-escrow audit {}", report.instance);
    let mut document = quick_junit::Report::new(name);
    for rule in Rule::ALL {
        let checks: Vec<&Check> = report
            .checks
            .iter()
            .filter(|one| one.rule == rule)
            .collect();
        if !checks.is_empty() {
            document.add_test_suite(suite(report, rule, &checks));
        }
    }
    document.to_string()
}

fn suite(report: &Report, rule: Rule, checks: &[&Check]) -> TestSuite {
    let mut suite = TestSuite::new(rule.name());
    suite.add_properties([
        Property::new("audited_at", report.audited_at.to_string()),
        Property::new("policy_sha256", report.policy_sha256.to_string()),
    ]);
    let class = format!("{}.{}", report.instance, rule.name());
    let mut named = BTreeMap::new();
    for check in checks {
        let mut case = TestCase::new(name(check, &mut named), status(check));
        case.set_classname(class.as_str());
        if check.outcome == Outcome::Warn {
            case.set_system_out(printable(&check.message));
        }
        suite.add_test_case(case);
    }
    suite
}

/// The same from run to run, and no two alike: CI systems follow a case by its name.
fn name(check: &Check, named: &mut BTreeMap<String, u32>) -> String {
    let name = match &check.basis.store {
        Some(store) => format!("{} in {store}", check.id),
        None => check.id.to_owned(),
    };
    let count = named.entry(name.clone()).or_default();
    *count += 1;
    match count {
        1 => name,
        count => format!("{name} {count}"),
    }
}

fn status(check: &Check) -> TestCaseStatus {
    let message = printable(&check.message);
    let mut status = match check.outcome {
        Outcome::Pass | Outcome::Warn => return TestCaseStatus::success(),
        Outcome::Off => TestCaseStatus::skipped(),
        Outcome::Unknown => TestCaseStatus::non_success(NonSuccessKind::Error),
        Outcome::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    status.set_message(&message);
    if check.outcome > Outcome::Warn {
        let words = match check.is_tampering {
            true => "something is not what a signer said it was",
            false => "see the runbook",
        };
        let (id, text) = (
            check.id,
            format!("{message}\n{words}: runbooks/findings.md#{}", check.id),
        );
        status.set_type(id).set_description(text);
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::sample;

    #[test]
    fn each_outcome_is_a_case_of_its_kind() {
        let report = sample::report(vec![
            Check::pass(Rule::Chain, "good"),
            Check::warn(Rule::Mark, "first-contact", "careful"),
            Check::fail(Rule::Stores, "copy-missing", "gone").in_store(&sample::store()),
            Check::unknown(Rule::Locks, "lock-unknown", "dark"),
            Check::off(Rule::Drill, "not demanded"),
        ]);
        let text = render(&report).unwrap();
        let report = quick_junit::Report::deserialize_from_str(&text).unwrap();
        let counts = (report.tests, report.failures, report.errors, report.skipped);
        assert_eq!(counts, (5, 1, 1, 1), "{text}");
        for part in [
            r#"<testsuite name="stores" "#,
            r#"<testcase name="copy-missing in a" classname="demo.stores">"#,
            r#"<failure message="gone" type="copy-missing">"#,
            r#"<error message="dark" type="lock-unknown">"#,
            r#"<skipped message="not demanded"/>"#,
            "<system-out>careful</system-out>",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn no_two_cases_of_a_suite_have_one_name() {
        let pass = || Check::pass(Rule::Freshness, "");
        let text = render(&sample::report(vec![pass(), pass()])).unwrap();
        assert!(text.contains(r#"name="freshness" "#) && text.contains(r#"name="freshness 2" "#));
    }

    #[test]
    fn hostile_words_stay_words() {
        let hostile = "]]></failure><testcase name=\"x\"/>\u{0}\u{1b}[2J\u{202e}&amp;\"'";
        let report = sample::report(vec![Check::fail(Rule::Stores, "copy-missing", hostile)]);
        let text = render(&report).unwrap();
        let read = quick_junit::Report::deserialize_from_str(&text).unwrap();
        assert_eq!((read.tests, read.failures), (1, 1), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    }
}
