//! A new cluster from the logical copy, of the same major and of a later one.

use std::path::{Path, PathBuf};

use databasus_escrow::ops::rehydrate::{Mode, Outcome, RehydrateError};

use super::{assert_fit_for_databasus, instance, outcomes, row_counts, served};
use crate::support::escrowing::{Escrowing, local};
use crate::support::needed;

/// A cluster built from an instance's logical copy.
struct Rebuilt {
    _escrows: Escrowing,
    target: PathBuf,
    /// What was said of the copy.
    said: String,
}

fn rebuild_with(bin: &Path) -> Option<Rebuilt> {
    let server = instance()?;
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&server);
    let target = escrows.place("databasus-data");
    let mode = Mode::FromLogical(local(bin));
    let report = escrows.rehydrate(&manifest, &target, &mode).unwrap();
    let outcomes = outcomes(&report);
    for what in ["logical copy", "row counts", "amcheck", "clean shutdown"] {
        assert_eq!(outcomes[what], Outcome::Proven, "{what}");
    }
    assert!(report.is_whole());
    assert_fit_for_databasus(&target);
    assert_eq!(escrows.litter(), ["databasus-data"]);
    let copy = report
        .proofs
        .into_iter()
        .find(|proof| proof.what == "logical copy");
    Some(Rebuilt {
        _escrows: escrows,
        target,
        said: copy?.detail,
    })
}

#[test]
fn a_cluster_of_the_same_major_is_built_and_runs() {
    let Some(bin) = needed("ESCROW_TEST_PG_BIN") else {
        return;
    };
    let Some(rebuilt) = rebuild_with(&bin) else {
        return;
    };
    let target = &rebuilt.target;
    let settings = std::fs::read_to_string(target.join("pgdata/postgresql.conf")).unwrap();
    assert!(settings.ends_with(
        "port = 5437\nlisten_addresses = 'localhost'\nshared_buffers = 256MB\nmax_connections = 100\n"
    ));
    assert!(settings.contains("\ntimezone = 'Etc/UTC'\n"), "{settings}");
    let rules = std::fs::read_to_string(target.join("pgdata/pg_hba.conf")).unwrap();
    assert!(rules.ends_with("host all all 127.0.0.1/32 md5\nlocal all all trust\n"));
    let copy = served(target);
    assert_eq!(row_counts(&copy), "empty|0\ngoose_db_version|1\nusers|500");
    let encoding = copy.psql("SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = 'databasus'");
    assert_eq!(encoding, "UTF8|C.UTF-8");
}

#[test]
fn a_cluster_of_a_later_major_is_built() {
    let Some(bin) = needed("ESCROW_TEST_PG18_BIN") else {
        return;
    };
    let Some(rebuilt) = rebuild_with(&bin) else {
        return;
    };
    assert!(
        rebuilt.said.contains("which cannot run it"),
        "{}",
        rebuilt.said
    );
    let major = std::fs::read_to_string(rebuilt.target.join("pgdata/PG_VERSION")).unwrap();
    assert_eq!(major, "18\n");
}

#[test]
fn an_escrow_without_a_logical_copy_is_refused_before_anything_is_started() {
    let Some(bin) = needed("ESCROW_TEST_PG_BIN") else {
        return;
    };
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = super::crafted::Crafted::minimal().seal_into(&escrows);
    let target = escrows.place("databasus-data");
    let mode = Mode::FromLogical(local(&bin));
    let error = escrows.rehydrate(&manifest, &target, &mode).err().unwrap();
    assert!(matches!(error, RehydrateError::NoLogicalCopy), "{error}");
    assert_eq!(escrows.litter(), Vec::<String>::new());
}

#[test]
fn a_logical_copy_with_a_gap_is_refused() {
    let Some(bin) = needed("ESCROW_TEST_PG_BIN") else {
        return;
    };
    for pieces in [["000001", "000003"], ["000002", "000001"]] {
        let escrows = Escrowing::into_stores(&["first"]);
        let mut crafted = super::crafted::Crafted::minimal();
        for piece in pieces {
            crafted.file(&format!("escrow/metadata.dump/{piece}"), 0o600, b"PGDMP");
        }
        let manifest = crafted.seal_into(&escrows);
        let mode = Mode::FromLogical(local(&bin));
        let target = escrows.place("databasus-data");
        let error = escrows.rehydrate(&manifest, &target, &mode).err().unwrap();
        assert!(matches!(error, RehydrateError::Unpack(_)), "{error}");
        assert_eq!(escrows.litter(), Vec::<String>::new());
    }
}

#[test]
fn a_logical_copy_that_pg_restore_refuses_leaves_nothing() {
    let Some(bin) = needed("ESCROW_TEST_PG_BIN") else {
        return;
    };
    let escrows = Escrowing::into_stores(&["first"]);
    let mut crafted = super::crafted::Crafted::minimal();
    crafted.file("escrow/metadata.dump/000001", 0o600, b"no archive at all");
    let manifest = crafted.seal_into(&escrows);
    let mode = Mode::FromLogical(local(&bin));
    let target = escrows.place("databasus-data");
    let error = escrows.rehydrate(&manifest, &target, &mode).err().unwrap();
    let text = databasus_escrow::base::error_chain::error_chain(&error);
    assert!(text.contains("pg_restore: error: "), "{text}");
    assert_eq!(escrows.litter(), Vec::<String>::new());
    super::interrupted::assert_nothing_runs_below(&escrows);
}
