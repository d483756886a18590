//! A fixture's metadata on a server, its bucket in a folder of the test's own, and imports of the
//! one into the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::databasus::schema::Schema;
use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::databasus::storages::{Storage, StorageKind};
use databasus_escrow::ops::import::report::{ImportReport, LeftOut, Reason};
use databasus_escrow::ops::import::{self, ImportError, ImportSettings, Ports};
use databasus_escrow::ops::storages::{OpenStorage, StorageUnavailable};
use databasus_escrow::postgres::socket::ServerAddress;
use databasus_escrow::postgres::wire::Connection;
use databasus_escrow::store::Store;
use databasus_escrow::store::dir::DirStore;
use serde_json::Value;

use crate::support::fixture::Fixture;
use crate::support::postgres::TestPg;

/// The tables that list backups, of whichever release.
const TABLES: [&str; 6] = [
    "backups",
    "logical_backups",
    "physical_full_backups",
    "physical_incremental_backups",
    "physical_wal_segments",
    "physical_wal_history_files",
];

pub struct Bed {
    pub server: TestPg,
    pub fixture: Fixture,
    pub keys: Vec<SecretKey>,
    pub bucket: tempfile::TempDir,
}

/// A catalogue: rows as JSON, by table and id.
pub type Catalogue = BTreeMap<String, BTreeMap<String, Value>>;

/// Buckets as folders: by the storage's name where it has one of its own.
pub struct Folders {
    pub main: PathBuf,
    pub others: BTreeMap<String, PathBuf>,
    pub closed: bool,
}

impl OpenStorage for Folders {
    fn open(&self, storage: &Storage, _: &SecretKey) -> Result<Arc<dyn Store>, StorageUnavailable> {
        let folder = self.others.get(&storage.name).unwrap_or(&self.main);
        match &storage.kind {
            _ if self.closed => Err(StorageUnavailable::Blank),
            StorageKind::Other(kind) => Err(StorageUnavailable::Unsupported(kind.clone())),
            StorageKind::Local if !self.others.contains_key(&storage.name) => {
                Err(StorageUnavailable::NoFiles)
            }
            _ => {
                let name = "bucket".parse().unwrap();
                Ok(Arc::new(DirStore::open(name, folder.clone())?))
            }
        }
    }
}

impl Bed {
    pub fn new(fixture: &str) -> Option<Self> {
        let fixture = Fixture::named(fixture)?;
        let server = fixture.serve()?;
        let bucket = tempfile::tempdir().unwrap();
        let bed = Self {
            keys: vec![fixture.secret_key()],
            server,
            fixture,
            bucket,
        };
        bed.fill(|_| true);
        Some(bed)
    }

    /// Puts the objects of the fixture's bucket whose names are wanted into the folder.
    pub fn fill(&self, wanted: impl Fn(&str) -> bool) {
        for entry in std::fs::read_dir(self.fixture.bucket_dir()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if wanted(&name) {
                std::fs::write(self.object(&name), std::fs::read(entry.path()).unwrap()).unwrap();
            }
        }
    }

    pub fn empty(&self) {
        for entry in std::fs::read_dir(self.bucket.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    pub fn object(&self, name: &str) -> PathBuf {
        self.bucket.path().join(name)
    }

    /// Every object whose name begins so goes.
    pub fn remove(&self, beginning: &str) {
        let mut removed = 0;
        for name in names(self.bucket.path()) {
            if name.starts_with(beginning) {
                std::fs::remove_file(self.object(&name)).unwrap();
                removed += 1;
            }
        }
        assert!(removed > 0, "nothing is called {beginning}…");
    }

    pub fn folders(&self) -> Folders {
        Folders {
            main: self.bucket.path().to_owned(),
            others: BTreeMap::new(),
            closed: false,
        }
    }

    pub fn connect(&self) -> Connection {
        let address = ServerAddress::Unix {
            directory: self.server.socket_dir(),
            port: self.server.port(),
        };
        let parameters = [
            ("user", "postgres"),
            ("database", "databasus"),
            // As far from exact text forms as a session can be.
            ("TimeZone", "Asia/Kathmandu"),
            ("DateStyle", "German"),
            ("extra_float_digits", "-5"),
        ];
        Connection::connect(&address, &parameters, &Cancel::new()).unwrap()
    }

    pub fn import_from(
        &self,
        storages: &dyn OpenStorage,
        settings: &ImportSettings,
    ) -> Result<ImportReport, ImportError> {
        let mut session = self.connect();
        let schema = Schema::read(&mut session).unwrap();
        let keys: Vec<&SecretKey> = self.keys.iter().collect();
        import::run(
            Ports {
                session: &mut session,
                schema: &schema,
                keys: &keys,
                storages,
                cancel: &Cancel::new(),
                on_progress: &|_| (),
            },
            settings,
        )
    }

    pub fn import_with(&self, settings: &ImportSettings) -> ImportReport {
        self.import_from(&self.folders(), settings).unwrap()
    }

    pub fn import(&self) -> ImportReport {
        self.import_with(&ImportSettings::default())
    }

    /// Everything that the catalogue lists.
    pub fn catalogue(&self) -> Catalogue {
        let mut all = Catalogue::new();
        for table in TABLES {
            let there = format!("SELECT to_regclass('public.{table}') IS NOT NULL");
            if self.server.psql(&there) == "t" {
                let rows = self.server.psql(&format!(
                    "SET TimeZone = 'UTC'; SELECT coalesce(jsonb_object_agg(id, to_jsonb(t)), '{{}}') FROM public.{table} t"
                ));
                all.insert(table.to_owned(), serde_json::from_str(&rows).unwrap());
            }
        }
        all
    }

    /// The whole database as text, to see that nothing changed.
    pub fn state(&self) -> String {
        self.server.psql(
            "SELECT string_agg(query_to_xml(format('SELECT * FROM %I.%I t ORDER BY t::text', table_schema,
               table_name), true, false, '')::text, '' ORDER BY table_schema, table_name)
             FROM information_schema.tables
             WHERE table_schema IN ('public', 'escrow_fence', 'escrow_leftover')",
        )
    }

    pub fn count(&self, from: &str) -> u64 {
        let count = self.server.psql(&format!("SELECT count(*) FROM {from}"));
        count.parse().unwrap()
    }

    pub fn backups(&self) -> &'static str {
        let old = self
            .server
            .psql("SELECT to_regclass('public.backups') IS NOT NULL");
        if old == "t" {
            "backups"
        } else {
            "logical_backups"
        }
    }
}

pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What was left out, and why, by name.
pub fn reasons(report: &ImportReport) -> BTreeMap<String, Reason> {
    let reason = |one: &LeftOut| (one.object.clone(), one.reason);
    report.left_out.iter().map(reason).collect()
}
