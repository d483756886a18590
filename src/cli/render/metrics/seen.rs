//! What was seen, as numbers.

use std::collections::BTreeMap;

use crate::base::names::StoreName;
use crate::base::time::UtcTime;
use crate::model::audit::facts::{
    ChainFacts, CheckinsSeen, CopiesSeen, CopySeen, DrillSeen, Facts, Fit, LocksSeen, PartsSeen,
    Scope, Seen, WitnessesSeen,
};
use crate::model::drill::Outcome;
use crate::model::lock::LockState;

use super::{Metrics, RenderError, Sample};

pub(super) fn tell(metrics: &Metrics, facts: &Facts) -> Result<(), RenderError> {
    if let Seen::Known(chain) = &facts.chain {
        tell_counts(metrics, chain, facts.scope)?;
        tell_chain(metrics, chain, facts.now)?;
    }
    tell_copies(metrics, &facts.copies)?;
    tell_parts(metrics, &facts.parts)?;
    tell_locks(metrics, &facts.locks)?;
    if let Seen::Known(checkins) = &facts.checkins {
        tell_custodians(metrics, checkins, facts.now)?;
    }
    if let Seen::Known(witnesses) = &facts.witnesses {
        tell_witnesses(metrics, witnesses, facts.now)?;
    }
    if let Seen::Known(drills) = &facts.drills {
        tell_drill(metrics, drills.newest.as_ref())?;
    }
    metrics.labelled(
        "clock_skew_seconds",
        "By how much a store's clock was ahead of the signer's when it got the newest manifest.",
        ["store"],
        known(&facts.clocks).map(|(store, skew)| ([store], *skew as f64)),
    )
}

/// Stores of which this is known.
fn known<T>(by_store: &BTreeMap<StoreName, Seen<T>>) -> impl Iterator<Item = (String, &T)> {
    by_store.iter().filter_map(|(store, seen)| match seen {
        Seen::Known(known) => Some((store.to_string(), known)),
        Seen::Unknown(_) => None,
    })
}

fn seconds_between(earlier: UtcTime, now: UtcTime) -> f64 {
    (now.unix() - earlier.unix()) as f64
}

/// Who looks at the newest manifest alone counts nothing.
fn tell_counts(metrics: &Metrics, chain: &ChainFacts, scope: Scope) -> Result<(), RenderError> {
    let counted = |count: usize| (scope == Scope::Full).then_some(count as f64);
    metrics.single(
        "manifests",
        "Manifests with a good signature.",
        counted(chain.verified),
    )?;
    metrics.single(
        "retained",
        "Escrows that retention keeps.",
        counted(chain.retained.len()),
    )
}

fn tell_chain(metrics: &Metrics, chain: &ChainFacts, now: UtcTime) -> Result<(), RenderError> {
    metrics.single(
        "next_due_timestamp_seconds",
        "When the newest manifest promises the next escrow.",
        chain.head.as_ref().map(|head| head.next_due.unix() as f64),
    )?;
    let newest = match &chain.newest {
        Seen::Known(Some(newest)) => Some(newest),
        _ => None,
    };
    metrics.single(
        "newest_timestamp_seconds",
        "When the copy in the newest escrow began.",
        newest.map(|escrow| escrow.snapshot_at.unix() as f64),
    )?;
    metrics.single(
        "newest_age_seconds",
        "Age of the newest escrow when the audit looked; no sample where it is dated ahead.",
        newest.and_then(|escrow| Some(escrow.age(now)? as f64)),
    )?;
    let proof = newest.and_then(|escrow| escrow.proof.as_ref());
    metrics.single(
        "proof_level",
        "Highest level that was proven of the newest escrow before it was signed; no sample for none.",
        proof.and_then(|proof| Some(f64::from(proof.reached?))),
    )
}

fn tell_copies(
    metrics: &Metrics,
    copies: &BTreeMap<StoreName, Seen<CopiesSeen>>,
) -> Result<(), RenderError> {
    const STATES: [(&[CopySeen], &str); 3] = [
        (&[CopySeen::AsSigned], "present"),
        (&[CopySeen::Missing], "missing"),
        (&[CopySeen::OtherSize, CopySeen::OtherTag], "wrong"),
    ];
    let samples = known(copies).flat_map(|(store, seen)| {
        STATES.map(|(states, name)| {
            let copies = seen.by_escrow.values();
            let count = copies.filter(|copy| states.contains(copy)).count();
            ([store.clone(), name.to_owned()], count as f64)
        })
    });
    metrics.labelled(
        "copies",
        "Payloads of escrows that retention keeps, by what a listing of the store tells.",
        ["store", "state"],
        samples,
    )
}

