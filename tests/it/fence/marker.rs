//! Clones that only their files can tell.

use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::time::{SystemClock, UtcTime};
use databasus_escrow::databasus::fence::marker::Marker;
use databasus_escrow::postgres::socket::ServerAddress;
use databasus_escrow::source::auto::auto;
use databasus_escrow::source::cold::ColdSource;
use databasus_escrow::source::frozen::{FrozenSettings, FrozenSource};
use databasus_escrow::source::online::{OnlineSettings, OnlineSource};
use databasus_escrow::source::{Source, SourceError};

use crate::support::postgres::TestPg;

/// A stopped server on a data directory that is marked as a clone.
fn marked() -> Option<TestPg> {
    let mut server = TestPg::start()?;
    server.stop_cleanly();
    let marker = Marker {
        instance: "heatwave-prod".parse().unwrap(),
        escrow_id: "20261123T031000Z-0123456789abcdef".parse().unwrap(),
        fenced_at: UtcTime::from_unix(1_795_500_000),
        tool: "test".to_owned(),
    };
    marker.write(&server.data_dir()).unwrap();
    Some(server)
}

fn cold(server: &TestPg) -> ColdSource {
    ColdSource::new(
        server.data_dir(),
        None,
        Arc::new(SystemClock),
        Cancel::new(),
    )
}

fn frozen(server: &TestPg) -> FrozenSource {
    let settings = FrozenSettings {
        data_dir: server.data_dir(),
        ..FrozenSettings::default()
    };
    FrozenSource::new(settings, Arc::new(SystemClock), Cancel::new())
}

fn either(server: &TestPg) -> Box<dyn Source> {
    let settings = OnlineSettings {
        data_dir: server.data_dir(),
        address: ServerAddress::Unix {
            directory: server.socket_dir(),
            port: server.port(),
        },
        user: "postgres".to_owned(),
        database: "databasus".to_owned(),
        pg_dump: None,
        search_path: std::ffi::OsString::new(),
        progress: Arc::new(|_| {}),
    };
    let online = OnlineSource::new(settings, Arc::new(SystemClock), Cancel::new());
    auto(Box::new(online), Box::new(cold(server)))
}

#[test]
fn a_marked_directory_is_refused_by_every_method_that_sees_files_only() {
    let Some(server) = marked() else { return };
    let sources: [Box<dyn Source>; 3] = [
        Box::new(cold(&server)),
        Box::new(frozen(&server)),
        either(&server),
    ];
    for mut source in sources {
        let method = source.method();
        let error = source.begin().unwrap_err();
        assert!(
            matches!(error, SourceError::MarkedClone(_)),
            "{method:?}: {error:?}"
        );
    }
    Marker::remove(&server.data_dir()).unwrap();
    frozen(&server).begin().unwrap();
}
