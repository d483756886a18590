//! Whether the key proves itself on metadata and backups that Databasus wrote.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::databasus::storages::Storage;
use databasus_escrow::model::proof::{Level, Outcome, ProofRecord};
use databasus_escrow::ops::proof::{Catalogue, Report, Request, prove};
use databasus_escrow::ops::storages::{OpenStorage, StorageUnavailable};
use databasus_escrow::postgres::restore_tool::RestoreTool;
use databasus_escrow::store::Store;
use databasus_escrow::store::dir::DirStore;

use crate::support::escrowing::NoStorages;
use crate::support::fixture::Fixture;
use crate::support::postgres::TestPg;

mod backups;
mod escrowed;
mod keys;
mod snapshots;

/// A running instance and its bucket, both of its own.
struct Bed {
    fixture: Fixture,
    server: TestPg,
    bucket: Bucket,
}

/// Every storage is this folder, whatever the credentials say.
struct Bucket(tempfile::TempDir);

impl Bucket {
    fn of(fixture: &Fixture) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(fixture.bucket_dir()).unwrap() {
            let entry = entry.unwrap();
            std::fs::write(
                folder.path().join(entry.file_name()),
                std::fs::read(entry.path()).unwrap(),
            )
            .unwrap();
        }
        Self(folder)
    }

    /// The newest object whose name begins so.
    fn newest(&self, label: &str) -> PathBuf {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let is_object = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(label) && !name.ends_with(".metadata")
        };
        paths.filter(is_object).max().unwrap()
    }
}

impl OpenStorage for Bucket {
    fn open(&self, _: &Storage, _: &SecretKey) -> Result<Arc<dyn Store>, StorageUnavailable> {
        let store = DirStore::open("bucket".parse().unwrap(), self.0.path().to_owned())?;
        Ok(Arc::new(store))
    }
}

impl Bed {
    fn of(name: &str) -> Option<Self> {
        let fixture = Fixture::named(name)?;
        let server = fixture.serve()?;
        let bucket = Bucket::of(&fixture);
        Some(Self {
            fixture,
            server,
            bucket,
        })
    }

    fn prove(&self, wanted: Level) -> Report {
        self.prove_with(&self.fixture.secret_key(), wanted, &self.bucket)
    }

    fn prove_with(&self, key: &SecretKey, wanted: Level, storages: &dyn OpenStorage) -> Report {
        let restore_tool = self.restore_tool();
        let request = Request {
            key,
            key_id: Outcome::Proven,
            storages,
            wanted,
            catalogue: Catalogue::Live,
            restore_tool: Some(&restore_tool),
            cancel: &Cancel::new(),
        };
        prove(Some(&mut self.server.session()), &request).unwrap()
    }

    fn restore_tool(&self) -> RestoreTool {
        RestoreTool::at(self.server.bin().join("pg_restore"))
    }

    /// The fixture's key with another text in place of some of it.
    fn changed_key(&self, change: impl FnOnce(&mut Vec<u8>)) -> SecretKey {
        let mut bytes = self.fixture.secret_key_bytes();
        change(&mut bytes);
        SecretKey::new(bytes).unwrap()
    }
}

fn outcomes(report: &Report) -> Vec<Outcome> {
    let levels = report.record().levels.into_iter();
    levels.map(|level| level.outcome).collect()
}

fn said(report: &Report) -> String {
    let levels = report.levels().iter();
    let sentences: Vec<String> = levels.map(|level| level.sentence()).collect();
    sentences.join("\n")
}

fn cut(object: &Path, length: u64) {
    let file = std::fs::File::options().write(true).open(object).unwrap();
    file.set_len(length).unwrap();
}

fn assert_reaches(name: &str) -> Option<ProofRecord> {
    let bed = Bed::of(name)?;
    let report = bed.prove(Level::WholeBackups);
    assert_eq!(report.record().reached, Some(3), "{}", said(&report));
    assert_eq!(report.findings(), []);
    Some(report.record())
}

#[test]
fn everything_is_proven_of_a_running_3_42_0() {
    let Some(record) = assert_reaches("real-3.42.0") else {
        return;
    };
    // heatwave and media, and of the agent's cluster a base backup and a segment.
    assert_eq!(record.levels[2].proven, 4);
    assert_eq!(record.levels[3].proven, 1);
}

#[test]
fn everything_is_proven_of_a_running_3_49_0() {
    let Some(record) = assert_reaches("real-3.49.0") else {
        return;
    };
    // heatwave, and of the cluster FULL, INCR and a segment; media is newer than the snapshot.
    assert_eq!(record.levels[2].proven, 4);
    assert_eq!(record.levels[3].proven, 1);
}

#[test]
fn everything_is_proven_of_composed_instances() {
    for name in crate::support::fixture::COMPOSED {
        assert_reaches(name);
    }
}

#[test]
fn without_a_server_only_the_key_s_id_is_known() {
    let key = SecretKey::new(vec![b'k'; 72]).unwrap();
    let request = Request {
        key: &key,
        key_id: Outcome::Proven,
        storages: &NoStorages,
        wanted: Level::FirstChunks,
        catalogue: Catalogue::Live,
        restore_tool: None,
        cancel: &Cancel::new(),
    };
    let report = prove(None, &request).unwrap();
    let unknown = Outcome::Unknown;
    assert_eq!(outcomes(&report), [Outcome::Proven, unknown, unknown]);
    assert_eq!(report.record().reached, Some(0));
    assert_eq!(report.findings(), []);
}

#[test]
fn a_database_that_is_not_databasus_own_proves_nothing() {
    let Some(server) = TestPg::start() else {
        return;
    };
    let key = SecretKey::new(vec![b'k'; 72]).unwrap();
    let request = Request {
        key: &key,
        key_id: Outcome::Proven,
        storages: &NoStorages,
        wanted: Level::FirstChunks,
        catalogue: Catalogue::Live,
        restore_tool: None,
        cancel: &Cancel::new(),
    };
    let report = prove(Some(&mut server.session()), &request).unwrap();
    assert_eq!(report.record().reached, Some(0));
    assert!(!report.record().has_failed(), "{}", said(&report));
}
