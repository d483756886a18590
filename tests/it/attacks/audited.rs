//! Each attack, and what an audit calls it. The table stands in SECURITY.md.

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::time::Clock;
use databasus_escrow::model::allowed_signers::Window;
use databasus_escrow::model::audit::check::{Outcome, Verdict};
use databasus_escrow::model::audit::policy::AuditPolicy;
use databasus_escrow::model::audit::report::Report;
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::model::mark::Mark;
use databasus_escrow::model::namespace::Namespace;
use databasus_escrow::model::witness::Witness;
use databasus_escrow::ops::audit::{Request, Sampling, observe};
use databasus_escrow::ops::history::History;
use databasus_escrow::sealing::sshsig::SigningKey;
use databasus_escrow::store::{Store, list_all};

use super::Scene;
use crate::support::instance::{Bed, versioned};

const POLICY: &str = "
version = 1
[freshness]
max_age = \"2d\"
[mark]
[[store]]
name = \"a\"
[parts]
full = true
[custody]
mode = \"any\"
[instance]
";

/// What was done, and what an audit calls it, the worst first.
pub(super) struct Attack {
    /// As SECURITY.md names it.
    pub(super) name: &'static str,
    pub(super) scene: fn() -> Scene,
    pub(super) act: fn(&Scene),
    findings: &'static [&'static str],
}

impl Attack {
    /// What the reader has seen before; some know only a witness.
    pub(super) fn mark(&self, scene: &Scene) -> Option<Mark> {
        (!self.findings.contains(&"first-contact")).then_some(scene.mark)
    }
}

fn plain() -> Scene {
    Scene::new()
}

/// A store that keeps versions, and locks.
fn locked() -> Scene {
    Scene::of(Bed::locked(vec![versioned("a")]))
}

fn two_stores() -> Scene {
    Scene::in_stores(&["a", "b"])
}

/// A chain that an auditor has seen.
fn witnessed() -> Scene {
    let mut bed = Bed::with_stores(&["a"]);
    bed.admit_for(
        "auditor",
        SigningKey::generate().unwrap(),
        &[Namespace::Witness],
        Window::default(),
    );
    let scene = Scene::of(bed);
    let signer = "auditor".parse().unwrap();
    let now = scene.bed.clock.now();
    let witness = Witness::new(&scene.bed.slug, &signer, scene.mark, now);
    let bytes = witness.to_bytes().unwrap();
    let key = scene.bed.key_of("auditor");
    scene.sign(&bytes, key, "auditor", Namespace::Witness);
    scene.put(&scene.layout.witness(&signer, now), &bytes);
    scene
}

/// A chain that somebody with the host's key makes from the second night on.
fn rewrite(scene: &Scene, store: &dyn Store) {
    let mut prev = Digest::of(&scene.manifest_bytes(1));
    for seq in 2..=3 {
        let mut manifest: Manifest = scene.manifests[seq - 1].clone();
        manifest.prev_sha256 = Some(prev);
        manifest.next_due = manifest.next_due.plus(60);
        let bytes = manifest.to_bytes().unwrap();
        prev = Digest::of(&bytes);
        let signature = scene
            .bed
            .key_of("host-1")
            .sign(Namespace::Manifest, &bytes)
            .unwrap();
        let name = scene.layout.signature(&prev, &"host-1".parse().unwrap());
        for (key, bytes) in [
            (name, signature.as_bytes()),
            (scene.layout.manifest(seq as u64), bytes.as_slice()),
        ] {
            store.delete(&key).unwrap();
            store.put_if_absent(&key, bytes).unwrap();
        }
    }
}

