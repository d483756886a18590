//! Databases that are not fenced, and stay as they are.

use std::collections::BTreeMap;

use databasus_escrow::databasus::fence::credentials::StorageCredentials;
use databasus_escrow::databasus::schema::SchemaError;
use databasus_escrow::databasus::storages::S3Keys;
use databasus_escrow::ops::fence::FenceError;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::bed::Bed;

fn unchanged(bed: &Bed, attempt: impl FnOnce() -> FenceError) -> FenceError {
    let before = bed.state();
    let error = attempt();
    assert_eq!(bed.state(), before, "{error}");
    error
}

#[test]
fn a_fence_is_made_once() {
    let Some(bed) = Bed::busy("real-3.42.0") else {
        return;
    };
    bed.fence().unwrap();
    let error = unchanged(&bed, || bed.fence().unwrap_err());
    assert!(matches!(error, FenceError::AlreadyFenced), "{error:?}");
}

#[test]
fn a_fence_by_hand_is_left_to_hands() {
    let Some(bed) = Bed::busy("real-3.42.0") else {
        return;
    };
    bed.server.psql(
        "CREATE SCHEMA escrow_fence;
         CREATE TABLE escrow_fence.by_hand_backup_configs AS TABLE backup_configs",
    );
    let error = unchanged(&bed, || bed.fence().unwrap_err());
    assert!(matches!(error, FenceError::FencedByHand), "{error:?}");
}

/// What the catalogue import keeps there is no fence.
#[test]
fn ghosts_kept_beside_are_no_fence() {
    let Some(bed) = Bed::busy("real-3.42.0") else {
        return;
    };
    bed.server.psql(
        "CREATE SCHEMA escrow_fence;
         CREATE TABLE escrow_fence.rows (id bigserial PRIMARY KEY, table_name text NOT NULL,
           row jsonb NOT NULL, why text NOT NULL);
         INSERT INTO escrow_fence.rows (table_name, row, why) VALUES ('backups', '{}', 'ghost')",
    );
    bed.fence().unwrap();
    assert_eq!(bed.count("escrow_fence.rows WHERE why = 'ghost'"), 1);
}

#[test]
fn a_half_migrated_schema_is_refused() {
    let Some(bed) = Bed::busy("real-3.42.0") else {
        return;
    };
    bed.server
        .psql("ALTER TABLE backups RENAME TO logical_backups");
    let error = unchanged(&bed, || bed.fence().unwrap_err());
    let FenceError::Schema(SchemaError::HalfMigrated(_)) = error else {
        panic!("{error:?}")
    };
}

#[test]
fn a_statement_that_fails_undoes_those_before_it() {
    let Some(bed) = Bed::busy("real-3.49.0") else {
        return;
    };
    bed.server.psql(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
         CREATE TRIGGER no BEFORE UPDATE ON restore_verifications EXECUTE FUNCTION no()",
    );
    let error = unchanged(&bed, || bed.fence().unwrap_err());
    assert!(matches!(error, FenceError::Session(_)), "{error:?}");
    bed.none("pg_namespace WHERE nspname = 'escrow_fence'");
}

#[test]
fn keys_for_a_storage_that_is_not_there_are_refused() {
    let Some(bed) = Bed::busy("real-3.49.0") else {
        return;
    };
    let keys = S3Keys {
        access_key_id: Zeroizing::new("a".to_owned()),
        secret_access_key: Zeroizing::new("s".to_owned()),
    };
    let given = StorageCredentials::ReadOnly(BTreeMap::from([(Uuid::nil(), keys)]));
    let error = unchanged(&bed, || bed.fence_with(given).unwrap_err());
    assert!(matches!(error, FenceError::NoSuchStorage(_)), "{error:?}");
}
