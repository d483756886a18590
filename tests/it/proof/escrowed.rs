//! The same proof from an escrow alone: its logical copy, with no server.

use std::process::Stdio;
use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::time::UtcTime;
use databasus_escrow::databasus::logical_copy::LogicalCopy;
use databasus_escrow::databasus::schema::Schema;
use databasus_escrow::databasus::{newest_backups, sealed_fields, storages};
use databasus_escrow::model::finding::Severity;
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::model::proof::{Level, Outcome};
use databasus_escrow::ops::storages::OpenStorage;
use databasus_escrow::ops::verify::{ContentReport, Ports, ProofPorts, verify};
use databasus_escrow::postgres::archive_rows::ArchiveRows;
use databasus_escrow::postgres::restore_tool::RestoreTool;
use databasus_escrow::store::Store;

use super::Bed;
use crate::support::escrowing::{Escrowing, NoStorages};
use crate::support::fixture::{COMPOSED, REAL};

/// A logical copy says the same of an instance as its server.
#[test]
fn a_logical_copy_reads_as_the_server_does() {
    for name in REAL.into_iter().chain(COMPOSED) {
        let Some(bed) = Bed::of(name) else {
            return;
        };
        let key = || bed.fixture.secret_key();
        let mut rows = ArchiveRows::start(&bed.restore_tool(), LogicalCopy::new(key())).unwrap();
        let mut dump = bed.server.command("pg_dump");
        let dump = dump
            .args(["-Fc", "-U", "postgres", "-d", "databasus", "-h"])
            .arg(bed.server.socket_dir())
            .args(["-p", &bed.server.port().to_string()])
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        std::io::copy(&mut dump.stdout.as_slice(), &mut rows).unwrap();
        let copy = rows.finish(&Cancel::new()).unwrap();

        let mut session = bed.server.session();
        let schema = Schema::read(&mut session).unwrap();
        let fields = sealed_fields::try_key(&mut session, &schema, &key()).unwrap();
        assert!(!fields.is_empty());
        assert_eq!(*copy.fields(), fields);
        let storages = storages::read(&mut session, &schema).unwrap();
        assert_eq!(copy.storages().unwrap(), storages);
        let generation = schema.generation().unwrap();
        let read = newest_backups::read(&mut session, &schema, generation).unwrap();
        let sorted = |mut backups: Vec<newest_backups::NewestBackup>| {
            backups.sort_by_key(|backup| backup.id);
            backups
        };
        assert!(!read.is_empty());
        assert_eq!(sorted(copy.backups().unwrap()), sorted(read));
    }
}

#[test]
fn what_is_no_archive_is_told_at_the_end() {
    let Some(bed) = Bed::of("databasus-3.42.0") else {
        return;
    };
    let copy = LogicalCopy::new(bed.fixture.secret_key());
    let mut rows = ArchiveRows::start(&bed.restore_tool(), copy).unwrap();
    let mut garbage = std::io::Read::take(std::io::repeat(7), 10 << 20);
    std::io::copy(&mut garbage, &mut rows).unwrap();
    let error = rows.finish(&Cancel::new()).err().unwrap();
    assert!(
        error.to_string().contains("pg_restore cannot read"),
        "{error}"
    );
}

fn verified(
    escrows: &Escrowing,
    manifest: &Manifest,
    storages: &dyn OpenStorage,
    restore_tool: Option<&RestoreTool>,
) -> ContentReport {
    let stores: Vec<Arc<dyn Store>> = escrows.stores();
    let ports = Ports {
        stores: &stores,
        identities: Some(&escrows.identities()),
        proof: ProofPorts {
            wanted: Level::WholeBackups,
            storages,
            restore_tool,
        },
        now: UtcTime::from_unix(1_780_000_000),
        cancel: &Cancel::new(),
    };
    let report = verify(manifest, &ports, &|| Box::new(|_| {})).unwrap();
    report.content.unwrap()
}

#[test]
fn an_escrow_alone_proves_its_key() {
    for name in REAL {
        let Some(bed) = Bed::of(name) else {
            return;
        };
        let escrows = Escrowing::into_stores(&["first"]);
        let manifest = escrows.snapshot(&bed.server);
        let tool = bed.restore_tool();
        let content = verified(&escrows, &manifest, &bed.bucket, Some(&tool));
        assert_eq!(
            content.proof.reached,
            Some(3),
            "{:?}",
            content.proof_findings
        );
        assert_eq!(content.proof.levels[2].proven, 4);
    }
}

#[test]
fn a_backup_that_was_deleted_since_fails_nothing() {
    let Some(bed) = Bed::of("real-3.42.0") else {
        return;
    };
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&bed.server);
    std::fs::remove_file(bed.bucket.newest("media-20261123-031158")).unwrap();
    let tool = bed.restore_tool();
    let content = verified(&escrows, &manifest, &bed.bucket, Some(&tool));
    assert_eq!(content.proof.levels[2].outcome, Outcome::Unknown);
    assert!(
        content.proof_findings[0]
            .message
            .contains("deleted it since")
    );
}

#[test]
fn without_pg_restore_or_storages_the_rest_is_unknown() {
    let Some(bed) = Bed::of("real-3.42.0") else {
        return;
    };
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&bed.server);
    let content = verified(&escrows, &manifest, &bed.bucket, None);
    assert_eq!(content.proof.reached, Some(0));
    let tool = bed.restore_tool();
    let content = verified(&escrows, &manifest, &NoStorages, Some(&tool));
    assert_eq!(content.proof.reached, Some(1));
}

#[test]
fn a_manifest_that_names_another_key_is_a_violation() {
    let Some(bed) = Bed::of("real-3.42.0") else {
        return;
    };
    let escrows = Escrowing::into_stores(&["first"]);
    let mut manifest = escrows.snapshot(&bed.server);
    manifest.secret_key_id = "00112233445566778899aabbccddeeff".to_owned();
    let tool = bed.restore_tool();
    let content = verified(&escrows, &manifest, &bed.bucket, Some(&tool));
    let found = &content.proof_findings[0];
    assert_eq!(
        (found.id, found.severity),
        ("secret-key-mismatch", Severity::Violation)
    );
}
