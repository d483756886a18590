//! Metadata databases that real Databasus instances wrote.

use databasus_escrow::ops::rehydrate::{Mode, Outcome};

use super::{assert_fit_for_databasus, outcomes, row_counts, served};
use crate::support::escrowing::{Escrowing, local};
use crate::support::fixture::Fixture;

/// Snapshot and rehydrate, both ways.
fn round_trip(release: &str) {
    let Some(fixture) = Fixture::named(release) else {
        return;
    };
    let Some(server) = fixture.serve() else {
        return;
    };
    let key = fixture.secret_key_bytes();
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&server);
    assert!(manifest.source.schema_version.is_some());
    let before = row_counts(&server);
    assert!(before.contains("goose_db_version|"), "{before}");
    let launcher = local(server.bin());
    for mode in [Mode::Full(launcher.clone()), Mode::FromLogical(launcher)] {
        let target = escrows.place("databasus-data");
        let report = escrows.rehydrate(&manifest, &target, &mode).unwrap();
        assert!(report.is_whole());
        let outcomes = outcomes(&report);
        assert_eq!(outcomes["row counts"], Outcome::Proven);
        assert_eq!(outcomes["amcheck"], Outcome::Proven);
        assert_fit_for_databasus(&target);
        assert_eq!(std::fs::read(target.join("secret.key")).unwrap(), key);
        assert_eq!(row_counts(&served(&target)), before);
        std::fs::remove_dir_all(&target).unwrap();
    }
}

#[test]
fn databasus_3_42_0_comes_back_whole() {
    round_trip("real-3.42.0");
}

#[test]
fn databasus_3_49_0_comes_back_whole() {
    round_trip("real-3.49.0");
}
