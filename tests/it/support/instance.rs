//! A made-up instance, the hosts that escrow it, and a custodian who opens what they make.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::entry_path::EntryPath;
use databasus_escrow::base::names::{SignerName, Slug};
use databasus_escrow::base::time::{Clock, SystemClock, UtcTime};
use databasus_escrow::model::allowed_signers::{AllowedSigners, Window};
use databasus_escrow::model::finding::{Finding, Severity};
use databasus_escrow::model::lock::{LockMode, LockPolicy};
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::model::mark::Mark;
use databasus_escrow::model::namespace::Namespace;
use databasus_escrow::model::recipients::{RecipientSpec, Recipients};
use databasus_escrow::model::trust::Trust;
use databasus_escrow::ops::commit::Author;
use databasus_escrow::ops::destination::Destination;
use databasus_escrow::ops::history::{self, History};
use databasus_escrow::ops::open;
use databasus_escrow::ops::snapshot::{
    self, Ports, ProofSettings, Report, Settings, SnapshotError,
};
use databasus_escrow::ops::state::State;
use databasus_escrow::sealing::identities::Identities;
use databasus_escrow::sealing::sshsig::SigningKey;
use databasus_escrow::sealing::unpack::{EntryVisitor, UnpackError};
use databasus_escrow::source::{
    Catalogue, EntrySink, Method, PgFacts, SinkError, Source, SourceContent, SourceEntry,
    SourceError,
};
use databasus_escrow::store::Store;
use databasus_escrow::store::memory::MemoryStore;
use tempfile::TempDir;

use super::escrowing::NoStorages;
use super::fault_store::{Fault, FaultStore, OpenUploads, Plan, Process};

/// Two UUIDs, as Databasus makes it.
const SECRET_KEY: &str = "6f1c2b9e-0d4a-4c57-9a3e-5b8d7f2e1c06b2a4d8f0-7e13-4f69-8c25-1d9e3a7b5c40";

/// A clock that is a second later whenever somebody looks at it.
pub struct TickingClock(AtomicI64);

