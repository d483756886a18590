//! The proofs of a rehydrate as steps of a drill.

use crate::model::drill::{Outcome, Step};
use crate::ops::rehydrate::{self, Proof};

use super::journal::Journal;
use super::verdict::Verdict;

/// Which level a proof of a rehydrate is part of; none where it counts for none.
fn level(what: &str) -> Option<u8> {
    match what {
        "payload" | "secret.key" => Some(0),
        "recovery" | "fence" | "encrypted fields" | "clean shutdown" => Some(1),
        "newest backups" => Some(2),
        "whole backups" => Some(3),
        _ => None,
    }
}

/// Notes all of them. Their words name tables and storages, and are told here alone.
pub(super) fn note(proofs: &[Proof], journal: &mut Journal<'_>) {
    for proof in proofs {
        let (outcome, verdict) = judged(proof);
        let step = Step {
            name: proof.what.to_owned(),
            subject: None,
            level: level(proof.what),
            outcome,
            seconds: None,
            detail: String::new(),
        };
        journal.note(step, &proof.detail, verdict);
    }
}

/// What does not open was changed, or is of another key. A catalogue that could not be brought up
/// to date in all is no proof against what is in it.
fn judged(proof: &Proof) -> (Outcome, Verdict) {
    let is_counted = level(proof.what).is_some();
    match proof.outcome {
        rehydrate::Outcome::Proven => (Outcome::Proven, Verdict::Fine),
        rehydrate::Outcome::Failed if proof.what == "catalogue import" => {
            (Outcome::Unknown, Verdict::Fine)
        }
        rehydrate::Outcome::Failed if level(proof.what) >= Some(2) => {
            (Outcome::Failed, Verdict::Integrity)
        }
        rehydrate::Outcome::Failed => (Outcome::Failed, Verdict::Unmet),
        rehydrate::Outcome::Unknown if is_counted => (Outcome::Unknown, Verdict::Unknown),
        rehydrate::Outcome::Unknown => (Outcome::Unknown, Verdict::Fine),
        rehydrate::Outcome::NotDone => (Outcome::NotDone, Verdict::Fine),
    }
}
