//! Audits as pages are made of: their facts are told here, so that every page is the same on every
//! day.

use std::collections::BTreeMap;

use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::fingerprint::Fingerprint;
use databasus_escrow::base::names::{EscrowId, StoreName};
use databasus_escrow::base::time::UtcTime;
use databasus_escrow::cli::render::html::{Page, SignedBy, page};
use databasus_escrow::model::audit::facts::*;
use databasus_escrow::model::audit::past::{Night, Past, Sealing, missed, runs};
use databasus_escrow::model::audit::policy::AuditPolicy;
use databasus_escrow::model::audit::report::Report;
use databasus_escrow::model::drill::{LevelReached, Measured, Outcome};
use databasus_escrow::model::finding::Finding;
use databasus_escrow::model::lock::{Lock, LockMode, LockState, LockVerdict, ProbeRecord};
use databasus_escrow::model::manifest::{Custody, CustodyMode};
use databasus_escrow::model::mark::Mark;
use databasus_escrow::model::proof::{Level, ProofRecord, Tally};

pub const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;

/// An audit.
pub struct Example {
    pub facts: Facts,
    pub policy: AuditPolicy,
}

/// The moment of every audit here.
pub fn now() -> UtcTime {
    "2026-06-12T12:00:00Z".parse().unwrap()
}

pub fn ago(seconds: i64) -> UtcTime {
    now().plus(-seconds)
}

pub fn store(name: &str) -> StoreName {
    name.parse().unwrap()
}

fn key(of: &str) -> Fingerprint {
    Fingerprint::of(of.as_bytes())
}

fn mark(seq: u64) -> Mark {
    Mark {
        seq,
        manifest_sha256: Digest::of(&seq.to_be_bytes()),
    }
}

fn any() -> Custody {
    Custody {
        mode: CustodyMode::Any,
        k: None,
    }
}

/// What is demanded everywhere here.
fn policy() -> AuditPolicy {
    let text = format!(
        r#"
        version = 1
        [freshness]
        max_age = "26h"
        [mark]
        [witness]
        max_age = "8d"
        [signers]
        keys = ["{}"]
        [[store]]
        name = "r2"
        [[store]]
        name = "latitude"
        lock = {{ mode = "compliance", remaining = "7d", probe_max_age = "90d" }}
        [parts]
        sample = 20
        [custody]
        mode = "any"
        recipient = [
            {{ custodian = "alice", fingerprint = "{}" }},
            {{ custodian = "bob", fingerprint = "{}" }},
        ]
        [checkins]
        warn = "90d"
        fail = "180d"
        [instance]
        [proof]
        min_level = 2
        [drill]
        max_age = "92d"
        level = 2
        rto = "1h"
        [clock]
        max_skew = "5m"
        "#,
        key("host"),
        key("alice"),
        key("bob"),
    );
    AuditPolicy::parse(&text).unwrap()
}

/// One escrow a night, the oldest first; so many days ago each.
fn nights(days: &[i64]) -> Vec<Retained> {
    let ids = days.iter().enumerate().map(|(n, days)| {
        let at = ago(days * DAY + 10 * HOUR);
        let id: EscrowId = format!("{}-{n:016x}", at.compact()).parse().unwrap();
        let lock = Lock {
            mode: LockMode::Compliance,
            until: at.plus(30 * DAY),
        };
        Retained {
            id,
            seq: n as u64 + 1,
            snapshot_at: at,
            recorded_locks: BTreeMap::from([(store("latitude"), lock)]),
        }
    });
    ids.collect()
}

fn copies(retained: &[Retained]) -> Seen<CopiesSeen> {
    let each = retained.iter();
    Seen::Known(CopiesSeen {
        by_escrow: each
            .map(|one| (one.id.clone(), CopySeen::AsSigned))
            .collect(),
        hidden: Vec::new(),
    })
}

