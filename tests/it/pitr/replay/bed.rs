//! A storage with a chain, and what becomes of it.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::error_chain::error_chain;
use databasus_escrow::databasus::backup_chain::cluster::{Cluster, clusters};
use databasus_escrow::databasus::backup_chain::facts::{
    Base, BaseKind, Facts, History, Seal, Segment, Stored, Switch,
};
use databasus_escrow::databasus::backup_chain::plan;
use databasus_escrow::databasus::backup_chain::plan::{Plan, Target};
use databasus_escrow::databasus::objects::content::Content;
use databasus_escrow::databasus::objects::group::BackupGroup;
use databasus_escrow::databasus::objects::name::{BackupName, ObjectName};
use databasus_escrow::databasus::objects::sidecar::{BaseBackup, Compression, Sidecar, Wal};
use databasus_escrow::ops::bucket;
use databasus_escrow::ops::pitr::bases::{Bases, combine};
use databasus_escrow::ops::pitr::checks::{Check, Checks};
use databasus_escrow::ops::pitr::open::Storage;
use databasus_escrow::ops::pitr::replay::{DATA, Replay, ReplayError, Rewound};
use databasus_escrow::ops::recover::keys::KeyRing;
use databasus_escrow::ops::recover::{Unrecognised, find, open};
use databasus_escrow::postgres::binaries::{Launcher, PgBinaries};
use databasus_escrow::postgres::history_file;
use databasus_escrow::postgres::lsn::Lsn;
use databasus_escrow::postgres::private_server::{Options, PrivateServer};
use databasus_escrow::postgres::socket::ServerAddress;
use databasus_escrow::postgres::wal_segment::SegmentSize;
use databasus_escrow::postgres::wire::Connection;
use databasus_escrow::store::Store;
use databasus_escrow::store::dir::DirStore;
use databasus_escrow::target::ownership::gives_away;
use jiff::Timestamp;
use uuid::Uuid;

use crate::support::chains::{Chain, KEY, secret_key};
use crate::support::fixture::Fixture;
use crate::support::needed;

/// The numbers of the sentinels that are there: the first column, whatever it is called.
pub const SENTINELS: &str = "SELECT string_agg(n::text, ',' ORDER BY n) \
    FROM (SELECT substring(s::text FROM '[0-9]+')::int AS n FROM sentinel s) AS numbers";

/// A storage with one cluster's chain.
pub struct Bed {
    store: Arc<dyn Store>,
    keys: KeyRing,
    home: tempfile::TempDir,
    launcher: Launcher,
    pub cancel: Cancel,
}

impl Bed {
    /// Over a chain, with PostgreSQL of its major.
    pub fn of(chain: &Chain) -> Option<Self> {
        let bin = chain.programs()?;
        let home = home();
        let bucket = home.path().join("bucket");
        chain.write_to(&bucket);
        let store = DirStore::open("bucket".parse().unwrap(), bucket).unwrap();
        let mut keys = KeyRing::default();
        keys.add(secret_key(KEY), "key".to_owned(), None);
        Some(Self::with(Arc::new(store), keys, home, &bin))
    }

    pub fn of_fixture(name: &str, bin: &str) -> Option<Self> {
        let (fixture, bin) = (Fixture::named(name)?, needed(bin)?);
        let mut keys = KeyRing::default();
        keys.add(fixture.secret_key(), "key".to_owned(), None);
        Some(Self::with(fixture.bucket(), keys, home(), &bin))
    }

    fn with(store: Arc<dyn Store>, keys: KeyRing, home: tempfile::TempDir, bin: &Path) -> Self {
        Self {
            store,
            keys,
            home,
            launcher: Launcher::Local(PgBinaries::inspect(bin).unwrap()),
            cancel: Cancel::new(),
        }
    }

