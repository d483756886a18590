//! An audit as metrics, in the text format that node_exporter's textfile collector reads.
//!
//! What could not be seen has no sample: an old value, or a zero, would read as a good one.
//! `databasus_escrow_unknown` says where that is so. Names and units follow
//! <https://prometheus.io/docs/practices/naming/>; everything is a gauge, since a file is one moment.

mod seen;

use std::collections::HashMap;

use prometheus::{GaugeVec, Opts, Registry, TextEncoder};

use crate::base::text::printable;
use crate::model::audit::check::{Outcome, Rule, Verdict};
use crate::model::audit::facts::{Facts, Scope};
use crate::model::audit::report::Report;

/// A problem with a metric's name or labels, none of which come from outside.
pub(in crate::cli) type RenderError = prometheus::Error;

/// The metrics of an audit, each with its HELP and TYPE. Every sample has the label `databasus`: the
/// instance's slug. (`instance` is the name of Prometheus' own label for the machine.)
pub(in crate::cli) fn render(report: &Report, facts: &Facts) -> Result<String, RenderError> {
    let slug = report.instance.to_string();
    let labels = HashMap::from([("databasus".to_owned(), slug)]);
    let metrics = Metrics(Registry::new_custom(Some(PREFIX.to_owned()), Some(labels))?);
    of_the_run(&metrics, report)?;
    of_the_checks(&metrics, report)?;
    seen::tell(&metrics, facts)?;
    TextEncoder::new().encode_to_string(&metrics.0.gather())
}

const PREFIX: &str = "databasus_escrow";

/// Where metrics are gathered.
struct Metrics(Registry);

/// The values of a metric's labels, and the sample.
type Sample<const N: usize> = ([String; N], f64);

impl Metrics {
    /// A metric with labels; it does not appear without samples.
    fn labelled<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        samples: impl IntoIterator<Item = Sample<N>>,
    ) -> Result<(), RenderError> {
        let gauge = GaugeVec::new(Opts::new(name, help), &labels)?;
        self.0.register(Box::new(gauge.clone()))?;
        for (values, sample) in samples {
            let values = values.map(|value| printable(&value).into_owned());
            gauge.get_metric_with_label_values(&values)?.set(sample);
        }
        Ok(())
    }

    /// A metric that is one number, where it is known.
    fn single(&self, name: &str, help: &str, sample: Option<f64>) -> Result<(), RenderError> {
        self.labelled(name, help, [], sample.map(|sample| ([], sample)))
    }
}

fn of_the_run(metrics: &Metrics, report: &Report) -> Result<(), RenderError> {
    let scope = match report.scope {
        Scope::Full => "full",
        Scope::Head => "head",
    };
    let about = [
        report.tool.version.clone(),
        scope.to_owned(),
        report.policy_sha256.to_string(),
    ];
    metrics.labelled(
        "audit_info",
        "The audit that these numbers are from; always 1.",
        ["version", "scope", "policy_sha256"],
        [(about, 1.0)],
    )?;
    metrics.single(
        "audit_timestamp_seconds",
        "When the audit looked.",
        Some(report.audited_at.unix() as f64),
    )?;
    metrics.labelled(
        "audit_verdict",
        "1 for the verdict that the audit came to, 0 for the others.",
        ["verdict"],
        VERDICTS.map(|(verdict, name)| {
            let is_it = f64::from(report.verdict == verdict);
            ([name.to_owned()], is_it)
        }),
    )?;
    metrics.single(
        "head_sequence",
        "Sequence number of the newest manifest.",
        report.head.map(|head| head.seq as f64),
    )
}

const VERDICTS: [(Verdict, &str); 4] = [
    (Verdict::Pass, "pass"),
    (Verdict::Unknown, "unknown"),
    (Verdict::Fail, "fail"),
    (Verdict::Tampering, "tampering"),
];

const OUTCOMES: [(Outcome, &str); 5] = [
    (Outcome::Pass, "pass"),
    (Outcome::Warn, "warn"),
    (Outcome::Unknown, "unknown"),
    (Outcome::Fail, "fail"),
    (Outcome::Off, "off"),
];

