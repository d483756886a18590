//! A writer, and a pruner: who writes escrows, and who lets them go.

use crate::model::lock::{LockMode, LockVerdict};
use crate::ops::lock_probe::{self, LockReport, Outcome, Step};
use crate::store::probe::{self, ProbeCheck};

use super::report::{AccessReport, Fit, Must, Try};
use super::{Request, Role};

pub(super) fn try_all(request: &Request<'_>, report: &mut AccessReport) {
    let probed = probe::probe(request.store, request.slug.as_str());
    let checks = probed.checks.iter();
    report
        .tries
        .extend(checks.map(|check| of_check(request, check)));
    if let Some(mode) = request.lock {
        let probed = try_lock(request, mode);
        report.tries.extend(of_lock(&probed));
        report.lock = Some(probed);
    }
}

fn of_check(request: &Request<'_>, check: &ProbeCheck) -> Try {
    let answer = match check.outcome {
        probe::Outcome::Yes => Outcome::Allowed,
        probe::Outcome::No => Outcome::Refused,
        probe::Outcome::Unknown => Outcome::Unknown,
    };
    Try::new(check.name, must(request, check.name), answer, &check.detail)
}

fn must(request: &Request<'_>, name: &str) -> Must {
    match (name, request.role) {
        (probe::MULTIPART, Role::Pruner) | (probe::MULTIPART_ETAG, _) => Must::Whatever,
        (probe::DELETE | probe::DELETE_VERSIONS, Role::Pruner) => Must::Work,
        // Who may write into a directory may delete there.
        (probe::DELETE, _) if request.is_directory => Must::Whatever,
        (probe::DELETE | probe::DELETE_VERSIONS, _) => Must::BeRefused(Fit::Wider),
        _ => Must::Work,
    }
}

fn try_lock(request: &Request<'_>, mode: LockMode) -> LockReport {
    lock_probe::probe(&lock_probe::Request {
        slug: request.slug,
        store: request.store,
        mode,
        clock: request.clock,
        random: request.random,
    })
}

/// What was tried on a locked object, judged by whether it still stands: that these credentials
/// may hide it takes nothing away.
fn of_lock(report: &LockReport) -> Vec<Try> {
    let tried = report.steps.iter().filter(|step| {
        // Tried on what is not locked, and told by the checks.
        step.name != lock_probe::CONTROL
    });
    let mut tries: Vec<Try> = tried.map(|step| of_step(report, step)).collect();
    if tries.is_empty() {
        tries.push(Try::new(
            "locked-write",
            Must::Work,
            Outcome::Unknown,
            &report.why,
        ));
    }
    tries
}

fn of_step(report: &LockReport, step: &Step) -> Try {
    let name = format!("locked-{}", step.name);
    let mut one = Try::new(&name, Must::Work, step.outcome, &step.detail);
    one.fit = match (step.name, step.stands) {
        (lock_probe::WRITE, _) => Must::Work.fit(step.outcome),
        (_, Some(true)) => Fit::Right,
        (lock_probe::READ_BACK, Some(false)) => Fit::Missing,
        (_, Some(false)) if report.verdict == LockVerdict::NotEnforced => Fit::TooWide,
        _ => Fit::Unknown,
    };
    one
}
