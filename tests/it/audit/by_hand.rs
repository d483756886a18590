//! An auditor with stock tools comes to the same as `audit`, on honest stores above all. Attacks are
//! compared in `attacks/by_hand.rs`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::time::{Clock as _, UtcTime};
use databasus_escrow::model::allowed_signers::{AllowedSigners, Window};
use databasus_escrow::model::audit::check::{Outcome, Verdict};
use databasus_escrow::model::audit::policy::AuditPolicy;
use databasus_escrow::model::audit::report::Report;
use databasus_escrow::model::mark::Mark;
use databasus_escrow::model::retention::Rules;
use databasus_escrow::model::trust::Trust;
use databasus_escrow::ops::audit::{Request, Sampling, observe};
use databasus_escrow::ops::close_forks;
use databasus_escrow::ops::commit::Ports;
use databasus_escrow::ops::history::{self, History};
use databasus_escrow::ops::prune;
use databasus_escrow::ops::replicate::{self, Looking};
use databasus_escrow::sealing::sshsig::SigningKey;
use databasus_escrow::store::Store;
use databasus_escrow::store::dir::DirStore;

use crate::support::by_hand::{Auditor, Told};
use crate::support::instance::{Bed, Host};

const POLICY: &str = "
version = 1
[freshness]
[mark]
[[store]]
name = \"a\"
[parts]
full = true
[instance]
";

/// A store, and what an auditor of it knows.
struct Case<'a> {
    store: Arc<dyn Store>,
    signers: &'a str,
    mark: Option<Mark>,
    now: UtcTime,
    /// What the policy demands beside.
    more: &'a str,
}

impl Case<'_> {
    fn history(&self) -> History {
        let own = AllowedSigners::parse(self.signers).unwrap();
        let history = History::read(history::Request {
            slug: &"demo".parse().unwrap(),
            stores: std::slice::from_ref(&self.store),
            trust: Trust::new(own, Vec::new()),
            mark: self.mark,
            since_mark: false,
            up_to: None,
            now: self.now,
            cancel: &Cancel::new(),
        });
        history.unwrap()
    }

    fn audit(&self) -> Report {
        let policy = POLICY.replace("\"a\"", &format!("\"{}\"", self.store.name()));
        let policy = AuditPolicy::parse(&format!("{policy}\n{}", self.more)).unwrap();
        let facts = observe(&Request {
            history: &self.history(),
            stores: std::slice::from_ref(&self.store),
            mark: self.mark,
            sampling: Sampling::Full,
            seed: 7,
            now: self.now,
            cancel: &Cancel::new(),
        });
        let slug = "demo".parse().unwrap();
        Report::of(&slug, &policy, Digest::of(b""), &facts.unwrap())
    }

    /// What both come to; none where the tools are not there.
    fn told(&self) -> Option<Told> {
        let auditor = Auditor::new(self.signers)?;
        let copy = auditor.copy(self.store.as_ref()).join("demo");
        let told = auditor.audit(&copy, self.mark, self.now);
        let report = self.audit();
        let loud = report
            .checks
            .iter()
            .filter(|one| one.outcome > Outcome::Pass);
        let ids: BTreeSet<String> = loud.map(|one| one.id.to_owned()).collect();
        let exit = match report.verdict {
            Verdict::Pass => 0,
            Verdict::Unknown => 3,
            Verdict::Fail => 4,
            Verdict::Tampering => 13,
        };
        assert_eq!(
            (told.exit, &told.ids),
            (exit, &ids),
            "{}\n{report:#?}",
            told.said
        );
        Some(told)
    }

    fn assert(&self, exit: i32, ids: &[&str]) {
        let Some(told) = self.told() else { return };
        let found: Vec<&str> = told.ids.iter().map(String::as_str).collect();
        assert_eq!((told.exit, found.as_slice()), (exit, ids), "{}", told.said);
    }
}

/// Each store by itself, after what was done to both; the auditor knows the newest manifest.
fn assert_each(bed: &Bed, signers: &str, exit: i32, ids: &[&str]) {
    let mark = bed.read(None).mark();
    for store in &bed.stores {
        let case = Case {
            store: store.clone(),
            signers,
            mark,
            now: bed.clock.now(),
            more: "",
        };
        case.assert(exit, ids);
    }
}

