//! Escrows of real servers in real stores, and rehydrates of them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age::secrecy::ExposeSecret;
use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::fingerprint::Fingerprint;
use databasus_escrow::base::time::{Clock, SystemClock, UtcTime};
use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::databasus::storages::Storage;
use databasus_escrow::model::allowed_signers::AllowedSigners;
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::model::proof::Level;
use databasus_escrow::model::recipients::Recipients;
use databasus_escrow::model::trust::Trust;
use databasus_escrow::ops::destination::Destination;
use databasus_escrow::ops::history::{History, Request};
use databasus_escrow::ops::rehydrate::{self, Handover, Mode, RehydrateError, Report};
use databasus_escrow::ops::select::{Selection, select};
use databasus_escrow::ops::snapshot::{self, ProofSettings, Settings, SnapshotError};
use databasus_escrow::ops::state::State;
use databasus_escrow::ops::storages::{OpenStorage, StorageUnavailable};
use databasus_escrow::postgres::binaries::{Launcher, PgBinaries};
use databasus_escrow::postgres::socket::ServerAddress;
use databasus_escrow::sealing::identities::Identities;
use databasus_escrow::sealing::sshsig::SigningKey;
use databasus_escrow::source::online::{OnlineSettings, OnlineSource};
use databasus_escrow::store::Store;
use databasus_escrow::store::dir::DirStore;

use super::postgres::TestPg;

/// One instance's escrows: who signs, who opens, and where they lie. Its folder can be entered by
/// everybody, as a server that is no root's needs it.
pub struct Escrowing {
    home: tempfile::TempDir,
    settings: Settings,
    identity: age::x25519::Identity,
    destinations: Vec<Destination>,
}

impl Escrowing {
    /// With one directory store for each name.
    pub fn into_stores(names: &[&str]) -> Self {
        let home = tempfile::Builder::new()
            .prefix("escrowing-")
            .tempdir_in("/tmp")
            .unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let destination = |name: &&str| {
            let root = home.path().join(name);
            std::fs::create_dir(&root).unwrap();
            Destination {
                store: Arc::new(DirStore::open(name.parse().unwrap(), root).unwrap()),
                provider: "dir".to_owned(),
                bucket: None,
                access: None,
                required: true,
                lock: None,
            }
        };
        let identity = age::x25519::Identity::generate();
        Self {
            destinations: names.iter().map(destination).collect(),
            settings: settings(&identity),
            identity,
            home,
        }
    }

