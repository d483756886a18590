//! On the data directory of a stopped server.

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::databasus::fence::marker::{Marker, is_marked};
use databasus_escrow::databasus::fence::side_schema;
use databasus_escrow::ops::stopped_instance::{StoppedInstance, StoppedInstanceError};
use databasus_escrow::ops::unfence::{
    Ended, OnStoppedError, Ports, UnfenceError, UnfenceSettings, on_stopped,
};
use databasus_escrow::postgres::control_file::{ClusterState, ControlFile};

use super::way::{Bucket, decided, not_read};
use crate::fence::bed::Bed;
use crate::support::escrowing::local;

/// A fenced and marked instance whose server was stopped.
fn stopped() -> Option<Bed> {
    let mut bed = Bed::quiet("real-3.42.0")?;
    bed.fence().unwrap();
    let record = side_schema::read(&mut bed.connect()).unwrap();
    Marker::of(&record).write(&bed.server.data_dir()).unwrap();
    bed.server.stop_cleanly();
    Some(bed)
}

fn unfence(bed: &Bed, settings: &UnfenceSettings<'_>) -> Result<Ended, OnStoppedError> {
    let instance = StoppedInstance::open(&bed.server.data_dir(), None)?;
    let ports = Ports {
        storages: &Bucket::default(),
        chain: not_read(),
        import: None,
    };
    let launcher = local(bed.server.bin());
    on_stopped(&instance, &launcher, settings, ports, &Cancel::new())
}

fn assert_shut_down(bed: &Bed) {
    let control = ControlFile::of(&bed.server.pgdata()).unwrap();
    assert_eq!(control.state, ClusterState::ShutDown);
}

#[test]
fn a_stopped_directory_is_unfenced_and_unmarked() {
    let Some(mut bed) = stopped() else { return };
    let accepted = ["heatwave".to_owned()];
    let settings = UnfenceSettings {
        accept_deletions: &accepted,
        ..decided()
    };
    let Ok(Ended::Unfenced(report)) = unfence(&bed, &settings) else {
        panic!()
    };
    assert!(report.is_whole());
    assert_shut_down(&bed);
    assert!(!is_marked(&bed.server.data_dir()));
    bed.server.start_again();
    bed.none("pg_namespace WHERE nspname LIKE 'escrow_%'");
    bed.none("postgresql_databases WHERE host = 'fenced.invalid'");
}

#[test]
fn a_refusal_leaves_a_directory_that_was_shut_down_in_good_order() {
    let Some(bed) = stopped() else { return };
    let settings = UnfenceSettings {
        production_is_dead: false,
        ..decided()
    };
    let error = unfence(&bed, &settings).err().unwrap();
    let OnStoppedError::Unfence(UnfenceError::ProductionUnknown(_)) = error else {
        panic!("{error:?}")
    };
    assert_shut_down(&bed);
    assert!(is_marked(&bed.server.data_dir()));
}

#[test]
fn a_dry_run_leaves_the_marker() {
    let Some(bed) = stopped() else { return };
    let settings = UnfenceSettings {
        dry_run: true,
        ..decided()
    };
    unfence(&bed, &settings).unwrap();
    assert!(is_marked(&bed.server.data_dir()));
}

/// A run that was killed between the two.
#[test]
fn a_marker_that_outlived_its_fence_goes() {
    let Some(bed) = stopped() else { return };
    let marker = Marker::read(&bed.server.data_dir()).unwrap().unwrap();
    unfence(&bed, &decided()).unwrap();
    marker.write(&bed.server.data_dir()).unwrap();
    let another = UnfenceSettings {
        confirmed: Some("another"),
        ..decided()
    };
    assert!(unfence(&bed, &another).is_err());
    let Ok(Ended::OnlyMarker) = unfence(&bed, &decided()) else {
        panic!()
    };
    assert!(!is_marked(&bed.server.data_dir()));
    let error = unfence(&bed, &decided()).err().unwrap();
    let OnStoppedError::Unfence(UnfenceError::NotFenced) = error else {
        panic!("{error:?}")
    };
}

#[test]
fn a_running_server_is_left_alone() {
    let Some(mut bed) = stopped() else { return };
    bed.server.start_again();
    let error = unfence(&bed, &decided()).err().unwrap();
    let OnStoppedError::Instance(StoppedInstanceError::Running(_)) = error else {
        panic!("{error:?}")
    };
    assert_ne!(bed.count("escrow_fence.cells"), 0);
}
