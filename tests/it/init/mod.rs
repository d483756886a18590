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
use databasus_escrow::ops::commit::Completeness;
use databasus_escrow::ops::destination::Destination;
use databasus_escrow::ops::history::{self, History};
use databasus_escrow::ops::init::{self, InitError, InitRequest, Written};
use databasus_escrow::ops::join::{self, JoinError, JoinPlan, JoinRequest, NewerManifests};
use databasus_escrow::ops::snapshot::{self, Ports, ProofSettings, Report, Settings};
use databasus_escrow::ops::state::State;
use databasus_escrow::sealing::sshsig::SigningKey;
use databasus_escrow::source::{
    Catalogue, EntrySink, Method, PgFacts, SinkError, Source, SourceContent, SourceEntry,
    SourceError,
};
use databasus_escrow::store::Store;
use databasus_escrow::store::dir::DirStore;

use crate::support;

use crate::support::escrowing::NoStorages;

mod beginning;
mod joining;

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
        let uuid = "5f0c7a3e-1d2b-4c5d-8e9f-0a1b2c3d4e5f";
        fs::write(dir.path().join("data/secret.key"), uuid.repeat(2)).unwrap();
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
            quorum: None,
            allowed_signers_text: host.read("policies/allowed_signers"),
            due_after: 86_400,
            level: 1,
            workers: 0,
            image: None,
            databasus_version: None,
            proof: ProofSettings::default(),
        };
        let destinations = [Destination {
            store: self.store(),
            provider: "dir".to_owned(),
            bucket: None,
            access: None,
            required: true,
            lock: None,
        }];
        let mut source = Double(self.path("data"));
        let ports = Ports {
            source: &mut source,
            destinations: &destinations,
            storages: &NoStorages,
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
            up_to: None,
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

    /// Makes another host just like this one, state included.
    fn copy_to(&self, other: &Host) {
        for path in files_below(&self.dir) {
            let copy = other.dir.join(path.strip_prefix(&self.dir).unwrap());
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(path, copy).unwrap();
        }
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
