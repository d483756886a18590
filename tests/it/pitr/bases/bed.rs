//! A storage, a plan of the base backups in it, and a staged directory.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::error_chain::error_chain;
use databasus_escrow::databasus::backup_chain::facts::{Base, BaseKind, Seal, Stored};
use databasus_escrow::databasus::backup_chain::plan::{Plan, Target};
use databasus_escrow::databasus::objects::content::Content;
use databasus_escrow::databasus::objects::group::BackupGroup;
use databasus_escrow::databasus::objects::name::{BackupName, ObjectName};
use databasus_escrow::databasus::objects::sidecar::{BaseBackup, Compression, Sidecar};
use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::ops::bucket;
use databasus_escrow::ops::pitr::bases::{Bases, BasesError, ExtractedBase};
use databasus_escrow::ops::pitr::open::Storage;
use databasus_escrow::ops::recover::keys::KeyRing;
use databasus_escrow::postgres::binaries::{Launcher, PgBinaries};
use databasus_escrow::postgres::private_server::{Options, PrivateServer};
use databasus_escrow::store::Store;
use databasus_escrow::store::dir::DirStore;
use databasus_escrow::target::ownership::{POSTGRES, gives_away};
use jiff::Timestamp;

use crate::support::chains::Source;
use crate::support::chains::{Chain, How, KEY, Native, secret_key};
use crate::support::fixture::Fixture;

/// A storage with one cluster's base backups.
pub struct Bed {
    store: Arc<dyn Store>,
    keys: KeyRing,
    home: tempfile::TempDir,
}

impl Bed {
    pub fn of(chain: &Chain) -> Self {
        let home = home();
        let bucket = home.path().join("bucket");
        chain.write_to(&bucket);
        let store = DirStore::open("bucket".parse().unwrap(), bucket).unwrap();
        Self::with(Arc::new(store), secret_key(KEY), home)
    }

    pub fn of_fixture(name: &str) -> Option<Self> {
        let fixture = Fixture::named(name)?;
        let (store, key) = (fixture.bucket(), fixture.secret_key());
        Some(Self::with(store, key, home()))
    }

    fn with(store: Arc<dyn Store>, key: SecretKey, home: tempfile::TempDir) -> Self {
        let mut keys = KeyRing::default();
        keys.add(secret_key(&"w".repeat(72)), "wrong".to_owned(), None);
        keys.add(key, "right".to_owned(), None);
        Self { store, keys, home }
    }

    pub fn storage(&self) -> Storage<'_> {
        Storage {
            store: &self.store,
            keys: &self.keys,
        }
    }

    /// Where the test's own files go.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A directory for the bases, as a staged target is.
    pub fn staged(&self) -> PathBuf {
        let staged = self.home.path().join("staged");
        if !staged.exists() {
            fs::create_dir(&staged).unwrap();
            fs::set_permissions(&staged, fs::Permissions::from_mode(0o700)).unwrap();
        }
        staged
    }

    /// All native bases: the full one, and the incremental ones in the order of their begin.
    pub fn plan(&self) -> Plan {
        let mut bases: Vec<Base> = self.groups().filter_map(|g| self.native(&g)).collect();
        bases.sort_by_key(|base| base.start);
        plan_of(bases)
    }

    /// The first `count` of them.
    pub fn plan_of_first(&self, count: usize) -> Plan {
        let mut plan = self.plan();
        plan.incrementals.truncate(count - 1);
        plan
    }

    /// The one base of `WAL_V1`.
    pub fn plan_of_agent(&self) -> Plan {
        let mut bases: Vec<Base> = self.groups().filter_map(|g| self.agents(&g)).collect();
        bases.truncate(1);
        plan_of(bases)
    }

    fn groups(&self) -> impl Iterator<Item = BackupGroup> {
        let listed = bucket::list(self.store.as_ref(), &Cancel::new(), &mut |_| {});
        listed.unwrap().backups.into_iter()
    }

    fn native(&self, group: &BackupGroup) -> Option<Base> {
        let found = bucket::read_sidecar(self.store.as_ref(), group);
        match found.get()? {
            Sidecar::Full(told) => Some(native(group, told, BaseKind::Full)),
            Sidecar::Incremental(told) => {
                let (root, parent) = (told.root, told.parent);
                let kind = BaseKind::Incremental { root, parent };
                Some(native(group, &told.backup, kind))
            }
            _ => None,
        }
    }

    /// What the beginning of a base without a sidecar tells.
    fn agents(&self, group: &BackupGroup) -> Option<Base> {
        use databasus_escrow::ops::recover::{Unrecognised, find, open};
        let wanted = find::Wanted::Name(ObjectName::parse(&group.name.to_string())?);
        let store = self.store.as_ref();
        let target = find::find(store, &wanted, &Cancel::new(), &mut |_| {}).ok()?;
        let backup = open(&self.store, &target, &self.keys, Unrecognised::Refuse, 1).ok()?;
        let Content::BaseBackup {
            label: Some(label), ..
        } = backup.content
        else {
            return None;
        };
        Some(Base {
            stored: stored(group, group.name.id()),
            kind: BaseKind::WalV1,
            database: None,
            label: "agent".to_owned(),
            system_identifier: None,
            pg_major: None,
            timeline: label.timeline,
            start: label.start,
            stop: None,
            compression: Compression::Zstd,
            begun: Timestamp::UNIX_EPOCH,
            completed: None,
        })
    }

    pub fn extract(&self, plan: &Plan) -> Result<Vec<ExtractedBase>, BasesError> {
        self.extract_into(&self.staged(), plan)
    }

    pub fn extract_into(
        &self,
        staged: &Path,
        plan: &Plan,
    ) -> Result<Vec<ExtractedBase>, BasesError> {
        let cancel = Cancel::new();
        let bases = Bases::look(self.storage(), plan, &cancel)?;
        bases.extract(staged, 2, &cancel, &|_| {})
    }

    /// Why all of it is refused.
    pub fn refusal(&self) -> (BasesError, String) {
        let error = self.extract(&self.plan()).unwrap_err();
        let text = error_chain(&error);
        (error, text)
    }

    pub fn launcher(bin: &Path) -> Launcher {
        Launcher::Local(PgBinaries::inspect(bin).unwrap())
    }

    /// What a server says on a directory that it has recovered to its consistency.
    pub fn ask(&self, launcher: &Launcher, data: &Path, database: &str, sql: &str) -> String {
        let options = Options {
            scratch: self.home.path().to_owned(),
            ..Options::default()
        };
        let server = PrivateServer::start_with(options, launcher, data, &Cancel::new()).unwrap();
        let mut session = server.connect(database).unwrap();
        let rows = session.simple_query(sql).unwrap();
        let found = rows[0][0].clone().unwrap();
        drop(session);
        server.stop().unwrap();
        found
    }
}

