//! Beginning an instance, and continuing it on a host that has lost its key: on real folders,
//! against stock `ssh-keygen`.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::error_chain::error_chain;
use databasus_escrow::base::fingerprint::Fingerprint;
use databasus_escrow::base::names::{SignerName, Slug};
use databasus_escrow::base::time::{FixedClock, UtcTime};
use databasus_escrow::model::allowed_signers::AllowedSigners;
use databasus_escrow::model::config::{Answers, Config, Schedule, Signing};
use databasus_escrow::model::finding::Finding;
use databasus_escrow::model::layout::Layout;
use databasus_escrow::model::mark::Mark;
use databasus_escrow::model::namespace::Namespace;
use databasus_escrow::model::recipients::Recipients;
use databasus_escrow::model::store_spec::StoreSpec;
use databasus_escrow::model::trust::Trust;
use databasus_escrow::ops::card::{self, CardHead, CardRequest, TrustCard};
use databasus_escrow::ops::history::{self, History};
use databasus_escrow::ops::init::{self, InitError, InitRequest, Written};
use databasus_escrow::ops::join::{self, JoinError, JoinPlan, JoinRequest, NewerManifests};
use databasus_escrow::ops::snapshot::{self, Destination, Ports, Report, Settings};
use databasus_escrow::ops::state::State;
use databasus_escrow::sealing::sshsig::SigningKey;
use databasus_escrow::source::{
    Catalogue, EntrySink, Method, PgFacts, SinkError, Source, SourceContent, SourceEntry,
    SourceError,
};
use databasus_escrow::store::Store;
use databasus_escrow::store::dir::DirStore;

use crate::support;

const ALICE: &str = "alice=age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
const BOB: &str = "bob=age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg";

/// A store and the boxes that work with it.
struct Bench {
    dir: tempfile::TempDir,
}

/// One host: a folder with a configuration, and what it remembers.
struct Host {
    dir: PathBuf,
    state: State,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("store")).unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::write(dir.path().join("data/secret.key"), "5".repeat(72)).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn store(&self) -> Arc<dyn Store> {
        let name = "usb".parse().unwrap();
        Arc::new(DirStore::open(name, self.path("store")).unwrap())
    }

    fn host(&self, name: &str) -> Host {
        Host {
            dir: self.path(name),
            state: State::new(self.path(name).join("state")),
        }
    }

    fn answers(&self) -> Answers {
        let store = format!("dir:{}", self.path("store").display());
        Answers {
            instance: slug(),
            source: None,
            signing: Some(Signing {
                key_file: "signing.key".into(),
                signer: signer(),
            }),
            open: None,
            schedule: Schedule::default(),
            stores: vec![StoreSpec::parse_argument(&store, &"usb".parse().unwrap()).unwrap()],
        }
    }

    fn init_request(&self, host: &Host) -> InitRequest {
        InitRequest {
            dir: host.dir.clone(),
            answers: self.answers(),
            recipients: Recipients::from_arguments(&[ALICE]).unwrap(),
            now: at(0),
        }
    }

    fn init(&self, host: &Host) -> Written {
        init::apply(&init::plan(self.init_request(host)).unwrap()).unwrap()
    }

    /// Plans to join at second `now`, trusting a fingerprint.
    fn join(&self, host: &Host, now: i64, pinned: Fingerprint) -> Result<JoinPlan, JoinError> {
        self.join_with(host, now, |request| request.pinned = vec![pinned])
    }

    fn join_with(
        &self,
        host: &Host,
        now: i64,
        change: impl FnOnce(&mut JoinRequest<'_>),
    ) -> Result<JoinPlan, JoinError> {
        let cancel = Cancel::new();
        let stores = [self.store()];
        let mut request = JoinRequest {
            dir: host.dir.clone(),
            answers: self.answers(),
            recipients: None,
            stores: &stores,
            allowed_signers: AllowedSigners::new(),
            pinned: Vec::new(),
            mark: None,
            newer: NewerManifests::Refuse,
            state: &host.state,
            now: at(now),
            cancel: &cancel,
        };
        change(&mut request);
        join::plan(request)
    }

    fn snapshot(&self, host: &Host, now: i64) -> Report {
        let config = host.config();
        let signing = config.signing.as_ref().unwrap();
        let recipients_text = host.read("policies/recipients.toml");
        let settings = Settings {
            slug: slug(),
            signer: signing.signer.clone(),
            signing_key: SigningKey::from_openssh_pem(&host.read("signing.key")).unwrap(),
            recipients: Recipients::parse(&recipients_text).unwrap(),
            recipients_text,
            allowed_signers_text: host.read("policies/allowed_signers"),
            due_after: 86_400,
            level: 1,
            workers: 0,
            image: None,
            databasus_version: None,
        };
        let destinations = [Destination {
            store: self.store(),
            provider: "dir".to_owned(),
            bucket: None,
            required: true,
        }];
        let mut source = Double(self.path("data"));
        let ports = Ports {
            source: &mut source,
            destinations: &destinations,
            state: &host.state,
            clock: &FixedClock(at(now)),
            cancel: &Cancel::new(),
            random: rand::random(),
        };
        snapshot::run(&settings, ports).unwrap()
    }

    fn history(&self, now: i64, trust: Trust) -> History {
        History::read(history::Request {
            slug: &slug(),
            stores: &[self.store()],
            trust,
            mark: None,
            since_mark: false,
            now: at(now),
            cancel: &Cancel::new(),
        })
        .unwrap()
    }

    fn verified(&self, now: i64, trust: Trust) -> Vec<u64> {
        let history = self.history(now, trust);
        history.entries.iter().map(|entry| entry.link.seq).collect()
    }

    /// Verifies a committed manifest as a person would, with stock tools only.
    fn stock_verdict(&self, report: &Report, allowed_signers: &Path) -> bool {
        let layout = Layout::new(&slug());
        let manifest = self
            .path("store")
            .join(layout.manifest(report.manifest.seq));
        let signature = layout.signature(&report.digest, &signer());
        let time = report.manifest.created_at.ssh();
        let output = Command::new("ssh-keygen")
            .args(["-Y", "verify", "-I", signer().as_str()])
            .args(["-n", Namespace::Manifest.as_str()])
            .arg("-f")
            .arg(allowed_signers)
            .arg("-s")
            .arg(self.path("store").join(signature))
            .arg(format!("-Overify-time={time}"))
            .env("TZ", "Pacific/Auckland")
            .stdin(fs::File::open(manifest).unwrap())
            .output()
            .unwrap();
        output.status.success()
    }
}

