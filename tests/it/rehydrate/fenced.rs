//! A rehydrate as it is by default: the key tried, the clone fenced, the catalogue up to date.

use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::databasus::fence::marker::is_marked;
use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::databasus::storages::Storage;
use databasus_escrow::model::proof::Level;
use databasus_escrow::ops::import::ImportSettings;
use databasus_escrow::ops::rehydrate::{Credentials, Handover, Mode, Outcome, RehydrateError};
use databasus_escrow::ops::storages::{OpenStorage, StorageUnavailable};
use databasus_escrow::store::Store;

use super::{outcomes, served};
use crate::support::escrowing::{Escrowing, NoStorages, live, local};
use crate::support::fixture::{COMPOSED, Fixture, REAL};

/// The one bucket of a fixture; blank credentials open nothing, as on a real one.
struct Bucket(Arc<dyn Store>);

impl OpenStorage for Bucket {
    fn open(
        &self,
        storage: &Storage,
        key: &SecretKey,
    ) -> Result<Arc<dyn Store>, StorageUnavailable> {
        if let databasus_escrow::databasus::storages::StorageKind::S3(place) = &storage.kind {
            place.keys(key)?.ok_or(StorageUnavailable::Blank)?;
        }
        Ok(self.0.clone())
    }
}

fn fenced(storages: &dyn OpenStorage) -> Handover<'_> {
    Handover {
        proof: Level::FirstChunks,
        fence: Some(Credentials::ReadOnlyOrBlank),
        storages,
        import: Some(ImportSettings {
            local_files_left_out: true,
            ..ImportSettings::default()
        }),
        ..live()
    }
}

#[test]
fn what_running_instances_left_comes_back_fenced_proven_and_up_to_date() {
    for name in REAL {
        let Some(fixture) = Fixture::named(name) else {
            return;
        };
        let Some(server) = fixture.serve() else {
            return;
        };
        let escrows = Escrowing::into_stores(&["first"]);
        let manifest = escrows.snapshot(&server);
        let target = escrows.place("databasus-data");
        let bucket = Bucket(fixture.bucket());
        let mode = Mode::Full(local(server.bin()));
        let report = escrows
            .rehydrate_and(&manifest, &target, &mode, &fenced(&bucket), &Cancel::new())
            .unwrap();
        let outcomes = outcomes(&report);
        for what in [
            "encrypted fields",
            "newest backups",
            "fence",
            "catalogue import",
        ] {
            assert_eq!(
                outcomes[what],
                Outcome::Proven,
                "{name}: {what}: {:?}",
                report.proofs
            );
        }
        assert!(report.fence.as_ref().unwrap().is_whole());
        assert!(report.import.as_ref().unwrap().imported() > 3, "{name}");
        assert!(is_marked(&target), "{name}");
        let copy = served(&target);
        assert_eq!(copy.psql("SELECT count(*) FROM database_notifiers"), "0");
        assert_eq!(
            copy.psql("SELECT bool_and(s3_secret_key = '') FROM s3_storages"),
            "t"
        );
    }
}

/// Objects that need a decision make the import partial, and nothing else.
#[test]
fn composed_cases_come_back_fenced_and_say_what_is_open() {
    for name in COMPOSED {
        let Some(fixture) = Fixture::named(name) else {
            return;
        };
        let Some(server) = fixture.serve() else {
            return;
        };
        let escrows = Escrowing::into_stores(&["first"]);
        let manifest = escrows.snapshot(&server);
        let target = escrows.place("databasus-data");
        let bucket = Bucket(fixture.bucket());
        let mode = Mode::FromLogical(local(server.bin()));
        let report = escrows
            .rehydrate_and(&manifest, &target, &mode, &fenced(&bucket), &Cancel::new())
            .unwrap();
        let outcomes = outcomes(&report);
        assert_eq!(outcomes["fence"], Outcome::Proven, "{name}");
        assert_eq!(outcomes["catalogue import"], Outcome::Failed, "{name}");
        assert!(!report.is_whole());
        let import = report.import.unwrap();
        assert!(
            import.imported() >= 2 && !import.is_whole(),
            "{name}: {import:?}"
        );
    }
}

#[test]
fn a_bucket_out_of_reach_leaves_the_catalogue_old_and_says_so() {
    let Some(fixture) = Fixture::named("real-3.42.0") else {
        return;
    };
    let Some(server) = fixture.serve() else {
        return;
    };
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&server);
    let target = escrows.place("databasus-data");
    let mode = Mode::Full(local(server.bin()));
    let report = escrows
        .rehydrate_and(
            &manifest,
            &target,
            &mode,
            &fenced(&NoStorages),
            &Cancel::new(),
        )
        .unwrap();
    let outcomes = outcomes(&report);
    assert_eq!(outcomes["encrypted fields"], Outcome::Proven);
    assert_eq!(outcomes["newest backups"], Outcome::Unknown);
    assert_eq!(outcomes["fence"], Outcome::Proven);
    assert_eq!(outcomes["catalogue import"], Outcome::Failed);
    assert!(target.join("secret.key").exists());
}

#[test]
fn a_half_migrated_schema_is_refused_and_leaves_nothing() {
    let Some(fixture) = Fixture::named("real-3.42.0") else {
        return;
    };
    let Some(server) = fixture.serve() else {
        return;
    };
    server.psql("ALTER TABLE backups RENAME TO logical_backups");
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&server);
    let target = escrows.place("databasus-data");
    let mode = Mode::Full(local(server.bin()));
    let handover = fenced(&NoStorages);
    let refused = escrows.rehydrate_and(&manifest, &target, &mode, &handover, &Cancel::new());
    assert!(matches!(refused.err(), Some(RehydrateError::Fence(_))));
    assert_eq!(escrows.litter(), Vec::<String>::new());
}
