//! The command `import`, on a stopped directory.

use assert_cmd::Command;
use serde_json::Value;

use super::bed::Bed;

fn command(bed: &Bed, more: &[&str]) -> Command {
    let mut command = Command::cargo_bin("databasus-escrow").unwrap();
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    command.args(["import", "--pg-bin"]).arg(bed.server.bin());
    command
        .arg("--data-dir")
        .arg(bed.server.data_dir())
        .args(more);
    command
}

fn run(bed: &Bed, more: &[&str]) -> (i32, Value) {
    let output = command(bed, more).arg("--json").output().unwrap();
    let document = serde_json::from_slice(&output.stdout);
    let document = document.unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code().unwrap(), document)
}

/// Makes the fixture's storage one of files in the data directory.
fn make_local(bed: &Bed) {
    bed.server.psql("UPDATE storages SET type = 'LOCAL'");
    let folder = bed.server.data_dir().join("backups");
    std::fs::create_dir(&folder).unwrap();
    for name in super::bed::names(bed.bucket.path()) {
        std::fs::copy(bed.object(&name), folder.join(&name)).unwrap();
    }
    bed.server.give_to_server(&folder);
}

#[cfg(feature = "s3")]
#[test]
fn a_bucket_is_read_with_credentials_that_can_only_read() {
    use databasus_escrow::store::Store as _;
    use secrecy::ExposeSecret as _;

    let Some(mut bed) = Bed::new("real-3.49.0") else {
        return;
    };
    let Some(seaweed) = crate::support::seaweed::Seaweed::start() else {
        return;
    };
    seaweed.create_bucket("imported", false);
    let store = seaweed.store("imported", "backups/hw");
    for name in super::bed::names(bed.bucket.path()) {
        let bytes = std::fs::read(bed.object(&name)).unwrap();
        if bytes.len() < 5 << 20 {
            store.put_if_absent(&name, &bytes).unwrap();
        } else {
            let upload = store.start_upload(&name, 32 << 20).unwrap();
            let md5 = <md5::Md5 as md5::Digest>::digest(&bytes).into();
            let part = databasus_escrow::store::Part {
                number: 1,
                bytes: bytes.into(),
                md5,
            };
            upload.put_part(&part).unwrap();
            upload.complete().unwrap();
        }
    }
    bed.server.psql(&format!(
        "UPDATE s3_storages SET s3_endpoint = '{}', s3_bucket = 'imported', s3_access_key = '', s3_secret_key = ''",
        seaweed.endpoint()
    ));
    bed.server.stop_cleanly();
    let (exit, without) = run(&bed, &[]);
    assert_eq!(exit, 3, "{without}");
    assert_eq!(without["storages"][0]["outcome"]["state"], "not-listed");
    let who = seaweed.read_only_credentials();
    let output = command(&bed, &["--json", "--read-only-credentials", "r2"])
        .env("ESCROW_R2_ACCESS_KEY_ID", who.access_key_id)
        .env(
            "ESCROW_R2_SECRET_ACCESS_KEY",
            who.secret_access_key.expose_secret(),
        )
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    bed.server.start_again();
    // Three dumps, one incremental backup and five segments came after the snapshot.
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let databases = document["databases"].as_array().unwrap();
    let inserted = databases
        .iter()
        .map(|one| one["inserted"].as_u64().unwrap());
    assert_eq!(inserted.sum::<u64>(), 9);
    assert_eq!(bed.count("physical_wal_segments"), 9);
    assert_eq!(bed.count("logical_backups"), 7);
}

#[test]
fn files_of_a_local_storage_are_read_in_the_data_directory() {
    let Some(mut bed) = Bed::new("real-3.42.0") else {
        return;
    };
    make_local(&bed);
    bed.server.stop_cleanly();
    let (exit, planned) = run(&bed, &["--dry-run"]);
    assert_eq!(
        (exit, &planned["dry_run"]),
        (0, &Value::Bool(true)),
        "{planned}"
    );
    let (exit, done) = run(&bed, &[]);
    assert_eq!((exit, &done["databases"]), (0, &planned["databases"]));
    bed.server.start_again();
    assert_eq!(bed.count("backups"), 17);
}

#[test]
fn what_waits_for_a_decision_is_told_and_the_exit_is_partial() {
    let Some(mut bed) = Bed::new("databasus-3.49.0") else {
        return;
    };
    bed.server
        .psql("DELETE FROM databases WHERE name = 'warehouse'");
    make_local(&bed);
    bed.server.stop_cleanly();
    let output = command(&bed, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "Not imported: no database fits; decide with --assign NAME=DATABASE, or --placeholders (5)",
        "Not imported: no sidecar commits them; `databasus-escrow recover` reads them (1)",
        "Running at the snapshot, and nothing of them is stored: 1.",
        "Imported 2 backups, moved 1 rows aside, 6 objects need somebody.",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let mistaken = command(&bed, &["--assign", "warehouse=nobody"]).output();
    assert_eq!(mistaken.unwrap().status.code(), Some(2));
}

#[test]
fn damage_is_an_integrity_error_and_the_rest_comes_in() {
    let Some(mut bed) = Bed::new("databasus-3.42.0") else {
        return;
    };
    let sidecar = super::bed::names(bed.bucket.path());
    let sidecar = sidecar
        .iter()
        .find(|name| name.starts_with("shop-20261122-131720") && name.ends_with("metadata"));
    std::fs::write(bed.object(sidecar.unwrap()), "{").unwrap();
    make_local(&bed);
    bed.server.stop_cleanly();
    let (exit, document) = run(&bed, &[]);
    assert_eq!(exit, 13, "{document}");
    bed.server.start_again();
    assert_eq!(bed.count("backups WHERE status = 'COMPLETED'"), 8);
}

#[test]
fn a_directory_that_is_in_use_or_half_migrated_is_refused() {
    let Some(mut bed) = Bed::new("databasus-3.42.0") else {
        return;
    };
    let running = command(&bed, &[]).output().unwrap();
    assert_eq!(running.status.code(), Some(14), "{running:?}");
    bed.server.psql("CREATE TABLE logical_backups (id uuid)");
    bed.server.stop_cleanly();
    let half = command(&bed, &[]).output().unwrap();
    assert_eq!(half.status.code(), Some(14), "{half:?}");
    let said = String::from_utf8(half.stderr).unwrap();
    assert!(said.contains("half-migrated"), "{said}");
}