impl Host {
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap()
    }

    fn config(&self) -> Config {
        Config::parse(&self.read("escrow.toml"), &self.dir).unwrap()
    }

    fn signers(&self) -> AllowedSigners {
        AllowedSigners::parse(&self.read("policies/allowed_signers")).unwrap()
    }

    fn card(&self, now: i64, head: Option<CardHead>) -> TrustCard {
        card::from_config(CardRequest {
            config: &self.config(),
            recipients: &self.read("policies/recipients.toml"),
            allowed_signers: &self.read("policies/allowed_signers"),
            head,
            tool_sha256: None,
            now: at(now),
        })
        .unwrap()
    }
}

fn slug() -> Slug {
    "heatwave-prod".parse().unwrap()
}

fn signer() -> SignerName {
    "escrow-host".parse().unwrap()
}

fn at(seconds: i64) -> UtcTime {
    UtcTime::from_unix(1_781_229_600 + seconds)
}

fn pinned(print: Fingerprint) -> Trust {
    Trust::new(AllowedSigners::new(), vec![print])
}

fn ids(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.id).collect()
}

fn has_ssh_keygen() -> bool {
    let found = Command::new("ssh-keygen")
        .arg("-?")
        .stderr(Stdio::null())
        .output()
        .is_ok();
    if !found {
        support::skip("ssh-keygen is not on PATH");
    }
    found
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A stopped instance of two files: what an escrow holds is not what is tested here.
struct Double(PathBuf);

impl Source for Double {
    fn method(&self) -> Method {
        Method::Cold
    }

    fn data_dir(&self) -> &Path {
        &self.0
    }

    fn begin(&mut self) -> Result<u64, SourceError> {
        Ok(3)
    }

    fn catalogue(&mut self) -> Result<Option<Catalogue>, SourceError> {
        Ok(None)
    }

    fn copy_pgdata(&mut self, sink: &mut dyn EntrySink) -> Result<PgFacts, SourceError> {
        sink.entry(SourceEntry {
            path: "pgdata".to_owned(),
            mode: 0o700,
            content: SourceContent::Directory,
        })?;
        sink.entry(SourceEntry {
            path: "pgdata/PG_VERSION".to_owned(),
            mode: 0o600,
            content: SourceContent::File {
                size: 3,
                reader: &mut &b"17\n"[..],
            },
        })?;
        Ok(PgFacts {
            pg_version: "17".to_owned(),
            system_identifier: 7,
            timeline: 1,
            start_lsn: None,
            stop_lsn: None,
            data_checksums: true,
            snapshot_at: at(0),
        })
    }

    fn copy_logical(
        &mut self,
        _consume: &mut dyn FnMut(&mut dyn Read) -> Result<(), SinkError>,
    ) -> Result<bool, SourceError> {
        Ok(false)
    }

    fn finish(&mut self) -> Result<(), SourceError> {
        Ok(())
    }
}

#[test]
fn what_init_writes_can_be_read_and_is_as_private_as_it_must_be() {
    let bench = Bench::new();
    let host = bench.host("host");
    let written = bench.init(&host);
    let names = [
        "signing.key",
        "policies/allowed_signers",
        "policies/recipients.toml",
    ];
    let mut expected: Vec<PathBuf> = names.iter().map(|name| host.dir.join(name)).collect();
    expected.push(host.dir.join("escrow.toml"));
    assert_eq!(written.paths, expected);
    for path in &written.paths {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let is_key = path.ends_with("signing.key");
        assert!(
            if is_key {
                mode == 0o600
            } else {
                mode & !0o644 == 0
            },
            "{path:?} {mode:o}"
        );
    }
    assert_eq!(host.config().instance, slug());
    let key = SigningKey::from_openssh_pem(&host.read("signing.key")).unwrap();
    assert_eq!(key.fingerprint(), written.fingerprint);
    let signers = host.signers();
    let line = signers.entries().next().unwrap();
    assert_eq!(line.principal(), &signer());
    assert_eq!(line.key(), key.public());
    assert_eq!(line.window().valid_after(), Some(at(0)));
    assert!(line.permits(Namespace::Manifest) && !line.permits(Namespace::Drill));
    let recipients = Recipients::parse(&host.read("policies/recipients.toml")).unwrap();
    assert_eq!(recipients.iter().next().unwrap().since, Some(at(0)));
}

#[test]
fn init_overwrites_nothing_and_names_all_that_is_in_the_way() {
    let bench = Bench::new();
    let host = bench.host("host");
    let early = init::plan(bench.init_request(&host)).unwrap();
    fs::create_dir_all(host.dir.join("policies")).unwrap();
    fs::write(host.dir.join("policies/recipients.toml"), "mine").unwrap();
    fs::write(host.dir.join("escrow.toml"), "mine too").unwrap();
    let before = files_below(&host.dir);
    let refused = init::plan(bench.init_request(&host))
        .unwrap_err()
        .to_string();
    for name in ["escrow.toml", "policies/recipients.toml"] {
        assert!(refused.contains(name), "{refused}");
    }
    assert!(!refused.contains("signing.key"), "{refused}");
    // What came into being between planning and writing is not overwritten either.
    assert!(matches!(init::apply(&early), Err(InitError::Exists(_))));
    assert_eq!(files_below(&host.dir), before);
    assert_eq!(host.read("escrow.toml"), "mine too");
}

#[test]
fn init_without_a_signer_is_refused() {
    let bench = Bench::new();
    let mut request = bench.init_request(&bench.host("host"));
    request.answers.signing = None;
    assert!(matches!(
        init::plan(request),
        Err(InitError::NothingToSignWith)
    ));
}

#[test]
fn an_instance_that_is_in_a_store_is_not_begun_again() {
    let bench = Bench::new();
    let host = bench.host("host");
    bench.init(&host);
    let probes = init::probe_all(&[bench.store()], &slug());
    assert!(init::refuse_chains(&slug(), &probes).is_ok());
    assert!(init::refuse_unusable(&probes).is_ok());
    bench.snapshot(&host, 60);
    let probes = init::probe_all(&[bench.store()], &slug());
    let refused = init::refuse_chains(&slug(), &probes);
    assert!(matches!(refused, Err(InitError::ChainExists { .. })));
}

#[test]
fn stock_ssh_keygen_accepts_what_the_new_key_signs() {
    if !has_ssh_keygen() {
        return;
    }
    let bench = Bench::new();
    let host = bench.host("host");
    bench.init(&host);
    // In the very second in which the key becomes valid.
    let report = bench.snapshot(&host, 0);
    assert!(bench.stock_verdict(&report, &host.dir.join("policies/allowed_signers")));
}

#[test]
fn a_lost_hosts_chain_goes_on_under_a_new_key() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let old_print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 60);
    let second = bench.snapshot(&lost, 3_600);
    let old_signers = lost.signers();

    let plan = bench.join(&new, 7_200, old_print).unwrap();
    assert_eq!(plan.findings(), []);
    assert_eq!(plan.retired(), [old_print]);
    let written = join::apply(&plan, &new.state).unwrap();
    assert_eq!(
        new.read("policies/recipients.toml"),
        lost.read("policies/recipients.toml")
    );
    let mark = Mark {
        seq: 2,
        manifest_sha256: second.digest,
    };
    assert_eq!(new.state.mark(&slug()).unwrap(), Some(mark));

    let third = bench.snapshot(&new, 7_200);
    assert_eq!(third.manifest.seq, 3);
    assert_eq!(third.manifest.prev_sha256, Some(second.digest));
    assert_eq!(third.findings, []);

    let history = bench.history(9_000, pinned(written.fingerprint));
    assert_eq!(history.entries.len(), 3);
    assert_eq!(ids(&history.findings), [""; 0]);
    assert_eq!(bench.verified(9_000, pinned(old_print)), [1, 2]);
    assert_eq!(
        bench.verified(9_000, Trust::new(old_signers, Vec::new())),
        [1, 2]
    );
    let card = new.card(9_000, history.head().map(CardHead::from));
    assert!(
        card.text()
            .contains(&format!("--trust {}", written.fingerprint))
    );
}