/// Carol was a custodian until a month ago.
fn past(retained: &[Retained]) -> Past {
    let sealed = retained.iter().map(|one| {
        let carol = (one.snapshot_at < ago(30 * DAY)).then_some("carol");
        let to = ["alice", "bob"].into_iter().chain(carol);
        Sealing {
            seq: one.seq,
            began: one.snapshot_at,
            custody: any(),
            to: to
                .map(|who| (who.parse().unwrap(), Some(key(who))))
                .collect(),
            locked_until: one.recorded_locks.values().map(|lock| lock.until).max(),
        }
    });
    let nights = retained.iter().map(|one| Night {
        began: one.snapshot_at,
        next_due: one.snapshot_at.plus(26 * HOUR),
    });
    Past {
        let_go: 41,
        missed: missed(nights, now()),
        sealed: runs(sealed),
        sealed_before: Vec::new(),
    }
}

fn drill(days: i64, outcome: Outcome, rto: u64) -> DrillSeen {
    let within = |seconds, limit| Measured {
        seconds: Some(seconds),
        limit: Some(limit),
    };
    DrillSeen {
        held: BTreeMap::new(),
        ended_at: ago(days * DAY),
        escrow: nights(&[days + 1]).remove(0).id,
        sha256: Digest::of(&days.to_be_bytes()),
        outcome,
        level: LevelReached {
            wanted: 4,
            reached: Some(if outcome == Outcome::Proven { 4 } else { 2 }),
        },
        rto: within(rto, 3_600),
        rpo: within(7_200, 93_600),
    }
}

fn proof() -> ProofRecord {
    let proven = Tally {
        proven: 3,
        ..Tally::default()
    };
    let levels = [Level::KeyId, Level::Fields, Level::FirstChunks].map(|level| (level, proven));
    ProofRecord::new(Level::FirstChunks, &levels)
}

fn chain(retained: Vec<Retained>) -> ChainFacts {
    let newest = retained.last().unwrap().clone();
    ChainFacts {
        mark: Some(mark(newest.seq - 1)),
        is_complete: true,
        verified: retained.len(),
        findings: Vec::new(),
        head: Some(HeadSeen {
            mark: mark(newest.seq),
            created_at: newest.snapshot_at.plus(300),
            next_due: newest.snapshot_at.plus(26 * HOUR),
            signer: "escrow-host".parse().unwrap(),
            key: key("host"),
        }),
        newest: Seen::Known(Some(EscrowSeen {
            id: newest.id,
            mark: mark(newest.seq),
            snapshot_at: newest.snapshot_at,
            key: key("host"),
            proof: Some(proof()),
        })),
        retained,
        secret_key_ids: vec![(1, "00112233445566778899aabbccddeeff".to_owned())],
        system_identifiers: vec![(1, "7560000000000000001".to_owned())],
        set_backs: Vec::new(),
    }
}

fn locks() -> Seen<LocksSeen> {
    let locked = LockState::Locked(Lock {
        mode: LockMode::Compliance,
        until: ago(-29 * DAY),
    });
    Seen::Known(LocksSeen {
        payload: locked,
        manifest: locked,
        probe: Some(ProbeRecord {
            at: ago(20 * DAY),
            result: LockVerdict::Enforced,
        }),
    })
}

/// Everything that is demanded holds.
pub fn good() -> Example {
    of_nights(&[
        330, 300, 270, 240, 210, 180, 150, 120, 90, 60, 28, 21, 14, 6, 5, 4, 3, 2, 1, 0,
    ])
}

/// The same with other nights.
pub fn of_nights(days: &[i64]) -> Example {
    let retained = nights(days);
    let stores = ["latitude", "r2"].map(store);
    let people = ["alice", "bob"].map(|who| (who.parse().unwrap(), key(who)));
    let parts = PartsSeen {
        whole: 10,
        ..PartsSeen::default()
    };
    let mut past = past(&retained);
    // Retention keeps some of the nights: that the others are not here is no gap.
    past.missed.clear();
    let facts = Facts {
        reached: Seen::Known(()),
        past: Seen::Known(past),
        copies: stores
            .iter()
            .map(|s| (s.clone(), copies(&retained)))
            .collect(),
        parts: stores
            .iter()
            .map(|s| (s.clone(), Seen::Known(parts.clone())))
            .collect(),
        locks: BTreeMap::from([(store("latitude"), locks())]),
        weakened: Seen::Known(Vec::new()),
        custody: Seen::Known(CustodySeen {
            custody: any(),
            recipients: people.to_vec(),
        }),
        header: Seen::Known(HeaderSeen {
            is_as_signed: true,
            stanzas: vec!["X25519".to_owned(); 2],
            expected: vec![Some("X25519"); 2],
        }),
        custody_objects: Seen::Known(Vec::new()),
        checkins: Seen::Known(checkins()),
        witnesses: Seen::Known(witnesses()),
        drills: Seen::Known(drills()),
        clocks: stores.into_iter().map(|s| (s, Seen::Known(2))).collect(),
        chain: Seen::Known(chain(retained)),
        ..Facts::none(Scope::Full, now())
    };
    Example {
        facts,
        policy: policy(),
    }
}