impl TickingClock {
    /// Lets time pass.
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for TickingClock {
    fn now(&self) -> UtcTime {
        UtcTime::from_unix(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// The instance's clock stands years before the stores': locks must end after both.
pub const LOCK: LockPolicy = LockPolicy {
    mode: LockMode::Compliance,
    days: 3_650,
    manifest_days: 4_000,
};

/// A store in memory that keeps versions and holds locks.
pub fn versioned(name: &str) -> Arc<dyn Store> {
    let clock = Arc::new(SystemClock);
    Arc::new(MemoryStore::versioned(name.parse().unwrap(), clock))
}

/// Everything around the operations under test.
pub struct Bed {
    pub slug: Slug,
    pub clock: TickingClock,
    /// `a`, `b`, … all of them required.
    pub stores: Vec<Arc<dyn Store>>,
    /// How snapshots lock what they write.
    pub lock: Option<LockPolicy>,
    pub folder: TempDir,
    files: BTreeMap<String, Bytes>,
    identity: age::x25519::Identity,
    hosts: Vec<(SignerName, SigningKey)>,
    allowed: AllowedSigners,
}

/// One host's settings and memory.
pub struct Host {
    pub settings: Settings,
    pub state: State,
    pub state_dir: PathBuf,
}

impl Bed {
    /// An instance of a few hundred KiB, two empty stores in memory, two hosts that may sign.
    pub fn new() -> Self {
        Self::with_stores(&["a", "b"])
    }

    pub fn with_stores(names: &[&str]) -> Self {
        let memory =
            |name: &&str| -> Arc<dyn Store> { Arc::new(MemoryStore::new(name.parse().unwrap())) };
        let folder = scratch();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data/secret.key"), SECRET_KEY).unwrap();
        let mut bed = Self {
            slug: "demo".parse().unwrap(),
            clock: TickingClock(AtomicI64::new(1_780_000_000)),
            stores: names.iter().map(memory).collect(),
            lock: None,
            folder,
            files: small_cluster(),
            identity: age::x25519::Identity::generate(),
            hosts: Vec::new(),
            allowed: AllowedSigners::new(),
        };
        for name in ["host-1", "host-2"] {
            bed.admit(name, SigningKey::generate().unwrap(), Window::default());
        }
        bed
    }

    /// The same in stores that keep versions and hold locks, which snapshots ask for.
    pub fn locked(stores: Vec<Arc<dyn Store>>) -> Self {
        Self {
            stores,
            lock: Some(LOCK),
            ..Self::with_stores(&[])
        }
    }

    /// Lets a signer sign manifests.
    pub fn admit(&mut self, name: &str, key: SigningKey, window: Window) {
        self.admit_for(name, key, &[Namespace::Manifest], window);
    }

    /// Lets a signer sign documents of some kinds.
    pub fn admit_for(&mut self, name: &str, key: SigningKey, may: &[Namespace], window: Window) {
        let name: SignerName = name.parse().unwrap();
        let allowed = std::mem::take(&mut self.allowed);
        self.allowed = allowed.with_signer(name.clone(), key.public().clone(), may, window);
        self.hosts.push((name, key));
    }

    /// Adds a file that does not compress: the payload has a part for every 8 MiB of it.
    pub fn add_bulk(&mut self, bytes: usize) {
        self.files
            .insert("pgdata/base/5/20000".to_owned(), noise(bytes));
    }

    pub fn key_of(&self, signer: &str) -> &SigningKey {
        let mut hosts = self.hosts.iter();
        &hosts.find(|(name, _)| name.as_str() == signer).unwrap().1
    }

    /// A host with a state directory of its own.
    pub fn host(&self, signer: &str) -> Host {
        let state_dir = self.folder.path().join(format!("state-{signer}"));
        let recipient = self.identity.to_public().to_string();
        let spec = RecipientSpec::parse("alice", &recipient).unwrap();
        let recipients = Recipients::new(vec![spec]).unwrap();
        let pem = self.key_of(signer).to_openssh_pem().unwrap();
        Host {
            settings: Settings {
                slug: self.slug.clone(),
                signer: signer.parse().unwrap(),
                signing_key: SigningKey::from_openssh_pem(&pem).unwrap(),
                recipients_text: recipients.to_toml().unwrap(),
                quorum: None,
                recipients,
                allowed_signers_text: self.allowed.to_text(),
                due_after: 26 * 3600,
                level: 1,
                workers: 0,
                image: None,
                databasus_version: None,
                proof: ProofSettings::default(),
            },
            state: State::new(state_dir.clone()),
            state_dir,
        }
    }

    /// A host, as jobs take it that extend the chain.
    pub fn author<'a>(&'a self, host: &'a Host) -> Author<'a> {
        Author {
            slug: &self.slug,
            signer: &host.settings.signer,
            signing_key: &host.settings.signing_key,
            allowed_signers: &host.settings.allowed_signers_text,
        }
    }

    /// The stores, of which one does not answer.
    pub fn stores_without(&self, at: usize) -> Vec<Arc<dyn Store>> {
        let mut stores = self.stores.clone();
        stores[at] = Arc::new(FaultStore::new(
            stores[at].clone(),
            OpenUploads::default(),
            Process::default(),
            Some(Plan::new(0, Fault::Forever)),
        ));
        stores
    }

    pub fn destinations(stores: &[Arc<dyn Store>]) -> Vec<Destination> {
        let destination = |store: &Arc<dyn Store>| Destination {
            store: store.clone(),
            provider: "memory".to_owned(),
            bucket: None,
            access: None,
            required: true,
            lock: None,
        };
        stores.iter().map(destination).collect()
    }

    /// A snapshot into the stores themselves.
    pub fn snapshot(&self, host: &Host) -> Result<Report, SnapshotError> {
        self.snapshot_into(host, &self.stores, &Cancel::new())
    }

    /// A snapshot into other stores, as a new process would make it.
    pub fn snapshot_into(
        &self,
        host: &Host,
        stores: &[Arc<dyn Store>],
        cancel: &Cancel,
    ) -> Result<Report, SnapshotError> {
        let mut source = FakeSource {
            data_dir: self.folder.path().join("data"),
            files: &self.files,
            now: self.clock.now(),
        };
        let mut destinations = Self::destinations(stores);
        for destination in &mut destinations {
            destination.lock = self.lock;
        }
        let ports = Ports {
            source: &mut source,
            destinations: &destinations,
            storages: &NoStorages,
            state: &host.state,
            clock: &self.clock,
            cancel,
            random: rand::random(),
        };
        snapshot::run(&host.settings, ports)
    }

    pub fn trust(&self) -> Trust {
        Trust::new(self.allowed.clone(), Vec::new())
    }

    /// Reads the whole chain from some stores.
    pub fn read_from(&self, stores: &[Arc<dyn Store>], mark: Option<Mark>) -> History {
        self.try_read(stores, mark).unwrap()
    }

    pub fn try_read(
        &self,
        stores: &[Arc<dyn Store>],
        mark: Option<Mark>,
    ) -> Result<History, history::HistoryError> {
        History::read(history::Request {
            slug: &self.slug,
            stores,
            trust: self.trust(),
            mark,
            since_mark: false,
            up_to: None,
            now: self.clock.now(),
            cancel: &Cancel::new(),
        })
    }

    /// Reads the whole chain from all stores.
    pub fn read(&self, mark: Option<Mark>) -> History {
        self.read_from(&self.stores, mark)
    }

    pub fn identities(&self) -> Identities {
        use age::secrecy::ExposeSecret;
        let text = self.identity.to_string().expose_secret().to_owned();
        Identities::parse("alice", text.into()).unwrap()
    }

    /// Opens an escrow as the custodian does, and holds every file of the cluster against the
    /// original. Returns what was found wrong with stores on the way.
    pub fn open(
        &self,
        manifest: &Manifest,
        stores: &[Arc<dyn Store>],
    ) -> Result<Vec<Finding>, UnpackError> {
        self.open_as(&self.identities(), manifest, stores)
    }

    /// The same as somebody else.
    pub fn open_as(
        &self,
        identities: &Identities,
        manifest: &Manifest,
        stores: &[Arc<dyn Store>],
    ) -> Result<Vec<Finding>, UnpackError> {
        let mut found = Found::default();
        let opened = open::open(
            manifest,
            stores,
            identities,
            &mut found,
            &Cancel::new(),
            Box::new(|_| {}),
        )?;
        for (path, content) in &self.files {
            let digest = found.0.get(&format!("databasus-data/{path}"));
            assert_eq!(digest, Some(&Digest::of(content)), "{path} differs");
        }
        assert!(found.0.contains_key("databasus-data/secret.key"));
        Ok(opened.findings)
    }
}

/// A folder for tests; in memory where that is possible, since every state file is synced.
pub fn scratch() -> TempDir {
    let in_memory = Path::new("/dev/shm");
    match in_memory.is_dir() {
        true => TempDir::new_in(in_memory).unwrap(),
        false => TempDir::new().unwrap(),
    }
}

/// Ids of findings with their severity, sorted: what tests compare.
pub fn ids(findings: &[Finding]) -> Vec<String> {
    let mut ids: Vec<String> = findings
        .iter()
        .map(|finding| match finding.severity {
            Severity::Violation => finding.id.to_owned(),
            other => format!("{} ({other})", finding.id),
        })
        .collect();
    ids.sort();
    ids
}

fn small_cluster() -> BTreeMap<String, Bytes> {
    let table: Vec<u8> = (0..20_000u32).flat_map(u32::to_le_bytes).collect();
    [
        ("pgdata/PG_VERSION", "17\n".into()),
        ("pgdata/base/1/1259", vec![0; 64 << 10].into()),
        ("pgdata/base/5/16384", table.into()),
        ("pgdata/empty", Bytes::new()),
        ("pgdata/global/pg_control", noise(8 << 10)),
    ]
    .into_iter()
    .map(|(path, content)| (path.to_owned(), content))
    .collect()
}

/// Bytes that look random and are the same in every run (xorshift64), at most 32 MiB.
pub fn noise(len: usize) -> Bytes {
    static NOISE: LazyLock<Bytes> = LazyLock::new(|| {
        let mut bytes = vec![0; 32 << 20];
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for word in bytes.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        bytes.into()
    });
    NOISE.slice(..len)
}

struct FakeSource<'a> {
    data_dir: PathBuf,
    files: &'a BTreeMap<String, Bytes>,
    now: UtcTime,
}

impl Source for FakeSource<'_> {
    fn method(&self) -> Method {
        Method::Online
    }

    fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    fn begin(&mut self) -> Result<u64, SourceError> {
        Ok(self.files.values().map(|file| file.len() as u64).sum())
    }

    fn catalogue(&mut self) -> Result<Option<Catalogue>, SourceError> {
        Ok(Some(Catalogue {
            schema_version: Some(20_260_522_161_848),
            row_counts: [("users".to_owned(), 3)].into(),
            ..Catalogue::default()
        }))
    }

    fn copy_pgdata(&mut self, sink: &mut dyn EntrySink) -> Result<PgFacts, SourceError> {
        for folder in ["", "/base", "/base/1", "/base/5", "/global"] {
            sink.entry(SourceEntry {
                path: format!("pgdata{folder}"),
                mode: 0o700,
                content: SourceContent::Directory,
            })?;
        }
        for (path, content) in self.files {
            sink.entry(SourceEntry {
                path: path.clone(),
                mode: 0o600,
                content: SourceContent::File {
                    size: content.len() as u64,
                    reader: &mut &content[..],
                },
            })?;
        }
        Ok(PgFacts {
            pg_version: "17.10".to_owned(),
            system_identifier: 7_560_000_000_000_000_001,
            timeline: 1,
            start_lsn: Some("0/2000028".to_owned()),
            stop_lsn: Some("0/2000120".to_owned()),
            data_checksums: false,
            snapshot_at: self.now,
        })
    }

    fn copy_logical(
        &mut self,
        consume: &mut dyn FnMut(&mut dyn Read) -> Result<(), SinkError>,
    ) -> Result<bool, SourceError> {
        consume(&mut b"PGDMP".as_slice())?;
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), SourceError> {
        Ok(())
    }
}

#[derive(Default)]
struct Found(BTreeMap<String, Digest>);

impl EntryVisitor for Found {
    fn directory(&mut self, _path: &EntryPath, _mode: u32) -> io::Result<()> {
        Ok(())
    }

    fn file(
        &mut self,
        path: &EntryPath,
        _mode: u32,
        _size: u64,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        self.0.insert(path.as_str().to_owned(), Digest::of(&bytes));
        Ok(())
    }
}