#[test]
fn stock_ssh_keygen_accepts_both_keys_of_a_joined_chain() {
    if !has_ssh_keygen() {
        return;
    }
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    // All within one second: the old key's last is the new key's first.
    let first = bench.snapshot(&lost, 0);
    join::apply(&bench.join(&new, 0, print).unwrap(), &new.state).unwrap();
    let second = bench.snapshot(&new, 0);
    let signers = new.dir.join("policies/allowed_signers");
    assert!(bench.stock_verdict(&first, &signers));
    assert!(bench.stock_verdict(&second, &signers));
    assert!(!bench.stock_verdict(&second, &lost.dir.join("policies/allowed_signers")));
}

#[test]
fn a_head_dated_ahead_of_the_new_hosts_clock_stays_valid() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 200);
    let written = join::apply(&bench.join(&new, 100, print).unwrap(), &new.state).unwrap();
    bench.snapshot(&new, 110);
    let history = bench.history(300, pinned(written.fingerprint));
    assert_eq!(history.entries.len(), 2);
    assert_eq!(ids(&history.findings), [""; 0]);
}

#[test]
fn the_lost_key_signs_nothing_after_the_join() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 60);
    let written = join::apply(&bench.join(&new, 7_200, print).unwrap(), &new.state).unwrap();
    bench.snapshot(&new, 7_260);
    bench.snapshot(&lost, 7_300);
    let history = bench.history(9_000, pinned(written.fingerprint));
    let seqs: Vec<u64> = history.entries.iter().map(|entry| entry.link.seq).collect();
    assert_eq!(seqs, [1, 2]);
}

