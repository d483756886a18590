//! Several bases become one directory, on which a server starts.

use std::path::Path;
use std::process::Command;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::error_chain::error_chain;
use databasus_escrow::ops::pitr::bases::{CombineBasesError, combine};
use databasus_escrow::postgres::combine::CombineError;
use databasus_escrow::postgres::program::ProgramError;

use super::bed::{Bed, tree};
use crate::support::chains::Source;
use crate::support::chains::{Native, shared};
use crate::support::needed;

const HOW_MANY: &str = "SELECT count(*) FROM sentinel";

/// How many sentinels the first `count` bases of a storage have without any replay.
fn sentinels(bed: &Bed, bin: &Path, count: usize) -> String {
    let launcher = Bed::launcher(bin);
    let extracted = bed.extract(&bed.plan_of_first(count)).unwrap();
    let data = combine(
        Some(&launcher),
        &bed.staged(),
        &extracted,
        "data",
        &Cancel::new(),
    )
    .unwrap();
    assert_eq!(data, bed.staged().join("data"));
    let left: Vec<String> = tree(&bed.staged())
        .into_keys()
        .filter(|path| !path.starts_with("data"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    bed.ask(&launcher, &data, "shop", HOW_MANY)
}

#[test]
fn a_real_full_backup_alone_starts() {
    let (Some(bin), Some(bed)) = (needed("ESCROW_TEST_PG_BIN"), Bed::of_fixture("real-3.49.0"))
    else {
        return;
    };
    assert_eq!(sentinels(&bed, &bin, 1), "15");
}

#[test]
fn a_real_full_backup_and_its_incremental_ones_start() {
    let (Some(bin), Some(bed)) = (needed("ESCROW_TEST_PG_BIN"), Bed::of_fixture("real-3.49.0"))
    else {
        return;
    };
    assert_eq!(sentinels(&bed, &bin, 3), "18");
}

#[test]
fn each_incremental_backup_brings_what_came_since() {
    let (Some(bin), Some(chain)) = (needed("ESCROW_TEST_PG_BIN"), shared::native()) else {
        return;
    };
    for (count, expected) in [(1, "1"), (2, "2"), (3, "3")] {
        assert_eq!(sentinels(&Bed::of(&chain), &bin, count), expected);
    }
}

/// PostgreSQL 18 links what did not change.
#[test]
fn bases_of_18_are_combined_without_copies() {
    let Some(source) = Source::start_18() else {
        return;
    };
    let mut native = Native::of(&source, "shop cluster");
    source.sentinel();
    let full = native.full(&source);
    source.sentinel();
    native.incr(&source, &full);
    let bed = Bed::of(&native.chain(&source));
    let bin = source.server().bin();
    assert_eq!(sentinels(&bed, bin, 2), "2");
}

#[test]
fn what_pg_combinebackup_says_is_told() {
    let (Some(bin), Some(chain)) = (needed("ESCROW_TEST_PG_BIN"), shared::native()) else {
        return;
    };
    let bed = Bed::of(&chain);
    let mut plan = bed.plan();
    plan.incrementals.remove(0);
    let extracted = bed.extract(&plan).unwrap();
    let launcher = Bed::launcher(&bin);
    let combined = combine(
        Some(&launcher),
        &bed.staged(),
        &extracted,
        "data",
        &Cancel::new(),
    );
    let text = error_chain(&combined.unwrap_err());
    assert!(
        text.starts_with("the base backups cannot be combined"),
        "{text}"
    );
    assert!(text.contains("starts at LSN"), "{text}");
    assert!(!bed.staged().join("data").exists());
}

#[test]
fn an_interruption_ends_it() {
    let (Some(bin), Some(chain)) = (needed("ESCROW_TEST_PG_BIN"), shared::native()) else {
        return;
    };
    let bed = Bed::of(&chain);
    let extracted = bed.extract(&bed.plan()).unwrap();
    let cancel = Cancel::new();
    cancel.raise(15);
    let launcher = Bed::launcher(&bin);
    let combined = combine(Some(&launcher), &bed.staged(), &extracted, "data", &cancel);
    assert!(matches!(
        combined,
        Err(CombineBasesError::Combine(CombineError::Program(
            ProgramError::Interrupted(_)
        )))
    ));
}

/// A docker client that runs the program on this host, and writes down how it was called.
#[test]
fn a_container_sees_the_bases_alone() {
    use databasus_escrow::postgres::binaries::{Docker, Launcher};
    let (Some(bin), Some(chain)) = (needed("ESCROW_TEST_PG_BIN"), shared::native()) else {
        return;
    };
    let bed = Bed::of(&chain);
    let extracted = bed.extract(&bed.plan()).unwrap();
    let client = bed.home().join("docker");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" > {home}/called\n\
         while [ \"$1\" != image ]; do shift; done; shift\n\
         cd {staged} && exec {bin}/pg_combinebackup \"$@\"",
        home = bed.home().display(),
        staged = bed.staged().display(),
        bin = bin.display(),
    );
    let written = Command::new("sh")
        .args([
            "-c",
            "printf '%s\\n' \"$2\" > \"$1\" && chmod 755 \"$1\"",
            "write",
        ])
        .args([client.as_os_str(), script.as_ref()])
        .status();
    assert!(written.unwrap().success());
    let launcher = Launcher::Docker {
        docker: Docker {
            program: client,
            environment: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
        },
        image: "image".to_owned(),
        major: 17,
    };
    combine(
        Some(&launcher),
        &bed.staged(),
        &extracted,
        "data",
        &Cancel::new(),
    )
    .unwrap();
    let called = std::fs::read_to_string(bed.home().join("called")).unwrap();
    for argument in [
        "--network=none",
        "--cap-drop=ALL",
        "--read-only",
        "--entrypoint=/usr/lib/postgresql/17/bin/pg_combinebackup",
        "--workdir=/escrow/bases",
        "full\nincr-1\nincr-2\n-o\ndata",
    ] {
        assert!(called.contains(argument), "{argument} in {called}");
    }
    let owner = format!("--user={}:", super::bed::owner());
    assert!(called.contains(&owner), "{called}");
}
