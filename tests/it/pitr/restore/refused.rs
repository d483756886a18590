//! What is refused before anything is written, and what ends half-way for want of room.

use std::fs;
use std::path::PathBuf;

use super::bed::Bed;
use crate::support::chains::Source;
use crate::support::chains::{Native, shared};
use crate::support::disk::SmallDisk;
use crate::support::needed;

#[test]
fn an_output_with_something_in_it() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain);
    fs::create_dir(bed.output()).unwrap();
    fs::write(bed.output().join("precious"), "1").unwrap();
    bed.refuse(&["--latest"], 14, &["not empty"]);
    assert_eq!(fs::read(bed.output().join("precious")).unwrap(), b"1");
}

#[test]
fn a_cluster_with_a_tablespace() {
    let Some(source) = Source::start() else {
        return;
    };
    source.tablespace("side");
    let mut native = Native::of(&source, "shop");
    native.full(&source);
    source.sentinel();
    source.switch_wal();
    native.wal(&source);
    let chain = native.chain(&source);
    Bed::of(&chain).refuse(&["--latest"], 14, &["tablespace"]);
}

#[test]
fn programs_of_another_major() {
    let (Some(chain), Some(bin)) = (shared::native(), needed("ESCROW_TEST_PG18_BIN")) else {
        return;
    };
    let bed = Bed::of(&chain).with_programs(bin);
    bed.refuse(&["--latest"], 14, &["17", "18", "--pg-bin"]);
}

#[test]
fn programs_that_are_not_there() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain).with_programs(PathBuf::from("/nonexistent"));
    bed.refuse(&["--latest"], 14, &["/nonexistent"]);
}

#[test]
fn a_disk_that_is_too_small() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain);
    let place = bed.place();
    let Some(_disk) = SmallDisk::mount(&place, "20m") else {
        return;
    };
    bed.refuse(&["--latest"], 14, &["room"]);
}

/// What an agent's base takes is known only when it is unpacked.
#[test]
fn a_disk_that_fills_half_way() {
    let Some(chain) = shared::wal_v1() else {
        return;
    };
    let bed = Bed::of(&chain);
    let place = bed.place();
    let Some(_disk) = SmallDisk::mount(&place, "12m") else {
        return;
    };
    let ran = bed.restore(&["--latest"]);
    let code = ran.get_output().status.code();
    assert!(matches!(code, Some(1 | 14)), "{ran}");
    assert_eq!(bed.around(), [""; 0]);
}