    /// A path in the folder beside the stores; nothing is made there.
    pub fn place(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Names of what lies in the folder, hidden ones too, besides stores and state.
    pub fn litter(&self) -> Vec<String> {
        let stores = self.destinations.iter().map(|to| to.store.name().as_str());
        let known: Vec<&str> = stores.chain(["state"]).collect();
        let entries = std::fs::read_dir(self.home.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| !known.contains(&name.as_str()))
            .collect()
    }

    /// Where a store keeps an object.
    pub fn object(&self, store: &str, key: &str) -> PathBuf {
        self.home.path().join(store).join(key)
    }

    /// The stores, in the order of their names given.
    pub fn stores(&self) -> Vec<Arc<dyn Store>> {
        self.destinations
            .iter()
            .map(|to| to.store.clone())
            .collect()
    }

    /// What opens the escrows.
    pub fn identities(&self) -> Identities {
        identities(&self.identity)
    }

    /// The same as text.
    pub fn identity_text(&self) -> age::secrecy::SecretString {
        self.identity.to_string()
    }

    /// Who signs them.
    pub fn signer(&self) -> Fingerprint {
        self.settings.signing_key.fingerprint()
    }

    /// To whom they are sealed.
    pub fn recipient(&self) -> age::x25519::Recipient {
        self.identity.to_public()
    }

    /// Takes a snapshot of the running server, and reads its manifest as a stranger would, who
    /// knows the signer's fingerprint.
    pub fn snapshot(&self, server: &TestPg) -> Manifest {
        let report = self.try_snapshot(server, &self.settings, &NoStorages);
        let stores = report.unwrap().stores;
        assert!(stores.iter().all(|store| store.failure.is_none()));
        self.newest()
    }

    /// The same from a host that reaches storages of Databasus, with another proof wanted.
    pub fn snapshot_proving(
        &mut self,
        server: &TestPg,
        proof: ProofSettings,
        storages: &dyn OpenStorage,
    ) -> Result<snapshot::Report, SnapshotError> {
        self.settings.proof = proof;
        self.try_snapshot(server, &self.settings, storages)
    }

    fn try_snapshot(
        &self,
        server: &TestPg,
        settings: &Settings,
        storages: &dyn OpenStorage,
    ) -> Result<snapshot::Report, SnapshotError> {
        let mut source = OnlineSource::new(online(server), Arc::new(SystemClock), Cancel::new());
        snapshot::run(
            settings,
            snapshot::Ports {
                source: &mut source,
                destinations: &self.destinations,
                storages,
                state: &State::new(self.home.path().join("state")),
                clock: &SystemClock,
                cancel: &Cancel::new(),
                random: rand::random(),
            },
        )
    }

    fn newest(&self) -> Manifest {
        let history = self.history();
        let (entry, _) = select(&history, &Selection::Newest).unwrap();
        history.load(entry).unwrap()
    }

    /// The chain, as somebody reads it who knows the signer's fingerprint.
    pub fn history(&self) -> History {
        let history = History::read(Request {
            slug: &self.settings.slug,
            stores: &self.stores(),
            trust: Trust::new(AllowedSigners::default(), vec![self.signer()]),
            mark: None,
            since_mark: false,
            up_to: None,
            now: SystemClock.now(),
            cancel: &Cancel::new(),
        });
        history.unwrap()
    }

    /// Rehydrates into `target`, undisturbed.
    pub fn rehydrate(
        &self,
        manifest: &Manifest,
        target: &Path,
        mode: &Mode,
    ) -> Result<Report, RehydrateError> {
        self.rehydrate_until(manifest, target, mode, &Cancel::new())
    }

    /// The same, with a way to interrupt it.
    pub fn rehydrate_until(
        &self,
        manifest: &Manifest,
        target: &Path,
        mode: &Mode,
        cancel: &Cancel,
    ) -> Result<Report, RehydrateError> {
        self.rehydrate_and(manifest, target, mode, &live(), cancel)
    }

    /// The same with something done to the metadata.
    pub fn rehydrate_and(
        &self,
        manifest: &Manifest,
        target: &Path,
        mode: &Mode,
        handover: &Handover<'_>,
        cancel: &Cancel,
    ) -> Result<Report, RehydrateError> {
        let ports = rehydrate::Ports {
            stores: &self.stores(),
            identities: &self.identities(),
            handover,
            cancel,
            on_bytes: Box::new(|_| {}),
        };
        rehydrate::run(manifest, target, mode, ports)
    }
}

/// Nothing is done to the metadata: what comes out is what went in.
pub fn live() -> Handover<'static> {
    Handover {
        proof: Level::KeyId,
        restore_tool: None,
        fence: None,
        head: (1, Digest::of(b"the head")),
        storages: &NoStorages,
        import: None,
        on_progress: &|_| {},
        now: UtcTime::from_unix(1_780_000_000),
    }
}

/// A box from which no storage of Databasus can be reached.
pub struct NoStorages;

impl OpenStorage for NoStorages {
    fn open(&self, _: &Storage, _: &SecretKey) -> Result<Arc<dyn Store>, StorageUnavailable> {
        Err(StorageUnavailable::NoFiles)
    }
}

/// A file's worth of identities.
pub fn identities(identity: &age::x25519::Identity) -> Identities {
    let text = identity.to_string().expose_secret().to_owned();
    Identities::parse("identity", text.into()).unwrap()
}

/// The programs that the test server runs on.
pub fn local(bin: &Path) -> Launcher {
    Launcher::Local(PgBinaries::inspect(bin).unwrap())
}

fn settings(identity: &age::x25519::Identity) -> Settings {
    let signing_key = SigningKey::generate().unwrap();
    let recipients = [format!("alice={}", identity.to_public())];
    let recipients = Recipients::from_arguments(&recipients).unwrap();
    Settings {
        slug: "heatwave".parse().unwrap(),
        signer: "escrow@host".parse().unwrap(),
        recipients_text: recipients.to_toml().unwrap(),
        quorum: None,
        recipients,
        allowed_signers_text: format!("escrow@host {}\n", signing_key.public_openssh()),
        signing_key,
        due_after: 24 * 3600,
        level: 1,
        workers: 2,
        image: Some("databasus/databasus:v3.42.0".to_owned()),
        databasus_version: Some("3.42.0".to_owned()),
        proof: ProofSettings::default(),
    }
}

fn online(server: &TestPg) -> OnlineSettings {
    OnlineSettings {
        data_dir: server.data_dir(),
        address: ServerAddress::Tcp {
            host: "127.0.0.1".to_owned(),
            port: server.port(),
            netns: None,
        },
        user: "postgres".to_owned(),
        database: "databasus".to_owned(),
        pg_dump: Some(server.bin().join("pg_dump")),
        search_path: std::ffi::OsString::new(),
        progress: Arc::new(|_| {}),
    }
}