/// PostgreSQL's user has to get in.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(home.path(), open).unwrap();
    home
}

fn stored(group: &BackupGroup, id: Option<uuid::Uuid>) -> Stored {
    let seal = id.map_or(Seal::Plain, |id| Seal::Encrypted { id, key: None });
    Stored {
        group: Arc::new(group.clone()),
        seal,
    }
}

fn native(group: &BackupGroup, told: &BaseBackup, kind: BaseKind) -> Base {
    let label = match &group.name {
        BackupName::Labelled { label, .. } => label.clone(),
        _ => String::new(),
    };
    let id = told.encryption.header().map(|_| told.id);
    Base {
        stored: stored(group, id),
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

fn plan_of(bases: Vec<Base>) -> Plan {
    let mut bases = bases.into_iter();
    let full = bases.next().expect("no base backup");
    Plan {
        target: Target::Latest,
        system_identifier: full.system_identifier,
        pg_major: full.pg_major,
        segment_size: None,
        timeline: full.timeline,
        full,
        incrementals: bases.collect(),
        wal: Vec::new(),
        expected: 0,
        histories: Vec::new(),
        remarks: Vec::new(),
    }
}

/// A full backup of one small cluster in every way of storing one. What is not compressed is in
/// parts.
pub fn ways() -> Option<Vec<(How, Chain)>> {
    static WAYS: OnceLock<Option<Vec<(How, Chain)>>> = OnceLock::new();
    let make = || {
        let source = Source::start()?;
        let (zstd, gzip, none) = (Compression::Zstd, Compression::Gzip, Compression::None);
        let ways = [
            (zstd, KEY),
            (gzip, KEY),
            (none, KEY),
            (zstd, ""),
            (none, ""),
        ];
        let stored = ways.map(|(compression, key)| {
            let how = How {
                compression,
                key: Some(key).filter(|key| !key.is_empty()),
                part: Some(5 << 20),
            };
            let mut native = Native::of(&source, "shop cluster");
            native.full_as(&source, how);
            (how, native.chain(&source))
        });
        Some(stored.into())
    };
    WAYS.get_or_init(make).clone()
}

/// The chain that is stored so.
pub fn stored_as(compression: Compression, is_sealed: bool) -> Option<Chain> {
    let mut ways = ways()?.into_iter();
    let found =
        ways.find(|(how, _)| (how.compression, how.key.is_some()) == (compression, is_sealed));
    Some(found.expect("no chain is stored so").1)
}

/// Every file below a directory: its path, mode, and whose it is.
pub fn tree(root: &Path) -> BTreeMap<String, (u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            found.insert(name.to_owned(), (meta.mode(), meta.uid()));
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// Whose the files should be.
pub fn owner() -> u32 {
    match gives_away() {
        true => POSTGRES.uid,
        false => rustix::process::geteuid().as_raw(),
    }
}
