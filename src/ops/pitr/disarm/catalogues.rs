//! What stands in the catalogues of a running server: settings of roles and databases, and what
//! leads elsewhere.

use crate::base::error_chain::error_chain;
use crate::base::text::{printable, shortened};
use crate::postgres::private_server::PrivateServer;
use crate::postgres::sql::{identifier, literal};
use crate::postgres::wire::{Connection, PgError, Row};

use super::{ANY_DATABASE, Armed, Kind, Now};

/// Settings that load libraries into sessions, with whom they are set for.
const ROLE_SETTINGS: &str = "\
    SELECT r.rolname, d.datname, split_part(c, '=', 1), substr(c, strpos(c, '=') + 1) \
    FROM pg_catalog.pg_db_role_setting s \
    CROSS JOIN LATERAL unnest(s.setconfig) AS c \
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole \
    LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase \
    WHERE (s.setrole = 0 OR r.oid IS NOT NULL) AND (s.setdatabase = 0 OR d.oid IS NOT NULL) \
    AND lower(split_part(c, '=', 1)) IN ('session_preload_libraries', \
        'local_preload_libraries', 'dynamic_library_path', 'extension_control_path') \
    ORDER BY 2, 1, 3";

const SUBSCRIPTIONS: &str = "\
    SELECT s.subname, d.datname, CASE WHEN s.subenabled THEN 'enabled' ELSE 'disabled' END \
    FROM pg_catalog.pg_subscription s \
    JOIN pg_catalog.pg_database d ON d.oid = s.subdbid ORDER BY 2, 1";

const PREPARED: &str = "\
    SELECT gid, database, to_char(prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC' \
    FROM pg_catalog.pg_prepared_xacts ORDER BY prepared";

const DATABASES: &str =
    "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn ORDER BY datname";

const FOREIGN_SERVERS: &str = "\
    SELECT s.srvname, w.fdwname, array_to_string(s.srvoptions, ' ') \
    FROM pg_catalog.pg_foreign_server s \
    JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw ORDER BY 1";

/// Libraries that functions come from.
const LIBRARIES: &str = "\
    SELECT DISTINCT p.probin FROM pg_catalog.pg_proc p \
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
    WHERE l.lanname = 'c' AND p.probin IS NOT NULL ORDER BY 1";

/// Looks through a running server's catalogues, resets what loads libraries and lists the rest.
/// Of the libraries that `armed` names already it says which the server lacks.
pub fn catalogues(server: &PrivateServer, armed: &mut Vec<Armed>) -> Result<(), PgError> {
    let mut session = server.connect(ANY_DATABASE)?;
    armed.extend(reset_settings(&mut session)?);
    for row in session.simple_query(SUBSCRIPTIONS)? {
        let mut subscription = listed(Kind::Subscription, &row, "pg_subscription", Now::Idle);
        let note = "no worker is started for it: max_logical_replication_workers is 0";
        subscription.note = Some(note.to_owned());
        armed.push(subscription);
    }
    for row in session.simple_query(PREPARED)? {
        let mut prepared = listed(
            Kind::PreparedTransaction,
            &row,
            "pg_prepared_xacts",
            Now::Kept,
        );
        let note = "holds its locks until COMMIT PREPARED or ROLLBACK PREPARED";
        prepared.note = Some(note.to_owned());
        armed.push(prepared);
    }
    let libraries = Libraries::of(&mut session)?;
    libraries.note_missing(&mut session, armed)?;
    let databases = session.simple_query(DATABASES)?;
    drop(session);
    for database in databases.into_iter().flatten().flatten() {
        match look_into(server, &database, &libraries) {
            Ok(found) => armed.extend(found),
            Err(PgError::Interrupted(signal)) => return Err(signal.into()),
            Err(error) => armed.push(Armed {
                kind: Kind::Unknown,
                name: shown(&database),
                value: String::new(),
                place: "the database itself".to_owned(),
                now: Now::Kept,
                note: Some(error_chain(&error)),
            }),
        }
    }
    Ok(())
}

/// A row of name, place and value.
fn listed(kind: Kind, row: &Row, catalogue: &str, now: Now) -> Armed {
    let [name, place, value] = [0, 1, 2].map(|at| field(row, at));
    Armed {
        kind,
        name: shown(name),
        value: shown(value),
        place: format!("{catalogue} of {}", shown(place)),
        now,
        note: None,
    }
}