/// The next manifest, signed with the host's key.
fn add(scene: &Scene, edit: impl FnOnce(&mut Manifest)) {
    let bytes = scene.next(edit);
    scene.sign_as("host-1", &bytes);
    scene.put(&scene.manifest_key(4), &bytes);
}

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "nothing at all",
        scene: plain,
        act: |_| {},
        findings: &[],
    },
    Attack {
        name: "a manifest forged",
        scene: plain,
        act: |scene| {
            let bytes = scene.forged(|manifest| manifest.payload.size += 1);
            scene.put(&scene.manifest_key(3), &bytes);
        },
        findings: &["rollback", "unverified-manifest"],
    },
    Attack {
        name: "a manifest signed by a stranger",
        scene: plain,
        act: |scene| {
            let bytes = scene.next(|_| {});
            let stranger = SigningKey::generate().unwrap();
            scene.sign(&bytes, &stranger, "host-1", Namespace::Manifest);
            scene.put(&scene.manifest_key(4), &bytes);
        },
        findings: &["unverified-manifest"],
    },
    Attack {
        name: "an older manifest replayed as the newest",
        scene: plain,
        act: |scene| {
            let old = scene.manifest_bytes(2);
            scene.put(&scene.manifest_key(3), &old);
        },
        findings: &["misplaced-manifest", "rollback"],
    },
    Attack {
        name: "the newest escrow hidden",
        scene: plain,
        act: |scene| {
            scene.delete(&scene.manifest_key(3));
            scene.delete(&scene.payload_key(3));
        },
        findings: &["rollback"],
    },
    Attack {
        name: "new escrows held back for days",
        scene: plain,
        act: |scene| scene.bed.clock.advance(3 * 86_400),
        findings: &["escrow-old", "escrow-overdue"],
    },
    Attack {
        name: "a manifest deleted in the middle",
        scene: plain,
        act: |scene| scene.delete(&scene.manifest_key(2)),
        findings: &["chain-gap"],
    },
    Attack {
        name: "a manifest of another instance of the same signer",
        scene: plain,
        act: |scene| {
            add(scene, |manifest| {
                manifest.instance.slug = "other".parse().unwrap()
            })
        },
        findings: &["misplaced-manifest"],
    },
    Attack {
        name: "a manifest dated ahead",
        scene: plain,
        act: |scene| {
            add(scene, |manifest| {
                manifest.escrow_id = "20990612T020000Z-0123456789abcdef".parse().unwrap();
                manifest.created_at = manifest.created_at.plus(86_400);
            });
        },
        findings: &[
            "copy-missing",
            "copy-unreadable",
            "future-manifest",
            "not-seen",
        ],
    },
    Attack {
        name: "a flood of planted objects",
        scene: plain,
        act: |scene| {
            for number in 0..200_u32 {
                scene.put(&format!("demo/manifest/{number}-x"), b"mine");
                scene.put(&scene.manifest_key(u64::from(number) + 100), b"mine");
            }
        },
        findings: &["foreign-object", "unverified-manifest"],
    },
    Attack {
        name: "a payload truncated",
        scene: plain,
        act: |scene| {
            let bytes = scene.get(&scene.payload_key(2));
            scene.put(&scene.payload_key(2), &bytes[..bytes.len() - 17]);
        },
        findings: &["copy-damaged", "copy-unreadable"],
    },
    Attack {
        name: "a payload spliced from two, at the signed length",
        scene: plain,
        act: |scene| {
            let mut bytes = scene.get(&scene.payload_key(2));
            let other = scene.get(&scene.payload_key(1));
            let half = bytes.len().min(other.len()) / 2;
            bytes[..half].copy_from_slice(&other[..half]);
            scene.put(&scene.payload_key(2), &bytes);
        },
        findings: &["copy-damaged"],
    },
    Attack {
        name: "the newest payload swapped under its manifest",
        scene: plain,
        act: |scene| {
            let mut bytes = scene.get(&scene.payload_key(3));
            bytes[30..].reverse();
            scene.put(&scene.payload_key(3), &bytes);
        },
        findings: &["age-header-differs", "copy-damaged"],
    },
    Attack {
        name: "the host's key stolen, and history rewritten",
        scene: plain,
        act: |scene| rewrite(scene, scene.store()),
        findings: &["history-rewritten"],
    },
    Attack {
        name: "the same before a reader who knows only a witness",
        scene: witnessed,
        act: |scene| rewrite(scene, scene.store()),
        findings: &["first-contact", "witness-contradicts"],
    },
    Attack {
        name: "the same, and an older witness under a later name",
        scene: witnessed,
        act: |scene| {
            let first = Mark {
                seq: 1,
                manifest_sha256: Digest::of(&scene.manifest_bytes(1)),
            };
            let signer = "auditor".parse().unwrap();
            let before = scene.bed.clock.now().plus(-60);
            let bytes = Witness::new(&scene.bed.slug, &signer, first, before);
            let bytes = bytes.to_bytes().unwrap();
            let key = scene.bed.key_of("auditor");
            scene.sign(&bytes, key, "auditor", Namespace::Witness);
            for at in [before, scene.bed.clock.now()] {
                scene.put(&scene.layout.witness(&signer, at), &bytes);
            }
            rewrite(scene, scene.store());
        },
        findings: &["first-contact", "witness-contradicts", "witness-unverified"],
    },
    Attack {
        name: "the newest escrow hidden from that reader",
        scene: witnessed,
        act: |scene| scene.delete(&scene.manifest_key(3)),
        findings: &["first-contact", "witnessed-gone"],
    },
    Attack {
        name: "history rewritten in one of two stores",
        scene: two_stores,
        act: |scene| rewrite(scene, scene.bed.stores[1].as_ref()),
        findings: &["chain-fork", "manifest-missing"],
    },
    Attack {
        name: "the next manifest's slot squatted",
        scene: plain,
        act: |scene| scene.put(&scene.manifest_key(4), b"mine"),
        findings: &["unverified-manifest"],
    },
    Attack {
        name: "a manifest behind a delete marker",
        scene: locked,
        act: |scene| scene.delete(&scene.manifest_key(3)),
        findings: &["manifest-hidden"],
    },
    Attack {
        name: "a manifest written over in a store with versions",
        scene: locked,
        act: |scene| scene.put(&scene.manifest_key(2), b"mine"),
        findings: &["manifest-overwritten", "unverified-manifest"],
    },
    Attack {
        name: "a payload behind a delete marker",
        scene: locked,
        act: |scene| scene.delete(&scene.payload_key(2)),
        findings: &["copy-missing", "payload-hidden"],
    },
    Attack {
        name: "a canary swapped for something else to open",
        scene: plain,
        act: |scene| {
            let canary = &scene.manifests[2].canaries[0].key;
            scene.put(canary, &scene.get(&scene.payload_key(1))[..200]);
        },
        findings: &["custody-object-damaged"],
    },
    Attack {
        name: "a clone of other make escrowed as the newest",
        scene: plain,
        act: |scene| {
            add(scene, |manifest| {
                manifest.source.system_identifier = "7560000000000000002".to_owned();
            });
        },
        findings: &["source-changed"],
    },
    Attack {
        name: "a fenced clone of an older escrow escrowed as the newest",
        scene: plain,
        act: |scene| {
            add(scene, |manifest| {
                manifest.source.start_lsn = Some("0/1".to_owned());
            });
        },
        findings: &["source-set-back"],
    },
];

