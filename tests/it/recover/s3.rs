//! From a bucket.

use databasus_escrow::base::digest::Digest;
use databasus_escrow::store::Store as _;
use predicates::str::contains;
use secrecy::ExposeSecret as _;

use super::bed::{Bed, fixture};
use crate::support::sandbox::json;
use crate::support::seaweed::Seaweed;

const BUCKET: &str = "recover";

/// A bed whose bucket is a real one, with all objects of a fixture below its prefix.
fn bucket() -> Option<(Bed, String)> {
    let (server, folder) = (Seaweed::start()?, fixture("real-3.49.0")?);
    server.create_bucket(BUCKET, false);
    let store = server.store(BUCKET, "backups/hw");
    for entry in std::fs::read_dir(folder.join("r2")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        store
            .put_if_absent(&name, &std::fs::read(entry.path()).unwrap())
            .unwrap();
    }
    let mut bed = Bed::new();
    // Somebody who may read only.
    let who = server.read_only_credentials();
    bed.sandbox
        .set("ESCROW_FROM_ACCESS_KEY_ID", &who.access_key_id);
    let secret = who.secret_access_key.expose_secret();
    bed.sandbox.set("ESCROW_FROM_SECRET_ACCESS_KEY", secret);
    let from = format!(
        "recover --from s3://{BUCKET}/backups/hw?endpoint={}&region=us-east-1&path_style=true \
         --secret-key {}/secret.key",
        server.endpoint(),
        folder.display()
    );
    Some((bed, from))
}

#[test]
fn a_bucket_is_listed_and_its_backups_recover() {
    let Some((bed, from)) = bucket() else { return };
    let run = |line: &str| bed.sandbox.run(&format!("{from} {line}"));
    let listed = json(&run("--list --json").success());
    let rows = listed["backups"].as_array().unwrap();
    assert_eq!(rows.len(), 19);
    assert!(rows.iter().all(|row| row["problem"].is_null()), "{rows:#?}");
    run("--latest media --output media.dump").success();
    let media = Digest::of(&std::fs::read(bed.output("media.dump")).unwrap());
    let expected = "81ae2a292169fadab8dc068fb1d8197a3c6333df423683504ff71bbe20481a53";
    assert_eq!(media.to_string(), expected);
    run("68856a72-2ff0-4850-b70f-f7cb8e38dcf5").code(10);
    run("e1104a3d-6472-408c-a77b-c964bb34f83e -o segment.zst").success();
    run("b480c76d-78e3-4682-8c64-606025b2d745").code(14);
    assert_eq!(bed.outputs(), ["media.dump", "segment.zst"]);
}

#[test]
fn a_bucket_that_does_not_answer_is_no_empty_bucket() {
    let Some(server) = Seaweed::start() else {
        return;
    };
    let mut bed = Bed::new();
    bed.sandbox.set("ESCROW_FROM_ACCESS_KEY_ID", "nobody");
    bed.sandbox.set("ESCROW_FROM_SECRET_ACCESS_KEY", "nothing");
    let from = format!(
        "recover --from s3://recover-denied/x?endpoint={}&region=us-east-1&path_style=true",
        server.endpoint()
    );
    bed.sandbox
        .run(&format!("{from} --list"))
        .code(1)
        .stderr(contains("cannot list"));
    bed.sandbox.run(&format!("{from} --latest shop")).code(1);
}
