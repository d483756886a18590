//! Every rule, from facts to checks.

mod head_tests;
mod property_tests;

use std::collections::{BTreeMap, BTreeSet};

use super::check::{Check, Outcome, Rule, Verdict};
use super::facts::*;
use super::judge::judge;
use super::policy::AuditPolicy;
use crate::base::digest::Digest;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::StoreName;
use crate::base::time::UtcTime;
use crate::model::drill;
use crate::model::finding::Finding;
use crate::model::lock::{Lock, LockMode, LockState, LockVerdict, ProbeRecord};
use crate::model::manifest::{Custody, CustodyMode};
use crate::model::mark::Mark;
use crate::model::proof::{Level, ProofRecord, Tally};

const NOW: i64 = 1_780_000_000;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

fn policy() -> AuditPolicy {
    let keys = format!("keys = [\"{}\"]", Fingerprint::of(b"host"));
    let alice = Fingerprint::of(b"alice");
    let text = format!(
        r#"
        version = 1
        [freshness]
        max_age = "26h"
        [mark]
        [witness]
        max_age = "8d"
        [signers]
        {keys}
        [[store]]
        name = "a"
        lock = {{ mode = "compliance", remaining = "7d", probe_max_age = "90d" }}
        [[store]]
        name = "b"
        [parts]
        sample = 4
        [custody]
        mode = "any"
        recipient = [{{ custodian = "alice", fingerprint = "{alice}" }}]
        [checkins]
        warn = "90d"
        fail = "180d"
        [instance]
        [proof]
        min_level = 2
        [drill]
        max_age = "92d"
        level = 4
        database = [{{ name = "shop", label = "orders", sentinel = [{{ name = "orders", sql = "SELECT 1", expect = {{ equals = 1 }} }}] }}]
        rto = "1h"
        rpo = "26h"
        [[backups]]
        storage = "prod"
        cluster = "shop"
        max_wal_age = "30m"
        max_base_age = "8d"
        [clock]
        max_skew = "5m"
        "#
    );
    AuditPolicy::parse(&text).unwrap()
}

fn at(seconds_ago: i64) -> UtcTime {
    UtcTime::from_unix(NOW - seconds_ago)
}

fn mark(seq: u64) -> Mark {
    Mark {
        seq,
        manifest_sha256: Digest::of(&seq.to_be_bytes()),
    }
}

fn name(text: &str) -> StoreName {
    text.parse().unwrap()
}

