//! An audit to render in tests.

use std::collections::BTreeMap;

use crate::base::digest::Digest;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::StoreName;
use crate::base::time::UtcTime;
use crate::model::audit::check::{Check, Verdict};
use crate::model::audit::facts::{
    ChainFacts, CheckinsSeen, CopiesSeen, CopySeen, DrillSeen, DrillsSeen, EscrowSeen, Facts,
    HeadSeen, LocksSeen, Retained, Scope, Seen,
};
use crate::model::audit::report::{FORMAT, Report};
use crate::model::drill::{LevelReached, Measured, Outcome};
use crate::model::lock::{Lock, LockMode, LockState};
use crate::model::manifest::Tool;
use crate::model::mark::Mark;

const NOW: i64 = 1_780_000_000;

fn at(seconds: i64) -> UtcTime {
    UtcTime::from_unix(NOW + seconds)
}

pub(super) fn store() -> StoreName {
    "a".parse().unwrap()
}

pub(super) fn report(checks: Vec<Check>) -> Report {
    Report {
        format: FORMAT,
        tool: Tool::this(),
        instance: "demo".parse().unwrap(),
        scope: Scope::Full,
        audited_at: at(0),
        policy_sha256: Digest::of(b"policy"),
        known_before: None,
        head: None,
        verdict: Verdict::of(&checks),
        checks,
    }
}

pub(super) fn nothing() -> Facts {
    Facts::none(Scope::Full, at(0))
}

/// Two escrows, of which one lies in store `a`, locked; one custodian of two has a proof.
pub(super) fn facts() -> Facts {
    let ids = [
        "20260527T020000Z-0000000000000001",
        "20260528T020000Z-0000000000000002",
    ];
    let ids = ids.map(|id| id.parse().unwrap());
    let retained = ids.iter().zip(1..).map(|(id, seq)| Retained {
        id: Clone::clone(id),
        seq,
        snapshot_at: at(-3_600),
        recorded_locks: BTreeMap::new(),
    });
    let head = Mark {
        seq: 2,
        manifest_sha256: Digest::of(b"2"),
    };
    let chain = ChainFacts {
        mark: None,
        is_complete: true,
        verified: 2,
        findings: Vec::new(),
        head: Some(HeadSeen {
            mark: head,
            created_at: at(-3_500),
            next_due: at(90_000),
            signer: "host".parse().unwrap(),
            key: Fingerprint::of(b"host"),
        }),
        newest: Seen::Known(Some(EscrowSeen {
            id: ids[1].clone(),
            mark: head,
            snapshot_at: at(-3_600),
            key: Fingerprint::of(b"host"),
            proof: None,
        })),
        retained: retained.collect(),
        secret_key_ids: Vec::new(),
        system_identifiers: Vec::new(),
        set_backs: Vec::new(),
    };
    let copies = CopiesSeen {
        by_escrow: ids
            .into_iter()
            .zip([CopySeen::Missing, CopySeen::AsSigned])
            .collect(),
        hidden: Vec::new(),
    };
    let locks = LocksSeen {
        payload: LockState::Locked(Lock {
            mode: LockMode::Compliance,
            until: at(10_000_000),
        }),
        manifest: LockState::Unlocked,
        probe: None,
    };
    Facts {
        chain: Seen::Known(chain),
        copies: [(store(), Seen::Known(copies))].into(),
        locks: [(store(), Seen::Known(locks))].into(),
        checkins: Seen::Known(CheckinsSeen {
            proven: vec![
                ("alice".parse().unwrap(), Some(at(-86_400))),
                ("bob".parse().unwrap(), None),
            ],
            takes: 1,
            findings: Vec::new(),
        }),
        drills: Seen::Known(DrillsSeen {
            newest: Some(drill()),
            before: Vec::new(),
            findings: Vec::new(),
        }),
        ..nothing()
    }
}

fn drill() -> DrillSeen {
    DrillSeen {
        held: BTreeMap::new(),
        ended_at: at(-7 * 86_400),
        escrow: "20260527T020000Z-0000000000000001".parse().unwrap(),
        sha256: Digest::of(b"drill"),
        outcome: Outcome::Proven,
        level: LevelReached {
            wanted: 4,
            reached: Some(4),
        },
        rto: Measured {
            seconds: Some(97),
            limit: None,
        },
        rpo: Measured::default(),
    }
}
