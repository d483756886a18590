//! Snapshots put on record what was proven, and readers go by it.

use databasus_escrow::model::proof::{Level, Outcome};
use databasus_escrow::ops::commit::Completeness;
use databasus_escrow::ops::select::{Selection, passed_over, select};
use databasus_escrow::ops::snapshot::{ProofSettings, SnapshotError};

use super::Bed;
use crate::support::escrowing::{Escrowing, NoStorages};

fn settings(level: Level, required: Option<Level>) -> ProofSettings {
    ProofSettings {
        level,
        required,
        restore_tool: None,
    }
}

#[test]
fn what_is_proven_stands_in_the_manifest_without_names() {
    let Some(bed) = Bed::of("real-3.49.0") else {
        return;
    };
    let mut escrows = Escrowing::into_stores(&["first"]);
    let report =
        escrows.snapshot_proving(&bed.server, settings(Level::FirstChunks, None), &bed.bucket);
    let report = report.unwrap();
    let proof = report.manifest.proof.clone().unwrap();
    assert_eq!((proof.reached, proof.wanted), (Some(2), 2));
    let json = String::from_utf8(report.manifest.to_bytes().unwrap()).unwrap();
    assert!(
        !json.contains("media") && !json.contains("cluster"),
        "{json}"
    );
}

#[test]
fn a_failed_proof_is_committed_told_and_passed_over() {
    let Some(bed) = Bed::of("real-3.49.0") else {
        return;
    };
    let mut escrows = Escrowing::into_stores(&["first"]);
    let level = settings(Level::FirstChunks, None);
    let good = escrows.snapshot_proving(&bed.server, level.clone(), &bed.bucket);
    let good = good.unwrap().manifest.escrow_id;
    let mut key = bed.fixture.secret_key_bytes();
    key.push(b'\n');
    bed.server.write_secret_key(&key);
    let bad = escrows
        .snapshot_proving(&bed.server, level, &bed.bucket)
        .unwrap();
    assert_eq!(bad.completeness(), Completeness::Partial);
    let failed = bad.findings.iter().find(|found| found.id == "proof-failed");
    assert!(failed.unwrap().message.contains("ends with a newline"));
    let levels = bad.manifest.proof.unwrap().levels;
    assert_eq!(levels[2].outcome, Outcome::Failed);

    let history = escrows.history();
    let (entry, chosen) = select(&history, &Selection::Newest).unwrap();
    assert_eq!(chosen.id, good);
    let remark = passed_over(&history, entry).unwrap();
    assert!(
        remark.contains(&bad.manifest.escrow_id.to_string()),
        "{remark}"
    );
    let named = Selection::Id(bad.manifest.escrow_id.clone());
    let (entry, chosen) = select(&history, &named).unwrap();
    assert_eq!(chosen.id, bad.manifest.escrow_id);
    assert_eq!(passed_over(&history, entry), None);
}

#[test]
fn where_every_proof_failed_the_newest_is_taken() {
    let Some(bed) = Bed::of("real-3.42.0") else {
        return;
    };
    let mut key = bed.fixture.secret_key_bytes();
    key[40..].fill(b'0');
    bed.server.write_secret_key(&key);
    let mut escrows = Escrowing::into_stores(&["first"]);
    let level = settings(Level::FirstChunks, None);
    let report = escrows.snapshot_proving(&bed.server, level, &bed.bucket);
    let id = report.unwrap().manifest.escrow_id;
    let history = escrows.history();
    assert_eq!(select(&history, &Selection::Newest).unwrap().1.id, id);
}

#[test]
fn without_the_required_proof_nothing_is_written() {
    let Some(bed) = Bed::of("real-3.42.0") else {
        return;
    };
    let mut escrows = Escrowing::into_stores(&["first"]);
    let required = settings(Level::KeyId, Some(Level::FirstChunks));
    let refused = escrows.snapshot_proving(&bed.server, required.clone(), &NoStorages);
    let error = refused.err().unwrap();
    assert!(
        matches!(
            error,
            SnapshotError::ProofTooLow {
                required: Level::FirstChunks,
                ..
            }
        ),
        "{error}"
    );
    let left = escrows.stores()[0].clone();
    let left = databasus_escrow::store::list_all(left.as_ref(), "", None).unwrap();
    assert_eq!(left, []);
    let report = escrows.snapshot_proving(&bed.server, required, &bed.bucket);
    assert_eq!(report.unwrap().manifest.proof.unwrap().reached, Some(2));
}