/// Facts with which everything that [`policy`] demands is met.
fn facts() -> Facts {
    let ids = [
        "20260612T020000Z-0123456789abcdef",
        "20260613T020000Z-0123456789abcdef",
    ];
    let retained: Vec<Retained> = (1..=2)
        .zip(ids)
        .map(|(seq, id)| Retained {
            id: id.parse().unwrap(),
            seq,
            snapshot_at: at(HOUR),
            recorded_locks: BTreeMap::new(),
        })
        .collect();
    let copies = CopiesSeen {
        by_escrow: retained
            .iter()
            .map(|one| (one.id.clone(), CopySeen::AsSigned))
            .collect(),
        hidden: Vec::new(),
    };
    let parts = PartsSeen {
        whole: 2,
        ..PartsSeen::default()
    };
    let stores = [name("a"), name("b")];
    let locked = LockState::Locked(Lock {
        mode: LockMode::Compliance,
        until: at(-30 * DAY),
    });
    let proven = Tally {
        proven: 3,
        ..Tally::default()
    };
    let levels = [Level::KeyId, Level::Fields, Level::FirstChunks].map(|level| (level, proven));
    let locks = LocksSeen {
        payload: locked,
        manifest: locked,
        probe: Some(ProbeRecord {
            at: at(DAY),
            result: LockVerdict::Enforced,
        }),
    };
    Facts {
        chain: Seen::Known(ChainFacts {
            mark: Some(mark(1)),
            is_complete: true,
            verified: 2,
            findings: Vec::new(),
            head: Some(HeadSeen {
                mark: mark(2),
                created_at: at(HOUR),
                next_due: at(-25 * HOUR),
                signer: "host".parse().unwrap(),
                key: Fingerprint::of(b"host"),
            }),
            newest: Seen::Known(Some(EscrowSeen {
                id: ids[1].parse().unwrap(),
                mark: mark(2),
                snapshot_at: at(HOUR),
                key: Fingerprint::of(b"host"),
                proof: Some(ProofRecord::new(Level::FirstChunks, &levels)),
            })),
            retained,
            secret_key_ids: vec![(1, "00ff".to_owned())],
            system_identifiers: vec![(1, "756".to_owned())],
            set_backs: Vec::new(),
        }),
        reached: Seen::Known(()),
        copies: stores
            .iter()
            .map(|s| (s.clone(), Seen::Known(copies.clone())))
            .collect(),
        parts: stores
            .iter()
            .map(|s| (s.clone(), Seen::Known(parts.clone())))
            .collect(),
        locks: stores
            .iter()
            .map(|s| (s.clone(), Seen::Known(locks.clone())))
            .collect(),
        weakened: Seen::Known(Vec::new()),
        custody: Seen::Known(CustodySeen {
            custody: Custody {
                mode: CustodyMode::Any,
                k: None,
            },
            recipients: vec![("alice".parse().unwrap(), Fingerprint::of(b"alice"))],
        }),
        header: Seen::Known(HeaderSeen {
            is_as_signed: true,
            stanzas: vec!["X25519".to_owned()],
            expected: vec![Some("X25519")],
        }),
        custody_objects: Seen::Known(Vec::new()),
        checkins: Seen::Known(CheckinsSeen {
            proven: vec![("alice".parse().unwrap(), Some(at(DAY)))],
            takes: 1,
            findings: Vec::new(),
        }),
        witnesses: Seen::Known(WitnessesSeen {
            newest: vec![WitnessSeen {
                signer: "auditor".parse().unwrap(),
                at: at(DAY),
                mark: mark(1),
                fits: Fit::Agrees,
            }],
            findings: Vec::new(),
        }),
        drills: Seen::Known(DrillsSeen {
            newest: Some(DrillSeen {
                ended_at: at(30 * DAY),
                escrow: ids[0].parse().unwrap(),
                sha256: Digest::of(b"drill"),
                held: BTreeMap::from([(
                    "orders".to_owned(),
                    BTreeSet::from(["orders".to_owned()]),
                )]),
                outcome: drill::Outcome::Proven,
                level: drill::LevelReached {
                    wanted: 4,
                    reached: Some(4),
                },
                rto: measured(600),
                rpo: measured(7_200),
            }),
            before: Vec::new(),
            findings: Vec::new(),
        }),
        backups: BTreeMap::from([(name("prod"), Seen::Known(backups()))]),
        clocks: stores.iter().map(|s| (s.clone(), Seen::Known(2))).collect(),
        ..Facts::none(Scope::Full, at(0))
    }
}

fn backups() -> BackupsSeen {
    let cluster = |called: &str| ClusterSeen {
        described: called.to_owned(),
        names: vec![called.to_owned()],
        newest_base: Some(at(DAY)),
        newest_wal: Some(at(60)),
        reaches: Some(at(60)),
        end: ChainEnd::Reached,
        gaps: Vec::new(),
    };
    BackupsSeen {
        clusters: vec![cluster("shop"), cluster("attic")],
        ..BackupsSeen::default()
    }
}

fn measured(seconds: u64) -> drill::Measured {
    drill::Measured {
        seconds: Some(seconds),
        limit: None,
    }
}

fn known<T>(seen: &mut Seen<T>) -> &mut T {
    match seen {
        Seen::Known(known) => known,
        Seen::Unknown(why) => panic!("{why}"),
    }
}

fn chain(facts: &mut Facts) -> &mut ChainFacts {
    known(&mut facts.chain)
}

fn newest(facts: &mut Facts) -> &mut EscrowSeen {
    known(&mut chain(facts).newest).as_mut().unwrap()
}

fn drill(facts: &mut Facts) -> &mut DrillSeen {
    known(&mut facts.drills).newest.as_mut().unwrap()
}

fn storage(facts: &mut Facts) -> &mut BackupsSeen {
    known(facts.backups.get_mut(&name("prod")).unwrap())
}

fn shop(facts: &mut Facts) -> &mut ClusterSeen {
    &mut storage(facts).clusters[0]
}

fn locks(facts: &mut Facts) -> &mut LocksSeen {
    known(facts.locks.get_mut(&name("a")).unwrap())
}

