//! `unfence`: what it refuses, what it says, and what it leaves.

use std::path::Path;

use assert_cmd::assert::Assert;
use databasus_escrow::base::time::{Clock, SystemClock};
use databasus_escrow::databasus::fence::marker::{Marker, is_marked};
use databasus_escrow::databasus::fence::side_schema;
use databasus_escrow::ops::fence::FenceSettings;
use predicates::str::contains;

use crate::fence::bed::{Bed, settings};
use crate::support::sandbox::{Sandbox, json};

/// A stopped, fenced and marked data directory whose storage's files lay on its own host.
fn fenced() -> Option<Bed> {
    let mut bed = Bed::quiet("real-3.42.0")?;
    // Yesterday at noon: whenever this runs, on one day and out of grace.
    bed.server.psql(
        "UPDATE storages SET type = 'LOCAL';
         UPDATE backups SET created_at = date_trunc('day', now()) - interval '12 hours'
           + (created_at - (SELECT min(created_at) FROM backups))",
    );
    let now = FenceSettings {
        now: SystemClock.now(),
        ..settings(Default::default())
    };
    bed.fence_as(&now).unwrap();
    let record = side_schema::read(&mut bed.connect()).unwrap();
    Marker::of(&record).write(&bed.server.data_dir()).unwrap();
    bed.server.stop_cleanly();
    Some(bed)
}

fn unfence(sandbox: &Sandbox, bed: &Bed, more: &str) -> Assert {
    let (data, bin) = (bed.server.data_dir(), bed.server.bin().to_owned());
    let (data, bin) = (data.display(), bin.display());
    sandbox.run(&format!("unfence --data-dir {data} --pg-bin {bin} {more}"))
}

const MEANT: &str = "--confirm heatwave-prod --production-is-dead --accept-deletions heatwave \
                     --accept-deletions heatwave_versions";

fn assert_fenced(data_dir: &Path) {
    assert!(is_marked(data_dir));
}

#[test]
fn nothing_goes_without_the_name_of_the_instance() {
    let Some(bed) = fenced() else { return };
    let sandbox = Sandbox::new();
    for more in ["", "--confirm heatwave", "--confirm ''"] {
        let ran = unfence(&sandbox, &bed, &format!("{more} --production-is-dead"));
        ran.code(14)
            .stderr(contains("Production must be proven dead"));
        assert_fenced(&bed.server.data_dir());
    }
}

#[test]
fn production_that_cannot_be_seen_is_not_taken_for_dead() {
    let Some(bed) = fenced() else { return };
    let ran = unfence(&Sandbox::new(), &bed, "--confirm heatwave-prod");
    ran.code(14)
        .stderr(contains("it cannot be seen whether production lives"))
        .stderr(contains("no store of escrows was named"))
        .stderr(contains("--production-is-dead"));
    assert_fenced(&bed.server.data_dir());
}

#[test]
fn a_chain_that_is_another_instances_tells_nothing() {
    let Some(bed) = fenced() else { return };
    let sandbox = Sandbox::new();
    let Some(host) = sandbox.frozen_host(&["usb"]) else {
        return;
    };
    host.snapshot();
    let more = format!("--confirm heatwave-prod {}", host.reading());
    unfence(&sandbox, &bed, &more)
        .code(14)
        .stderr(contains("another instance's"));
}

#[test]
fn an_unfence_tells_what_it_gives_back_and_what_retention_deletes() {
    let Some(mut bed) = fenced() else { return };
    let sandbox = Sandbox::new();
    let dry = unfence(&sandbox, &bed, "--production-is-dead --dry-run --no-import").code(3);
    let text = String::from_utf8(dry.get_output().stdout.clone()).unwrap();
    let data_dir = bed.server.data_dir().display().to_string();
    let text = sandbox.redacted(text.replace(&data_dir, "DATA").as_bytes());
    insta::assert_snapshot!(text, @r#"
    Would unfence DATA: heatwave-prod, from escrow ESCROW-ID fenced TIME (AGE s ago).

    Signs that production lives:
    the chain of escrows  unknown  no store of escrows was named
    the catalogue  no sign  nothing in it is younger than the fence
    storage "R2 ENAM"  no sign  its files lay on production's own host and say nothing

    Catalogue import: not done (--no-import)

    What retention deletes at the first tick after the start:
    DATABASE  OF  POLICY  BACKUPS  LOST  WAL LOST  THEN
    heatwave  logical  GFS 7 days, 5 weeks, 12 months  2  1  0 of 0  HELD BACK: FOREVER
    4 others lose nothing.
    Held back: what is set to FOREVER keeps every backup, what stays off makes none. Look at them in
    Databasus, then give them their policies back; the originals are in escrow_leftover.cells.

    Would give back: 18 values, 5 links to notifiers.

    Nothing was done (--dry-run).
    "#);
    assert_fenced(&bed.server.data_dir());
    let document = json(&unfence(&sandbox, &bed, &format!("{MEANT} --no-import --json")).success());
    assert_eq!(document["exit"], 0);
    assert_eq!(document["instance"], "heatwave-prod");
    assert_eq!(document["links_given_back"], 5);
    assert_eq!(document["leftover"], serde_json::json!([]));
    assert_eq!(document["production"][0]["says"], "unknown");
    assert_eq!(document["retention"].as_array().unwrap().len(), 5);
    assert!(!is_marked(&bed.server.data_dir()));
    unfence(&sandbox, &bed, MEANT)
        .code(14)
        .stderr(contains("is not fenced"));
    bed.server.start_again();
    bed.none("pg_namespace WHERE nspname LIKE 'escrow_%'");
}

/// It cannot: the storage's files are not there.
#[test]
fn what_could_not_be_imported_makes_it_partial() {
    let Some(bed) = fenced() else { return };
    let ran = unfence(&Sandbox::new(), &bed, &format!("{MEANT} --json")).code(3);
    let document = json(&ran);
    assert_eq!(document["import"]["is_whole"], false);
    assert!(!is_marked(&bed.server.data_dir()));
}

#[test]
fn databases_that_there_are_not_are_a_mistake_of_usage() {
    let Some(bed) = fenced() else { return };
    let more = "--confirm heatwave-prod --production-is-dead --accept-deletions nobody";
    let ran = unfence(&Sandbox::new(), &bed, more);
    ran.code(2).stderr(contains("there is no database nobody"));
    assert_fenced(&bed.server.data_dir());
}

#[test]
fn a_running_server_and_a_folder_without_one_are_refused() {
    let Some(mut bed) = fenced() else { return };
    let sandbox = Sandbox::new();
    bed.server.start_again();
    unfence(&sandbox, &bed, MEANT)
        .code(14)
        .stderr(contains("Databasus has to be stopped first"));
    let empty = sandbox.folder("empty");
    sandbox
        .run(&format!("unfence --data-dir {} {MEANT}", empty.display()))
        .code(2)
        .stderr(contains("no data directory of Databasus"));
}