#[test]
fn a_stolen_keys_manifests_stop_to_alarm_once_they_are_joined() {
    let bench = Bench::new();
    let (host, thief, new) = (bench.host("host"), bench.host("thief"), bench.host("new"));
    let print = bench.init(&host).fingerprint;
    bench.snapshot(&host, 60);
    for path in files_below(&host.dir) {
        let copy = thief.dir.join(path.strip_prefix(&host.dir).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(path, copy).unwrap();
    }
    bench.snapshot(&thief, 120);
    let alarmed = bench.snapshot(&host, 180);
    assert_eq!(ids(&alarmed.findings), ["unknown-manifest-of-ours"]);
    join::apply(&bench.join(&new, 240, print).unwrap(), &new.state).unwrap();
    let calm = bench.snapshot(&new, 300);
    assert_eq!(ids(&calm.findings), [""; 0]);
}

#[test]
fn a_chain_is_not_joined_without_trust() {
    let bench = Bench::new();
    bench.init(&bench.host("lost"));
    bench.snapshot(&bench.host("lost"), 60);
    let outcome = bench.join_with(&bench.host("new"), 120, |_| {});
    assert!(matches!(outcome, Err(JoinError::NoTrust)));
}

#[test]
fn there_must_be_a_chain_to_join() {
    let bench = Bench::new();
    let print = bench.init(&bench.host("lost")).fingerprint;
    let outcome = bench.join(&bench.host("new"), 120, print);
    assert!(matches!(outcome, Err(JoinError::NoChain(_))));
}

#[test]
fn a_strangers_chain_is_not_joined() {
    let bench = Bench::new();
    let (stranger, lost, new) = (
        bench.host("stranger"),
        bench.host("lost"),
        bench.host("new"),
    );
    bench.init(&stranger);
    bench.snapshot(&stranger, 60);
    let print = bench.init(&lost).fingerprint;
    let outcome = bench.join(&new, 120, print);
    assert!(matches!(outcome, Err(JoinError::Untrusted(_))));
    let signers = lost.signers();
    let outcome = bench.join_with(&new, 120, |request| request.allowed_signers = signers);
    assert!(matches!(outcome, Err(JoinError::Untrusted(_))));
    assert!(!new.dir.exists());
}

#[test]
fn an_old_card_does_not_continue_the_chain_below_its_head() {
    let bench = Bench::new();
    let (lost, new, third) = (bench.host("lost"), bench.host("new"), bench.host("third"));
    let old_print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 60);
    join::apply(&bench.join(&new, 120, old_print).unwrap(), &new.state).unwrap();
    bench.snapshot(&new, 180);
    let outcome = bench.join(&third, 240, old_print);
    let is_refused = matches!(
        outcome,
        Err(JoinError::NewerManifests { head: 1, newest: 2 })
    );
    assert!(is_refused, "{outcome:?}");
    let outcome = bench.join_with(&third, 240, |request| {
        request.pinned = vec![old_print];
        request.newer = NewerManifests::Ignore;
    });
    assert_eq!(outcome.unwrap().head().seq, 1);
}