fn ports_of<T>(bed: &Bed, host: &Host, job: impl FnOnce(Ports<'_>) -> T) -> T {
    job(Ports {
        destinations: &Bed::destinations(&bed.stores),
        state: &host.state,
        clock: &bed.clock,
        cancel: &Cancel::new(),
    })
}

fn nights(bed: &Bed, host: &Host, count: usize) {
    for _ in 0..count {
        bed.clock.advance(86_400);
        bed.snapshot(host).unwrap();
    }
}

fn replicate(bed: &Bed, host: &Host) {
    let quiet = Arc::new(|_| {});
    ports_of(bed, host, |ports| {
        replicate::run(bed.author(host), ports, Looking::Listed, quiet).unwrap()
    });
}

/// A released archive; its auditor knows the newest manifest, or nothing.
fn golden(name: &str, knows: bool, more: &'static str) -> Option<Told> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    let signers = std::fs::read_to_string(folder.join("trust/allowed_signers")).unwrap();
    let case = Case {
        store: Arc::new(DirStore::open("vault".parse().unwrap(), folder.join("store")).unwrap()),
        signers: &signers,
        mark: None,
        now: UtcTime::from_unix(1_781_319_600),
        more,
    };
    let mark = case.history().mark().filter(|_| knows);
    Case { mark, ..case }.told()
}

#[test]
fn escrows_of_any_of_several_together_and_sealed_again_are_whole() {
    let together = "[custody]\nmode = \"k-of-n\"\nk = 2";
    for (name, more) in [
        ("v1", ""),
        ("v1-two-of-three", together),
        ("v1-rekeyed", ""),
    ] {
        let Some(told) = golden(name, true, more) else {
            return;
        };
        assert_eq!(told.exit, 0, "{name}: {}", told.said);
    }
}

#[test]
fn who_knows_nothing_from_before_is_told_so() {
    let Some(told) = golden("v1", false, "") else {
        return;
    };
    assert_eq!(told.exit, 3, "{}", told.said);
    assert!(told.said.contains("UNKNOWN first-contact: "));
}

#[test]
fn what_retention_let_go_is_not_missed() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    nights(&bed, &host, 5);
    let rules = Rules {
        daily: 2,
        weekly: 0,
        monthly: 0,
        floor: 1,
    };
    let settings = prune::Settings {
        rules,
        dry_run: false,
    };
    let report = ports_of(&bed, &host, |ports| {
        prune::run(bed.author(&host), ports, &settings).unwrap()
    });
    assert!(!report.deleted.is_empty());
    assert_each(&bed, &host.settings.allowed_signers_text, 0, &[]);
}

#[test]
fn a_store_that_was_silent_for_a_night_is_whole_after_replicate() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    nights(&bed, &host, 1);
    let silent = bed.stores_without(1);
    bed.snapshot_into(&host, &silent, &Cancel::new()).unwrap();
    replicate(&bed, &host);
    assert_each(&bed, &host.settings.allowed_signers_text, 0, &[]);
}

#[test]
fn a_fork_that_was_closed_is_a_remark() {
    let bed = Bed::new();
    let (first, second) = (bed.host("host-1"), bed.host("host-2"));
    for (silent, host) in [(0, &first), (1, &second)] {
        let stores = bed.stores_without(silent);
        bed.snapshot_into(host, &stores, &Cancel::new()).unwrap();
        bed.clock.advance(1);
    }
    let signers = &first.settings.allowed_signers_text;
    let seen = ports_of(&bed, &first, |ports| {
        close_forks::look(bed.author(&first), ports, &[]).unwrap()
    });
    replicate(&bed, &first);
    ports_of(&bed, &first, |ports| {
        close_forks::close(bed.author(&first), ports, &seen.forks).unwrap()
    });
    replicate(&bed, &first);
    assert_each(&bed, signers, 0, &["chain-fork-closed"]);
}

/// The line of one signer.
fn line_of(signers: &str, name: &str) -> String {
    let line = signers.lines().find(|line| line.starts_with(name));
    format!("{}\n", line.unwrap())
}