    pub fn storage(&self) -> Storage<'_> {
        Storage {
            store: &self.store,
            keys: &self.keys,
        }
    }

    /// The same store and keys with another way to start PostgreSQL.
    pub fn launched_by(mut self, launcher: Launcher) -> Self {
        self.launcher = launcher;
        self
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The bases of a plan, combined in the staged folder.
    pub fn stage(&self, plan: &Plan) -> PathBuf {
        let staged = self.home.path().join("staged");
        fs::create_dir(&staged).unwrap();
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&staged, private).unwrap();
        let cancel = Cancel::new();
        let bases = Bases::look(self.storage(), plan, &cancel).unwrap();
        let bases = bases.extract(&staged, 2, &cancel, &|_| {}).unwrap();
        combine(Some(&self.launcher), &staged, &bases, DATA, &cancel).unwrap();
        staged
    }

    pub fn data(&self) -> PathBuf {
        self.home.path().join("staged").join(DATA)
    }

    pub fn options(&self) -> Options {
        Options {
            scratch: self.home.path().to_owned(),
            ..Options::default()
        }
    }

    /// Replays a staged plan, with one check.
    pub fn replay(&self, plan: &Plan, sql: &str, expected: &str) -> Result<Rewound, ReplayError> {
        let check = Check {
            sql: sql.to_owned(),
            expected: expected.to_owned(),
        };
        let checks = Checks {
            database: Some("shop".to_owned()),
            list: vec![check],
        };
        let staged = self.home.path().join("staged");
        let options = self.options();
        let replay = Replay {
            storage: self.storage(),
            plan,
            launcher: &self.launcher,
            folder: &staged,
            options: &options,
            checks: &checks,
            cancel: &self.cancel,
        };
        replay.run()
    }

    /// All the way to a target, where these sentinels must be there.
    pub fn rewind(&self, target: Target, sentinels: &str) -> Rewound {
        let plan = self.plan(target);
        self.stage(&plan);
        let rewound = self.replay(&plan, SENTINELS, sentinels);
        rewound.unwrap_or_else(|error| panic!("{}", error_chain(&error)))
    }

    /// Why a plan does not come to its target.
    pub fn refusal(&self, plan: &Plan) -> (ReplayError, String) {
        self.stage(plan);
        let error = self.replay(plan, "SELECT 1", "1").unwrap_err();
        let told = error_chain(&error);
        (error, told)
    }

    /// What a server that anybody starts says on the finished directory.
    pub fn ask(&self, database: &str, sql: &str) -> String {
        let server =
            PrivateServer::start_with(self.options(), &self.launcher, &self.data(), &Cancel::new());
        let server = server.unwrap();
        let mut session = server.connect(database).unwrap();
        let rows = session.simple_query(sql).unwrap();
        drop(session);
        server.stop().unwrap();
        rows[0][0].clone().unwrap_or_default()
    }

    /// A server on the finished directory with nothing but its own configuration, save the port.
    pub fn start_as_it_is(&self) -> Running {
        let Launcher::Local(binaries) = &self.launcher else {
            panic!("not a local server");
        };
        let mut command = Command::new(binaries.program("postgres"));
        let owner = fs::metadata(self.data()).unwrap();
        if gives_away() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        command.arg("-D").arg(self.data());
        command.args(["-c", "listen_addresses="]);
        command.current_dir("/").stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let running = Running {
            child: child.unwrap(),
            data: self.data(),
        };
        running.wait_until_ready();
        running
    }

    /// The plan that reaches a target in the only cluster.
    pub fn plan(&self, target: Target) -> Plan {
        plan(&self.cluster(), target, None, &[]).unwrap()
    }

    pub fn cluster(&self) -> Cluster {
        let mut clusters = clusters(self.facts()).clusters;
        clusters.retain(|cluster| !cluster.bases.is_empty());
        assert_eq!(clusters.len(), 1);
        clusters.remove(0)
    }

    pub fn facts(&self) -> Facts {
        let listed = bucket::list(self.store.as_ref(), &Cancel::new(), &mut |_| {});
        let mut facts = Facts::default();
        for group in listed.unwrap().backups {
            let found = bucket::read_sidecar(self.store.as_ref(), &group);
            match found.get() {
                Some(sidecar) => self.add_told(&mut facts, &group, sidecar),
                None => self.add_found(&mut facts, &group),
            }
        }
        facts
    }

    fn add_told(&self, facts: &mut Facts, group: &BackupGroup, sidecar: &Sidecar) {
        match sidecar {
            Sidecar::Full(told) => facts.bases.push(native(group, told, BaseKind::Full)),
            Sidecar::Incremental(told) => {
                let (root, parent) = (told.root, told.parent);
                let kind = BaseKind::Incremental { root, parent };
                facts.bases.push(native(group, &told.backup, kind));
            }
            Sidecar::Wal(told) => facts.segments.push(segment(group, told)),
            Sidecar::History(told) => {
                let stored = stored(group, told.encryption.header().map(|_| told.id));
                let mut zstd = Vec::new();
                let opened = self.storage().content(&stored, 1).unwrap();
                opened.reader.take(1 << 20).read_to_end(&mut zstd).unwrap();
                let text = String::from_utf8(zstd::decode_all(&*zstd).unwrap()).unwrap();
                let history = history_file::parse(&text, told.timeline).unwrap();
                let switch = |left: history_file::Left| Switch {
                    timeline: left.timeline,
                    at: left.at,
                };
                facts.histories.push(History {
                    stored,
                    database: told.database,
                    timeline: told.timeline,
                    switches: Some(history.into_iter().map(switch).collect()),
                });
            }
            Sidecar::Logical(_) => {}
        }
    }

    /// What the content of an object without a sidecar tells.
    fn add_found(&self, facts: &mut Facts, group: &BackupGroup) {
        let wanted = find::Wanted::Name(ObjectName::parse(&group.name.to_string()).unwrap());
        let found = find::find(self.store.as_ref(), &wanted, &Cancel::new(), &mut |_| {});
        let opened = found.ok().and_then(|target| {
            open(&self.store, &target, &self.keys, Unrecognised::Refuse, 1).ok()
        });
        let (Some(backup), BackupName::Labelled { label, at, id }) = (opened, &group.name) else {
            return;
        };
        let at = Timestamp::from_second(at.unix()).unwrap();
        match backup.content {
            Content::BaseBackup {
                label: Some(found), ..
            } => facts.bases.push(Base {
                stored: stored(group, Some(*id)),
                kind: BaseKind::WalV1,
                database: None,
                label: label.clone(),
                system_identifier: None,
                pg_major: None,
                timeline: found.timeline,
                start: found.start,
                stop: None,
                compression: Compression::Zstd,
                begun: at,
                completed: None,
            }),
            Content::WalSegment(page) => facts.segments.push(Segment {
                stored: stored(group, Some(*id)),
                database: None,
                label: Some(label.clone()),
                name: page.segment,
                start: page.start,
                size: page.segment_size,
                system_identifier: Some(page.system_identifier),
                pg_major: page.pg_major,
                received: Some(at),
            }),
            _ => {}
        }
    }
}

