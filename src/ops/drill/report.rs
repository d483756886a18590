//! What a drill came to, as it is signed.

use crate::base::time::UtcTime;
use crate::model::audit::span::Span;
use crate::model::drill::{DrillReport, FORMAT, LevelReached, Measured, Outcome, Subject, reached};
use crate::model::manifest::Tool;

use super::Request;
use super::journal::Journal;
use super::verdict::Verdict;

/// When a drill was, and how long it took.
pub(super) struct Spans {
    pub(super) began: UtcTime,
    pub(super) ended: UtcTime,
    /// Until everything was back, in seconds.
    pub(super) rto: u64,
}

/// The report. A drill that did not bring everything back has no time in which it did.
pub(super) fn of(
    request: &Request<'_>,
    spans: &Spans,
    journal: &Journal<'_>,
    subjects: Vec<Subject>,
) -> DrillReport {
    let steps = journal.steps();
    let level = LevelReached {
        wanted: request.demands.level,
        reached: reached(&steps),
    };
    let mut report = DrillReport {
        format: FORMAT.to_owned(),
        tool: Tool::this(),
        instance: request.manifest.instance.slug.clone(),
        escrow_id: request.manifest.escrow_id.clone(),
        manifest_sha256: request.manifest_sha256,
        signer: request.signer.clone(),
        began_at: spans.began,
        ended_at: spans.ended,
        outcome: Outcome::Unknown,
        rto: Measured {
            seconds: level.is_met().then_some(spans.rto),
            limit: request.demands.rto.map(Span::whole_seconds),
        },
        rpo: Measured {
            seconds: oldest(&subjects),
            limit: request.demands.rpo.map(Span::whole_seconds),
        },
        level,
        failure: failure(journal),
        steps,
        subjects,
    };
    report.outcome = report.judged();
    report
}

/// The age of the oldest; none where one did not come back, and where there is none.
fn oldest(subjects: &[Subject]) -> Option<u64> {
    let ages: Option<Vec<u64>> = subjects.iter().map(|one| one.rpo_seconds).collect();
    ages?.into_iter().max()
}

/// Without a rehydrated escrow there is nothing to go on with.
fn failure(journal: &Journal<'_>) -> Option<String> {
    let first = journal.entries().first()?;
    let is_bad = first.step.outcome == Outcome::Failed;
    is_bad.then(|| first.step.detail.clone())
}

/// The worst of everything.
pub(super) fn verdict(report: &DrillReport, journal: &Journal<'_>) -> Verdict {
    let entries = journal.entries().iter().map(|entry| entry.verdict);
    let of_all = match report.outcome {
        Outcome::Proven => Verdict::Fine,
        Outcome::Failed => Verdict::Unmet,
        Outcome::Unknown | Outcome::NotDone => Verdict::Unknown,
    };
    entries.fold(of_all, Verdict::max)
}