/// Rules and outcomes are all there, zeros too: an alert on a series that does not exist is silent.
fn of_the_checks(metrics: &Metrics, report: &Report) -> Result<(), RenderError> {
    let count = |rule: Rule, outcome: Outcome| {
        let checks = report.checks.iter();
        let counted = checks.filter(|check| check.rule == rule && check.outcome == outcome);
        counted.count() as f64
    };
    let counts = Rule::ALL.into_iter().flat_map(|rule| {
        OUTCOMES.map(|(outcome, name)| {
            let values = [rule.name().to_owned(), name.to_owned()];
            (values, count(rule, outcome))
        })
    });
    metrics.labelled(
        "checks",
        "Checks of the audit by rule and outcome.",
        ["rule", "outcome"],
        counts,
    )?;
    let unknown = Rule::ALL.map(|rule| ([rule.name().to_owned()], count(rule, Outcome::Unknown)));
    metrics.labelled(
        "unknown",
        "Checks that could not be made, by rule. What they are about has no sample elsewhere.",
        ["rule"],
        unknown,
    )?;
    let mut findings: HashMap<[String; 3], f64> = HashMap::new();
    let loud = |outcome| matches!(outcome, Outcome::Warn | Outcome::Unknown | Outcome::Fail);
    for check in report.checks.iter().filter(|check| loud(check.outcome)) {
        let store = check.basis.store.as_ref().map(ToString::to_string);
        let values = [
            check.id.to_owned(),
            check.rule.name().to_owned(),
            store.unwrap_or_default(),
        ];
        *findings.entry(values).or_default() += 1.0;
    }
    metrics.labelled(
        "findings",
        "Findings by id, as runbooks/findings.md explains them.",
        ["id", "rule", "store"],
        findings,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::sample;
    use crate::model::audit::check::Check;

    fn lines(report: &Report, facts: &Facts) -> Vec<String> {
        let text = render(report, facts).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_was_not_seen_has_no_sample() {
        let report = sample::report(Vec::new());
        let text = render(&report, &sample::nothing()).unwrap();
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        assert_eq!(
            names,
            [
                "databasus_escrow_audit_info",
                "databasus_escrow_audit_timestamp_seconds",
                "databasus_escrow_audit_verdict",
                "databasus_escrow_checks",
                "databasus_escrow_unknown",
            ]
        );
    }

    #[test]
    fn what_a_look_at_the_head_does_not_count_has_no_sample() {
        let report = sample::report(Vec::new());
        let facts = Facts {
            scope: Scope::Head,
            ..sample::facts()
        };
        let text = render(&report, &facts).unwrap();
        assert!(text.contains("databasus_escrow_newest_age_seconds"));
        assert!(!text.contains("databasus_escrow_retained"), "{text}");
        assert!(!text.contains("databasus_escrow_manifests"), "{text}");
    }

    #[test]
    fn a_copy_that_is_dated_ahead_has_no_age() {
        let mut facts = sample::facts();
        facts.now = facts.now.plus(-2 * 86_400);
        let text = render(&sample::report(Vec::new()), &facts).unwrap();
        assert!(text.contains("databasus_escrow_newest_timestamp_seconds"));
        assert!(!text.contains("newest_age_seconds"), "{text}");
    }

    #[test]
    fn one_verdict_of_four_is_1() {
        let lines = lines(
            &sample::report(vec![Check::pass(Rule::Chain, "")]),
            &sample::nothing(),
        );
        let verdict = |name: &str| {
            let begin =
                format!("databasus_escrow_audit_verdict{{verdict=\"{name}\",databasus=\"demo\"}} ");
            let found = lines.iter().find_map(|line| line.strip_prefix(&begin));
            found.unwrap().to_owned()
        };
        assert_eq!(
            ["pass", "unknown", "fail", "tampering"].map(verdict),
            ["1", "0", "0", "0"]
        );
    }

    #[test]
    fn what_is_seen_has_its_samples() {
        let lines = lines(&sample::report(Vec::new()), &sample::facts());
        for line in [
            r#"databasus_escrow_newest_age_seconds{databasus="demo"} 3600"#,
            r#"databasus_escrow_next_due_timestamp_seconds{databasus="demo"} 1780090000"#,
            r#"databasus_escrow_copies{state="missing",store="a",databasus="demo"} 1"#,
            r#"databasus_escrow_copies{state="present",store="a",databasus="demo"} 1"#,
            r#"databasus_escrow_locked{object="manifest",store="a",databasus="demo"} 0"#,
            r#"databasus_escrow_lock_retain_until_timestamp_seconds{object="payload",store="a",databasus="demo"} 1790000000"#,
            r#"databasus_escrow_custodian_proof_age_seconds{custodian="alice",databasus="demo"} 86400"#,
            r#"databasus_escrow_custodians_proven{databasus="demo"} 1"#,
            r#"databasus_escrow_drill_success{databasus="demo"} 1"#,
            r#"databasus_escrow_drill_rto_seconds{databasus="demo"} 97"#,
        ] {
            assert!(lines.iter().any(|one| one == line), "{line}\n{lines:#?}");
        }
        let unknown = lines.iter().any(|line| line.contains("rpo_seconds{"));
        assert!(!unknown, "the report did not say");
    }
}
