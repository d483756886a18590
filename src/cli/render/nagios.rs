//! An audit in the one line that Nagios, Icinga, Checkmk and their kin read
//! (<https://www.monitoring-plugins.org/doc/guidelines.html>).

use crate::base::text::{printable, shortened};
use crate::base::time::span;
use crate::model::audit::check::{Check, Outcome, Verdict};
use crate::model::audit::facts::{Facts, Scope, Seen};
use crate::model::audit::report::Report;

/// What the plugin contract knows. Its numbers are not those of the other commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Status {
    /// Everything that the policy demands holds.
    Ok,
    /// It holds, and somebody should look.
    Warning,
    /// A demand is not met, or something is not what a signer said it was.
    Critical,
    /// Something could not be looked at; or nothing was.
    Unknown,
}

/// How many findings the line names.
const NAMED: usize = 3;

impl Status {
    /// What an audit comes to.
    pub(in crate::cli) fn of(report: &Report) -> Self {
        let warns = |check: &Check| check.outcome == Outcome::Warn;
        match report.verdict {
            Verdict::Tampering | Verdict::Fail => Self::Critical,
            Verdict::Unknown => Self::Unknown,
            Verdict::Pass if report.checks.iter().any(warns) => Self::Warning,
            Verdict::Pass => Self::Ok,
        }
    }

