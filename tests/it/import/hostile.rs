//! Objects that are not what they should be, and names that could be anybody's.

use std::collections::BTreeMap;

use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::ops::import::ImportSettings;
use databasus_escrow::ops::import::report::{Reason, StorageOutcome};
use serde_json::json;

use super::bed::{Bed, reasons};

const ORPHAN: &str = "shop-20261122-131727-d6176aa4-204d-4f65-8ac0-6ad82872ba1d";
/// Not encrypted; its header says `small`.
const PLAIN: &str = "shop-20261122-011727-045bad2b-31e6-437d-9230-cd65a389917d";
const CHUNKED: &str = "warehouse-20261116-131727-6fa053d0-3d98-4571-8162-7ccc6fc7f29d";

fn bed() -> Option<Bed> {
    Bed::new("databasus-3.49.0")
}

/// Stores a copy of the dump that is not encrypted under a label of its own.
fn store_dump(bed: &Bed, label: &str, number: u128) -> String {
    let id = uuid::Uuid::from_u128(number);
    let name = format!("{label}-20261122-140000-{id}");
    std::fs::copy(bed.object(PLAIN), bed.object(&name)).unwrap();
    let sidecar =
        json!({"backupId": id, "encryption": "NONE", "encryptionSalt": null, "encryptionIV": null});
    std::fs::write(bed.object(&format!("{name}.metadata")), sidecar.to_string()).unwrap();
    name
}

fn database_of(bed: &Bed, name: &str) -> String {
    bed.server.psql(&format!(
        "SELECT d.name FROM logical_backups b JOIN databases d ON d.id = b.database_id WHERE file_name = '{name}'"
    ))
}

fn placeholders() -> ImportSettings {
    ImportSettings {
        create_placeholders: true,
        ..ImportSettings::default()
    }
}

#[test]
fn sidecars_that_say_something_else_keep_their_backups_out() {
    let Some(bed) = bed() else { return };
    let sidecar = bed.object(&format!("{ORPHAN}.metadata"));
    let good = std::fs::read_to_string(&sidecar).unwrap();
    let mut other: serde_json::Value = serde_json::from_str(&good).unwrap();
    other["backupId"] = json!(uuid::Uuid::from_u128(1));
    let mut lies: serde_json::Value = serde_json::from_str(&good).unwrap();
    lies["encryption"] = json!("NONE");
    let long = format!("{good}{}", " ".repeat(1 << 17));
    for bad in ["{", "", "[]", &other.to_string(), &lies.to_string(), &long] {
        std::fs::write(&sidecar, bad).unwrap();
        let report = bed.import();
        assert_eq!(reasons(&report)[ORPHAN], Reason::Damaged, "{bad:.80}");
        assert!(report.has_damage());
    }
    std::fs::write(&sidecar, good).unwrap();
    assert!(!bed.import().has_damage());
}

#[test]
fn objects_that_hold_nothing_are_failed_dumps_unless_a_sidecar_commits_them() {
    let Some(bed) = bed() else { return };
    let whole = std::fs::read(bed.object(ORPHAN)).unwrap();
    for nothing in [&whole[..64], &whole[..0]] {
        std::fs::write(bed.object(ORPHAN), nothing).unwrap();
        assert_eq!(reasons(&bed.import())[ORPHAN], Reason::Damaged);
    }
    std::fs::remove_file(bed.object(&format!("{ORPHAN}.metadata"))).unwrap();
    for nothing in [&whole[..64], &whole[..0]] {
        std::fs::write(bed.object(ORPHAN), nothing).unwrap();
        assert_eq!(reasons(&bed.import())[ORPHAN], Reason::FailedDump);
    }
}

#[test]
fn a_dump_that_was_cut_or_claims_another_length_is_damage() {
    let Some(bed) = bed() else { return };
    let whole = std::fs::read(bed.object(ORPHAN)).unwrap();
    let mut claims = whole[..100].to_vec();
    claims[64..68].copy_from_slice(&[0xFF; 4]);
    for bad in [&whole[..whole.len() - 1], &whole[..70], &claims] {
        std::fs::write(bed.object(ORPHAN), bad).unwrap();
        let found = reasons(&bed.import())[ORPHAN];
        // A shorter last chunk has another tag: no key opens it.
        assert!(
            [Reason::Damaged, Reason::NoKey].contains(&found),
            "{found:?}"
        );
    }
}