/// What an audit with read-only access says.
pub(super) fn audit(scene: &Scene, history: &History, mark: Option<Mark>) -> Report {
    let policy = AuditPolicy::parse(POLICY).unwrap();
    let facts = observe(&Request {
        history,
        stores: &scene.bed.stores,
        mark,
        sampling: Sampling::Full,
        seed: 7,
        now: scene.bed.clock.now(),
        cancel: &Cancel::new(),
    });
    Report::of(
        &scene.bed.slug,
        &policy,
        Digest::of(POLICY.as_bytes()),
        &facts.unwrap(),
    )
}

pub(super) fn findings(report: &Report) -> Vec<&'static str> {
    let loud = report
        .checks
        .iter()
        .filter(|check| check.outcome > Outcome::Pass);
    let mut ids: Vec<&'static str> = loud.map(|check| check.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// As the command ends.
pub(super) fn exit_of(report: &Report) -> i32 {
    match report.verdict {
        Verdict::Pass => 0,
        Verdict::Unknown => 3,
        Verdict::Fail => 4,
        Verdict::Tampering => 13,
    }
}

#[test]
fn an_audit_catches_every_attack_by_its_name() {
    for attack in ATTACKS {
        let scene = (attack.scene)();
        (attack.act)(&scene);
        let mark = attack.mark(&scene);
        let history = scene.bed.read(mark);
        let report = audit(&scene, &history, mark);
        assert_eq!(
            findings(&report),
            attack.findings,
            "{}: {report:#?}",
            attack.name
        );
        let passes = report.verdict == Verdict::Pass;
        assert_eq!(passes, attack.findings.is_empty(), "{}", attack.name);
    }
}

