//! With the import that a rehydrate and an unfence run.

use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::databasus::schema::Schema;
use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::databasus::storages::{Storage, StorageKind};
use databasus_escrow::ops::import::report::ImportReport;
use databasus_escrow::ops::import::{self, ImportSettings};
use databasus_escrow::ops::storages::{OpenStorage, StorageUnavailable};
use databasus_escrow::ops::unfence::{self, Imported, Ports, Says, UnfenceError, UnfenceSettings};
use databasus_escrow::postgres::wire::Connection;
use databasus_escrow::store::Store;
use databasus_escrow::store::dir::DirStore;

use super::way::{decided, every_database, not_read};
use crate::fence::bed::Bed;
use crate::support::fixture::{Fixture, REAL};

/// The fixture's bucket, in a folder of the test's own.
struct Folder {
    dir: tempfile::TempDir,
    /// Whether the credentials in the storage's row have to open.
    needs_credentials: bool,
}

impl Folder {
    fn of(fixture: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let objects = Fixture::named(fixture).unwrap().bucket_dir();
        for entry in std::fs::read_dir(objects).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
        Self {
            dir,
            needs_credentials: false,
        }
    }
}

impl OpenStorage for Folder {
    fn open(
        &self,
        storage: &Storage,
        key: &SecretKey,
    ) -> Result<Arc<dyn Store>, StorageUnavailable> {
        if let (StorageKind::S3(place), true) = (&storage.kind, self.needs_credentials) {
            place.keys(key)?.ok_or(StorageUnavailable::Blank)?;
        }
        let root = self.dir.path().to_owned();
        Ok(Arc::new(DirStore::open("bucket".parse().unwrap(), root)?))
    }
}

fn import(
    session: &mut Connection,
    schema: &Schema,
    key: &SecretKey,
    storages: &dyn OpenStorage,
) -> ImportReport {
    let ports = import::Ports {
        session,
        schema,
        keys: &[key],
        storages,
        cancel: &Cancel::new(),
        on_progress: &|_| {},
    };
    import::run(ports, &ImportSettings::default()).unwrap()
}

/// Fenced, and imported with credentials that somebody gave: as a rehydrate leaves it.
fn rehydrated(fixture: &str) -> Option<(Bed, Folder)> {
    let bed = Bed::quiet(fixture)?;
    let mut folder = Folder::of(fixture);
    bed.fence().unwrap();
    let mut session = bed.connect();
    let schema = Schema::read(&mut session).unwrap();
    let imported = import(&mut session, &schema, &bed.key, &folder).imported();
    assert_ne!(imported, 0, "{fixture}");
    folder.needs_credentials = true;
    Some((bed, folder))
}

fn unfence(bed: &Bed, folder: &Folder) -> Result<unfence::UnfenceReport, UnfenceError> {
    let mut fresh =
        |session: &mut Connection, schema: &Schema, key: &SecretKey, storages: &dyn OpenStorage| {
            let report = import(session, schema, key, storages);
            Ok(Imported {
                summary: report.imported().to_string(),
                is_whole: true,
            })
        };
    let accepted = every_database(bed);
    let settings = UnfenceSettings {
        accept_deletions: &accepted,
        ..decided()
    };
    let ports = Ports {
        storages: folder,
        chain: not_read(),
        import: Some(&mut fresh),
    };
    unfence::run(&mut bed.connect(), &bed.key, &settings, ports)
}

/// The fence has blanked the credentials in the rows: those that production had open the storage.
#[test]
fn what_was_imported_at_the_rehydrate_is_no_sign_of_life_and_is_imported_once() {
    for fixture in REAL {
        let Some((bed, folder)) = rehydrated(fixture) else {
            return;
        };
        let rows = bed.count(bed.backups());
        let report = unfence(&bed, &folder).unwrap();
        let of_places = report
            .evidence
            .iter()
            .filter(|one| !one.of.contains("chain"));
        for evidence in of_places {
            assert_eq!(evidence.says, Says::NoSign, "{fixture}: {evidence:?}");
        }
        assert_eq!(report.import.as_ref().unwrap().summary, "0");
        assert!(report.is_whole(), "{:?}", report.leftover);
        assert_eq!(bed.count(bed.backups()), rows);
        bed.none("pg_namespace WHERE nspname = 'escrow_fence'");
    }
}

#[test]
fn an_object_that_came_after_the_rehydrate_stops_it_before_anything_is_imported() {
    let Some((bed, folder)) = rehydrated("real-3.49.0") else {
        return;
    };
    let later = "heatwave-20200101-000000-11111111-1111-4111-8111-111111111111";
    std::fs::write(folder.dir.path().join(later), "x").unwrap();
    let before = bed.state();
    let error = unfence(&bed, &folder).err().unwrap();
    assert!(
        matches!(error, UnfenceError::ProductionLives(_)),
        "{error:?}"
    );
    assert_eq!(bed.state(), before);
}