fn field(row: &Row, at: usize) -> &str {
    row.get(at).and_then(Option::as_deref).unwrap_or_default()
}

fn shown(text: &str) -> String {
    shortened(&printable(text))
}

fn reset_settings(session: &mut Connection) -> Result<Vec<Armed>, PgError> {
    let mut reset = Vec::new();
    for row in session.simple_query(ROLE_SETTINGS)? {
        let [role, database, name, value] = [0, 1, 2, 3].map(|at| row.get(at).cloned().flatten());
        let (name, value) = (name.unwrap_or_default(), value.unwrap_or_default());
        let whose = match (&role, &database) {
            (None, None) => "ROLE ALL".to_owned(),
            (None, Some(database)) => format!("DATABASE {}", identifier(database)),
            (Some(role), None) => format!("ROLE {}", identifier(role)),
            (Some(role), Some(database)) => format!(
                "ROLE {} IN DATABASE {}",
                identifier(role),
                identifier(database)
            ),
        };
        session.simple_query(&format!("ALTER {whose} RESET {}", identifier(&name)))?;
        reset.push(Armed {
            kind: Kind::Library,
            name: shown(&name),
            value: shown(&value),
            place: shown(&whose),
            now: Now::Removed,
            note: None,
        });
    }
    Ok(reset)
}

fn look_into(
    server: &PrivateServer,
    database: &str,
    libraries: &Libraries,
) -> Result<Vec<Armed>, PgError> {
    let mut session = server.connect(database)?;
    let mut found = Vec::new();
    for row in session.simple_query(FOREIGN_SERVERS)? {
        let mut elsewhere = listed(Kind::ForeignServer, &row, "pg_foreign_server", Now::Kept);
        elsewhere.place = format!("database {}, {}", shown(database), shown(field(&row, 1)));
        elsewhere.value = shown(&super::mask::words(field(&row, 2)));
        found.push(elsewhere);
    }
    for library in session
        .simple_query(LIBRARIES)?
        .into_iter()
        .flatten()
        .flatten()
    {
        if !libraries.has(&mut session, &library)? {
            found.push(Armed {
                kind: Kind::MissingLibrary,
                name: shown(&library),
                value: String::new(),
                place: format!("functions in database {}", shown(database)),
                now: Now::Kept,
                note: Some("this PostgreSQL lacks it: what needs it fails".to_owned()),
            });
        }
    }
    Ok(found)
}

/// Where the server's own libraries are.
struct Libraries(String);

impl Libraries {
    fn of(session: &mut Connection) -> Result<Self, PgError> {
        let sql = "SELECT setting FROM pg_catalog.pg_config WHERE name = 'PKGLIBDIR'";
        let rows = session.simple_query(sql)?;
        Ok(Self(
            rows.into_iter()
                .flatten()
                .flatten()
                .next()
                .unwrap_or_default(),
        ))
    }

    /// Whether the server would find a library.
    fn has(&self, session: &mut Connection, library: &str) -> Result<bool, PgError> {
        let path = match library.strip_prefix("$libdir/") {
            Some(name) => format!("{}/{name}", self.0),
            None if library.contains('/') => library.to_owned(),
            None => format!("{}/{library}", self.0),
        };
        let there = |path: &str| {
            let path = literal(path);
            format!("(pg_catalog.pg_stat_file({path}, true)).size IS NOT NULL")
        };
        let sql = format!(
            "SELECT {} OR {}",
            there(&path),
            there(&format!("{path}.so"))
        );
        let rows = session.simple_query(&sql)?;
        Ok(rows.into_iter().flatten().flatten().next().as_deref() == Some("t"))
    }

    /// Says of the settings that preload libraries which of them are not there.
    fn note_missing(&self, session: &mut Connection, armed: &mut [Armed]) -> Result<(), PgError> {
        let preloads = |armed: &&mut Armed| armed.name.ends_with("_preload_libraries");
        for armed in armed.iter_mut().filter(preloads) {
            let mut missing = Vec::new();
            for library in armed.value.split(',') {
                let library = library.trim().trim_matches('"');
                if !library.is_empty() && !self.has(session, library)? {
                    missing.push(library);
                }
            }
            if !missing.is_empty() {
                armed.note = Some(format!("this PostgreSQL lacks {}", missing.join(", ")));
            }
        }
        Ok(())
    }
}