#[test]
fn the_security_page_has_the_same_table() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/SECURITY.md"));
    let page = page.unwrap();
    let (_, table) = page
        .split_once("| attack | findings |\n|---|---|\n")
        .unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let told: Vec<String> = rows.map(str::to_owned).collect();
    let attacks = ATTACKS.iter().filter(|attack| !attack.findings.is_empty());
    let caught: Vec<String> = attacks
        .map(|attack| {
            let link = |id: &&str| format!("[{id}](runbooks/findings.md#{id})");
            let ids: Vec<String> = attack.findings.iter().map(link).collect();
            format!("| {} | {} |", attack.name, ids.join(", "))
        })
        .collect();
    assert_eq!(told, caught, "\n{}\n", caught.join("\n"));
}

#[test]
fn a_store_that_does_not_answer_is_unknown_and_never_passed() {
    let scene = two_stores();
    let stores = scene.bed.stores_without(1);
    let mut bed = scene;
    bed.bed.stores = stores;
    let history = bed.bed.read(Some(bed.mark));
    let report = audit(&bed, &history, Some(bed.mark));
    assert_eq!(report.verdict, Verdict::Unknown, "{report:#?}");
    assert!(findings(&report).contains(&"store-unreachable"));
}

#[test]
fn a_sample_reads_as_many_parts_as_it_says_and_one_of_the_newest_at_least() {
    let mut bed = Bed::with_stores(&["a"]);
    bed.add_bulk(20 << 20);
    let scene = Scene::of(bed);
    let mut bytes = scene.get(&scene.payload_key(3));
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    bytes[500] ^= 1;
    bytes[9 << 20] ^= 1;
    scene.put(&scene.payload_key(3), &bytes);
    let history = scene.read();
    for seed in 0..8 {
        let facts = observe(&Request {
            history: &history,
            stores: &scene.bed.stores,
            mark: Some(scene.mark),
            sampling: Sampling::Some(1),
            seed,
            now: scene.bed.clock.now(),
            cancel: &Cancel::new(),
        });
        let policy = AuditPolicy::parse("version = 1\n[parts]\nsample = 1\n").unwrap();
        let report = Report::of(&scene.bed.slug, &policy, Digest::of(b""), &facts.unwrap());
        assert_eq!(findings(&report), ["copy-damaged"], "{seed}");
    }
}

#[test]
fn a_planted_witness_neither_helps_nor_harms() {
    let scene = witnessed();
    let signer = "auditor".parse().unwrap();
    let now = scene.bed.clock.now();
    let head = Mark {
        seq: 9,
        manifest_sha256: Digest::of(b"never"),
    };
    let bytes = Witness::new(&scene.bed.slug, &signer, head, now)
        .to_bytes()
        .unwrap();
    let stranger = SigningKey::generate().unwrap();
    scene.sign(&bytes, &stranger, "auditor", Namespace::Witness);
    scene.put(&scene.layout.witness(&signer, now), &bytes);
    let history = scene.read();
    let report = audit(&scene, &history, Some(scene.mark));
    assert_eq!(findings(&report), ["witness-unverified"]);
    assert_eq!(report.verdict, Verdict::Pass);
}

#[test]
fn an_audit_writes_nothing() {
    let scene = plain();
    let objects = || list_all(scene.store(), "", None).unwrap();
    let before = objects();
    audit(&scene, &scene.read(), Some(scene.mark));
    assert_eq!(before, objects());
}