    /// The plugin's exit code.
    pub(in crate::cli) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// The line, with its line feed.
pub(in crate::cli) fn line(status: Status, report: &Report, facts: &Facts) -> String {
    let sentence = match status {
        Status::Ok => fine(report, facts),
        _ => findings(report),
    };
    told(status, &sentence, &performance(report, facts))
}

/// The line where no audit came about.
pub(in crate::cli) fn no_audit(why: &str) -> String {
    told(Status::Unknown, &shortened(why), "")
}

/// A bar begins the performance data and a line feed ends the line, so neither may stand in words.
fn told(status: Status, sentence: &str, performance: &str) -> String {
    let sentence = printable(sentence).replace('|', "/");
    let line = format!("ESCROW {} - {sentence}", status.word());
    match performance {
        "" => format!("{line}\n"),
        numbers => format!("{line} | {numbers}\n"),
    }
}

fn fine(report: &Report, facts: &Facts) -> String {
    let instance = &report.instance;
    match age(facts) {
        Some(age) => {
            let age = span(age);
            format!("{instance}: everything demanded holds; the newest escrow is {age} old")
        }
        None => format!("{instance}: everything demanded holds"),
    }
}

/// The worst first, as many as a pager shows.
fn findings(report: &Report) -> String {
    let loud = report.checks.iter();
    let mut loud: Vec<&Check> = loud
        .filter(|check| check.outcome >= Outcome::Warn)
        .collect();
    loud.sort_by_key(|check| std::cmp::Reverse((check.is_tampering, check.outcome)));
    let words = loud.iter().take(NAMED).map(|check| {
        let message = shortened(&check.message);
        format!("{}: {message}", check.id)
    });
    let words: Vec<String> = words.collect();
    let more = match loud.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let instance = &report.instance;
    match (words.is_empty(), report.checks.is_empty()) {
        (false, _) => format!("{instance}: {}{more}", words.join("; ")),
        (true, true) => format!("{instance}: nothing was looked at"),
        (true, false) => format!("{instance}: the witness is not in every store"),
    }
}

fn age(facts: &Facts) -> Option<u64> {
    match &facts.chain {
        Seen::Known(chain) => match &chain.newest {
            Seen::Known(Some(newest)) => newest.age(facts.now),
            _ => None,
        },
        Seen::Unknown(_) => None,
    }
}

/// `label=value[unit]`, in base units; what is not known is left out.
fn performance(report: &Report, facts: &Facts) -> String {
    let count = |outcome: Outcome| {
        let checks = report.checks.iter();
        checks.filter(|check| check.outcome == outcome).count()
    };
    let mut numbers = vec![
        format!("failed={};;;0", count(Outcome::Fail)),
        format!("unknown={};;;0", count(Outcome::Unknown)),
        format!("warned={};;;0", count(Outcome::Warn)),
    ];
    numbers.extend(age(facts).map(|age| format!("age={age}s")));
    if let Seen::Known(chain) = &facts.chain {
        let kept = (facts.scope == Scope::Full).then_some(chain.retained.len());
        numbers.extend(kept.map(|kept| format!("retained={kept};;;0")));
        let due = chain.head.as_ref();
        let left = due.map(|head| head.next_due.unix() - facts.now.unix());
        numbers.extend(left.map(|left| format!("due_in={left}s")));
    }
    numbers.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::sample;
    use crate::model::audit::check::Rule;

    fn of(checks: Vec<Check>) -> String {
        let report = sample::report(checks);
        line(Status::of(&report), &report, &sample::facts())
    }

    #[test]
    fn each_verdict_has_its_word_and_number() {
        let pass = || Check::pass(Rule::Chain, "");
        let rows = [
            (vec![pass()], "OK", 0),
            (vec![pass(), Check::warn(Rule::Mark, "x", "")], "WARNING", 1),
            (
                vec![pass(), Check::unknown(Rule::Mark, "x", "")],
                "UNKNOWN",
                3,
            ),
            (
                vec![pass(), Check::fail(Rule::Mark, "x", "")],
                "CRITICAL",
                2,
            ),
            (vec![Check::tampering(Rule::Mark, "x", "")], "CRITICAL", 2),
            (Vec::new(), "UNKNOWN", 3),
        ];
        for (checks, word, code) in rows {
            let status = Status::of(&sample::report(checks.clone()));
            assert_eq!(status.code(), code, "{word}");
            assert!(
                of(checks).starts_with(&format!("ESCROW {word} - ")),
                "{word}"
            );
        }
    }

    #[test]
    fn a_good_line_names_the_age_and_ends_with_numbers() {
        assert_eq!(
            of(vec![Check::pass(Rule::Chain, "")]),
            "ESCROW OK - demo: everything demanded holds; the newest escrow is 60 min old | \
             failed=0;;;0 unknown=0;;;0 warned=0;;;0 age=3600s retained=2;;;0 due_in=90000s\n"
        );
    }

    #[test]
    fn what_a_look_at_the_head_does_not_count_has_no_number() {
        let report = sample::report(vec![Check::pass(Rule::Chain, "")]);
        let facts = Facts {
            scope: Scope::Head,
            ..sample::facts()
        };
        let line = line(Status::Ok, &report, &facts);
        assert!(line.contains("age=3600s"), "{line}");
        assert!(!line.contains("retained"), "{line}");
    }

    #[test]
    fn a_copy_that_is_dated_ahead_has_no_age() {
        let report = sample::report(vec![Check::pass(Rule::Chain, "")]);
        let mut facts = sample::facts();
        facts.now = facts.now.plus(-2 * 86_400);
        let line = line(Status::Ok, &report, &facts);
        assert!(!line.contains("age=") && !line.contains(" old"), "{line}");
    }

    #[test]
    fn the_worst_comes_first_and_the_rest_is_counted() {
        let checks = (0..4).map(|_| Check::warn(Rule::Mark, "small", "s"));
        let mut checks: Vec<Check> = checks.collect();
        checks.push(Check::tampering(Rule::Chain, "large", "l"));
        let line = of(checks);
        let begin = "ESCROW CRITICAL - demo: large: l; small: s; small: s; and 2 more | ";
        assert!(line.starts_with(begin), "{line}");
    }

    #[test]
    fn hostile_words_stay_on_their_side_of_the_bar() {
        let line = of(vec![Check::fail(Rule::Stores, "x", "a | b=1\nOK\u{1b}[2J")]);
        assert_eq!(line.matches('|').count(), 1, "{line}");
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(!line.contains('\u{1b}'));
        let refused = no_audit("no | such\nfile");
        assert_eq!(refused, "ESCROW UNKNOWN - no / such\\u{a}file\n");
    }
}
