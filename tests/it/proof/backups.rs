//! What is wrong with backups shows at the level that can see it, and what cannot be seen fails
//! nothing.

use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::databasus::storages::Storage;
use databasus_escrow::model::proof::{Level, Outcome};
use databasus_escrow::ops::proof::{Catalogue, Request, prove};
use databasus_escrow::ops::storages::{OpenStorage, StorageUnavailable};
use databasus_escrow::store::Store;

use super::{Bed, Bucket, cut, outcomes, said};
use crate::support::escrowing::NoStorages;

/// A chunk as it is stored.
const CHUNK: u64 = (1 << 20) + 20;

#[test]
fn a_storage_that_cannot_be_reached_leaves_the_backups_unknown() {
    let Some(bed) = Bed::of("real-3.49.0") else {
        return;
    };
    let key = bed.fixture.secret_key();
    let report = bed.prove_with(&key, Level::WholeBackups, &NoStorages);
    let unknown = Outcome::Unknown;
    assert_eq!(outcomes(&report)[1..], [Outcome::Proven, unknown, unknown]);
    assert_eq!(report.record().reached, Some(1));
    let ids: Vec<_> = report.findings().iter().map(|found| found.id).collect();
    assert_eq!(ids, ["proof-unknown"]);
}

#[test]
fn nothing_encrypted_is_nothing_proven() {
    let Some(bed) = Bed::of("real-3.42.0") else {
        return;
    };
    bed.server.psql("UPDATE backups SET encryption = 'NONE'");
    let report = bed.prove(Level::FirstChunks);
    assert_eq!(outcomes(&report)[2], Outcome::Unknown);
    assert!(said(&report).contains("knows no encrypted backup"));
}

fn assert_fails(name: &str, label: &str, damage: impl Fn(&std::path::Path), words: &str) {
    let Some(bed) = Bed::of(name) else {
        return;
    };
    damage(&bed.bucket.newest(label));
    let report = bed.prove(Level::FirstChunks);
    let said = said(&report);
    assert_eq!(outcomes(&report)[1..], [Outcome::Proven, Outcome::Failed]);
    assert_eq!(report.record().levels[2].failed, 1, "{said}");
    assert!(said.contains(words), "{said}");
}

#[test]
fn a_backup_cut_anywhere_fails() {
    let damage = |path: &std::path::Path| cut(path, 1_000_000);
    assert_fails("real-3.42.0", "media-20261123-031158", damage, "it was cut");
}

/// The format cannot show it: what is left is a whole, shorter file.
#[test]
fn a_backup_cut_between_two_chunks_fails() {
    let damage = |path: &std::path::Path| cut(path, 64 + CHUNK);
    assert_fails("real-3.42.0", "media-20261123-031158", damage, "it was cut");
    let damage = |path: &std::path::Path| cut(path, 64 + 2 * CHUNK);
    assert_fails(
        "real-3.49.0",
        "pg17_cluster-FULL-20261123-030908-a9b91706-0fb4-4894-b4a6-34b7325573ed",
        |path| {
            let name = path.to_str().unwrap().trim_end_matches(".manifest");
            damage(std::path::Path::new(name));
        },
        "it was cut",
    );
}

#[test]
fn a_header_without_content_is_a_dump_that_failed() {
    let damage = |path: &std::path::Path| cut(path, 64);
    assert_fails(
        "real-3.42.0",
        "media-20261123-031158",
        damage,
        "a dump that failed",
    );
}

#[test]
fn an_object_that_is_missing_fails_while_its_row_is_there() {
    let damage = |path: &std::path::Path| std::fs::remove_file(path).unwrap();
    assert_fails(
        "real-3.42.0",
        "media-20261123-031158",
        damage,
        "its object is not there",
    );
}