#[test]
fn a_chain_that_was_rolled_back_is_not_joined() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 60);
    let mark = Mark {
        seq: 2,
        manifest_sha256: bench.snapshot(&lost, 120).digest,
    };
    let newest = Layout::new(&slug()).manifest(2);
    fs::remove_file(bench.path("store").join(newest)).unwrap();
    let outcome = bench.join_with(&new, 180, |request| {
        request.pinned = vec![print];
        request.mark = Some(mark);
    });
    assert!(
        matches!(outcome, Err(JoinError::NotTheSame(_))),
        "{outcome:?}"
    );
}

#[test]
fn a_policy_that_changed_since_the_mark_is_told() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    let first = bench.snapshot(&lost, 60);
    let both = Recipients::from_arguments(&[ALICE, BOB]).unwrap();
    fs::write(
        lost.dir.join("policies/recipients.toml"),
        both.to_toml().unwrap(),
    )
    .unwrap();
    bench.snapshot(&lost, 120);
    let plan = bench.join_with(&new, 180, |request| {
        request.pinned = vec![print];
        request.mark = Some(Mark {
            seq: 1,
            manifest_sha256: first.digest,
        });
    });
    assert_eq!(ids(plan.unwrap().findings()), ["policy-changed"]);
}

#[test]
fn joining_may_name_other_recipients() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 60);
    let plan = bench.join_with(&new, 120, |request| {
        request.pinned = vec![print];
        request.recipients = Some(Recipients::from_arguments(&[BOB]).unwrap());
    });
    join::apply(&plan.unwrap(), &new.state).unwrap();
    let recipients = Recipients::parse(&new.read("policies/recipients.toml")).unwrap();
    let names: Vec<&str> = recipients
        .iter()
        .map(|spec| spec.custodian.as_str())
        .collect();
    assert_eq!(names, ["bob"]);
}

#[test]
fn joining_overwrites_nothing_and_then_remembers_nothing() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 60);
    let outcome = bench.join(&lost, 120, print);
    assert!(matches!(
        outcome,
        Err(JoinError::Init(InitError::Exists(_)))
    ));
    let plan = bench.join(&new, 120, print).unwrap();
    fs::create_dir_all(&new.dir).unwrap();
    fs::write(new.dir.join("escrow.toml"), "mine").unwrap();
    assert!(join::apply(&plan, &new.state).is_err());
    assert_eq!(new.state.mark(&slug()).unwrap(), None);
    assert!(!new.dir.join("signing.key").exists());
}

#[test]
fn a_card_made_between_joining_and_the_next_snapshot_says_so() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 60);
    join::apply(&bench.join(&new, 120, print).unwrap(), &new.state).unwrap();
    let history = bench.history(180, pinned(print));
    let card = new.card(180, history.head().map(CardHead::from));
    let text = card.text();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words.join(" ").contains("with this one nothing verifies"));
}

#[test]
fn no_error_and_no_debug_output_holds_the_private_key() {
    let bench = Bench::new();
    let host = bench.host("host");
    let plan = init::plan(bench.init_request(&host)).unwrap();
    let mut told = format!("{plan:?}");
    init::apply(&plan).unwrap();
    let again = init::apply(&plan).unwrap_err();
    let planned_again = init::plan(bench.init_request(&host)).unwrap_err();
    for error in [again, planned_again] {
        told += &format!("{error:?} {}", error_chain(&error));
    }
    let pem = host.read("signing.key");
    for line in pem.lines().filter(|line| !line.is_empty()) {
        assert!(!told.contains(line), "{told}");
    }
}