fn copies(facts: &mut Facts) -> &mut CopiesSeen {
    known(facts.copies.get_mut(&name("b")).unwrap())
}

fn set_copy(facts: &mut Facts, seen: CopySeen) {
    *copies(facts).by_escrow.values_mut().next().unwrap() = seen;
}

/// `rule/id outcome` of everything that is neither passed nor off.
fn told(checks: &[Check]) -> Vec<String> {
    let loud = checks.iter().filter(|check| check.outcome > Outcome::Pass);
    loud.map(|check| {
        let outcome = match check.is_tampering {
            true => "tampering".to_owned(),
            false => format!("{:?}", check.outcome).to_lowercase(),
        };
        format!("{}/{} {outcome}", check.rule.name(), check.id)
    })
    .collect()
}

type Case = (&'static str, fn(&mut Facts), &'static [&'static str]);

const CASES: &[Case] = &[
    ("nothing is wrong", |_| {}, &[]),
    (
        "a cluster that was set back",
        |f| chain(f).set_backs.push(2),
        &["instance/source-set-back fail"],
    ),
    (
        "a storage that was not named",
        |f| f.backups.clear(),
        &["backups/not-seen unknown"],
    ),
    (
        "no such cluster",
        |f| shop(f).names.clear(),
        &["backups/cluster-missing fail"],
    ),
    (
        "objects that only a key opens, beside the cluster",
        |f| storage(f).closed = 1,
        &["backups/backups-closed warn"],
    ),
    (
        "no such cluster, among what only a key opens",
        |f| {
            shop(f).names.clear();
            storage(f).closed = 1;
        },
        &["backups/not-seen unknown", "backups/backups-closed warn"],
    ),
    (
        "an object that could not be read",
        |f| storage(f).unread.push("x".to_owned()),
        &["backups/not-seen unknown"],
    ),
    (
        "a chain that does not reach the present",
        |f| shop(f).end = ChainEnd::Cut("x".to_owned()),
        &["backups/backup-chain-cut fail"],
    ),
    (
        "a chain whose end only a key tells",
        |f| shop(f).end = ChainEnd::Unknown("x".to_owned()),
        &["backups/not-seen unknown"],
    ),
    (
        "a hole behind a chain",
        |f| shop(f).gaps.push("x".to_owned()),
        &["backups/backup-chain-gap fail"],
    ),
    (
        "WAL that has stalled",
        |f| shop(f).newest_wal = Some(at(30 * 60 + 1)),
        &["backups/wal-stalled fail"],
    ),
    (
        "no WAL at all",
        |f| shop(f).newest_wal = None,
        &["backups/wal-stalled fail"],
    ),
    (
        "an old base backup",
        |f| shop(f).newest_base = Some(at(9 * DAY)),
        &["backups/base-backup-old fail"],
    ),
    (
        "no mark",
        |f| chain(f).mark = None,
        &["mark/first-contact unknown"],
    ),
    (
        "a rollback",
        |f| chain(f).findings.push(Finding::violation("rollback", "x")),
        &["mark/rollback tampering"],
    ),
    (
        "a mark that was not reached",
        |f| f.reached = Seen::unknown("x"),
        &["mark/not-seen unknown"],
    ),
    (
        "a gap that a silent store may fill",
        |f| {
            chain(f).is_complete = false;
            chain(f).findings.push(Finding::warning("chain-gap", "x"));
        },
        &["chain/chain-gap unknown"],
    ),
    (
        "a store that did not give all",
        |f| chain(f).is_complete = false,
        &["chain/not-seen unknown"],
    ),
    (
        "a demanded store lacks a manifest",
        |f| {
            let finding = Finding::warning("manifest-missing", "x").about(&name("a"));
            chain(f).findings.push(finding);
        },
        &["chain/manifest-missing fail"],
    ),
    (
        "another store lacks a manifest",
        |f| {
            let finding = Finding::warning("manifest-missing", "x").about(&name("usb"));
            chain(f).findings.push(finding);
        },
        &["chain/manifest-missing warn"],
    ),
    (
        "an old escrow",
        |f| newest(f).snapshot_at = at(26 * HOUR + 1),
        &["freshness/escrow-old fail"],
    ),
    (
        "a copy dated days ahead",
        |f| newest(f).snapshot_at = at(-2 * DAY),
        &["freshness/not-seen unknown"],
    ),
    (
        "a copy dated as far ahead as clocks may differ",
        |f| newest(f).snapshot_at = at(-300),
        &[],
    ),
    (
        "an escrow overdue",
        |f| chain(f).head.as_mut().unwrap().next_due = at(1),
        &["freshness/escrow-overdue fail"],
    ),
    (
        "another key signs",
        |f| chain(f).head.as_mut().unwrap().key = Fingerprint::of(b"other"),
        &["signers/signer-not-listed fail"],
    ),
    (
        "nobody has seen the chain lately",
        |f| known(&mut f.witnesses).newest[0].at = at(9 * DAY),
        &["witness/witness-missing fail"],
    ),
    (
        "a witness has seen another chain",
        |f| known(&mut f.witnesses).newest[0].fits = Fit::Contradicts,
        &[
            "witness/witness-contradicts tampering",
            "witness/witness-missing fail",
        ],
    ),
    (
        "a witness has seen more",
        |f| known(&mut f.witnesses).newest[0].fits = Fit::Missing,
        &[
            "witness/witnessed-gone tampering",
            "witness/witness-missing fail",
        ],
    ),
    (
        "a copy is gone",
        |f| set_copy(f, CopySeen::Missing),
        &["stores/copy-missing fail"],
    ),
    (
        "a copy of another size",
        |f| set_copy(f, CopySeen::OtherSize),
        &["stores/copy-damaged tampering"],
    ),
    (
        "a copy with another tag",
        |f| set_copy(f, CopySeen::OtherTag),
        &["stores/etag-differs fail"],
    ),
    (
        "a copy behind a delete",
        |f| {
            copies(f)
                .hidden
                .push(Finding::violation("payload-hidden", "x"))
        },
        &["stores/payload-hidden tampering"],
    ),
    (
        "a part that is not as signed",
        |f| {
            known(f.parts.get_mut(&name("a")).unwrap())
                .damaged
                .push("x".to_owned())
        },
        &["parts/copy-damaged tampering"],
    ),
    (
        "a part that cannot be read",
        |f| {
            known(f.parts.get_mut(&name("a")).unwrap())
                .unread
                .push("x".to_owned())
        },
        &["parts/copy-unreadable unknown"],
    ),
    (
        "a lock that ends soon",
        |f| {
            locks(f).payload = LockState::Locked(Lock {
                mode: LockMode::Compliance,
                until: at(-6 * DAY),
            });
        },
        &["locks/lock-weaker fail"],
    ),
    (
        "a lock that can be lifted",
        |f| {
            locks(f).manifest = LockState::Locked(Lock {
                mode: LockMode::Governance,
                until: at(-60 * DAY),
            });
        },
        &["locks/lock-weaker fail"],
    ),
    (
        "no lock",
        |f| locks(f).payload = LockState::Unlocked,
        &["locks/lock-weaker fail"],
    ),
    (
        "a silent lock",
        |f| locks(f).payload = LockState::Unknown,
        &["locks/lock-unknown unknown"],
    ),
    (
        "no probe",
        |f| locks(f).probe = None,
        &["locks/lock-probe-old fail"],
    ),
    (
        "an old probe",
        |f| locks(f).probe.as_mut().unwrap().at = at(91 * DAY),
        &["locks/lock-probe-old fail"],
    ),
    (
        "a probe that broke the lock",
        |f| locks(f).probe.as_mut().unwrap().result = LockVerdict::NotEnforced,
        &["locks/lock-not-enforced fail"],
    ),
    (
        "a recorded lock that is gone",
        |f| known(&mut f.weakened).push(Finding::violation("lock-weakened", "x")),
        &["locks/lock-weakened tampering"],
    ),
    (
        "another recipient",
        |f| known(&mut f.custody).recipients[0].1 = Fingerprint::of(b"mallory"),
        &["custody/recipients-differ fail"],
    ),
    (
        "an age header of somebody else",
        |f| known(&mut f.header).is_as_signed = false,
        &["custody/age-header-differs tampering"],
    ),
    (
        "a stanza too many",
        |f| known(&mut f.header).stanzas.push("X25519".to_owned()),
        &["custody/age-header-differs fail"],
    ),
    (
        "a stanza of another type",
        |f| known(&mut f.header).stanzas[0] = "scrypt".to_owned(),
        &["custody/age-header-differs fail"],
    ),
    (
        "an unlock file that is gone",
        |f| {
            let finding = Finding::warning("custody-object-missing", "x");
            known(&mut f.custody_objects).push(finding);
        },
        &["custody/custody-object-missing fail"],
    ),
    (
        "a custodian who never checked in",
        |f| known(&mut f.checkins).proven[0].1 = None,
        &["checkins/custodian-unproven fail"],
    ),
    (
        "a custodian who should check in again",
        |f| known(&mut f.checkins).proven[0].1 = Some(at(91 * DAY)),
        &["checkins/checkin-old warn"],
    ),
    (
        "a custodian who did not check in again",
        |f| known(&mut f.checkins).proven[0].1 = Some(at(181 * DAY)),
        &["checkins/checkin-old fail"],
    ),
    (
        "another master key",
        |f| chain(f).secret_key_ids.push((2, "ff00".to_owned())),
        &["instance/secret-key-changed fail"],
    ),
    (
        "another cluster",
        |f| chain(f).system_identifiers.push((2, "757".to_owned())),
        &["instance/source-changed fail"],
    ),
    (
        "no proof",
        |f| newest(f).proof = None,
        &["proof/proof-low fail"],
    ),
    (
        "a failed proof",
        |f| {
            let failed = Tally {
                failed: 1,
                ..Tally::default()
            };
            newest(f).proof = Some(ProofRecord::new(Level::KeyId, &[(Level::KeyId, failed)]));
        },
        &["proof/proof-failed fail"],
    ),
    (
        "no drill",
        |f| known(&mut f.drills).newest = None,
        &["drill/drill-missing fail"],
    ),
    (
        "an old drill",
        |f| drill(f).ended_at = at(93 * DAY),
        &["drill/drill-old fail"],
    ),
    (
        "a failed drill",
        |f| drill(f).outcome = drill::Outcome::Failed,
        &["drill/drill-failed fail"],
    ),
    (
        "a drill that left a database out",
        |f| drill(f).held.clear(),
        &["drill/drill-incomplete fail"],
    ),
    (
        "a drill that did not ask",
        |f| drill(f).held.values_mut().for_each(BTreeSet::clear),
        &["drill/drill-incomplete fail"],
    ),
    (
        "a shallow drill",
        |f| drill(f).level.reached = Some(1),
        &["drill/drill-level fail"],
    ),
    (
        "a slow drill",
        |f| drill(f).rto.seconds = Some(3_601),
        &["drill/drill-slow fail"],
    ),
    (
        "a drill that lost a day",
        |f| drill(f).rpo.seconds = Some(93_601),
        &["drill/drill-loss fail"],
    ),
    (
        "a drill without a clock",
        |f| drill(f).rto.seconds = None,
        &["drill/not-seen unknown"],
    ),
    (
        "a clock that is off",
        |f| {
            f.clocks = [
                (name("a"), Seen::Known(-301)),
                (name("b"), Seen::Known(9_999)),
            ]
            .into()
        },
        &["clock/clock-skew fail"],
    ),
    (
        "a bucket that was copied",
        |f| f.clocks = [(name("a"), Seen::Known(3)), (name("b"), Seen::Known(9_999))].into(),
        &[],
    ),
];

#[test]
fn each_demand_that_is_not_met_is_told_by_its_id() {
    for (case, edit, expected) in CASES {
        let mut facts = facts();
        edit(&mut facts);
        let checks = judge(&policy(), &facts);
        assert_eq!(told(&checks), *expected, "{case}");
    }
}

#[test]
fn a_pass_is_a_pass_and_every_rule_says_something() {
    let checks = judge(&policy(), &facts());
    assert_eq!(Verdict::of(&checks), Verdict::Pass);
    let rules: std::collections::BTreeSet<Rule> = checks.iter().map(|check| check.rule).collect();
    assert_eq!(rules.len(), 15);
    assert!(checks.iter().all(|check| check.outcome == Outcome::Pass));
}

#[test]
fn what_is_not_demanded_is_off_and_the_chain_is_always_judged() {
    let policy = AuditPolicy::parse("version = 1\n[proof]\nmin_level = 0\n").unwrap();
    let mut facts = facts();
    newest(&mut facts).snapshot_at = at(900 * DAY);
    let checks = judge(&policy, &facts);
    assert_eq!(Verdict::of(&checks), Verdict::Pass);
    let off = checks.iter().filter(|check| check.outcome == Outcome::Off);
    assert_eq!(off.count(), 12);
    chain(&mut facts)
        .findings
        .push(Finding::violation("chain-gap", "x"));
    assert_eq!(Verdict::of(&judge(&policy, &facts)), Verdict::Tampering);
}

#[test]
fn a_clock_is_compared_with_other_stores_where_there_are_others() {
    let mut facts = facts();
    let said = |facts: &Facts| {
        let checks = judge(&policy(), facts);
        let clock = checks.into_iter().find(|check| check.rule == Rule::Clock);
        clock.unwrap().message
    };
    let off = Seen::Known(301);
    facts.clocks = [(name("a"), off.clone())].into();
    assert!(!said(&facts).contains("other"), "{}", said(&facts));
    facts.clocks.insert(name("b"), off);
    assert!(said(&facts).contains("no other store less"));
}

#[test]
fn nothing_seen_is_nothing_passed() {
    let checks = judge(&policy(), &Facts::none(Scope::Full, at(0)));
    assert!(
        checks.iter().all(|check| check.outcome == Outcome::Unknown),
        "{checks:?}"
    );
}

#[test]
fn holes_that_the_policy_allows_are_remarked_on() {
    let mut facts = facts();
    shop(&mut facts).gaps.push("x".to_owned());
    let mut policy = policy();
    policy.backups[0].allow_gaps = true;
    let checks = judge(&policy, &facts);
    assert_eq!(told(&checks), ["backups/backup-chain-gap warn"]);
}

#[test]
fn without_a_name_what_only_a_key_opens_is_unknown() {
    let mut facts = facts();
    storage(&mut facts).closed = 1;
    let mut policy = policy();
    policy.backups[0].cluster = None;
    let checks = judge(&policy, &facts);
    assert_eq!(told(&checks), ["backups/backups-closed unknown"]);
}

#[test]
fn what_is_not_as_signed_counts_without_a_demand() {
    let policy = AuditPolicy::parse("version = 1\n[proof]\nmin_level = 0\n").unwrap();
    let mut facts = facts();
    set_copy(&mut facts, CopySeen::Missing);
    let quiet: [&str; 0] = [];
    assert_eq!(told(&judge(&policy, &without_parts(facts.clone()))), quiet);
    set_copy(&mut facts, CopySeen::OtherSize);
    known(&mut facts.header).is_as_signed = false;
    let checks = judge(&policy, &without_parts(facts));
    let expected = [
        "stores/copy-damaged tampering",
        "custody/age-header-differs tampering",
    ];
    assert_eq!(told(&checks), expected);
}

fn without_parts(mut facts: Facts) -> Facts {
    facts.parts.clear();
    facts
}

#[test]
fn parts_that_were_read_count_without_a_demand() {
    let policy = AuditPolicy::parse("version = 1\n[proof]\nmin_level = 0\n").unwrap();
    let mut facts = facts();
    let parts = known(facts.parts.get_mut(&name("a")).unwrap());
    parts.damaged.push("x".to_owned());
    assert_eq!(
        told(&judge(&policy, &facts)),
        ["parts/copy-damaged tampering"]
    );
}

#[test]
fn without_a_name_every_cluster_is_judged() {
    let mut facts = facts();
    storage(&mut facts).clusters[1].end = ChainEnd::Cut("x".to_owned());
    let mut policy = policy();
    assert_eq!(told(&judge(&policy, &facts)), [""; 0]);
    policy.backups[0].cluster = None;
    let checks = judge(&policy, &facts);
    assert_eq!(told(&checks), ["backups/backup-chain-cut fail"]);
}

#[test]
fn a_change_that_the_policy_names_is_acknowledged() {
    let mut facts = facts();
    chain(&mut facts)
        .secret_key_ids
        .push((2, "ff00".to_owned()));
    let mut policy = policy();
    policy.instance.as_mut().unwrap().secret_key_ids = vec!["ff00".to_owned()];
    assert_eq!(told(&judge(&policy, &facts)), [""; 0]);
    policy.instance.as_mut().unwrap().secret_key_ids = vec!["0000".to_owned()];
    assert_eq!(
        told(&judge(&policy, &facts)),
        ["instance/secret-key-changed fail"]
    );
}