#[test]
fn lists_of_parts_that_name_others_are_damage() {
    let Some(bed) = bed() else { return };
    bed.server
        .psql("DELETE FROM logical_backups WHERE file_name LIKE 'warehouse-20261116%'");
    let list = bed.object(&format!("{CHUNKED}.parts"));
    let good = std::fs::read_to_string(&list).unwrap();
    let foreign = good.replace(&format!("{CHUNKED}.part000002"), ORPHAN);
    let larger = good.replace("404925", "404926");
    for bad in ["{}", &foreign, &larger] {
        std::fs::write(&list, bad).unwrap();
        assert_eq!(
            reasons(&bed.import())[CHUNKED],
            Reason::Damaged,
            "{bad:.60}"
        );
    }
    std::fs::write(&list, &good).unwrap();
    std::fs::remove_file(bed.object(&format!("{CHUNKED}.part000002"))).unwrap();
    assert_eq!(reasons(&bed.import())[CHUNKED], Reason::Damaged);
    // Without its list it is an upload that never ended.
    std::fs::remove_file(&list).unwrap();
    std::fs::remove_file(bed.object(&format!("{CHUNKED}.metadata"))).unwrap();
    assert_eq!(reasons(&bed.import())[CHUNKED], Reason::Unfinished);
}

#[test]
fn a_backup_under_another_key_waits_for_that_key() {
    let Some(mut bed) = bed() else { return };
    let right = bed.keys.remove(0);
    bed.keys.push(SecretKey::new(vec![b'w'; 72]).unwrap());
    let report = bed.import();
    assert_eq!(reasons(&report)[ORPHAN], Reason::NoKey);
    bed.keys.push(right);
    let report = bed.import();
    assert_eq!(database_of(&bed, ORPHAN), "shop");
    let told = report.remarks.iter().filter(|one| one.object == ORPHAN);
    assert!(
        told.map(|one| &one.what)
            .any(|what| what.contains("further key 1"))
    );
}

#[test]
fn names_with_spaces_and_letters_of_any_script_are_found_again() {
    let Some(bed) = bed() else { return };
    bed.server
        .psql("UPDATE databases SET name = 'Größe: 日本 <x>' WHERE name = 'shop'");
    let name = store_dump(&bed, "Größe-_日本_-x-", 7);
    bed.import();
    assert_eq!(database_of(&bed, &name), "Größe: 日本 <x>");
}

#[test]
fn quotes_in_names_stay_in_the_names() {
    let Some(bed) = bed() else { return };
    let name = store_dump(&bed, r"a'b\c; DROP TABLE x--", 7);
    let report = bed.import_with(&placeholders());
    assert_eq!(report.placeholders[0].name, r"a'b\c; DROP TABLE x--");
    let found = bed.count(&format!(
        "logical_backups WHERE file_name = E'{}'",
        name.replace('\\', r"\\").replace('\'', "''")
    ));
    assert_eq!(found, 1);
}

#[test]
fn objects_of_others_are_left_alone_and_counted() {
    let Some(bed) = bed() else { return };
    for name in ["3f0c2e5a-test", "databasus-connection-test", "readme.txt"] {
        std::fs::write(bed.object(name), b"x").unwrap();
    }
    let report = bed.import();
    let StorageOutcome::Listed { foreign, .. } = report.storages[0].outcome else {
        panic!("{report:#?}")
    };
    assert_eq!(foreign, 3);
    assert!(!reasons(&report).keys().any(|name| name.ends_with("test")));
}

#[test]
fn what_is_ambiguous_waits_for_a_decision_and_follows_it() {
    let Some(bed) = bed() else { return };
    // Twins whose databases both differ from what the dump's header says.
    bed.server
        .psql("UPDATE databases SET name = 'shop' WHERE name = 'warehouse'");
    let report = bed.import();
    let waiting = report
        .left_out
        .iter()
        .find(|one| one.object == ORPHAN)
        .unwrap();
    assert_eq!((waiting.reason, waiting.fits.len()), (Reason::Ambiguous, 2));
    assert_eq!(database_of(&bed, ORPHAN), "");
    let chosen = bed
        .server
        .psql("SELECT database_id FROM postgresql_logical_databases WHERE database = 'warehouse'");
    bed.import_with(&ImportSettings {
        assign: vec![(ORPHAN.to_owned(), chosen.clone())],
        ..ImportSettings::default()
    });
    let row = format!("logical_backups WHERE file_name = '{ORPHAN}' AND database_id = '{chosen}'");
    assert_eq!(bed.count(&row), 1);
}

#[test]
fn the_header_decides_between_twins() {
    let Some(bed) = bed() else { return };
    bed.server.psql(
        "UPDATE databases SET name = 'shop' WHERE name = 'warehouse';
         UPDATE postgresql_logical_databases SET database = 'small' WHERE database = 'warehouse'",
    );
    bed.import();
    let taken = bed.server.psql(&format!(
        "SELECT p.database FROM logical_backups b JOIN postgresql_logical_databases p USING (database_id) WHERE file_name = '{ORPHAN}'"
    ));
    assert_eq!(taken, "small");
}

#[test]
fn a_decision_that_names_no_database_changes_nothing() {
    let Some(bed) = bed() else { return };
    let state = bed.state();
    let settings = ImportSettings {
        assign: vec![("shop".to_owned(), "nobody".to_owned())],
        ..ImportSettings::default()
    };
    let refused = bed.import_from(&bed.folders(), &settings).unwrap_err();
    assert!(refused.to_string().contains("nobody"));
    assert_eq!(bed.state(), state);
}