fn tell_parts(
    metrics: &Metrics,
    parts: &BTreeMap<StoreName, Seen<PartsSeen>>,
) -> Result<(), RenderError> {
    let samples = known(parts).flat_map(|(store, seen)| {
        let counts = [
            ("whole", seen.whole),
            ("damaged", seen.damaged.len()),
            ("unread", seen.unread.len()),
        ];
        counts.map(|(state, count)| ([store.clone(), state.to_owned()], count as f64))
    });
    metrics.labelled(
        "parts",
        "Parts of payloads that this audit read and hashed.",
        ["store", "state"],
        samples,
    )
}

fn tell_locks(
    metrics: &Metrics,
    locks: &BTreeMap<StoreName, Seen<LocksSeen>>,
) -> Result<(), RenderError> {
    let each = || {
        known(locks).flat_map(|(store, seen)| {
            let objects = [("payload", seen.payload), ("manifest", seen.manifest)];
            objects.map(|(object, state)| ([store.clone(), object.to_owned()], state))
        })
    };
    let locked = each().filter_map(|(values, state)| -> Option<Sample<2>> {
        match state {
            LockState::Locked(_) => Some((values, 1.0)),
            LockState::Unlocked => Some((values, 0.0)),
            LockState::Unknown => None,
        }
    });
    metrics.labelled(
        "locked",
        "Whether a lock keeps what belongs to the newest escrow from being deleted.",
        ["store", "object"],
        locked,
    )?;
    let until = each().filter_map(|(values, state)| match state {
        LockState::Locked(lock) => Some((values, lock.until.unix() as f64)),
        _ => None,
    });
    metrics.labelled(
        "lock_retain_until_timestamp_seconds",
        "Until when that lock holds.",
        ["store", "object"],
        until,
    )
}

fn tell_custodians(
    metrics: &Metrics,
    checkins: &CheckinsSeen,
    now: UtcTime,
) -> Result<(), RenderError> {
    let proven = || {
        let each = checkins.proven.iter();
        each.filter_map(|(who, at)| Some((who.to_string(), (*at)?)))
    };
    metrics.single(
        "custodians",
        "Custodians to whom escrows are sealed.",
        Some(checkins.proven.len() as f64),
    )?;
    metrics.single(
        "custodians_proven",
        "Those of them who have ever shown that they can open what is sealed to them.",
        Some(proven().count() as f64),
    )?;
    metrics.single(
        "custodians_needed",
        "How many of them it takes to open an escrow.",
        Some(checkins.takes as f64),
    )?;
    metrics.labelled(
        "custodian_proof_timestamp_seconds",
        "When a custodian last showed it; no sample for never.",
        ["custodian"],
        proven().map(|(who, at)| ([who], at.unix() as f64)),
    )?;
    metrics.labelled(
        "custodian_proof_age_seconds",
        "How long ago that was when the audit looked.",
        ["custodian"],
        proven().map(|(who, at)| ([who], seconds_between(at, now))),
    )
}

/// Of witnesses that agree: what another says of another chain is a finding, and no reassurance.
fn tell_witnesses(
    metrics: &Metrics,
    witnesses: &WitnessesSeen,
    now: UtcTime,
) -> Result<(), RenderError> {
    let agreeing = || {
        let all = witnesses.newest.iter();
        all.filter(|one| one.fits == Fit::Agrees)
    };
    metrics.labelled(
        "witness_timestamp_seconds",
        "When a witness last saw this chain.",
        ["signer"],
        agreeing().map(|one| ([one.signer.to_string()], one.at.unix() as f64)),
    )?;
    metrics.labelled(
        "witness_age_seconds",
        "How long ago that was when the audit looked.",
        ["signer"],
        agreeing().map(|one| ([one.signer.to_string()], seconds_between(one.at, now))),
    )
}

fn tell_drill(metrics: &Metrics, drill: Option<&DrillSeen>) -> Result<(), RenderError> {
    metrics.single(
        "drill_timestamp_seconds",
        "When the newest drill with a signed report ended.",
        drill.map(|drill| drill.ended_at.unix() as f64),
    )?;
    metrics.single(
        "drill_success",
        "Whether it did all that it was to do.",
        drill.map(|drill| f64::from(drill.outcome == Outcome::Proven)),
    )?;
    metrics.single(
        "drill_level",
        "Highest proof level that it reached; no sample for none.",
        drill.and_then(|drill| Some(f64::from(drill.level.reached?))),
    )?;
    metrics.single(
        "drill_rto_seconds",
        "How long it took until everything was back.",
        drill.and_then(|drill| Some(drill.rto.seconds? as f64)),
    )?;
    metrics.single(
        "drill_rpo_seconds",
        "Age of the oldest thing that came back.",
        drill.and_then(|drill| Some(drill.rpo.seconds? as f64)),
    )
}