/// A server that is killed with the value.
pub struct Running {
    child: Child,
    data: PathBuf,
}

impl Running {
    fn wait_until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let pid_file = self.data.join("postmaster.pid");
        let ready = || {
            let text = fs::read_to_string(&pid_file).unwrap_or_default();
            text.lines().nth(7).map(str::trim) == Some("ready")
        };
        while !ready() {
            assert!(Instant::now() < deadline, "the server does not get ready");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn ask(&self, database: &str, sql: &str) -> String {
        let address = ServerAddress::Unix {
            directory: self.data.clone(),
            port: 5432,
        };
        let parameters = [("user", "postgres"), ("database", database)];
        let session = Connection::connect(&address, &parameters, &Cancel::new());
        let rows = session.unwrap().simple_query(sql).unwrap();
        rows[0][0].clone().unwrap_or_default()
    }

    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// PostgreSQL's user has to get in.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir_in("/tmp").unwrap();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(home.path(), open).unwrap();
    home
}

fn stored(group: &BackupGroup, id: Option<Uuid>) -> Stored {
    Stored {
        group: Arc::new(group.clone()),
        seal: id.map_or(Seal::Plain, |id| Seal::Encrypted { id, key: None }),
    }
}

fn native(group: &BackupGroup, told: &BaseBackup, kind: BaseKind) -> Base {
    let label = match &group.name {
        BackupName::Labelled { label, .. } => label.clone(),
        _ => String::new(),
    };
    Base {
        stored: stored(group, told.encryption.header().map(|_| told.id)),
        kind,
        database: Some(told.database),
        label,
        system_identifier: Some(told.system_identifier),
        pg_major: Some(told.pg_version / 10_000),
        timeline: told.timeline,
        start: told.start_lsn,
        stop: Some(told.stop_lsn),
        compression: told.compression,
        begun: told.created_at,
        completed: Some(told.completed_at),
    }
}

fn segment(group: &BackupGroup, told: &Wal) -> Segment {
    let bytes = told.end_lsn.0 - told.start_lsn.0;
    Segment {
        stored: stored(group, told.encryption.header().map(|_| told.id)),
        database: Some(told.database),
        label: None,
        name: told.segment,
        start: told.start_lsn,
        size: SegmentSize::new(u32::try_from(bytes).unwrap()).unwrap(),
        system_identifier: None,
        pg_major: None,
        received: Some(told.received_at),
    }
}

/// The times of a fixture, each with the sentinels that must be there.
pub fn truth(name: &str) -> Vec<(Timestamp, String)> {
    let facts = Fixture::named(name).unwrap().truth()["facts"]["pitr"].take();
    let ids = facts["sentinels"].as_array().unwrap().iter();
    let ids: Vec<u64> = ids
        .map(|line| {
            line.as_str()
                .unwrap()
                .split('|')
                .next()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    let times = facts["times"].as_object().unwrap().iter();
    let expected = |(which, time): (&String, &serde_json::Value)| {
        let last = facts["expect"][which]["present"].as_u64().unwrap();
        let there = ids.iter().filter(|id| **id <= last).map(u64::to_string);
        let there: Vec<String> = there.collect();
        (time.as_str().unwrap().parse().unwrap(), there.join(","))
    };
    times.map(expected).collect()
}

/// A position well behind all that there is.
pub const BEYOND: Lsn = Lsn(1 << 50);
