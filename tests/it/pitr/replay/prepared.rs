//! Directories that replay when somebody starts them.

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::error_chain::error_chain;
use databasus_escrow::databasus::backup_chain::plan::Target;
use databasus_escrow::ops::pitr::prepare::prepare;

use super::bed::{Bed, SENTINELS};
use crate::support::chains::{How, shared};

#[test]
fn a_prepared_directory_replays_to_its_point_when_it_is_started() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain).unwrap();
    let plan = bed.plan(Target::Time(chain.sentinel(5).newest_at));
    let staged = bed.stage(&plan);
    let prepared = prepare(bed.storage(), &plan, &staged, &Cancel::new()).unwrap();
    assert_eq!(prepared.segments, plan.wal.len() as u64);
    assert!(bed.data().join("recovery.signal").exists());
    let commands = prepared.commands(&bed.data());
    assert!(commands[0].ends_with(&format!("postgres -D {}", bed.data().display())));
    let server = bed.start_as_it_is();
    assert_eq!(server.ask("shop", SENTINELS), "1,2,3,4,5");
    server.stop();
    assert!(!bed.data().join("recovery.signal").exists());
}

#[test]
fn nothing_is_prepared_with_wal_that_is_damaged() {
    let Some(mut chain) = shared::native() else {
        return;
    };
    let taken = chain.segment(chain.segments.len() - 1);
    chain.rewrite_segment(&taken, How::default(), |content| content[8192] = 0x77);
    let bed = Bed::of(&chain).unwrap();
    let plan = bed.plan(Target::Latest);
    let staged = bed.stage(&plan);
    let error = prepare(bed.storage(), &plan, &staged, &Cancel::new()).unwrap_err();
    let told = error_chain(&error);
    assert!(told.contains("the page at byte 8192 is bad"), "{told}");
}