fn checkins() -> CheckinsSeen {
    CheckinsSeen {
        proven: vec![
            ("alice".parse().unwrap(), Some(ago(12 * DAY))),
            ("bob".parse().unwrap(), Some(ago(40 * DAY))),
        ],
        takes: 1,
        findings: Vec::new(),
    }
}

fn witnesses() -> WitnessesSeen {
    WitnessesSeen {
        newest: vec![WitnessSeen {
            signer: "auditor".parse().unwrap(),
            at: ago(DAY),
            mark: mark(1),
            fits: Fit::Agrees,
        }],
        findings: Vec::new(),
    }
}

fn drills() -> DrillsSeen {
    DrillsSeen {
        newest: Some(drill(20, Outcome::Proven, 1_260)),
        before: vec![
            drill(110, Outcome::Failed, 5_400),
            drill(200, Outcome::Proven, 1_500),
        ],
        findings: Vec::new(),
    }
}

/// Something of everything is wrong.
pub fn bad() -> Example {
    let mut example = good();
    let facts = &mut example.facts;
    let retained = known(&mut facts.chain).retained.clone();
    let copies = known(facts.copies.get_mut(&store("r2")).unwrap());
    for (n, seen) in [
        (4, CopySeen::Missing),
        (9, CopySeen::OtherSize),
        (17, CopySeen::Missing),
    ] {
        copies.by_escrow.insert(retained[n].id.clone(), seen);
    }
    facts
        .copies
        .insert(store("usb"), Seen::unknown("the directory cannot be read"));
    known(&mut facts.past).missed = missed(
        (0..330)
            .rev()
            .filter(|day| !(100..109).contains(day) && ![47, 48, 200].contains(day))
            .map(|day| Night {
                began: ago(day * DAY + 10 * HOUR),
                next_due: ago(day * DAY - 16 * HOUR),
            }),
        now(),
    );
    known(&mut facts.checkins).proven[1].1 = Some(ago(120 * DAY));
    known(&mut facts.chain).mark = None;
    known(&mut facts.drills).newest = Some(drill(3, Outcome::Failed, 5_000));
    known(&mut facts.chain).findings.push(
        Finding::violation(
            "unverified-manifest",
            "demo/manifest/0000000021.json is not a manifest: signed by a key that nobody knows",
        )
        .about(&store("r2")),
    );
    example
}

/// Three years of nights.
pub fn thousand() -> Example {
    of_nights(&(0..1_000).rev().collect::<Vec<_>>())
}

/// Nothing could be seen.
pub fn nothing(scope: Scope) -> Example {
    Example {
        facts: Facts::none(scope, now()),
        policy: policy(),
    }
}

pub fn known<T>(seen: &mut Seen<T>) -> &mut T {
    match seen {
        Seen::Known(known) => known,
        Seen::Unknown(why) => panic!("{why}"),
    }
}

impl Example {
    pub fn report(&self) -> Report {
        let slug = "heatwave-prod".parse().unwrap();
        Report::of(&slug, &self.policy, Digest::of(b"policy"), &self.facts)
    }

    pub fn page(&self) -> String {
        self.page_signed_by(None)
    }

    pub fn signed_page(&self) -> String {
        self.page_signed_by(Some(SignedBy {
            signer: &"auditor".parse().unwrap(),
            key: key("auditor"),
        }))
    }

    fn page_signed_by(&self, signed_by: Option<SignedBy<'_>>) -> String {
        page(&Page {
            report: &self.report(),
            facts: &self.facts,
            policy: &self.policy,
            document_sha256: Digest::of(b"document"),
            signed_by,
        })
    }
}