#[test]
fn an_unknown_database_is_listed_and_made_only_when_asked() {
    for fixture in ["databasus-3.42.0", "databasus-3.49.0"] {
        let Some(bed) = Bed::new(fixture) else { return };
        bed.server
            .psql("DELETE FROM databases WHERE name = 'warehouse'");
        let report = bed.import();
        let unknown = reasons(&report).into_values();
        assert!(
            unknown
                .filter(|reason| *reason == Reason::UnknownDatabase)
                .count()
                >= 4
        );
        assert_eq!(bed.count("databases WHERE name = 'warehouse'"), 0);
        let report = bed.import_with(&placeholders());
        assert_eq!(report.placeholders.len(), 1);
        let generation = if bed.backups() == "backups" {
            ""
        } else {
            "logical_"
        };
        let made = bed.server.psql(&format!(
            "SELECT d.type, d.workspace_id IS NOT NULL, p.database, p.host, p.version, c.is_backups_enabled,
               c.retention_time_period, c.encryption, c.storage_id = s.id, h.is_healthcheck_enabled
             FROM storages s, databases d
             JOIN postgresql_{generation}databases p ON p.database_id = d.id
             JOIN {generation}backup_configs c ON c.database_id = d.id
             JOIN healthcheck_configs h ON h.database_id = d.id WHERE d.name = 'warehouse'"
        ));
        let kind = if generation.is_empty() {
            "POSTGRES"
        } else {
            "POSTGRES_LOGICAL"
        };
        let made: BTreeMap<usize, &str> = made.split('|').enumerate().collect();
        let expected = [
            kind,
            "t",
            "big",
            "placeholder.invalid",
            made[&4],
            "f",
            "FOREVER",
            made[&7],
            "t",
            "f",
        ];
        assert_eq!(made.into_values().collect::<Vec<_>>(), expected);
        let state = bed.state();
        bed.import_with(&placeholders());
        assert_eq!(bed.state(), state, "{fixture}");
    }
}

#[test]
fn two_entries_of_one_bucket_are_one_place() {
    let Some(bed) = bed() else { return };
    bed.server.psql(
        "INSERT INTO storages (id, type, name, workspace_id)
           SELECT '00000000-0000-4000-8000-000000000001', type, 'the same', workspace_id FROM storages;
         INSERT INTO s3_storages SELECT '00000000-0000-4000-8000-000000000001', s3_bucket, s3_region,
           s3_access_key, s3_secret_key, s3_endpoint, s3_prefix FROM s3_storages",
    );
    let report = bed.import();
    assert_eq!(report.storages.len(), 2);
    // Where its database's next backup would go.
    let storage = bed.server.psql(&format!(
        "SELECT s.name FROM logical_backups b JOIN storages s ON s.id = b.storage_id WHERE file_name = '{ORPHAN}'"
    ));
    assert_eq!(storage, "R2 ENAM");
}

#[test]
fn a_mirror_of_the_bucket_counts_as_copies() {
    let Some(bed) = bed() else { return };
    bed.server.psql(
        "INSERT INTO storages (id, type, name, workspace_id)
           SELECT '00000000-0000-4000-8000-000000000001', 'S3', 'mirror', workspace_id FROM storages;
         INSERT INTO s3_storages SELECT '00000000-0000-4000-8000-000000000001', 'mirror', s3_region,
           s3_access_key, s3_secret_key, s3_endpoint, s3_prefix FROM s3_storages",
    );
    let mut folders = bed.folders();
    folders
        .others
        .insert("mirror".to_owned(), bed.bucket.path().to_owned());
    let report = bed
        .import_from(&folders, &ImportSettings::default())
        .unwrap();
    assert_eq!(report.imported(), 3);
    let copies: Vec<u64> = report
        .storages
        .iter()
        .map(|one| match one.outcome {
            StorageOutcome::Listed { copies, .. } => copies,
            StorageOutcome::NotListed { .. } => 0,
        })
        .collect();
    assert_eq!(copies.iter().sum::<u64>(), 10);
    let elsewhere = "logical_backups WHERE storage_id = '00000000-0000-4000-8000-000000000001'";
    assert_eq!(bed.count(elsewhere), 0);
}

#[test]
fn thousands_of_backups_come_in_and_are_known_again() {
    let Some(bed) = bed() else { return };
    let dump = b"PGDMP\x01\x10\x00 of which nothing else can be read";
    for number in 0..5_100u128 {
        let id = uuid::Uuid::from_u128(number);
        let name = bed.object(&format!("shop-20261122-140000-{id}"));
        std::fs::write(&name, dump).unwrap();
        let sidecar = json!({"backupId": id, "encryption": "NONE"}).to_string();
        std::fs::write(name.with_extension("metadata"), sidecar).unwrap();
    }
    let report = bed.import();
    assert_eq!(report.imported(), 5_100 + 3);
    let again = bed.import();
    assert_eq!(again.imported(), 0);
    let known: u64 = again.databases.iter().map(|one| one.known).sum();
    assert_eq!(known, 5_100 + 10);
}
