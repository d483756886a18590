//! What a snapshot warns of, found in metadata that Databasus wrote.

use databasus_escrow::databasus::risks::Risks;
use databasus_escrow::databasus::schema::Schema;

use crate::support::fixture::Fixture;
use crate::support::postgres::TestPg;

fn risks_of(server: &TestPg) -> Risks {
    let mut session = server.session();
    let schema = Schema::read(&mut session).unwrap();
    Risks::read(&mut session, &schema).unwrap()
}

#[test]
fn databases_that_are_unencrypted_or_wal_v1_are_named() {
    let Some(server) = Fixture::named("real-3.42.0").and_then(|fixture| fixture.serve()) else {
        return;
    };
    let risks = risks_of(&server);
    assert_eq!(risks.unencrypted, ["heatwave_versions"]);
    assert_eq!(risks.wal_v1, ["pg18 standby"]);
    assert!(risks.local_storages.is_empty(), "{risks:?}");
}

#[test]
fn a_local_storage_is_a_risk_once_something_is_backed_up_to_it() {
    let Some(server) = Fixture::named("real-3.49.0").and_then(|fixture| fixture.serve()) else {
        return;
    };
    server.psql("INSERT INTO storages (type, name, workspace_id) SELECT 'LOCAL', 'disk', workspace_id FROM storages",
    );
    assert!(risks_of(&server).local_storages.is_empty());
    server.psql("UPDATE physical_backup_configs SET storage_id = (SELECT id FROM storages WHERE name = 'disk')",
    );
    assert_eq!(risks_of(&server).local_storages, ["disk"]);
    assert_eq!(risks_of(&server).unencrypted, ["heatwave_versions"]);
}