#[test]
fn a_signer_that_a_trusted_policy_names_counts_until_a_policy_ends_it() {
    let mut bed = Bed::new();
    let first = bed.host("host-1");
    nights(&bed, &first, 1);
    let second = bed.host("host-2");
    nights(&bed, &second, 1);
    let own = line_of(&first.settings.allowed_signers_text, "host-1");
    assert_each(&bed, &own, 0, &[]);
    // The third comes by the policy of a manifest of the second alone.
    bed.admit("host-3", SigningKey::generate().unwrap(), Window::default());
    nights(&bed, &bed.host("host-2"), 1);
    nights(&bed, &bed.host("host-3"), 1);
    assert_each(&bed, &own, 0, &[]);
    // Then the first ends the second, whose next manifest is one too many.
    let mut ending = bed.host("host-1");
    let all = &ending.settings.allowed_signers_text;
    let line = line_of(all, "host-2");
    let end = format!("valid-before=\"{}\",namespaces=", bed.clock.now().ssh());
    let ended = line.replace("namespaces=", &end);
    ending.settings.allowed_signers_text = all.replace(&line, &ended);
    nights(&bed, &ending, 1);
    assert_each(&bed, &own, 0, &[]);
    nights(&bed, &second, 1);
    assert_each(&bed, &own, 13, &["rollback", "signer-window"]);
}

#[test]
fn a_manifest_under_its_long_name_counts_and_one_under_another_ones_does_not() {
    let bed = Bed::with_stores(&["a"]);
    let host = bed.host("host-1");
    nights(&bed, &host, 2);
    let store = &bed.stores[0];
    let mark = bed.read(None).mark().unwrap();
    let short = "demo/manifest/0000000002.json";
    let bytes = store.get(short, 1 << 20).unwrap().bytes;
    store.delete(short).unwrap();
    let named = |digest: &Digest| format!("demo/manifest/0000000002-{digest}.json");
    store
        .put_if_absent(&named(&mark.manifest_sha256), &bytes)
        .unwrap();
    let signers = &host.settings.allowed_signers_text;
    assert_each(&bed, signers, 0, &[]);
    store
        .put_if_absent(&named(&Digest::of(b"other")), &bytes)
        .unwrap();
    assert_each(&bed, signers, 13, &["misplaced-manifest"]);
}

#[test]
fn what_an_escrow_needs_beside_its_payload_is_missed() {
    let bed = Bed::with_stores(&["a"]);
    let host = bed.host("host-1");
    nights(&bed, &host, 1);
    let manifest = bed.snapshot(&host).unwrap().manifest;
    let store = &bed.stores[0];
    store.delete(&manifest.canaries[0].key).unwrap();
    let case = Case {
        store: store.clone(),
        signers: &host.settings.allowed_signers_text,
        mark: bed.read(None).mark(),
        now: bed.clock.now(),
        more: "[custody]\nmode = \"any\"",
    };
    case.assert(4, &["custody-object-missing"]);
    store
        .delete(&format!("demo/policy/{}.json", manifest.policy_sha256))
        .unwrap();
    case.assert(4, &["custody-object-missing", "policy-missing"]);
}

#[test]
fn instructions_and_older_canaries_are_missed_by_hand_alone() {
    let bed = Bed::with_stores(&["a"]);
    let host = bed.host("host-1");
    let older = bed.snapshot(&host).unwrap().manifest;
    nights(&bed, &host, 1);
    let (store, signers) = (&bed.stores[0], &host.settings.allowed_signers_text);
    let Some(auditor) = Auditor::new(signers) else {
        return;
    };
    store.delete(&older.canaries[0].key).unwrap();
    let restore = format!("demo/restore/{}.md", older.restore_md_sha256);
    store.delete(&restore).unwrap();
    let copy = auditor.copy(store.as_ref()).join("demo");
    let told = auditor.audit(&copy, bed.read(None).mark(), bed.clock.now());
    let ids: Vec<&str> = told.ids.iter().map(String::as_str).collect();
    assert_eq!(ids, ["custody-object-missing", "document-missing"]);
    assert_eq!(told.exit, 4);
}

#[test]
fn signers_that_are_more_than_they_look_are_refused() {
    let Some(auditor) = Auditor::new("*@host ssh-ed25519 AAAA\n") else {
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/audit-by-hand");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1/store/demo");
    let ran = Command::new("bash")
        .args([script, golden])
        .arg(auditor.signers())
        .output();
    let ran = ran.unwrap();
    assert_eq!(ran.status.code(), Some(2));
    assert!(ran.stdout.is_empty());
}
