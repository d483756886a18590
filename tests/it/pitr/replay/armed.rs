//! A source that is armed to the teeth, and a copy of it that is not.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use databasus_escrow::databasus::backup_chain::plan::Target;
use databasus_escrow::ops::pitr::disarm::{Armed, Kind};

use super::bed::{Bed, SENTINELS};
use crate::support::chains::{Chain, Native, Source};

/// What makes a marker appear if any of it is run.
fn settings(canary: &Path) -> String {
    let touch = format!("touch {}", canary.display());
    format!(
        "archive_mode = on\n\
         archive_command = '{touch}'\n\
         restore_command = '{touch}; false'\n\
         recovery_end_command = '{touch}'\n\
         archive_cleanup_command = '{touch}'\n\
         primary_conninfo = 'host=192.0.2.1 user=rep password=hush-hush'\n\
         primary_slot_name = 'gone'\n\
         shared_preload_libraries = 'no_such_library, plpgsql'\n\
         session_preload_libraries = 'no_such_library'\n\
         recovery_target_xid = '1'\n\
         listen_addresses = '*'\n\
         log_directory = '{0}'\n\
         logging_collector = on\n\
         include_if_exists '{0}/more.conf'\n",
        canary.display()
    )
}

const CATALOGUES: &str = "\
    CREATE SUBSCRIPTION follows CONNECTION 'host=192.0.2.1 password=hush-hush'
        PUBLICATION news WITH (connect = false);
    CREATE ROLE visitor;
    ALTER ROLE visitor SET session_preload_libraries = 'no_such_library';
    ALTER ROLE visitor IN DATABASE shop SET local_preload_libraries = 'no_such_library';
    ALTER DATABASE shop SET dynamic_library_path = '/nowhere';
    CREATE FOREIGN DATA WRAPPER elsewhere;
    CREATE SERVER far FOREIGN DATA WRAPPER elsewhere
        OPTIONS (host '192.0.2.2', password 'hush-hush');
    CREATE FUNCTION handler() RETURNS language_handler LANGUAGE c
        AS '$libdir/plpgsql', 'plpgsql_call_handler';
    UPDATE pg_proc SET probin = '$libdir/no_such_library' WHERE proname = 'handler';
    BEGIN; CREATE TABLE open_ended (n int); PREPARE TRANSACTION 'left open';";

fn armed_chain(canary: &Path) -> Option<Chain> {
    let source = Source::start()?;
    let pgdata = source.server().pgdata();
    let mut auto = fs::OpenOptions::new();
    let mut auto = auto
        .append(true)
        .open(pgdata.join("postgresql.auto.conf"))
        .unwrap();
    auto.write_all(settings(canary).as_bytes()).unwrap();
    // pg_basebackup takes the files of a standby as they are.
    fs::write(pgdata.join("standby.signal"), "").unwrap();
    source
        .server()
        .give_to_server(&pgdata.join("standby.signal"));
    for statement in CATALOGUES.split(";\n") {
        source.psql(statement);
    }
    let mut native = Native::of(&source, "shop");
    native.full(&source);
    source.sentinel();
    source.switch_wal();
    native.wal(&source);
    fs::remove_file(pgdata.join("standby.signal")).unwrap();
    Some(native.chain(&source))
}

fn find<'a>(armed: &'a [Armed], kind: Kind, name: &str) -> &'a Armed {
    let found = armed
        .iter()
        .find(|armed| armed.kind == kind && armed.name == name);
    found.unwrap_or_else(|| panic!("no {kind:?} {name} in {armed:#?}"))
}

#[test]
fn everything_that_could_act_is_disarmed_and_listed() {
    let place = tempfile::tempdir_in("/tmp").unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(place.path(), open).unwrap();
    let canary = place.path().join("canary");
    let Some(chain) = armed_chain(&canary) else {
        return;
    };
    let bed = Bed::of(&chain).unwrap();
    let rewound = bed.rewind(Target::Latest, "1");
    assert!(rewound.checks.all_hold(), "{:?}", rewound.checks);
    let armed = &rewound.armed;
    for (kind, name) in [
        (Kind::Archiving, "archive_mode"),
        (Kind::Archiving, "archive_command"),
        (Kind::Command, "restore_command"),
        (Kind::Command, "recovery_end_command"),
        (Kind::Command, "archive_cleanup_command"),
        (Kind::Replication, "primary_slot_name"),
        (Kind::Library, "session_preload_libraries"),
        (Kind::Library, "local_preload_libraries"),
        (Kind::Library, "dynamic_library_path"),
        (Kind::RecoveryTarget, "recovery_target_xid"),
        (Kind::Listening, "listen_addresses"),
        (Kind::FileOutside, "log_directory"),
        (Kind::FileOutside, "include"),
        (Kind::SignalFile, "standby.signal"),
        (Kind::Subscription, "follows"),
        (Kind::ForeignServer, "far"),
        (Kind::MissingLibrary, "$libdir/no_such_library"),
        (Kind::PreparedTransaction, "left open"),
    ] {
        find(armed, kind, name);
    }
    let preloaded = find(armed, Kind::Library, "shared_preload_libraries");
    let note = preloaded.note.as_deref();
    assert_eq!(note, Some("this PostgreSQL lacks no_such_library"));
    let shown = format!("{armed:?}");
    assert!(!shown.contains("hush-hush"), "{shown}");

    // Whoever starts it as it is gets a server that does none of it.
    let server = bed.start_as_it_is();
    assert_eq!(server.ask("shop", SENTINELS), "1");
    assert_eq!(server.ask("shop", "SHOW archive_mode"), "off");
    assert_eq!(server.ask("shop", "SHOW max_prepared_transactions"), "200");
    let roles = "SELECT count(*) FROM pg_db_role_setting";
    assert_eq!(server.ask("shop", roles), "0");
    server.ask("shop", "SELECT pg_switch_wal()");
    server.stop();
    assert!(!canary.exists());
}

#[test]
fn the_sources_own_settings_stay_for_reading() {
    let Some(chain) = crate::support::chains::shared::native() else {
        return;
    };
    let bed = Bed::of(&chain).unwrap();
    bed.rewind(Target::Latest, "1,2,3,4,5,6");
    for name in [
        "postgresql.conf",
        "pg_hba.conf",
        "pg_ident.conf",
        "postgresql.auto.conf",
    ] {
        assert!(bed.data().join(format!("{name}.source")).exists(), "{name}");
        assert!(bed.data().join(name).exists(), "{name}");
    }
    for gone in [
        "recovery.signal",
        "backup_label",
        "postmaster.pid",
        "postmaster.opts",
    ] {
        assert!(!bed.data().join(gone).exists(), "{gone}");
    }
}