#[test]
fn an_object_of_another_backup_fails() {
    let Some(bed) = Bed::of("real-3.42.0") else {
        return;
    };
    let (one, other) = (
        bed.bucket.newest("media-20261123-031158"),
        bed.bucket.newest("media-20261123-031247"),
    );
    std::fs::copy(other, one).unwrap();
    let report = bed.prove(Level::FirstChunks);
    assert!(said(&report).contains("salt mismatch"), "{}", said(&report));
}

/// Databasus at work: its retention deletes the object and the row while they are looked at.
struct Deleting<'a>(&'a Bed, &'a Bucket);

impl OpenStorage for Deleting<'_> {
    fn open(
        &self,
        storage: &Storage,
        key: &SecretKey,
    ) -> Result<Arc<dyn Store>, StorageUnavailable> {
        std::fs::remove_file(self.1.newest("media-20261123-031158")).unwrap();
        self.0
            .server
            .psql("DELETE FROM backups WHERE file_name LIKE 'media-20261123-031158%'");
        self.1.open(storage, key)
    }
}

#[test]
fn a_backup_that_retention_deletes_meanwhile_fails_nothing() {
    let Some(bed) = Bed::of("real-3.42.0") else {
        return;
    };
    let key = bed.fixture.secret_key();
    let report = bed.prove_with(&key, Level::FirstChunks, &Deleting(&bed, &bed.bucket));
    assert_eq!(outcomes(&report)[2], Outcome::Unknown);
    assert!(said(&report).contains("deleted or replaced meanwhile"));
}

#[test]
fn damage_beyond_the_first_chunk_shows_at_level_3() {
    let Some(bed) = Bed::of("databasus-3.42.0") else {
        return;
    };
    bed.server
        .psql("UPDATE backups SET status = 'FAILED' WHERE file_name LIKE 'shop-%'");
    let object = bed.bucket.newest("warehouse-20261121");
    let mut bytes = std::fs::read(&object).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&object, bytes).unwrap();
    let report = bed.prove(Level::WholeBackups);
    assert_eq!(outcomes(&report)[2..], [Outcome::Proven, Outcome::Failed]);
    assert_eq!(report.record().reached, Some(2));
    assert!(
        said(&report).contains("chunk 2 is damaged"),
        "{}",
        said(&report)
    );
}

#[test]
fn without_pg_restore_the_table_of_contents_is_unknown() {
    let Some(bed) = Bed::of("databasus-3.49.0") else {
        return;
    };
    let request = Request {
        key: &bed.fixture.secret_key(),
        key_id: Outcome::Proven,
        storages: &bed.bucket,
        wanted: Level::WholeBackups,
        catalogue: Catalogue::Live,
        restore_tool: None,
        cancel: &Cancel::new(),
    };
    let report = prove(Some(&mut bed.server.session()), &request).unwrap();
    assert_eq!(outcomes(&report)[2..], [Outcome::Proven, Outcome::Unknown]);
}

/// A storage with nothing but a cluster's backups: the smallest of them is decoded.
#[test]
fn a_backup_that_is_no_dump_decodes_to_its_end() {
    let Some(bed) = Bed::of("real-3.42.0") else {
        return;
    };
    bed.server
        .psql("UPDATE backups SET status = 'FAILED' WHERE pg_wal_backup_type IS NULL");
    let report = bed.prove(Level::WholeBackups);
    assert_eq!(report.record().reached, Some(3), "{}", said(&report));
}

#[test]
fn an_interruption_ends_the_proof() {
    let Some(bed) = Bed::of("databasus-3.42.0") else {
        return;
    };
    let cancel = Cancel::new();
    let mut session = bed.server.session();
    cancel.raise(15);
    let request = Request {
        key: &bed.fixture.secret_key(),
        key_id: Outcome::Proven,
        storages: &bed.bucket,
        wanted: Level::WholeBackups,
        catalogue: Catalogue::Live,
        restore_tool: None,
        cancel: &cancel,
    };
    assert_eq!(prove(Some(&mut session), &request).unwrap_err().signal, 15);
}
